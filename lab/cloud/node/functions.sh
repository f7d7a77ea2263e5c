# SPDX-License-Identifier: Apache-2.0
# Functions for both nodes of the cloud. Sourced by storage.sh and compute.sh
# after lab/kernel/functions.sh.

# Take the driver's package from another folder: PYTHONPATH has precedence over
# what is installed. Privileged daemons inherit it.
[ -z "$CLOUD_CODE" ] || export PYTHONPATH=$CLOUD_CODE

# cloud_network: set both addresses on the tap, and the names of all hosts.
cloud_network() {
    node_network "$CLOUD_ADDRESS/24"
    ip addr add "$CLOUD_ADDRESS2/24" dev vec0
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
