# SPDX-License-Identifier: Apache-2.0
# Payload of node "storage": the kernel's target and the backends' disks. The
# host starts cinder-volume (lab/cloud/node/service) as soon as the services
# that it needs are up.
. "$CLOUD_SHELL/functions.sh"

# cinder-backup reads whole volumes, and each request is slow in a node.
mkdir -p /run/udev/rules.d
echo 'ACTION=="add", SUBSYSTEM=="block", KERNEL=="sd*",' \
    'ATTR{queue/read_ahead_kb}="4096"' > /run/udev/rules.d/90-cloud.rules
node_udev
cloud_network
cloud_disk /var/lib/cinder
# Persistent reservations survive a reboot, as on a real host's disk.
cloud_keep /var/lib/cinder/system /etc/target
node_lio
node_modules iscsi_tcp sd_mod dm-crypt
[ -z "$CLOUD_VOLUME_GROUPS" ] || node_modules dm-thin-pool
cloud_ceph
disks=(/dev/ubd[b-z])
for group in $CLOUD_VOLUME_GROUPS; do
    # Each has a disk: that of the in-tree driver, and those of our lvmthin
    # store, which activates its volumes itself.
    if ! vgs "$group" > /dev/null 2>&1; then
        pvcreate -q "${disks[0]}" && vgcreate -q "$group" "${disks[0]}"
    elif [ "$group" = stack-volumes ]; then
        vgchange -q -ay "$group"
    fi
    disks=("${disks[@]:1}")
    node_log "volume group $group"
done
mkdir -p /var/lib/cinder/{lock,volumes,conversion,coordination,backup}
mkdir -p $CLOUD_FOLDERS
mkdir -p -m 700 "$CLOUD_STATE"
if [ -n "$CLOUD_GLANCE" ]; then
    # Keep its files, including those of the seeded copy, on the filesystem of
    # the volumes.
    ip addr add "$CLOUD_GLANCE_ADDRESS/24" dev vec0
    cloud_keep /var/lib/cinder/system "$CLOUD_IMAGES"
fi
# cinder copies images through os-brick, which needs an initiator name.
mkdir -p /etc/iscsi
rm -rf /etc/iscsi/nodes /etc/iscsi/send_targets
echo "InitiatorName=$CLOUD_INITIATOR" > /etc/iscsi/initiatorname.iscsi
iscsid
# As on Debian; the clone may be in the folder of a user.
install -D -m 640 "$CLOUD_CINDER" /etc/cinder/cinder-volume.conf
if [ -n "$CLOUD_RESTORE" ]; then
    # As at the boot of a real storage host: exports are restored before any
    # OpenStack service is needed.
    $CLOUD_RESTORE >> "$CLOUD_LOGS/restore.log" 2>&1 &&
        node_log 'exports restored' || node_log 'restore failed: restore.log'
fi
node_mailbox "$CLOUD_MAILBOX"
