# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for SCSI devices on sessions with our targets.

A device is named by its address and by the NAA id of the volume that the
caller means; each verb compares both before it acts.
"""

from collections.abc import Sequence
import os
from pathlib import Path

from mydriver import exception, privileged
from mydriver.privileged import blockdev, verbs
from mydriver.privileged.initiator import inquiry, owned, values
from mydriver.privileged.values import shown


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('scan for a LUN', exception.InitiatorError)
def scan(host: int, channel: int, target_id: int, lun: int) -> None:
    """Make the kernel look for exactly one LUN.

    The verb returns once the LUN has answered or refused; the block device
    follows on its own (drivers/scsi/scsi_transport_iscsi.c, iscsi_user_scan).

    :raises InitiatorError: if these are not the host and target number of a
        session of ours.
    """
    host = values.host_number(host)
    channel = values.channel(channel)
    target_id = values.host_number(target_id, 'a SCSI target')
    lun = values.lun(lun)
    owned.refuse_foreign_host(host, target_id)
    _write(inquiry.SYS / f'class/scsi_host/host{host}/scan',
           f'{channel} {target_id} {lun}', f'scan for LUN {lun}')


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('read the identity of a device',
                             exception.InitiatorError)
def read_naa(hctl: Sequence[int]) -> str:
    """Ask a SCSI device on a session of ours which volume it is.

    :param hctl: host, channel, target and LUN.
    :returns: NAA id; empty if there is no such device, or the target says
        that there is no such LUN.
    :raises NoAnswer: if the device could not be asked.
    :raises InitiatorError: if it is not on a session of ours.
    """
    if owned.device(hctl) is None:
        return ''
    return inquiry.present_naa(values.address(hctl))


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('rescan a device', exception.InitiatorError)
def rescan(hctl: Sequence[int], naa: str) -> None:
    """Make the kernel read a device's size and identity again.

    :param hctl: host, channel, target and LUN.
    :param naa: NAA id of the volume that is meant.
    :raises WrongDevice: if the device is another volume.
    :raises NoAnswer: if the device could not be asked.
    :raises InitiatorError: if there is no such device of ours.
    """
    volume, folder = values.naa(naa), owned.device(hctl)
    if folder is None:
        raise exception.InitiatorError(
            'rescan a device', f'{shown(str(hctl))} is not there')
    _expect(folder, inquiry.present_naa(values.address(hctl)), volume)
    _write(folder / 'rescan', '1', f'rescan {folder.name}')


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('remove a device', exception.InitiatorError)
def delete(hctl: Sequence[int], naa: str) -> None:
    """Remove a SCSI device from the kernel; it may be gone already.

    A device below a multipath map is removed: the caller has checked who uses
    the map. A device that this host has mounted stays.

    :param hctl: host, channel, target and LUN.
    :param naa: NAA id under which the kernel knows the device; empty if it
        knows none.
    :raises WrongDevice: if the kernel knows it as another volume.
    :raises InitiatorError: if it is not ours, or the host uses it itself.
    """
    volume = values.naa(naa) if naa != '' else ''
    folder = owned.device(hctl)
    if folder is None:
        return
    _expect(folder, inquiry.naa_of_folder(folder), volume)
    for disk in folder.glob('block/*'):
        owned.refuse_in_use(disk.name, f'remove {disk.name}')
    try:
        _write(folder / 'delete', '1', f'delete {folder.name}')
    except exception.InitiatorError:
        if folder.exists():
            raise


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('see whether a disk is claimed',
                             exception.InitiatorError)
def is_claimed(hctl: Sequence[int], naa: str) -> bool:
    """Tell whether a disk of ours is claimed on this host.

    :param hctl: host, channel, target and LUN.
    :param naa: NAA id under which the kernel knows the device.
    :returns: False also if there is no such disk, or if it takes no commands,
        as while its session is down.
    :raises WrongDevice: if the kernel knows it as another volume.
    :raises InitiatorError: if it is not on a session of ours.
    """
    volume, folder = values.naa(naa), owned.device(hctl)
    if folder is None:
        return False
    _expect(folder, inquiry.naa_of_folder(folder), volume)
    return any(owned.is_running(disk) and inquiry.is_claimed(disk.name)
               for disk in folder.glob('block/*'))


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('flush a device', exception.InitiatorError)
def flush(name: str) -> None:
    """Write out and drop what the host has cached of a disk or map of ours.

    :param name: such as ``sda`` or ``dm-3``.
    :raises InitiatorError: if the device is not ours, or did not take it.
    """
    what = f'flush {shown(name)}'
    if isinstance(name, str) and name.startswith('sd'):
        if owned.disk(name, what) is None:
            raise exception.InitiatorError(what, 'there is no such disk')
    else:
        owned.map_of(name, what)
    fd = inquiry.open_block_device(name)
    try:
        blockdev.flush(fd)
    except OSError as e:
        raise exception.InitiatorError(what, str(e)) from e
    finally:
        os.close(fd)


def _expect(folder: Path, found: str, expected: str) -> None:
    """Refuse a device that is not the expected volume.

    :raises WrongDevice: if it is not.
    """
    if found != expected:
        raise exception.WrongDevice(
            folder.name, expected or 'no id', found or 'no id')


def _write(attribute: Path, value: str, what: str) -> None:
    """Write to a file in sysfs.

    :raises InitiatorError: if the kernel refuses.
    """
    try:
        fd = os.open(attribute, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as e:
        raise exception.InitiatorError(what, str(e)) from e
