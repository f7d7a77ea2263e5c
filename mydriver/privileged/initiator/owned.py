# SPDX-License-Identifier: Apache-2.0
"""What on the compute host is ours, decided from values and from sysfs.

The caller of a verb may be anybody who is nova's user, so a verb believes
nothing that it is told. A target is ours by its name, a volume by its NAA id,
a SCSI device by the session that it hangs below. Everything else on the host
is somebody else's, whatever number or name the caller gives for it.
"""

import os
from pathlib import Path
import re
import time

from mydriver import exception, model
from mydriver.privileged.initiator import inquiry, values

#: Where the kernel lists what is mounted and what is swapped to.
MOUNTS = Path('/proc/self/mountinfo')
SWAPS = Path('/proc/swaps')

#: Most that a LUN can be at a target of the kernel's (LIO), and channel 0,
#: the only one that a session has.
MAX_LUN = 65535
CHANNEL = 0

_MAX_NUMBER = 2 ** 31 - 1
_DISK = re.compile(r'sd[a-z]{1,7}\Z')
_MAP = re.compile(r'dm-[0-9]{1,7}\Z')
_SESSION = re.compile(r'session([0-9]+)\Z')

# mdadm and others claim a disk for a moment, to look at it.
_CLAIMS_LOOKED_AT = 10
_CLAIMS_PAUSE_S = 0.1


# Sessions

def session_target(sid: int) -> str | None:
    """Return which target a session is with; None when there is none."""
    try:
        return (inquiry.SYS / f'class/iscsi_session/session{sid}'
                / 'targetname').read_text().strip()
    except OSError:
        return None


def is_logged_in(iqn: str, portal: model.Portal) -> bool:
    """Tell whether there is a session with a target at a portal that works."""
    for folder in inquiry.SYS.glob('class/iscsi_session/session*'):
        match = _SESSION.match(folder.name)
        if not match or session_target(int(match[1])) != iqn:
            continue
        connection = (inquiry.SYS / 'class/iscsi_connection'
                      / f'connection{match[1]}:0')
        address, port = (_text(connection / f'persistent_{name}')
                         for name in ('address', 'port'))
        try:
            if (_text(folder / 'state') == 'LOGGED_IN'
                    and model.Portal(address, int(port)) == portal):
                return True
        except (exception.InvalidPortal, ValueError):
            continue
    return False


def session_folder(sid: int) -> Path:
    """Return the folder of a session in the tree of devices."""
    return (inquiry.SYS / f'class/iscsi_session/session{sid}/device').resolve()


def session_devices(sid: int) -> list[str]:
    """Return the SCSI devices on a session as host:channel:target:LUN."""
    return sorted(p.name for p in session_folder(sid).glob(
        'target*:*:*/*:*:*:*'))


def host_of(host: int, target_id: int) -> None:
    """See that a SCSI host and target number are those of a session of ours.

    :raises InitiatorError: when there is no such host, or not of ours.
    """
    for folder in inquiry.SYS.glob('class/iscsi_session/session*'):
        match = _SESSION.match(folder.name)
        if (match and session_folder(int(match[1])).parent.name
                == f'host{host}'
                and model.is_our_target(session_target(int(match[1])))
                and _text(folder / 'target_id') == str(target_id)):
            return
    raise exception.InitiatorError(
        f'use SCSI host {host}', f'it has no session with target number '
        f'{target_id} and a target of this driver')


# SCSI devices and multipath maps

def device(hctl: object) -> Path | None:
    """Return the folder of a SCSI device of ours; None when there is none.

    :param hctl: host, channel, target and LUN.
    :raises InitiatorError: when these are no numbers, or the device is not
        below a session with a target of ours.
    """
    what = 'find a SCSI device'
    if not isinstance(hctl, (list, tuple)) or len(hctl) != 4:
        raise exception.InitiatorError(
            what, f'{values.shown(hctl)} is not host, channel, target, LUN')
    for value in hctl:
        values.number(value, _MAX_NUMBER, what)
    folder = inquiry.device_folder((hctl[0], hctl[1], hctl[2], hctl[3]))
    if not folder.exists():
        return None
    real = folder.resolve()
    match = _SESSION.match(real.parent.parent.name)
    if not match or not model.is_our_target(session_target(int(match[1]))):
        raise exception.InitiatorError(
            what, f'{real.name} is not on a session with a target of this '
            'driver')
    return real


def disk(name: object, what: str) -> Path | None:
    """Return the SCSI device's folder of a disk; None when there is no disk.

    :param name: such as ``sda``.
    :raises InitiatorError: when the disk is not one of ours.
    """
    if not isinstance(name, str) or not _DISK.match(name):
        raise exception.InitiatorError(
            what, f'{values.shown(name)} is not a valid name of a disk')
    link = inquiry.SYS / 'class/block' / name / 'device'
    if not link.exists():
        return None
    hctl = [int(n) if n.isdigit() else -1
            for n in link.resolve().name.split(':')]
    folder = device(hctl)
    if folder is None:
        return None
    values.naa(inquiry.naa_of_folder(folder), what)
    return folder


def volume(value: object, what: str = 'find a volume') -> str:
    """Return the NAA id of a volume that this host has over sessions of ours.

    Any target of the kernel's makes NAA ids that begin alike, so no disk that
    came up with this one may be on somebody else's session.

    :param what: what it is for, for the error's text.
    :raises InitiatorError: when it is not one.
    """
    wanted = values.naa(value, what)
    for folder in inquiry.SYS.glob('bus/scsi/devices/*:*:*:*'):
        if inquiry.naa_of_folder(folder) == wanted:
            try:
                device([int(n) for n in folder.name.split(':')])
            except exception.InitiatorError:
                if folder.exists():     # else it went with its session
                    raise
    return wanted


def map_name(volume_naa: str) -> str | None:
    """Return the name (``dm-3``) of a volume's multipath map, if any.

    :param volume_naa: its NAA id.
    """
    for file in inquiry.SYS.glob('block/dm-*/dm/uuid'):
        if _text(file) == f'mpath-3{volume_naa}':
            return file.parent.parent.name
    return None


def map_of(name: object, what: str) -> str:
    """Return the name of a multipath map of ours.

    :param name: such as ``dm-3``.
    :raises InitiatorError: when it is not one.
    """
    if not isinstance(name, str) or not _MAP.match(name):
        raise exception.InitiatorError(
            what, f'{values.shown(name)} is not a valid name of a disk or map')
    uuid = _text(inquiry.SYS / 'block' / name / 'dm/uuid')
    if not uuid.startswith('mpath-3'):
        raise exception.InitiatorError(what, f'{name} is no multipath map')
    volume(uuid.removeprefix('mpath-3'), what)
    return name


# Users

def refuse_mounted(name: str, what: str) -> None:
    """Refuse what would take a block device from the host's own use.

    A volume of ours is for a guest, whose hypervisor does not claim it. A file
    system, swap space or the like of this host does.

    :param name: such as ``sda`` or ``dm-3``.
    :param what: what is refused.
    :raises InitiatorError: when the device, or one that stands on it, is
        mounted, swapped to, or claimed for somebody's own use.
    """
    stack = _stack(inquiry.SYS / 'class/block' / name)
    used = _used()
    for folder in stack:
        if where := used.get(_text(folder / 'dev')) or used.get(
                f'/dev/{folder.name}'):
            raise exception.InitiatorError(
                what, f'this host uses {folder.name} itself: {where}. '
                'Unmount it first')
    held = any(True for f in stack for _ in f.glob('holders/*'))
    if stack and not held and is_running(stack[0]) and _is_claimed(name):
        raise exception.InitiatorError(
            what, f'a program or a mount of another namespace has claimed '
            f'{name} for itself; see lsof and findmnt')


def _stack(folder: Path) -> list[Path]:
    """Return a block device, its partitions and all that stands on them."""
    found: dict[str, Path] = {}
    todo = [folder]
    while todo:
        this = todo.pop()
        if this.name in found or not this.exists():
            continue
        found[this.name] = this
        todo += [inquiry.SYS / 'class/block' / p.name
                 for p in this.glob('holders/*')]
        todo += [p.parent for p in this.glob(f'{this.name}*/partition')]
    return list(found.values())


def _used() -> dict[str, str]:
    """Return what is mounted or swapped to, by number and by path."""
    used = {}
    for line in _text(MOUNTS).splitlines():
        fields = line.split(' ')
        where = f'mounted on {fields[4]}'
        used[fields[2]] = where
        # btrfs has a number of its own, so its source counts.
        if (source := fields[fields.index('-') + 2]).startswith('/'):
            used[os.path.realpath(source)] = where
    for line in _text(SWAPS).splitlines()[1:]:
        used[os.path.realpath(line.split()[0])] = 'swap space'
    return used


def is_running(folder: Path) -> bool:
    """Tell whether a disk takes commands; opening one that does not hangs.

    :param folder: of the block device in sysfs.
    """
    return _text(folder / 'device/state') == 'running'


def _is_claimed(name: str) -> bool:
    """Tell whether somebody has a block device for himself, and keeps it."""
    for _ in range(_CLAIMS_LOOKED_AT):
        if not inquiry.is_claimed(name):
            return False
        time.sleep(_CLAIMS_PAUSE_S)
    return True


def _text(file: Path) -> str:
    try:
        return file.read_text(errors='replace').strip()
    except OSError:
        return ''
