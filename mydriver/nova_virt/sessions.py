# SPDX-License-Identifier: Apache-2.0
"""iSCSI sessions: made when missing, shared, ended when nobody needs them."""

from collections.abc import Iterator
import contextlib
import logging

from mydriver import exception, model
from mydriver.nova_virt.initiator import Initiator
from mydriver.nova_virt.locks import SessionLocks
from mydriver.nova_virt.sysfs import Session, Sysfs
from mydriver.nova_virt.waiting import wait_for

LOG = logging.getLogger(__name__)

#: Until a portal takes a TCP connection. Short, since a portal that is down
#: would otherwise cost every attach all of iscsid's patience.
REACH_TIMEOUT_S = 5
#: Until a target that took the connection has finished the login; less than a
#: call to the privileged daemon may take.
LOGIN_TIMEOUT_S = 45
#: Until a session that lost its connection has it again.
RECOVERY_TIMEOUT_S = 30
#: The same, where there may be another path.
PATH_RECOVERY_TIMEOUT_S = 5


class Sessions:
    """The sessions of this host.

    :param initiator: what may change them.
    :param sysfs: what shows them.
    :param locks: who may when.
    """

    def __init__(self, initiator: Initiator, sysfs: Sysfs,
                 locks: SessionLocks) -> None:
        self._initiator = initiator
        self._sysfs = sysfs
        self._locks = locks

    @contextlib.contextmanager
    def used(self, target: model.Iqn, portal: model.Portal,
             chap: model.ChapCredentials | None,
             patience_s: float = RECOVERY_TIMEOUT_S) -> Iterator[Session]:
        """Yield a working session, which nobody logs out meanwhile.

        :param target: IQN of the target.
        :param portal: where it is.
        :param chap: for a login, if one is needed.
        :param patience_s: how long a session may take to get its connection
            back.
        :raises LoginError: when there is no session to be had.
        """
        with self._locks.attaching(_key(target, portal)):
            with self._locks.deciding(_key(target, portal)):
                there = self._sysfs.session(target, portal)
                if not there:
                    self._log_in(target, portal, chap)
            yield self._working(target, portal, patience_s)

    def _log_in(self, target: model.Iqn, portal: model.Portal,
                chap: model.ChapCredentials | None) -> None:
        try:
            self._initiator.reach(portal, REACH_TIMEOUT_S)
        except OSError as e:
            raise exception.LoginError(
                str(target), str(portal), f'no TCP connection: {e}') from e
        self._initiator.login(str(target), portal, chap, LOGIN_TIMEOUT_S)
        LOG.info('Logged in to %s at %s', target, portal)

    def _working(self, target: model.Iqn, portal: model.Portal,
                 timeout_s: float) -> Session:
        """Wait until the session is logged in.

        :raises LoginError: when it does not get there.
        """
        def look() -> Session | None:
            session = self._sysfs.session(target, portal)
            works = session and self._sysfs.works(session)
            return session if works else None

        try:
            return wait_for(look, f'a session with {target} at {portal} in '
                            'state LOGGED_IN', timeout_s)
        except exception.WaitTimeout as e:
            raise exception.LoginError(
                str(target), str(portal), str(e).rstrip('.')) from e

    def release(self, target: model.Iqn, portal: model.Portal) -> bool:
        """Log out and delete the node record, unless somebody needs them.

        A session is needed while it has a SCSI device or while an attach on
        it is under way; the last one to let go ends it.

        :param target: IQN of the target.
        :param portal: where it is.
        :returns: whether there is no session now.
        :raises InitiatorError: when it could not be ended.
        """
        key = _key(target, portal)
        with (self._locks.deciding(key), self._locks.idle(key) as idle):
            if not idle:
                return False
            session = self._sysfs.session(target, portal)
            if session:
                if self._sysfs.devices(session):
                    return False
                self._initiator.logout(session)
                LOG.info('Logged out of %s at %s', target, portal)
            self._initiator.forget(str(target), portal)
        return True


def _key(target: model.Iqn, portal: model.Portal) -> str:
    """Return the name of a session as os-brick forms it for its lock."""
    return f'{portal}-{target}'
