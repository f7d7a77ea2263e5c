# SPDX-License-Identifier: Apache-2.0
# Disks that the guest writes to all the time, and disks that it fills. Sourced
# by init.sh, whose functions this uses.
RECORDS=64
REPORT_WRITES=10
SLOT_MIB=16

# write_begin DISK: if the disk's first sector says that it is to be written to
# all the time, start that.
write_begin() {
    set -- "$1" $(dd if="/dev/$1" bs=512 count=1 2> /dev/null | tr -d '\0' |
        tr -c ' -~' ' ')
    [ "$2" = mydriver-write ] || return 1
    writer "$1" "$3" &
}

# writer DISK TOKEN: write numbered records in turn to RECORDS places after the
# first MiB, with direct I/O, and read each back; report the longest time from
# one record to the next. Ends when the disk is gone.
writer() {
    local disk=$1 token=$2 count=0 place longest=0 last ms error
    local record=/tmp/record-$1
    uptime_ms
    last=$ms
    while :; do
        printf '%-4095s\n' "$token $((count + 1))" > "$record"
        place=$((256 + count % RECORDS))
        if ! dd if="$record" of="/dev/$disk" bs=4096 seek=$place \
            conv=notrunc,fsync oflag=direct 2> "$record.error"; then
            pause 3   # an unplugged disk returns errors before it disappears
            [ -e "/sys/block/$disk" ] || return 0
            read -r error < "$record.error"
            say "disk $disk write failed error=$(echo "${error##*: }" |
                tr ' ' -)"
            continue
        fi
        : $((count += 1))
        if ! dd if="/dev/$disk" bs=4096 skip=$place count=1 iflag=direct \
            2> /dev/null | cmp -s - "$record"; then
            pause 3
            [ -e "/sys/block/$disk" ] || return 0
            say "disk $disk record=$count BAD"
        fi
        uptime_ms
        [ $((ms - last)) -le $longest ] || longest=$((ms - last))
        last=$ms
        if [ $((count % REPORT_WRITES)) -eq 0 ]; then
            say "disk $disk writes token=$token count=$count" \
                "longest_ms=$longest ok"
            longest=0
        fi
        pause 0.2
    done
}

# uptime_ms: set ms. The 1 keeps 08 from being taken for an octal number.
uptime_ms() {
    local up rest
    read -r up rest < /proc/uptime
    ms=$((${up%.*} * 1000 + (1${up#*.} - 100) * 10))
}

# fill_begin DISK: if the disk's first sector says that it is to be filled,
# prepare that; /tmp/slot is the content of each slot.
fill_begin() {
    local sectors i=0
    set -- "$1" $(dd if="/dev/$1" bs=512 count=1 2> /dev/null | tr -d '\0' |
        tr -c ' -~' ' ')
    [ "$2" = mydriver-fill ] || return 1
    pattern "$3" $PATTERN_BYTES
    while [ $((i += 1)) -le $((SLOT_MIB / 4)) ]; do
        cat /tmp/pattern
    done > /tmp/slot
    read -r sectors < "/sys/block/$1/size"
    fill_disk=$1 fill_next=1 fill_end=$((sectors / 2048 / SLOT_MIB))
    fill_refused='' fill_token=$3
}

# fill: write slot after slot, starting with the second one, until a write fails
# or the disk is full. A failed write is retried with the next tick. Direct I/O
# shows which writes have succeeded.
fill() {
    local error
    while [ "$fill_next" -lt "$fill_end" ]; do
        if ! error=$(dd if=/tmp/slot of="/dev/$fill_disk" bs=1048576 \
            seek=$((fill_next * SLOT_MIB)) conv=notrunc,fsync oflag=direct \
            status=none 2>&1); then
            refused "$error"
            return
        fi
        : $((fill_next += 1))
    done
    fill_kept
    say "disk $fill_disk filled token=$fill_token slots=$fill_next" \
        "slot_mib=$SLOT_MIB $kept"
    again
    fill_disk=''
}

# refused ERROR: report a failed write once per slot, and check what is there.
refused() {
    [ "$fill_refused" = "$fill_next" ] && return
    fill_refused=$fill_next
    fill_kept
    say "disk $fill_disk refused token=$fill_token slots=$fill_next" \
        "slot_mib=$SLOT_MIB error=$(echo "${1##*: }" | tr ' ' -) $kept"
    again
}

# fill_kept: compare every eighth slot that was written.
fill_kept() {
    local slot=1
    kept=ok
    echo 3 > /proc/sys/vm/drop_caches
    while [ "$slot" -lt "$fill_next" ]; do
        dd if="/dev/$fill_disk" bs=1048576 skip=$((slot * SLOT_MIB)) \
            count=$SLOT_MIB 2> /dev/null | cmp -s - /tmp/slot || kept=BAD
        : $((slot += 8))
    done
}

# again: verify the patterns of the other disks, and write them again.
again() {
    local disk
    for disk in $known; do
        case $disk in vda | "$fill_disk") continue ;; esac
        data_disk "$disk"
        rewrite "$disk"
    done
}

# rewrite DISK: write its pattern again, to the same blocks.
rewrite() {
    local disk=$1 sum want
    set -- $(dd if="/dev/$disk" bs=512 count=1 2> /dev/null | tr -d '\0' |
        tr -c ' -~' ' ')
    [ "$1" = mydriver-pattern ] || return
    pattern "$2" "$3"
    put "$disk" 256
    checksum "$disk" 256 "$3"
    say "disk $disk rewrote token=$2 bytes=$3 sha256=$sum" \
        "$(verdict "$sum" "$want")"
}
