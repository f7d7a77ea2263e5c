# SPDX-License-Identifier: Apache-2.0
"""Ask a SCSI device itself for its identity, not the kernel's cache.

The kernel reads page 0x83 when a device comes up, and keeps it. If the LUN has
been mapped to another volume since, ``vpd_pg83`` still names the old volume,
while reads and writes go to the new one.
"""

import ctypes
import errno
import fcntl
import os
from pathlib import Path
import stat

from mydriver import exception, vpd

SYS = Path('/sys')
DEV = Path('/dev')

# include/scsi/sg.h
_SG_IO = 0x2285
_SG_DXFER_FROM_DEV = -3
_INQUIRY = 0x12
_EVPD = 0x01
# A page 0x83 of LIO has 200 to 400 bytes.
_ANSWER_BYTES = 4096
_SENSE_BYTES = 64
# Sense data (SPC-4, 4.5): offset of the sense key, by response code.
_SENSE_KEY_AT = {0x70: 2, 0x71: 2, 0x72: 1, 0x73: 1}
_ILLEGAL_REQUEST = 5
# Errors of sysfs if there is no page 0x83, or the device is gone.
_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EINVAL)
_TIMEOUT_MS = 30_000


class _Refused(OSError):
    """The target answered that there is no such LUN, or no such page."""


class _SgIoHdr(ctypes.Structure):
    """``struct sg_io_hdr`` of include/scsi/sg.h."""

    _fields_ = [
        ('interface_id', ctypes.c_int), ('dxfer_direction', ctypes.c_int),
        ('cmd_len', ctypes.c_ubyte), ('mx_sb_len', ctypes.c_ubyte),
        ('iovec_count', ctypes.c_ushort), ('dxfer_len', ctypes.c_uint),
        ('dxferp', ctypes.c_void_p), ('cmdp', ctypes.c_void_p),
        ('sbp', ctypes.c_void_p), ('timeout', ctypes.c_uint),
        ('flags', ctypes.c_uint), ('pack_id', ctypes.c_int),
        ('usr_ptr', ctypes.c_void_p), ('status', ctypes.c_ubyte),
        ('masked_status', ctypes.c_ubyte), ('msg_status', ctypes.c_ubyte),
        ('sb_len_wr', ctypes.c_ubyte), ('host_status', ctypes.c_ushort),
        ('driver_status', ctypes.c_ushort), ('resid', ctypes.c_int),
        ('duration', ctypes.c_uint), ('info', ctypes.c_uint),
    ]


def device_folder(hctl: tuple[int, int, int, int]) -> Path:
    """Return the directory of a SCSI device in sysfs.

    :param hctl: host, channel, target and LUN.
    :raises InitiatorError: if that is not an address of a SCSI device.
    """
    if len(hctl) != 4 or any(type(n) is not int or n < 0 for n in hctl):
        raise exception.InitiatorError(
            'find a SCSI device',
            f'{hctl!r} is not host, channel, target, LUN')
    return SYS / 'bus/scsi/devices' / ':'.join(str(n) for n in hctl)


def naa_of_folder(folder: Path) -> str:
    """Return the NAA id under which the kernel knows a device.

    :param folder: of the device in sysfs.
    :returns: hex digits; empty if the kernel has none.
    :raises InitiatorError: if that cannot be read.
    """
    try:
        return vpd.naa_of_page((folder / 'vpd_pg83').read_bytes())
    except OSError as e:
        if e.errno not in _GONE:
            raise exception.InitiatorError(
                f'read {e.filename}', e.strerror or str(e)) from e
        return ''


def open_block_device(name: str, flags: int = 0) -> int:
    """Open a block device, and verify that the node is that device's.

    :param name: such as ``sda`` or ``dm-3``.
    :param flags: further flags, such as ``os.O_EXCL``.
    :returns: a file descriptor.
    :raises OSError: if there is no such device, or its node is a link.
    :raises InitiatorError: if the node in /dev is that of another device, or
        no block device.
    """
    major, minor = (SYS / 'class/block' / name / 'dev').read_text().split(':')
    fd = os.open(DEV / name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
                 | os.O_CLOEXEC | flags)
    found = os.fstat(fd)
    if (not stat.S_ISBLK(found.st_mode)
            or found.st_rdev != os.makedev(int(major), int(minor))):
        os.close(fd)
        raise exception.InitiatorError(
            f'open {name}', f'{DEV / name} is not device {major}:{minor}')
    return fd


def is_claimed(name: str) -> bool:
    """Tell whether a disk, or a partition of it, is opened exclusively.

    A mount claims it, in any namespace, as do swap, a loop device, a target's
    backstore and a device on top (block/bdev.c, bd_may_claim). QEMU and udev
    open it without a claim.

    :param name: such as ``sda``.
    :returns: False also if the disk cannot be opened.
    """
    try:
        os.close(open_block_device(name, os.O_EXCL))
    except OSError as e:
        return e.errno == errno.EBUSY
    return False


def present_naa(hctl: tuple[int, int, int, int]) -> str:
    """Return the NAA id that the device reports now.

    A disk appears in sysfs a moment before its node can be opened: device_add
    comes first, the node next and bdev_add last (block/genhd.c,
    device_add_disk). A disk that cannot be opened may be the volume, and so
    may one that did not answer the command.

    :param hctl: host, channel, target and LUN.
    :returns: hex digits; empty if the kernel has no such device, or if the
        target says that there is no such LUN, as when it is not mapped.
    :raises NoAnswer: if the device could not be asked, or did not answer.
    """
    folder = device_folder(hctl)
    try:
        fd = open_block_device(_disk(folder))
        try:
            return vpd.naa_of_page(_inquiry(fd, vpd.DEVICE_IDENTIFICATION))
        finally:
            os.close(fd)
    except _Refused:
        return ''
    except (OSError, exception.InitiatorError) as e:
        if not folder.exists():
            return ''
        raise exception.NoAnswer(
            f'ask SCSI device {folder.name} which volume it is',
            str(e).rstrip('.')) from e


def _disk(folder: Path) -> str:
    """Return the name of a SCSI device's disk.

    :raises OSError: if there is none, as before the sd driver has added it.
    """
    names = sorted(os.listdir(folder / 'block'))
    if not names:
        raise FileNotFoundError('it has no disk yet')
    return names[0]


def _inquiry(fd: int, page: int) -> bytes:
    """Read a vital product data page (SPC-4, 6.6).

    :raises _Refused: if the target says that there is no such LUN or page.
    :raises OSError: if there is no answer.
    """
    command = (ctypes.c_ubyte * 6)(
        _INQUIRY, _EVPD, page, *_ANSWER_BYTES.to_bytes(2, 'big'), 0)
    answer = ctypes.create_string_buffer(_ANSWER_BYTES)
    sense = ctypes.create_string_buffer(_SENSE_BYTES)
    header = _SgIoHdr(
        interface_id=ord('S'), dxfer_direction=_SG_DXFER_FROM_DEV,
        cmd_len=len(command), mx_sb_len=_SENSE_BYTES,
        dxfer_len=_ANSWER_BYTES, dxferp=ctypes.addressof(answer),
        cmdp=ctypes.addressof(command), sbp=ctypes.addressof(sense),
        timeout=_TIMEOUT_MS)
    fcntl.ioctl(fd, _SG_IO, header)
    if header.sb_len_wr and _sense_key(sense.raw) == _ILLEGAL_REQUEST:
        raise _Refused('ILLEGAL REQUEST')
    if header.status or header.host_status or header.driver_status:
        raise OSError(f'INQUIRY: status {header.status:#x}, host '
                      f'{header.host_status:#x}, driver '
                      f'{header.driver_status:#x}')
    return answer.raw[:_ANSWER_BYTES - header.resid]


def _sense_key(sense: bytes) -> int | None:
    """Return the sense key of fixed or descriptor format sense data."""
    at = _SENSE_KEY_AT.get(sense[0] & 0x7f)
    return None if at is None else sense[at] & 0xf
