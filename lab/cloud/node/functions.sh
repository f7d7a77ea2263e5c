# SPDX-License-Identifier: Apache-2.0
# What both nodes of the cloud do. Sourced by storage.sh and compute.sh after
# lab/kernel/functions.sh.

# The driver's package comes from here instead of the clone: PYTHONPATH goes
# before what was installed. Privileged daemons inherit it.
[ -z "$CLOUD_CODE" ] || export PYTHONPATH=$CLOUD_CODE

# cloud_network: both addresses on the one tap, and everybody's names.
cloud_network() {
    node_network "$CLOUD_ADDRESS/24"
    ip addr add "$CLOUD_ADDRESS2/24" dev vec0
    node_hosts $CLOUD_HOSTS
}

# cloud_disk FOLDER: the node's own disk, which outlives a reboot. The host has
# made an XFS on it.
cloud_disk() {
    mkdir -p "$1"
    mount -t xfs /dev/ubda "$1" || { node_log "no XFS on /dev/ubda"; return 1; }
    node_log "disk $1"
}

# cloud_keep DISK FOLDER...: let folders of the system live on the disk, so
# that a reboot finds them again; filled from the system's own at first.
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
