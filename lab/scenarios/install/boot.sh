#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# First program of a kernel node whose root is a directory of the host, made
# anew, instead of the host's own. It gives the root the node's kernel modules
# and, below /run, units for the node's network and mailbox. All the rest is
# done by the root's own systemd.
#
# NODE_ENV comes from the kernel's command line (lab/kernel/node.py).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
. "$NODE_ENV"
set -e
trap 'echo "boot failed in line $LINENO"; echo o > /proc/sysrq-trigger' ERR

# What the root writes goes to a disk, through an overlay: hostfs would give
# each new file to the host's root, whoever makes it.
mount -t tmpfs tmpfs /mnt
root=/mnt/root
mkdir -p $root /mnt/lower /mnt/disk /mnt/modules/lib
ln -s /usr/lib/uml/modules /mnt/modules/lib/modules
modprobe -d /mnt/modules overlay
mount -t hostfs -o "$HOST_ROOT" none /mnt/lower
mount -t xfs /dev/ubdb /mnt/disk
mkdir -p /mnt/disk/{upper,work}
mount -t overlay \
    -o lowerdir=/mnt/lower,upperdir=/mnt/disk/upper,workdir=/mnt/disk/work \
    overlay $root
mount -t tmpfs -o mode=755 tmpfs $root/run
mkdir -p $root/run/lab/{box,old,written} \
    $root/run/systemd/system/multi-user.target.wants
mount --bind "$HOST_BOX" $root/run/lab/box
mount --bind /mnt/disk/upper $root/run/lab/written
mount --bind /usr/lib/uml/modules $root/usr/lib/modules
cp "$NODE_SHELL/functions.sh" "$NODE_ROOT/lab/scenario/probe.py" \
    "$NODE_ROOT/lab/scenarios/install/manifest.py" $root/run/lab/

units=$root/run/systemd/system
{
    printf '%s\n' '[Unit]' 'Description=Network of the node' \
        'DefaultDependencies=no' 'Wants=network.target' \
        'Before=network.target network-online.target' \
        '[Service]' 'Type=oneshot' 'RemainAfterExit=yes'
    echo "ExecStart=/sbin/ip addr add $HOST_ADDRESS/24 dev vec0"
    echo 'ExecStart=/sbin/ip link set vec0 up'
} > $units/lab-network.service
printf '%s\n' '[Unit]' 'Description=Mailbox of the node' \
    'After=network.target' '[Service]' 'KillMode=process' \
    'Environment=HOME=/root' \
    'ExecStart=/bin/bash -c ". /run/lab/functions.sh; node_mailbox /run/lab/box"' \
    > $units/lab-mailbox.service
ln -s ../lab-network.service ../lab-mailbox.service \
    $units/multi-user.target.wants/

# umount looks there for what is mounted.
mount -t proc proc $root/proc
cd $root
pivot_root . run/lab/old
exec chroot . /bin/bash -c 'umount -l /run/lab/old; exec /sbin/init' \
    < /dev/null > /dev/null 2>&1
