# SPDX-License-Identifier: Apache-2.0
"""Decide from sysfs which objects of the compute host are ours.

The caller of a verb may be anybody who is nova's user, so no claim about an
object is trusted. A target is ours by its name, a volume by its NAA id,
a SCSI device by the session that it hangs below. Everything else on the host
belongs to somebody else, whatever number or name the caller gives for it.
"""

from pathlib import Path
import re
import time

from mydriver import exception, model, vpd
from mydriver.privileged.initiator import inquiry, usage, values

_SESSION = re.compile(r'session([0-9]+)\Z')

# mdadm and the like claim a disk for a moment, to look at it.
_CLAIM_CHECKS = 10
_CLAIM_PAUSE_S = 0.1


# Sessions

def session_target(sid: int) -> str | None:
    """Return the target of a session; None if there is no such session."""
    try:
        return (inquiry.SYS / f'class/iscsi_session/session{sid}'
                / 'targetname').read_text().strip()
    except OSError:
        return None


def is_logged_in(iqn: str, portal: model.Portal) -> bool:
    """Tell whether a session with a target at a portal is logged in."""
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


def _real(link: Path) -> Path:
    """Return where a link leads; the link itself if it is gone.

    Path.resolve() raises an error if a link disappears while it is followed.
    """
    try:
        return link.resolve()
    except FileNotFoundError:
        return link


def session_folder(sid: int) -> Path:
    """Return the directory of a session in the device tree of sysfs.

    If the session is gone, there is nothing at the path.
    """
    return _real(inquiry.SYS / f'class/iscsi_session/session{sid}/device')


def session_devices(sid: int) -> list[str]:
    """Return the SCSI devices on a session as host:channel:target:LUN."""
    return sorted(p.name for p in session_folder(sid).glob(
        'target*:*:*/*:*:*:*'))


def refuse_foreign_host(host: int, target_id: int) -> None:
    """Refuse a SCSI host and target number that no session of ours has.

    :raises InitiatorError: if there is no such session, or it is not ours.
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
    """Return the directory of a SCSI device of ours; None if there is none.

    :param hctl: host, channel, target and LUN.
    :raises RequestRefused: if that is no address of a SCSI device.
    :raises InitiatorError: if the device is not on a session with a target of
        ours.
    """
    folder = inquiry.device_folder(values.address(hctl))
    if not folder.exists():
        return None
    real = _real(folder)
    if not real.exists():
        return None
    match = _SESSION.match(real.parent.parent.name)
    if not match or not model.is_our_target(session_target(int(match[1]))):
        raise exception.InitiatorError(
            'find a SCSI device', f'{real.name} is not on a session with a '
            'target of this driver')
    return real


def disk(name: object, what: str) -> Path | None:
    """Return the directory of a disk's SCSI device; None if there is no disk.

    :param name: such as ``sda``.
    :param what: what the disk is for, for the error's text.
    :raises RequestRefused: if that is no name of a disk.
    :raises InitiatorError: if the disk is not one of ours.
    """
    link = (inquiry.SYS / 'class/block' / values.disk(name, f'to {what}')
            / 'device')
    if not link.exists():
        return None
    hctl = [int(n) if n.isdigit() else -1
            for n in _real(link).name.split(':')]
    if not link.exists():
        return None
    folder = device(hctl)
    if folder is None:
        return None
    naa = inquiry.naa_of_folder(folder)
    if not values.is_naa(naa):
        raise exception.InitiatorError(
            what, f'{name} is no volume of the kernel target: its NAA id is '
            f'{naa or "unknown"}')
    return folder


def volume(value: object) -> str:
    """Return the NAA id of a volume, unless somebody else's disk has it.

    Every kernel target makes NAA ids with the same prefix, so no disk that
    came up with this one may be on a session that is not ours.

    :raises RequestRefused: if that is no NAA id of the kernel target.
    :raises InitiatorError: if a disk with that id is not ours.
    """
    wanted = values.naa(value)
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
        if _text(file) == vpd.map_uuid(volume_naa):
            return file.parent.parent.name
    return None


def map_of(name: object, what: str) -> str:
    """Return the name of a multipath map of ours.

    :param name: such as ``dm-3``.
    :param what: what the map is for, for the error's text.
    :raises RequestRefused: if that is no name of a device-mapper device.
    :raises InitiatorError: if it is not a map of ours.
    """
    dm = values.map_name(name, f'to {what}')
    uuid = _text(inquiry.SYS / 'block' / dm / 'dm/uuid')
    prefix = vpd.map_uuid('')
    if not uuid.startswith(prefix):
        raise exception.InitiatorError(what, f'{dm} is no multipath map')
    naa = uuid.removeprefix(prefix)
    if not values.is_naa(naa):
        raise exception.InitiatorError(
            what, f'{dm} is not the map of a volume of the kernel target')
    volume(naa)
    return dm


# Users

def refuse_in_use(name: str, what: str) -> None:
    """Refuse what would take a block device from the host itself.

    A volume of ours is for a guest, whose hypervisor does not claim it. A
    filesystem, swap space or the like of this host does.

    :param name: such as ``sda`` or ``dm-3``.
    :param what: what is refused, for the error's text.
    :raises InitiatorError: if the device, or one that stands on it, is
        mounted, used as swap space, or claimed.
    :raises OSError: if the mounts cannot be read.
    """
    stack = [device for device in usage.stack([name], _above)
             if _block(device).exists()]
    numbers = {device: _text(_block(device) / 'dev') for device in stack}
    for use in usage.uses(usage.PROC):
        for device, number in numbers.items():
            if device == use.device or (number and number == use.number):
                where = ('swap space' if use.mount_point is None
                         else f'mounted on {use.mount_point}')
                raise exception.InitiatorError(
                    what, f'this host uses {device} itself: {where}. '
                    'Unmount it first')
    held = any(True for d in stack for _ in _block(d).glob('holders/*'))
    if stack and not held and is_running(_block(name)) and _is_claimed(name):
        raise exception.InitiatorError(
            what, f'a program or a mount of another namespace has claimed '
            f'{name} for itself; see lsof and findmnt')


def _block(name: str) -> Path:
    return inquiry.SYS / 'class/block' / name


def _above(name: str) -> list[str]:
    """Return the names of the partitions and holders of a block device."""
    folder = _block(name)
    return [*(p.name for p in folder.glob('holders/*')),
            *(p.parent.name for p in folder.glob(f'{name}*/partition'))]


def is_running(folder: Path) -> bool:
    """Tell whether a disk takes commands: opening one that does not hangs.

    :param folder: of the block device in sysfs.
    """
    return _text(folder / 'device/state') == 'running'


def _is_claimed(name: str) -> bool:
    """Tell whether a block device is claimed, and stays so for a second."""
    for _ in range(_CLAIM_CHECKS):
        if not inquiry.is_claimed(name):
            return False
        time.sleep(_CLAIM_PAUSE_S)
    return True


def _text(file: Path) -> str:
    try:
        return file.read_text(errors='replace').strip()
    except OSError:
        return ''
