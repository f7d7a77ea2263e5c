# SPDX-License-Identifier: Apache-2.0
"""What runs as root on the compute host, each a named verb.

Arguments are primitives, since msgpack carries them, and each verb checks
them itself: the caller is a service that tenants talk to. A verb that removes
something names the volume that it means, and looks again before it acts.
Nothing that is returned or raised holds a secret, since oslo.privsep logs it.
"""

from collections.abc import Sequence
import fcntl
import os
import re
import subprocess
import threading
import time

from mydriver import exception, privileged
from mydriver.model import Portal
from mydriver.privileged import node_record, scsi

# include/uapi/linux/fs.h
_BLKFLSBUF = 0x1261

# open-iscsi's include/iscsi_err.h
_ISCSI_ERR_IDBM = 6
_ISCSI_ERR_SESS_EXISTS = 15
_ISCSI_ERR_NO_OBJS_FOUND = 21

_NAA = re.compile(r'[0-9a-f]{32}\Z')
_DISK = re.compile(r'sd[a-z]+\Z')
_BLOCK_DEVICE = re.compile(r'(sd[a-z]+|dm-[0-9]+)\Z')
_REPORTED = re.compile(r'\((\d+ - [^)]*)\)')

# Two iscsiadm that make and delete records of one target at a time can fail
# with ISCSI_ERR_IDBM: one looks through the folder that the other removes.
_RECORDS = threading.Lock()
_RECORDS_ATTEMPTS = 6
_RECORDS_PAUSE_S = 0.05

#: How long a command about what is there already may take, seconds.
COMMAND_TIMEOUT_S = 30


@privileged.initiator_context.entrypoint
def login(target: str, address: str, port: int, chap: Sequence[str | None],
          timeout_s: float) -> None:
    """Log in to a target at a portal; a session that is there is kept.

    The node record is made if there is none, with the administrator's
    settings of ``iscsid.conf``, and set to manual start and manual scan: what
    is attached is for nova-compute to say, not for the host's boot.

    :param target: iSCSI name.
    :param address: IP address of the portal, without brackets.
    :param port: its TCP port.
    :param chap: name, secret, the target's name and the target's secret; the
        last two None without mutual CHAP; empty without CHAP.
    :param timeout_s: how long iscsiadm may take.
    :raises LoginError: with what iscsiadm said.
    :raises InitiatorError: when the record cannot be written.
    """
    portal = Portal(address, port)
    node_record.check_target(target)
    records = node_record.find(target, address, port)
    new = not records
    if new:
        _change_record('make a node record', target, portal, 'new')
        records = node_record.find(target, address, port)
    if not records:
        raise exception.InitiatorError(
            'make a node record', 'iscsiadm made none in '
            + ' or '.join(str(d) for d in node_record.NODES_DIRS))
    try:
        for record in records:
            node_record.update(record, _settings(chap))
        _log_in(target, portal, timeout_s)
    except BaseException:
        if new:
            _forget(target, portal)
        raise


def _settings(chap: Sequence[str | None]) -> dict[str, str | None]:
    """Return the settings of a record of ours."""
    settings: dict[str, str | None] = {
        'node.startup': 'manual',
        'node.conn[0].startup': 'manual',
        'node.session.scan': 'manual',
        'node.session.nr_sessions': '1',
    }
    if chap:
        auth = 'node.session.auth.'
        names = ('username', 'password', 'username_in', 'password_in')
        settings[auth + 'authmethod'] = 'CHAP'
        settings.update(
            (auth + name, value)
            for name, value in zip(names, chap, strict=True))
    return settings


def _log_in(target: str, portal: Portal, timeout_s: float) -> None:
    """Run the login proper.

    :raises LoginError: with what iscsiadm said.
    """
    try:
        done = _run('iscsiadm', *_node(target, portal), '--login',
                    timeout_s=timeout_s)
    except exception.InitiatorError as e:
        raise exception.LoginError(
            target, str(portal), str(e).rstrip('.')) from e
    if done.returncode not in (0, _ISCSI_ERR_SESS_EXISTS):
        raise exception.LoginError(target, str(portal), _reason(done))


@privileged.initiator_context.entrypoint
def logout(sid: int, target: str) -> None:
    """End a session; one that is gone already is no error.

    :param sid: number of the session in sysfs.
    :param target: the target that it must belong to.
    :raises InitiatorError: when it is another target's, or stays.
    """
    what = f'log out of session {int(sid)}'
    try:
        found = (scsi.SYS / f'class/iscsi_session/session{int(sid)}'
                 / 'targetname').read_text().strip()
    except FileNotFoundError:
        return
    if found != target:
        raise exception.InitiatorError(what, f'it is with {found}')
    done = _run('iscsiadm', '-m', 'session', '-r', str(int(sid)), '--logout')
    if done.returncode not in (0, _ISCSI_ERR_NO_OBJS_FOUND):
        raise exception.InitiatorError(what, _reason(done))


@privileged.initiator_context.entrypoint
def forget(target: str, address: str, port: int) -> None:
    """Delete the node record of a target at a portal, if there is one.

    :raises InitiatorError: when it stays.
    """
    if node_record.find(target, address, port):
        _forget(target, Portal(address, port))


def _forget(target: str, portal: Portal) -> None:
    _change_record('delete a node record', target, portal, 'delete')


def _change_record(what: str, target: str, portal: Portal,
                   operation: str) -> None:
    """Make or delete a node record, alone or in spite of another service.

    :raises InitiatorError: when iscsiadm refused, again and again.
    """
    for attempt in range(_RECORDS_ATTEMPTS):
        with _RECORDS:
            done = _run('iscsiadm', *_node(target, portal), '-o', operation)
        if done.returncode in (0, _ISCSI_ERR_NO_OBJS_FOUND):
            return
        if done.returncode != _ISCSI_ERR_IDBM:
            break
        time.sleep(_RECORDS_PAUSE_S * 2 ** attempt)
    raise exception.InitiatorError(what, _reason(done))


@privileged.initiator_context.entrypoint
def scan(host: int, channel: int, target_id: int, lun: int) -> None:
    """Make the kernel look for exactly one LUN.

    It comes back when the LUN answered or refused; the block device follows
    on its own (drivers/scsi/scsi_transport_iscsi.c, iscsi_user_scan).

    :raises InitiatorError: when there is no such host.
    """
    *_, channel, target_id, lun = _hctl([host, channel, target_id, lun])
    _write(f'class/scsi_host/host{int(host)}/scan',
           f'{channel} {target_id} {lun}', f'scan for LUN {lun}')


@privileged.initiator_context.entrypoint
def read_naa(hctl: Sequence[int]) -> str:
    """Ask a SCSI device which volume it is.

    :param hctl: host, channel, target and LUN.
    :returns: NAA id; empty when there is no answer.
    """
    return scsi.present_naa(_hctl(hctl))


@privileged.initiator_context.entrypoint
def rescan_device(hctl: Sequence[int], naa: str) -> None:
    """Make the kernel read a device's size and identity again.

    :param naa: NAA id of the volume that is meant.
    :raises WrongDevice: when the device is another volume.
    :raises InitiatorError: when there is no such device.
    """
    folder = _expect(hctl, scsi.present_naa(_hctl(hctl)), naa)
    _write(f'{folder}/rescan', '1', f'rescan {hctl}')


@privileged.initiator_context.entrypoint
def delete_device(hctl: Sequence[int], naa: str) -> None:
    """Remove a SCSI device from the kernel; none there is no error.

    :param naa: NAA id under which the kernel knows the device; empty where
        it knows none.
    :raises WrongDevice: when the kernel knows it as another volume.
    """
    if scsi.device_folder(_hctl(hctl)).exists():
        folder = _expect(hctl, scsi.remembered_naa(_hctl(hctl)), naa)
        try:
            _write(f'{folder}/delete', '1', f'delete {hctl}')
        except exception.InitiatorError:
            if scsi.device_folder(_hctl(hctl)).exists():
                raise


@privileged.initiator_context.entrypoint
def is_claimed(hctl: Sequence[int], naa: str) -> bool:
    """Tell whether somebody on this host has a disk for himself.

    :param naa: NAA id under which the kernel knows the device.
    :raises WrongDevice: when the kernel knows it as another volume.
    """
    _expect(hctl, scsi.remembered_naa(_hctl(hctl)), naa)
    return scsi.is_claimed(_hctl(hctl))


@privileged.initiator_context.entrypoint
def flush(name: str) -> None:
    """Write out what the host's page cache holds of a block device.

    :param name: such as ``sda`` or ``dm-3``.
    :raises InitiatorError: when the device did not take it.
    """
    what = f'flush {name}'
    try:
        fd = scsi.open_block_device(_check(name, _BLOCK_DEVICE, what))
        try:
            # fsync says whether it went well; the ioctl then drops the cache.
            os.fsync(fd)
            fcntl.ioctl(fd, _BLKFLSBUF)
        finally:
            os.close(fd)
    except OSError as e:
        raise exception.InitiatorError(what, str(e)) from e


@privileged.initiator_context.entrypoint
def multipath_claim(naa: str) -> None:
    """Tell multipathd that a volume is one of several paths.

    Needed where ``find_multipaths`` is ``yes`` or ``strict``; before the
    first path comes up, so that multipathd takes it at once.
    """
    _run('multipath', '-a', _wwid(naa))


@privileged.initiator_context.entrypoint
def multipath_unclaim(naa: str) -> None:
    """Take back :func:`multipath_claim`, or the list grows for ever."""
    _run('multipath', '-w', _wwid(naa))


@privileged.initiator_context.entrypoint
def multipath_add_path(name: str) -> str:
    """Make multipathd look at a disk that it passed over.

    :returns: what it said, such as ``ok`` or ``blacklisted``.
    """
    done = _run('multipathd', 'add', 'path',
                _check(name, _DISK, 'add a path to multipathd'))
    said = (done.stdout + done.stderr).split()
    return ' '.join(said) or f'exit status {done.returncode}'


@privileged.initiator_context.entrypoint
def multipath_del_path(name: str) -> None:
    """Make multipathd let go of a disk."""
    _run('multipathd', 'del', 'path',
         _check(name, _DISK, 'take a path from multipathd'))


@privileged.initiator_context.entrypoint
def multipath_remove_map(naa: str, force: bool) -> None:
    """Remove the multipath map of a volume; none there is no error.

    :param naa: NAA id of the volume.
    :param force: have the map fail what it queues for want of a path.
    :raises InitiatorError: when it stays, as while it is open.
    """
    name = _map_name(naa)
    if not name:
        return
    if force:
        _run('multipathd', 'disablequeueing', 'map', name)
    done = _run('multipath', '-f', name)
    if _map_name(naa):
        raise exception.InitiatorError(
            f'remove multipath map {name}', _reason(done))


@privileged.initiator_context.entrypoint
def multipath_resize_map(naa: str) -> None:
    """Make the multipath map of a volume as large as its paths.

    :raises InitiatorError: when multipathd refused.
    """
    name = _map_name(naa)
    what = f'resize the multipath map of {naa}'
    if not name:
        raise exception.InitiatorError(what, 'there is none')
    done = _run('multipathd', 'resize', 'map', name)
    if done.returncode or done.stdout.strip() != 'ok':
        raise exception.InitiatorError(what, _reason(done))


def _map_name(naa: str) -> str | None:
    """Return the device-mapper name of a volume's multipath map."""
    uuid = f'mpath-{_wwid(naa)}'
    for file in scsi.SYS.glob('block/dm-*/dm/uuid'):
        try:
            if file.read_text().strip() == uuid:
                return (file.parent / 'name').read_text().strip()
        except OSError:
            continue
    return None


def _wwid(naa: str) -> str:
    """Return the name that udev and multipathd have for an NAA id."""
    return '3' + _check(naa, _NAA, 'find a volume')


def _check(text: str, pattern: re.Pattern[str], what: str) -> str:
    if not pattern.match(text):
        raise exception.InitiatorError(what, f'{text!r} is not valid')
    return text


def _hctl(hctl: Sequence[int]) -> tuple[int, int, int, int]:
    """Return host, channel, target and LUN, sure that they are numbers."""
    scsi.device_folder(tuple(hctl))  # type: ignore[arg-type]
    host, channel, target_id, lun = hctl
    return host, channel, target_id, lun


def _expect(hctl: Sequence[int], found: str, expected: str) -> str:
    """Return a device's folder below /sys if it is the volume expected."""
    name = ':'.join(str(n) for n in hctl)
    if found != expected:
        raise exception.WrongDevice(
            name, expected or 'no id', found or 'no id')
    return f'bus/scsi/devices/{name}'


def _write(attribute: str, value: str, what: str) -> None:
    """Write to a file below /sys.

    :raises InitiatorError: when the kernel refused.
    """
    try:
        fd = os.open(scsi.SYS / attribute, os.O_WRONLY)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as e:
        raise exception.InitiatorError(what, str(e)) from e


def _node(target: str, portal: Portal) -> tuple[str, ...]:
    return ('-m', 'node', '-T', target, '-p', str(portal),
            '-I', node_record.IFACE)


def _run(*command: str, timeout_s: float = COMMAND_TIMEOUT_S
         ) -> subprocess.CompletedProcess[str]:
    """Run a command, no shell, in the C locale.

    :raises InitiatorError: when it is not installed or took too long.
    """
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors='replace',
            stdin=subprocess.DEVNULL, check=False, timeout=timeout_s,
            env={**os.environ, 'LC_ALL': 'C'})
    except subprocess.TimeoutExpired as e:
        raise exception.InitiatorError(
            f'run {command[0]}', f'no answer within {timeout_s:.0f} s') from e
    except OSError as e:
        raise exception.InitiatorError(
            f'run {command[0]}', e.strerror or str(e)) from e


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Say in a line why a command failed."""
    said = ((done.stderr or '') + (done.stdout or '')).strip()
    if reported := _REPORTED.search(said):
        return reported[1]
    last = said.splitlines()[-1] if said else 'it said nothing'
    return f'{last} (exit status {done.returncode})'
