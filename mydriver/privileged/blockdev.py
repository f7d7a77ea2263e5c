# SPDX-License-Identifier: Apache-2.0
"""Operations on open block devices, for the verbs of both hosts."""

import fcntl
import os

# include/uapi/linux/fs.h
_BLKFLSBUF = 0x1261


def flush(fd: int) -> None:
    """Write out what this host has cached of a block device, and drop it.

    :param fd: descriptor of the device.
    :raises OSError: if the device did not accept the writes.
    """
    # The ioctl alone does not report errors (block/ioctl.c, blkdev_flushbuf).
    os.fsync(fd)
    fcntl.ioctl(fd, _BLKFLSBUF)
