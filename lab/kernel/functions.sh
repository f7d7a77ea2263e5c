# SPDX-License-Identifier: Apache-2.0
# Functions for a kernel node's payload, sourced by stage2.sh. A test that runs
# in a node may source this file, too. Each logs to the console when it is done.
# A fork takes about 90 ms in a node, hence the builtins.

# node_log TEXT...: a line on the console, with the seconds since boot.
node_log() {
    local up rest
    read -r up rest < /proc/uptime
    echo "[$up] $*"
}

# node_base: names, loopback, environment.
node_base() {
    export HOME=/root LANG=${LANG:-C.UTF-8}
    export PATH=$NODE_PATH
    unset PYTHONDONTWRITEBYTECODE
    echo "$NODE_NAME" > /proc/sys/kernel/hostname
    ip link set lo up
    echo "127.0.0.1 localhost $NODE_NAME" > /etc/hosts
    : > /etc/resolv.conf
    printf '%s: files\n' passwd group shadow hosts services protocols \
        > /etc/nsswitch.conf
    mkdir -p /run/lock /run/lvm /run/lock/iscsi
    node_log base
}

# node_network ADDRESS/PREFIX [DEVICE]: the first of NodeSpec.taps, or another.
node_network() {
    local dev=${2:-vec0}
    ip addr add "$1" dev "$dev"
    ip link set "$dev" up
    node_log "network $1 on $dev"
}

# node_hosts ADDRESS NAME [ADDRESS NAME]...: names of other nodes.
node_hosts() {
    while [ $# -gt 1 ]; do
        echo "$1 $2" >> /etc/hosts
        shift 2
    done
}

# node_udev: start udev, which makes device nodes and links.
node_udev() {
    /lib/systemd/systemd-udevd --daemon 2> /dev/null
    udevadm trigger --subsystem-match=block --subsystem-match=misc
    udevadm settle
    node_log udev
}

# node_modules NAME...: load kernel modules.
node_modules() {
    modprobe -a "$@" || { node_log "no module among: $*"; return 1; }
    node_log "modules $*"
}

# node_lio: the kernel's iSCSI target, empty.
node_lio() {
    node_modules configfs target_core_mod iscsi_target_mod \
        target_core_file target_core_iblock || return
    mountpoint -q /sys/kernel/config ||
        mount -t configfs configfs /sys/kernel/config
    node_log lio
}

# node_initiator NAME: open-iscsi with an empty database, under that IQN.
node_initiator() {
    node_modules iscsi_tcp sd_mod || return
    rm -rf /etc/iscsi/nodes /etc/iscsi/send_targets
    mkdir -p /etc/iscsi /run/lock/iscsi
    echo "InitiatorName=$1" > /etc/iscsi/initiatorname.iscsi
    iscsid || { node_log 'iscsid does not start'; return 1; }
    node_log "initiator $1"
}

# node_dm: load device-mapper's targets.
node_dm() {
    node_modules dm-mod dm-thin-pool dm-multipath
}

# node_multipathd: start it for all SCSI disks, and for none of the node's own.
node_multipathd() {
    mkdir -p /etc/multipath
    printf '%s\n' 'defaults {' '    find_multipaths no' \
        '    user_friendly_names no' '    polling_interval 2' \
        '    max_polling_interval 4' '}' 'blacklist {' \
        '    devnode "^(ubd|ram|loop|dm-)"' '}' > /etc/multipath.conf
    multipathd || { node_log 'multipathd does not start'; return 1; }
    node_log multipathd
}

# node_xfs DEVICE FOLDER: make an XFS with reflinks and mount it there.
node_xfs() {
    mkfs.xfs -q -f -m reflink=1 "$1" && mkdir -p "$2" && mount "$1" "$2" ||
        { node_log "no XFS on $1"; return 1; }
    node_log "xfs $2"
}

# node_ceph FOLDER USER...: Ceph's configuration and keyrings for clients.
node_ceph() {
    local from=$1
    shift
    set -- "${@/#/$from/ceph.}"
    mkdir -p /etc/ceph
    cp -p "$from/ceph.conf" "${@/%/.keyring}" /etc/ceph/ ||
        { node_log "no Ceph in $from"; return 1; }
    node_log ceph
}

# node_wait FILE: wait until the host has made it.
node_wait() {
    local tick
    [ -e "$1" ] && return
    mkfifo "/run/wait.$BASHPID"
    exec {tick}<> "/run/wait.$BASHPID"
    # Not sleep, which would fork each time.
    until [ -e "$1" ]; do read -r -t 0.05 -u "$tick"; done
    exec {tick}>&-
    rm "/run/wait.$BASHPID"
}

# node_spawn LOG COMMAND...: start a service in a session of its own.
node_spawn() {
    local log=$1
    shift
    setsid "$@" >> "$log" 2>&1 < /dev/null &
}

# node_mailbox FOLDER: run commands that the host puts there
# (lab/kernel/mailbox.py); does not return. Init itself only waits, which reaps
# the processes that it inherits: after some time of `read -t`, bash 5.2 was
# seen with SIGCHLD blocked permanently, and libvirt waits 80 s for a QEMU that
# is not reaped.
node_mailbox() {
    _node_letters "$1" &
    wait
}

# _node_letters FOLDER: the mailbox's loop.
_node_letters() {
    local box=$1 tick request
    local -A seen
    mkfifo /run/mailbox.tick
    exec {tick}<> /run/mailbox.tick
    : > "$box/ready"
    node_log mailbox
    while :; do
        for request in "$box"/*.request; do
            [ -d "$request" ] && [ -z "${seen[$request]}" ] || continue
            seen[$request]=1
            _node_serve "$request" &
        done
        # Not sleep, which would fork each time.
        read -r -t 0.2 -u "$tick"
    done
}

# _node_serve FOLDER: serve a request; its status is written atomically.
_node_serve() {
    local argv cwd timeout status
    mapfile -d '' -t argv < "$1/argv"
    read -r timeout < "$1/timeout"
    IFS= read -r cwd < "$1/cwd"
    (
        cd "$cwd" || exit 125
        exec timeout -k 5 "$timeout" "${argv[@]}"
    ) > "$1/stdout" 2> "$1/stderr" < /dev/null
    status=$?
    echo $status > "$1/status.new"
    mv "$1/status.new" "$1/status"
}

# node_poweroff: power off at once; there is nothing to save.
node_poweroff() {
    node_log 'power off'
    echo o > /proc/sysrq-trigger
    sleep 60
}
