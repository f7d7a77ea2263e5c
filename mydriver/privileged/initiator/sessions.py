# SPDX-License-Identifier: Apache-2.0
"""What runs as root on the compute host, each a named verb.

Arguments are primitives, since msgpack carries them, and each verb checks
them itself (:mod:`.initiator_values`, :mod:`.owned`): the caller is a service
that tenants talk to, and whoever takes it over can call each verb with any
values. Only records, sessions, disks and maps of ours are touched. A verb that
removes something names the volume that it means, and looks again before it
acts. Nothing that is returned or raised holds a secret, since oslo.privsep
logs it.
"""

from collections.abc import Callable, Sequence
import fcntl
import logging
import os
from pathlib import Path
import re
import subprocess
import threading
import time

from mydriver import exception, privileged
from mydriver.model import Portal
from mydriver.privileged import verbs
from mydriver.privileged.initiator import (
    inquiry,
    node_record,
    owned,
    values,
)

LOG = logging.getLogger(__name__)

# include/uapi/linux/fs.h
_BLKFLSBUF = 0x1261

# open-iscsi's include/iscsi_err.h
_ISCSI_ERR_IDBM = 6
_ISCSI_ERR_SESS_EXISTS = 15
# ISCSI_ERR_ISCSID_NOTCONN, as iscsiadm says it.
_ISCSID_IS_DOWN = '20 - '
_ISCSI_ERR_NO_OBJS_FOUND = 21

_REPORTED = re.compile(r'\((\d+ - [^)]*)\)')

# Two iscsiadm that make and delete records of one target at a time can fail
# with ISCSI_ERR_IDBM: one looks through the folder that the other removes.
_RECORDS = threading.Lock()
_RECORDS_ATTEMPTS = 6
_RECORDS_PAUSE_S = 0.05

# How often iscsid tries a first login, and the most that one attempt may take,
# seconds (DEF_LOGIN_TIMEO of open-iscsi): it then gives up, and the session
# goes. As a rule iscsid.conf has it try for two minutes, during which nobody
# can end the session.
_LOGIN_TIMEOUT = 'node.conn[0].timeo.login_timeout'
_LOGIN_ATTEMPTS = 1
_LOGIN_ATTEMPT_S = 15

# Until a session that was logged out is gone from sysfs.
_LOGGED_OUT_S = 2

# Which volumes multipathd takes for multipath, and whether it runs
# (multipath-tools, libmultipath/defaults.h).
_WWIDS = Path('/etc/multipath/wwids')
_MULTIPATHD_PID = Path('/run/multipathd.pid')

#: How long a command about what is there already may take, seconds.
COMMAND_TIMEOUT_S = 30


@privileged.initiator_context.entrypoint
@verbs.telling('log in to a target', exception.InitiatorError)
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
    iqn, portal = values.target(target), values.portal(address, port)
    settings = _settings(values.chap(chap))
    patience_s = values.seconds(timeout_s, 'log in')
    records = node_record.find(iqn, portal.address, portal.port)
    new = not records
    before: dict[Path, str] = {}
    try:
        if new:
            records = _make_record(iqn, portal)
        for record in records:
            before[record] = node_record.update(
                record, settings, {_LOGIN_TIMEOUT: _LOGIN_ATTEMPT_S})
        _log_in(iqn, portal, patience_s)
    except BaseException:
        if new:
            _quietly(_forget, iqn, portal)
            _quietly(node_record.prune, iqn)
        else:
            for record, text in before.items():
                _quietly(node_record.write, record, text)
        raise


def _make_record(target: str, portal: Portal) -> list[Path]:
    """Make a node record; return its file.

    :raises InitiatorError: when there is none then; on a full file system
        iscsiadm leaves an empty file.
    """
    what = 'make a node record'
    _change_record(what, target, portal, 'new')
    records = node_record.find(target, portal.address, portal.port)
    if not records:
        raise exception.InitiatorError(
            what, 'iscsiadm made none in '
            + ' or '.join(str(d) for d in node_record.NODES_DIRS))
    return records


def _quietly(step: Callable[..., object], *args: object) -> None:
    """Do one step of a clean-up after an error, which stays the error."""
    try:
        step(*args)
    except (exception.MyDriverError, OSError) as e:
        LOG.warning('While cleaning up after a failed login: %s', e)


def _settings(chap: Sequence[str | None]) -> dict[str, str | None]:
    """Return the settings of a record of ours."""
    settings: dict[str, str | None] = {
        'node.startup': 'manual',
        'node.conn[0].startup': 'manual',
        'node.session.scan': 'manual',
        'node.session.nr_sessions': '1',
        'node.session.initial_login_retry_max': str(_LOGIN_ATTEMPTS),
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
    error: exception.InitiatorError | None = None
    try:
        done = _run('iscsiadm', *_node(target, portal), '--login',
                    timeout_s=timeout_s)
        if done.returncode in (0, _ISCSI_ERR_SESS_EXISTS):
            return
        said = _reason(done)
    except exception.InitiatorError as e:
        error, said = e, str(e).rstrip('.')
    if not owned.is_logged_in(target, portal):
        raise exception.LoginError(target, str(portal), said) from error
    # As when it could not write down afterwards that it did, or was slow.
    LOG.warning('Logged in to %s at %s, though iscsiadm says: %s', target,
                portal, said)


@privileged.initiator_context.entrypoint
@verbs.telling('log out of a session', exception.InitiatorError)
def logout(sid: int, target: str) -> None:
    """End a session; one that is gone already is no error.

    :param sid: number of the session in sysfs.
    :param target: the target that it must belong to.
    :raises InitiatorError: when it is another target's, or stays.
    """
    iqn = values.target(target)
    number = values.number(sid, 2 ** 32 - 1, 'log out of a session')
    what = f'log out of session {number}'
    found = owned.session_target(number)
    if found is None:
        return
    if found != iqn:
        raise exception.InitiatorError(what, f'it is with {found}')
    if devices := owned.session_devices(number):
        raise exception.InitiatorError(
            what, f'it still has devices: {", ".join(devices)}')
    try:
        said = _reason(_run(
            'iscsiadm', '-m', 'session', '-r', str(number), '--logout'))
    except exception.InitiatorError as e:
        said = str(e).rstrip('.')
    # Its exit status is not to be relied on: it is 21 without iscsid.
    deadline = time.monotonic() + _LOGGED_OUT_S
    while owned.session_target(number) is not None:
        if time.monotonic() > deadline:
            raise exception.InitiatorError(
                what, f'it is still there; iscsiadm: {said}; '
                + ('start iscsid' if said.startswith(_ISCSID_IS_DOWN)
                   else 'iscsid may be trying to log in still'))
        time.sleep(_RECORDS_PAUSE_S)


@privileged.initiator_context.entrypoint
@verbs.telling('delete a node record', exception.InitiatorError)
def forget(target: str, address: str, port: int) -> None:
    """Delete the node record of a target at a portal, if there is one.

    :raises InitiatorError: when it stays.
    """
    iqn, portal = values.target(target), values.portal(address, port)
    if node_record.find(iqn, portal.address, portal.port):
        _forget(iqn, portal)


def _forget(target: str, portal: Portal) -> None:
    try:
        _change_record('delete a node record', target, portal, 'delete')
    except _DatabaseFailed as e:
        LOG.warning('%s Removing the file.', e)
    # iscsiadm passes over what it cannot read, or fails over it, such as a
    # record that it made itself on a full file system.
    for record in node_record.find(target, portal.address, portal.port):
        node_record.remove(record)
    node_record.clear(target)


class _DatabaseFailed(exception.InitiatorError):
    """iscsiadm has trouble with some record, not always with that one."""


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
            raise exception.InitiatorError(what, _reason(done))
        time.sleep(_RECORDS_PAUSE_S * 2 ** attempt)
    raise _DatabaseFailed(what, _reason(done))


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
def rescan_device(hctl: Sequence[int], naa: str) -> None:
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
def delete_device(hctl: Sequence[int], naa: str) -> None:
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


@privileged.initiator_context.entrypoint
@verbs.telling('claim a volume for multipathd', exception.InitiatorError)
def multipath_claim(naa: str) -> None:
    """Tell multipathd that a volume is one of several paths.

    Needed where ``find_multipaths`` is ``yes`` or ``strict``; before the
    first path comes up, so that multipathd takes it at once.
    """
    _run('multipath', '-a', _wwid(naa))


@privileged.initiator_context.entrypoint
@verbs.telling('take back a claim for multipathd', exception.InitiatorError)
def multipath_unclaim(naa: str) -> None:
    """Take back :func:`multipath_claim`, or the list grows for ever.

    Each map that multipathd makes is in the list as well. One that is not in
    there is no error, nor is a host without multipathd.
    """
    wwid = _wwid(naa)
    try:
        there = f'/{wwid}/' in _WWIDS.read_text(errors='replace')
    except FileNotFoundError:
        there = _MULTIPATHD_PID.exists()     # its list is somewhere else
    if there:
        _run('multipath', '-w', wwid)


@privileged.initiator_context.entrypoint
@verbs.telling('add a path to multipathd', exception.InitiatorError)
def multipath_add_path(name: str) -> str:
    """Make multipathd look at a disk of ours that it passed over.

    :returns: what it said, such as ``ok`` or ``blacklisted``.
    :raises InitiatorError: when the disk is not ours.
    """
    what = 'add a path to multipathd'
    if owned.disk(name, what) is None:
        return 'there is no such disk'
    done = _run('multipathd', 'add', 'path', name)
    said = (done.stdout + done.stderr).split()
    return ' '.join(said) or f'exit status {done.returncode}'


@privileged.initiator_context.entrypoint
@verbs.telling('take a path from multipathd', exception.InitiatorError)
def multipath_del_path(name: str) -> None:
    """Make multipathd let go of a disk of ours, or of one that is gone.

    :raises InitiatorError: when it is somebody else's.
    """
    owned.disk(name, 'take a path from multipathd')
    _run('multipathd', 'del', 'path', name)


@privileged.initiator_context.entrypoint
@verbs.telling('remove a multipath map', exception.InitiatorError)
def multipath_remove_map(naa: str, force: bool) -> None:
    """Remove the multipath map of a volume; none there is no error.

    :param naa: NAA id of the volume.
    :param force: have the map fail what it queues for want of a path.
    :raises InitiatorError: when it stays, as while it is open.
    """
    dm = owned.map_name(owned.volume(naa))
    if not dm:
        return
    name = _map_name(dm)
    if force is True:
        owned.refuse_mounted(dm, f'remove multipath map {name}')
        _run('multipathd', 'disablequeueing', 'map', name)
    done = _run('multipath', '-f', name)
    if owned.map_name(naa):
        raise exception.InitiatorError(
            f'remove multipath map {name}', _reason(done))


@privileged.initiator_context.entrypoint
@verbs.telling('resize a multipath map', exception.InitiatorError)
def multipath_resize_map(naa: str) -> None:
    """Make the multipath map of a volume as large as its paths.

    :raises InitiatorError: when multipathd refused.
    """
    dm = owned.map_name(owned.volume(naa))
    what = f'resize the multipath map of {naa}'
    if not dm:
        raise exception.InitiatorError(what, 'there is none')
    done = _run('multipathd', 'resize', 'map', _map_name(dm))
    if done.returncode or done.stdout.strip() != 'ok':
        raise exception.InitiatorError(what, _reason(done))


def _map_name(dm: str) -> str:
    """Return the device-mapper name of a map."""
    return (inquiry.SYS / 'block' / dm / 'dm/name').read_text().strip()


def _wwid(naa: str) -> str:
    """Return the name that udev and multipathd have for an NAA id."""
    return f'3{owned.volume(naa)}'


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


def _node(target: str, portal: Portal) -> tuple[str, ...]:
    return ('-m', 'node', '-T', target, '-p', str(portal),
            '-I', node_record.IFACE)


def _run(*command: str, timeout_s: float | None = None
         ) -> subprocess.CompletedProcess[str]:
    """Run a command, no shell, in the C locale.

    :param timeout_s: how long it may take; ``COMMAND_TIMEOUT_S`` by default.
    :raises InitiatorError: when it is not installed or took too long.
    """
    if timeout_s is None:
        timeout_s = COMMAND_TIMEOUT_S
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
    said = (done.stderr or '').strip() or (done.stdout or '').strip()
    if reported := _REPORTED.search(said):
        return reported[1]
    last = said.splitlines()[-1] if said else 'it said nothing'
    return f'{last} (exit status {done.returncode})'
