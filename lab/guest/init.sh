#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The guest's only program. It reports the disks that it sees on its console,
# writes to them and reads that back; see lab/guest/__init__.py for the lines.
# It runs in software emulation: it uses builtins where possible, and its loop
# does not fork. load.sh has the disks that are filled or written to all the
# time.
/bin/busybox mkdir -p /proc /sys /dev /bin /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
echo 1 > /proc/sys/kernel/printk
PATTERN_BYTES=4194304
BEYOND_BYTES=1048576

# say TEXT...: print a line with its length, since nova may tear it.
say() {
    local up rest text
    read -r up rest < /proc/uptime
    text="$* uptime=$up"
    said_1=$said_2 said_2=$said_3 said_3=$said_4
    said_4="GUEST $text length=${#text}"
    echo "$said_4"
}

# say_again: repeat the last lines every few seconds. A line that nova has torn
# stays torn until something is written after it, and the guest may have nothing
# more to write.
say_again() {
    [ $((tick = (tick + 1) % 5)) -eq 0 ] || return
    local line
    for line in "$said_1" "$said_2" "$said_3" "$said_4"; do
        [ -z "$line" ] || echo "$line"
    done
}

# settle DISK: wait for its device node.
settle() {
    local i=0
    until [ -b "/dev/$1" ] || [ $((i += 1)) -gt 50 ]; do pause 0.1; done
}

# pause SECONDS: sleep without a fork.
pause() {
    read -r -t "$1" _ <&9
}

# checksum DISK OFFSET BYTES: set sum, read from the device; offset in 4 KiB
# blocks.
checksum() {
    echo 3 > /proc/sys/vm/drop_caches
    set -- $(dd if="/dev/$1" bs=4096 skip="$2" count=$(($3 / 4096)) \
        2> /dev/null | sha256sum)
    sum=$1
}

# pattern TOKEN BYTES: make /tmp/pattern from records of 64 bytes, each with its
# number, so that misplaced blocks are noticed.
pattern() {
    awk -v token="$1" -v records=$(($2 / 64)) 'BEGIN {
        for (i = 0; i < records; i++) printf "%s %026d\n", token, i
    }' > /tmp/pattern
    set -- $(sha256sum < /tmp/pattern)
    want=$1
}

# put DISK BLOCK: write /tmp/pattern to the disk and flush it.
put() {
    dd if=/tmp/pattern of="/dev/$1" bs=65536 seek=$(($2 / 16)) \
        conv=notrunc,fsync 2> /dev/null
}

verdict() {
    if [ "$1" = "$2" ]; then echo ok; else echo BAD; fi
}

# boot_disk DISK: report the image, and how often the disk was booted.
boot_disk() {
    local image boots
    set -- "$1" $(dd if="/dev/$1" bs=512 skip=2 count=1 2> /dev/null |
        tr -d '\0')
    image=$2
    set -- "$1" $(dd if="/dev/$1" bs=512 skip=4 count=1 2> /dev/null |
        tr -d '\0')
    boots=$((${2:-0} + 1))
    echo $boots | dd of="/dev/$1" bs=512 seek=4 conv=notrunc,sync,fsync \
        2> /dev/null && say "disk $1 booted image=$image boots=$boots"
}

# data_disk DISK: verify the pattern of an earlier guest, or write one. The
# header, in the first sector, is written last.
data_disk() {
    local disk=$1 token bytes sum want
    set -- $(dd if="/dev/$disk" bs=512 count=1 2> /dev/null | tr -d '\0' |
        tr -c ' -~' ' ')
    if [ "$1" = mydriver-pattern ]; then
        token=$2 bytes=$3 want=$4
        checksum "$disk" 256 "$bytes"
        say "disk $disk verified token=$token bytes=$bytes sha256=$sum" \
            "$(verdict "$sum" "$want")"
        return
    fi
    read -r token < /proc/sys/kernel/random/uuid
    pattern "$token" $PATTERN_BYTES
    put "$disk" 256
    echo "mydriver-pattern $token $PATTERN_BYTES $want" |
        dd of="/dev/$disk" bs=512 conv=notrunc,sync,fsync 2> /dev/null
    checksum "$disk" 256 $PATTERN_BYTES
    say "disk $disk wrote token=$token bytes=$PATTERN_BYTES sha256=$sum" \
        "$(verdict "$sum" "$want")"
}

# beyond DISK SECTORS: write after the old end, and read that back.
beyond() {
    local token sum want block=$(($2 / 8 / 16 * 16))
    read -r token < /proc/sys/kernel/random/uuid
    pattern "$token" $BEYOND_BYTES
    put "$1" $block
    checksum "$1" $block $BEYOND_BYTES
    say "disk $1 wrote-beyond token=$token offset=$((block * 4096))" \
        "bytes=$BEYOND_BYTES sha256=$sum $(verdict "$sum" "$want")"
}

# added DISK: report a new disk, and do what its first sector says.
added() {
    local serial='' size
    read -r size < "/sys/block/$1/size"
    read -r serial < "/sys/block/$1/serial"
    eval "size_$1=$size"
    say "disk $1 added bytes=$((size * 512)) serial=$serial"
    settle "$1"
    case $1 in
    vda) boot_disk "$1" ;;
    *) write_begin "$1" || fill_begin "$1" || data_disk "$1" ;;
    esac
}

. /load.sh

mkfifo /tmp/tick
exec 9<> /tmp/tick
while read -r module; do
    insmod "/modules/$module" || say "module $module failed"
done < /modules/order
known='' fill_disk='' tick=0
echo  # the boot loader does not end its last line
say "booted linux=$(uname -r)"
while :; do
    now=''
    for path in /sys/block/vd*; do
        [ -e "$path/size" ] || continue
        disk=${path##*/} now="$now $disk"
        case " $known " in
        *" $disk "*)
            read -r size < "$path/size" || continue
            eval "old=\$size_$disk"
            [ "$size" = "$old" ] && continue
            eval "size_$disk=$size"
            say "disk $disk resized from=$((old * 512)) to=$((size * 512))"
            [ "$size" -gt "$old" ] && beyond "$disk" "$old"
            ;;
        *) added "$disk" ;;
        esac
    done
    for disk in $known; do
        case " $now " in
        *" $disk "*) ;;
        *)
            say "disk $disk removed"
            [ "$disk" != "$fill_disk" ] || fill_disk=''
            ;;
        esac
    done
    known=$now
    [ -z "$fill_disk" ] || fill
    say_again
    pause 1
done
