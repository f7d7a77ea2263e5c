# SPDX-License-Identifier: Apache-2.0
# Payload of node "compute": iscsid, libvirtd, folders for guests. The host
# starts nova-compute (lab/cloud/node/service).
. "$CLOUD_SHELL/functions.sh"

node_udev
cloud_network
cloud_disk /var/lib/nova
cloud_keep /var/lib/nova/system /etc/iscsi /etc/libvirt /var/lib/libvirt
node_modules iscsi_tcp sd_mod tun dm-mod dm-crypt
mkdir -p /sys/fs/cgroup /dev/net /run/lock/iscsi /var/log/libvirt/qemu
mount -t cgroup2 cgroup2 /sys/fs/cgroup
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200

# The node does not use the machine's records of targets; its own survive a
# reboot, as on a real host.
if [ ! -e /etc/iscsi/cloud ]; then
    rm -rf /etc/iscsi/nodes /etc/iscsi/send_targets
    echo "InitiatorName=$CLOUD_INITIATOR" > /etc/iscsi/initiatorname.iscsi
    : > /etc/iscsi/cloud
fi
iscsid
node_log iscsid
if [ "$CLOUD_PORTALS" -gt 1 ]; then
    node_modules dm-multipath
    node_multipathd
fi

# A node has no AppArmor, no cgroup v1, and QEMU runs as its root.
printf '%s\n' 'security_driver = "none"' 'cgroup_controllers = []' \
    'namespaces = []' 'user = "root"' 'group = "root"' \
    'remember_owner = 0' > /etc/libvirt/qemu.conf
# A busy node answers late, and nova-compute 34 deadlocks when it loses its
# connection (nova/virt/libvirt/host.py: _get_connection holds the lock that
# _connection_closed needs, which libvirt calls inside it).
printf '%s\n' "host_uuid = \"$CLOUD_HOST_UUID\"" 'auth_unix_rw = "none"' \
    'keepalive_interval = -1' > /etc/libvirt/libvirtd.conf
rm -f /etc/libvirt/qemu/networks/autostart/*.xml
virtlogd -d
libvirtd -d
node_log libvirtd
cloud_ceph && cloud_ceph_secret

mkdir -p /var/lib/nova/{instances,lock}
echo "$CLOUD_COMPUTE_ID" > /var/lib/nova/compute_id
node_mailbox "$CLOUD_MAILBOX"
