# SPDX-License-Identifier: Apache-2.0
"""device-mapper through its ioctls: status, suspend, resume, messages.

Starting dmsetup takes a thousand times as long, and I/O waits meanwhile when
devices are suspended. Layouts and numbers are from
include/uapi/linux/dm-ioctl.h.
"""

import dataclasses
import errno
import fcntl
import os
from pathlib import Path
import struct

_CONTROL = '/dev/mapper/control'

# struct dm_ioctl: version, data_size, data_start, target_count, open_count,
# flags, event_nr, padding, dev, name, uuid, data.
_HEADER = struct.Struct('=3I I I I i I I I Q 128s 129s 7s')
# struct dm_target_spec: sector_start, length, status, next, target_type.
_SPEC = struct.Struct('=Q Q i I 16s')

_VERSION = (4, 0, 0)
_BUFFER_BYTES = 16384

_SUSPEND, _STATUS, _MESSAGE = 6, 12, 14

_SUSPEND_FLAG = 1 << 1
_TABLE_FLAG = 1 << 4
_SKIP_LOCKFS_FLAG = 1 << 10

#: Prefix of the UUID of LVM's devices. The UUIDs of the group, 32 characters,
#: and of the volume follow (lvm2, lib/activate/dev_manager.c).
_LVM = 'LVM-'
_GROUP_CHARS = len(_LVM) + 32


@dataclasses.dataclass(frozen=True, slots=True)
class ThinVolume:
    """The device of an LVM thin volume.

    :param number: ``MAJOR:MINOR``.
    :param pool: name of its pool, which is in the same group.
    :param thin_id: its device id in the pool.
    """

    number: str
    pool: str
    thin_id: int


def name_of(group: str, lv: str) -> str:
    """Return device-mapper's name (lvm2, libdm, dm_build_dm_name)."""
    return f'{group.replace("-", "--")}-{lv.replace("-", "--")}'


def volume(group: str, lv: str) -> ThinVolume | None:
    """Return the device of a thin volume; None where there is none.

    Only root can create device-mapper devices, so these names can be trusted,
    and so can the links in /dev that lead to them.
    """
    try:
        answer = _call(_STATUS, name_of(group, lv), _TABLE_FLAG)
    except FileNotFoundError:
        return None
    found = _target(answer)
    dev, uuid = (_HEADER.unpack_from(answer)[n] for n in (10, 12))
    if not found or found[0] != 'thin' or not uuid.startswith(_LVM.encode()):
        return None
    pool_number, thin_id = found[1].split()[:2]
    folder = Path('/sys/dev/block', pool_number, 'dm')
    name = (folder / 'name').read_text().strip()
    its_group = (folder / 'uuid').read_text()[:_GROUP_CHARS]
    first, last = f'{group.replace("-", "--")}-', '-tpool'
    if (its_group.encode() != uuid[:_GROUP_CHARS]
            or not name.startswith(first) or not name.endswith(last)):
        return None
    pool = name[len(first):-len(last)].replace('--', '-')
    # include/linux/kdev_t.h, huge_encode_dev
    major, minor = dev >> 8 & 0xfff, dev & 0xff | dev >> 12 & 0xfff00
    return ThinVolume(f'{major}:{minor}', pool, int(thin_id))


def group_uuid(name: str) -> str:
    """Return the UUID of the volume group of an LVM device.

    :returns: without hyphens; empty where there is no such device.
    """
    try:
        uuid = bytes(_HEADER.unpack_from(_call(_STATUS, name, 0))[12])
    except FileNotFoundError:
        return ''
    begin = uuid[:_GROUP_CHARS].decode()
    return begin.removeprefix(_LVM) if begin.startswith(_LVM) else ''


def status(name: str) -> tuple[str, str] | None:
    """Return type and status of the only target of a device.

    :returns: None where there is no such device, or it has no table.
    """
    return _targets(name, 0)


def table(name: str) -> tuple[str, str] | None:
    """Return type and parameters of the only target; see :func:`status`."""
    return _targets(name, _TABLE_FLAG)


def suspend(name: str) -> None:
    """Suspend a device: outstanding I/O is completed, new I/O waits.

    No filesystem is frozen, since volumes carry none of this host.
    """
    _call(_SUSPEND, name, _SUSPEND_FLAG | _SKIP_LOCKFS_FLAG)


def resume(name: str) -> None:
    """Resume a device; it is fine when it is not suspended."""
    _call(_SUSPEND, name, 0)


def message(name: str, text: str) -> None:
    """Send a message to the target at sector 0 of a device."""
    _call(_MESSAGE, name, 0, struct.pack('=Q', 0) + text.encode() + b'\0')


def _targets(name: str, flags: int) -> tuple[str, str] | None:
    try:
        answer = _call(_STATUS, name, flags)
    except FileNotFoundError:
        return None
    return _target(answer)


def _target(answer: bytes) -> tuple[str, str] | None:
    start, count = _HEADER.unpack_from(answer)[4:6]
    if not count:
        return None
    kind = _SPEC.unpack_from(answer, start)[4]
    text = answer[start + _SPEC.size:].split(b'\0', 1)[0]
    return kind.rstrip(b'\0').decode(), text.decode().strip()


def _call(number: int, name: str, flags: int, data: bytes = b'') -> bytes:
    """Make one ioctl; its error names the device.

    :raises OSError: FileNotFoundError where there is no such device.
    """
    buffer = bytearray(_BUFFER_BYTES)
    _HEADER.pack_into(buffer, 0, *_VERSION, len(buffer), _HEADER.size, 0, 0,
                      flags, 0, 0, 0, name.encode(), b'', b'')
    buffer[_HEADER.size:_HEADER.size + len(data)] = data
    request = 3 << 30 | _HEADER.size << 16 | 0xfd << 8 | number
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(control, request, buffer)
    except OSError as e:
        if e.errno == errno.ENXIO:
            raise FileNotFoundError(errno.ENOENT, 'no such device',
                                    name) from e
        raise OSError(e.errno, e.strerror, name) from e
    finally:
        os.close(control)
    return bytes(buffer)
