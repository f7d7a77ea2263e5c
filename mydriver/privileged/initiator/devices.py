# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for SCSI devices on sessions with our targets.

A device is named by its address and by the NAA id of the volume that the
caller means; each verb compares both before it acts.
"""

from collections.abc import Sequence
import fcntl
import os
from pathlib import Path

from mydriver import exception, privileged
from mydriver.privileged import verbs
from mydriver.privileged.initiator import inquiry, owned, values

# include/uapi/linux/fs.h
_BLKFLSBUF = 0x1261


@privileged.initiator_context.entrypoint
@verbs.telling('scan for a LUN', exception.InitiatorError)
def scan(host: int, channel: int, target_id: int, lun: int) -> None:
    """Make the kernel look for exactly one LUN.

    It comes back when the LUN answered or refused; the block device follows
    on its own (drivers/scsi/scsi_transport_iscsi.c, iscsi_user_scan).

    :raises InitiatorError: when these are not the host and target number of a
        session of ours.
    """
    what = 'scan for a LUN'
    host = values.number(host, 2 ** 31 - 1, what)
    channel = values.number(channel, owned.CHANNEL, what)
    target_id = values.number(target_id, 2 ** 31 - 1, what)
    lun = values.number(lun, owned.MAX_LUN, what)
    owned.host_of(host, target_id)
    _write(inquiry.SYS / f'class/scsi_host/host{host}/scan',
           f'{channel} {target_id} {lun}', f'scan for LUN {lun}')


@privileged.initiator_context.entrypoint
@verbs.telling('read the identity of a device', exception.InitiatorError)
def read_naa(hctl: Sequence[int]) -> str:
    """Ask a SCSI device on a session of ours which volume it is.

    :param hctl: host, channel, target and LUN.
    :returns: NAA id; empty when there is no answer.
    :raises InitiatorError: when it is not on a session of ours.
    """
    if owned.device(hctl) is None:
        return ''
    return inquiry.present_naa(_hctl(hctl))


@privileged.initiator_context.entrypoint
@verbs.telling('rescan a device', exception.InitiatorError)
def rescan(hctl: Sequence[int], naa: str) -> None:
    """Make the kernel read a device's size and identity again.

    :param naa: NAA id of the volume that is meant.
    :raises WrongDevice: when the device is another volume.
    :raises InitiatorError: when there is no such device of ours.
    """
    volume, folder = values.naa(naa), owned.device(hctl)
    if folder is None:
        raise exception.InitiatorError(
            'rescan a device', f'{values.shown(hctl)} is not there')
    _expect(folder, inquiry.present_naa(_hctl(hctl)), volume)
    _write(folder / 'rescan', '1', f'rescan {folder.name}')


@privileged.initiator_context.entrypoint
@verbs.telling('remove a device', exception.InitiatorError)
def delete(hctl: Sequence[int], naa: str) -> None:
    """Remove a SCSI device from the kernel; none there is no error.

    One with a multipath map on it goes: the map's users have been asked
    before. One that this host has mounted stays.

    :param naa: NAA id under which the kernel knows the device; empty where
        it knows none.
    :raises WrongDevice: when the kernel knows it as another volume.
    :raises InitiatorError: when it is not ours, or the host uses it itself.
    """
    volume = values.naa(naa) if naa != '' else ''
    folder = owned.device(hctl)
    if folder is None:
        return
    _expect(folder, inquiry.naa_of_folder(folder), volume)
    for disk in folder.glob('block/*'):
        owned.refuse_mounted(disk.name, f'remove {disk.name}')
    try:
        _write(folder / 'delete', '1', f'delete {folder.name}')
    except exception.InitiatorError:
        if folder.exists():
            raise


@privileged.initiator_context.entrypoint
@verbs.telling('look who uses a disk', exception.InitiatorError)
def is_claimed(hctl: Sequence[int], naa: str) -> bool:
    """Tell whether somebody on this host has a disk of ours for himself.

    :param naa: NAA id under which the kernel knows the device.
    :returns: False also where there is no such disk, or where it takes no
        commands, as while its session is down.
    :raises WrongDevice: when the kernel knows it as another volume.
    :raises InitiatorError: when it is not on a session of ours.
    """
    volume, folder = values.naa(naa), owned.device(hctl)
    if folder is None:
        return False
    _expect(folder, inquiry.naa_of_folder(folder), volume)
    return any(owned.is_running(disk) and inquiry.is_claimed(disk.name)
               for disk in folder.glob('block/*'))


@privileged.initiator_context.entrypoint
@verbs.telling('flush a device', exception.InitiatorError)
def flush(name: str) -> None:
    """Write out what the host's page cache holds of a disk or map of ours.

    :param name: such as ``sda`` or ``dm-3``.
    :raises InitiatorError: when the device is not ours or did not take it.
    """
    what = f'flush {values.shown(name)}'
    if isinstance(name, str) and name.startswith('sd'):
        if owned.disk(name, what) is None:
            raise exception.InitiatorError(what, 'there is no such disk')
    else:
        owned.map_of(name, what)
    fd = inquiry.open_block_device(name)
    try:
        # fsync says whether it went well; the ioctl then drops the cache.
        os.fsync(fd)
        fcntl.ioctl(fd, _BLKFLSBUF)
    except OSError as e:
        raise exception.InitiatorError(what, str(e)) from e
    finally:
        os.close(fd)


def _hctl(hctl: Sequence[int]) -> tuple[int, int, int, int]:
    """Return host, channel, target and LUN, which were checked."""
    host, channel, target_id, lun = hctl
    return host, channel, target_id, lun


def _expect(folder: Path, found: str, expected: str) -> None:
    """See that a device is the volume expected.

    :raises WrongDevice: when it is not.
    """
    if found != expected:
        raise exception.WrongDevice(
            folder.name, expected or 'no id', found or 'no id')


def _write(attribute: Path, value: str, what: str) -> None:
    """Write to a file below /sys.

    :raises InitiatorError: when the kernel refused.
    """
    try:
        fd = os.open(attribute, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as e:
        raise exception.InitiatorError(what, str(e)) from e
