# SPDX-License-Identifier: Apache-2.0
# Functions for all nodes of the cloud. Sourced by their payloads after
# lab/kernel/functions.sh.

# Take the driver's package from another folder: PYTHONPATH has precedence over
# what is installed. Privileged daemons inherit it.
[ -z "$CLOUD_CODE" ] || export PYTHONPATH=$CLOUD_CODE

# cloud_network: set both addresses on the first tap, that in Ceph's network on
# the second one, and the names of all hosts.
cloud_network() {
    node_network "$CLOUD_ADDRESS/24"
    ip addr add "$CLOUD_ADDRESS2/24" dev vec0
    [ -z "$CLOUD_CEPH" ] || node_network "$CLOUD_CEPH_ADDRESS/24" vec1
    node_hosts $CLOUD_HOSTS
}

# cloud_disk FOLDER: mount the node's disk, which survives a reboot. The host
# has made an XFS on it.
cloud_disk() {
    mkdir -p "$1"
    mount -t xfs /dev/ubda "$1" || { node_log "no XFS on /dev/ubda"; return 1; }
    node_log "disk $1"
}

# cloud_keep DISK FOLDER...: keep folders of the system on the disk, so that
# they survive a reboot; at first they are copied from the system.
cloud_keep() {
    local disk=$1 folder
    shift
    for folder; do
        if [ ! -d "$disk$folder" ]; then
            mkdir -p "$disk$folder" "$folder"
            cp -a "$folder/." "$disk$folder/"
        fi
        mkdir -p "$folder"
        mount --bind "$disk$folder" "$folder"
    done
}

# cloud_ceph: what a host needs that uses Ceph; false if the cloud has none.
cloud_ceph() {
    [ "$CLOUD_CEPH" ] || return
    node_ceph "$CLOUD_CEPH" "$CLOUD_CEPH_USER"
    node_modules rbd
}

# cloud_ceph_secret: give the user's key to libvirt, for guests that reach Ceph
# by themselves. It is in a file, never in an argument.
cloud_ceph_secret() {
    local word key=
    while read -r word; do
        [[ $word != 'key = '* ]] || key=${word#key = }
    done < "/etc/ceph/ceph.$CLOUD_CEPH_USER.keyring"
    mkdir -m 700 /run/secret
    printf %s "$key" > /run/secret/key
    printf %s "<secret ephemeral='no' private='yes'>" \
        "<uuid>$CLOUD_CEPH_SECRET</uuid><usage type='ceph'>" \
        "<name>$CLOUD_CEPH_USER secret</name></usage></secret>" \
        > /run/secret/xml
    virsh -q secret-define /run/secret/xml &&
        virsh -q secret-set-value "$CLOUD_CEPH_SECRET" --file /run/secret/key \
        && node_log "libvirt's secret of $CLOUD_CEPH_USER" ||
        node_log "libvirt has no secret of $CLOUD_CEPH_USER"
    rm -r /run/secret
}
