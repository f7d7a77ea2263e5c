# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for iSCSI sessions and their node records."""

from collections.abc import Callable, Sequence
import logging
from pathlib import Path
import threading
import time

from mydriver import exception, privileged
from mydriver.model import Portal
from mydriver.privileged import verbs
from mydriver.privileged.initiator import (
    command,
    node_record,
    owned,
    values,
)

LOG = logging.getLogger(__name__)

# open-iscsi's include/iscsi_err.h
_ISCSI_ERR_IDBM = 6
_ISCSI_ERR_SESS_EXISTS = 15
# ISCSI_ERR_ISCSID_NOTCONN, as iscsiadm says it.
_ISCSID_IS_DOWN = '20 - '
_ISCSI_ERR_NO_OBJS_FOUND = 21

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
        done = command.run('iscsiadm', *_node(target, portal), '--login',
                    timeout_s=timeout_s)
        if done.returncode in (0, _ISCSI_ERR_SESS_EXISTS):
            return
        said = command.reason(done)
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
        said = command.reason(command.run(
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
            done = command.run(
                'iscsiadm', *_node(target, portal), '-o', operation)
        if done.returncode in (0, _ISCSI_ERR_NO_OBJS_FOUND):
            return
        if done.returncode != _ISCSI_ERR_IDBM:
            raise exception.InitiatorError(what, command.reason(done))
        time.sleep(_RECORDS_PAUSE_S * 2 ** attempt)
    raise _DatabaseFailed(what, command.reason(done))


def _node(target: str, portal: Portal) -> tuple[str, ...]:
    return ('-m', 'node', '-T', target, '-p', str(portal),
            '-I', node_record.IFACE)
