#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# First program of a kernel node. The root filesystem is the host's, through
# hostfs. Put a tmpfs over it, so that the node can write anywhere without
# changing the host's files, and continue there with stage2.sh.
#
# NODE_ENV comes from the kernel's command line: a file of shell assignments
# (see lab/kernel/node.py). A fork takes about 90 ms here: avoid them.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
. "$NODE_ENV"
set -e
trap 'echo "stage 1 failed in line $LINENO"; echo o > /proc/sysrq-trigger' ERR

mount -t tmpfs -o size=90%,nr_inodes=0 tmpfs /mnt
root=/mnt/root
mkdir -p /mnt/{upper,work,root,kept,modules/lib}
ln -s /usr/lib/uml/modules /mnt/modules/lib/modules
modprobe -d /mnt/modules overlay
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work \
    overlay $root

# Folders that must stay visible even if they are below one that becomes a
# tmpfs: bind them from the overlay, so that they are copied on write.
n=0
for path in "${NODE_KEPT[@]}"; do
    case $path in /tmp/*|/run/*|/dev/*|/var/log/*) ;; *) continue;; esac
    mkdir "/mnt/kept/$n"
    mount --bind "$root$path" "/mnt/kept/$n"
    kept[n++]=$path
done
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
mount -t devtmpfs devtmpfs $root/dev
mount -t tmpfs tmpfs $root/run
mount -t tmpfs tmpfs $root/tmp
mount -t tmpfs tmpfs $root/var/log
mkdir -p $root/dev/{pts,shm} $root/run/lock
mount -t devpts devpts $root/dev/pts
mount -t tmpfs tmpfs $root/dev/shm
for n in "${!kept[@]}"; do
    mkdir -p "$root${kept[n]}"
    mount --move "/mnt/kept/$n" "$root${kept[n]}"
done
# Shares are folders of the host that the node writes to.
for path in "${NODE_SHARES[@]}"; do
    mkdir -p "$root$path"
    mount --bind "$path" "$root$path"
done
# The node's modules instead of the host's.
mount --bind /usr/lib/uml/modules $root/usr/lib/modules 2>/dev/null || {
    mkdir -p $root/usr/lib/modules
    mount --bind /usr/lib/uml/modules $root/usr/lib/modules
}
# The host's files, which a process can reach through the root of the first mount
# namespace. Shares have mounts of their own.
mount -o remount,bind,ro /
exec chroot $root /bin/bash "$NODE_SHELL/stage2.sh"
