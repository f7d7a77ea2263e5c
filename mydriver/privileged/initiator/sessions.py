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
# ISCSI_ERR_ISCSID_NOTCONN, as iscsiadm prints it.
_ISCSID_IS_DOWN = '20 - '
_ISCSI_ERR_NO_OBJS_FOUND = 21

# Two iscsiadm processes that make and delete records of one target at the same
# time can fail with ISCSI_ERR_IDBM: one reads the directory that the other
# removes.
_RECORDS = threading.Lock()
_RECORDS_ATTEMPTS = 6
_RECORDS_PAUSE_S = 0.05

# How often iscsid tries a first login, and how long one attempt may take,
# seconds (DEF_LOGIN_TIMEO of open-iscsi); then it gives up and removes the
# session. The defaults of iscsid.conf make it try for two minutes, during
# which the session cannot be ended.
_LOGIN_TIMEOUT = 'node.conn[0].timeo.login_timeout'
_LOGIN_ATTEMPTS = 1
_LOGIN_ATTEMPT_S = 15

# How long a session may stay in sysfs after its logout, seconds.
_LOGGED_OUT_S = 2


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('log in to a target', exception.InitiatorError)
def login(target: str, address: str, port: int, chap: Sequence[str | None],
          timeout_s: float) -> None:
    """Log in to a target at a portal; an existing session is kept.

    If there is no node record, one is made with the administrator's settings
    of ``iscsid.conf``. It is set to manual start and manual scan: nova-compute
    decides what is attached, not the host's boot.

    :param target: iSCSI name.
    :param address: IP address of the portal, without brackets.
    :param port: its TCP port.
    :param chap: name, secret, the target's name and the target's secret; the
        last two None without mutual CHAP; empty without CHAP.
    :param timeout_s: how long iscsiadm may take.
    :raises LoginError: with the reason that iscsiadm gives.
    :raises InitiatorError: if the record cannot be written.
    """
    iqn, portal = values.target(target), values.portal(address, port)
    settings = _settings(values.chap(chap))
    patience_s = values.seconds(timeout_s)
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
            _log_and_continue(_forget, iqn, portal)
            _log_and_continue(node_record.prune, iqn)
        else:
            for record, text in before.items():
                _log_and_continue(node_record.write, record, text)
        raise


def _make_record(target: str, portal: Portal) -> list[Path]:
    """Make a node record and return its file.

    :raises InitiatorError: if it was not made. On a full file system iscsiadm
        leaves an empty file, which counts as a record here.
    """
    what = 'make a node record'
    _change_record(what, target, portal, 'new')
    records = node_record.find(target, portal.address, portal.port)
    if not records:
        raise exception.InitiatorError(
            what, 'iscsiadm made none in '
            + ' or '.join(str(d) for d in node_record.NODES_DIRS))
    return records


def _log_and_continue(step: Callable[..., object], *args: object) -> None:
    """Run one clean-up step; log its error, so as not to hide the first."""
    try:
        step(*args)
    except (exception.MyDriverError, OSError) as e:
        LOG.warning('While cleaning up after a failed login: %s', e)


def _settings(chap: Sequence[str | None]) -> dict[str, str | None]:
    """Return the settings that a node record of ours has."""
    settings: dict[str, str | None] = {
        'node.startup': 'manual',
        'node.conn[0].startup': 'manual',
        'node.session.scan': 'manual',
        'node.session.nr_sessions': '1',
        # Log in again at once when a gateway was replaced: iscsid waits for
        # the greater one of both sides' values (usr/initiator.c,
        # __session_conn_reopen), and our targets say 0.
        'node.session.iscsi.DefaultTime2Wait': '0',
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
    """Have iscsiadm log in with the record.

    :raises LoginError: with the reason that iscsiadm gives.
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
    # iscsiadm was slow, or failed to update the record after the login.
    LOG.warning('Logged in to %s at %s, although iscsiadm reports: %s', target,
                portal, said)


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('log out of a session', exception.InitiatorError)
def logout(sid: int, target: str) -> None:
    """End a session; it may be gone already.

    :param sid: number of the session in sysfs.
    :param target: the target that it must belong to.
    :raises InitiatorError: if it is another target's, has devices, or stays.
    """
    iqn = values.target(target)
    number = values.session(sid)
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
    # The exit status is not reliable: without iscsid it is 21, as if there
    # were no session.
    deadline = time.monotonic() + _LOGGED_OUT_S
    while owned.session_target(number) is not None:
        if time.monotonic() > deadline:
            raise exception.InitiatorError(
                what, f'it is still there; iscsiadm: {said}; '
                + ('start iscsid' if said.startswith(_ISCSID_IS_DOWN)
                   else 'iscsid may still be trying to log in'))
        time.sleep(_RECORDS_PAUSE_S)


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('delete a node record', exception.InitiatorError)
def forget(target: str, address: str, port: int) -> None:
    """Delete the node record of a target at a portal, if there is one.

    :raises InitiatorError: if it stays.
    """
    iqn, portal = values.target(target), values.portal(address, port)
    if node_record.find(iqn, portal.address, portal.port):
        _forget(iqn, portal)


def _forget(target: str, portal: Portal) -> None:
    try:
        _change_record('delete a node record', target, portal, 'delete')
    except _DatabaseFailed as e:
        LOG.warning('%s Removing the file.', e)
    # iscsiadm skips records that it cannot read, or fails on them, such as
    # the empty one that it makes on a full file system.
    for record in node_record.find(target, portal.address, portal.port):
        node_record.remove(record)
    node_record.clear(target)


class _DatabaseFailed(exception.InitiatorError):
    """iscsiadm reports trouble with its database, maybe another record."""


def _change_record(what: str, target: str, portal: Portal,
                   operation: str) -> None:
    """Make or delete a node record, although others may do the same.

    :raises InitiatorError: if iscsiadm refuses.
    :raises _DatabaseFailed: if its database fails at every attempt.
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
