# SPDX-License-Identifier: Apache-2.0
"""iSCSI sessions: made when missing, shared, ended when nobody needs them."""

import collections
from collections.abc import Iterator, Sequence
import contextlib
import logging
import threading
import time

from mydriver import exception, model
from mydriver.connection.iscsi import Path
from mydriver.initiator.locks import SessionLocks
from mydriver.initiator.sysfs import Session, Sysfs
from mydriver.initiator.verbs import Verbs
from mydriver.waiting import wait_for

LOG = logging.getLogger(__name__)

#: Until a portal answers a login at all, asked before iscsid is: one that says
#: nothing would otherwise cost every attach all of iscsid's patience.
#: The kernel's target serves one login at a time and waits 15 s for an
#: initiator that says nothing (TA_LOGIN_TIMEOUT, iscsi_target_core.h).
ANSWER_TIMEOUT_S = 16
#: The same for a portal that failed within the last while, if there may be
#: another path; and how long that while is.
AGAIN_TIMEOUT_S = 1
FAILED_LATELY_S = 60
#: Until the login is finished; more than iscsid's own patience (see
#: ``privileged/initiator``), less than a call to the privileged daemon may
#: take.
LOGIN_TIMEOUT_S = 45
#: Until a session that lost its connection has it again.
RECOVERY_TIMEOUT_S = 30
#: The same, where there may be another path.
PATH_RECOVERY_TIMEOUT_S = 5


class Sessions:
    """The sessions of this host.

    :param verbs: what may change them.
    :param sysfs: what shows them.
    :param locks: who may when.
    """

    def __init__(self, verbs: Verbs, sysfs: Sysfs,
                 locks: SessionLocks) -> None:
        self._verbs = verbs
        self._sysfs = sysfs
        self._locks = locks
        self._failed: dict[model.Portal, float] = {}
        # Attaches that have no session yet, by session.
        self._entering: collections.Counter[str] = collections.Counter()
        self._entering_lock = threading.Lock()

    def in_order(self, paths: Sequence[Path]) -> list[Path]:
        """Return paths in their order, those at failing portals last."""
        return sorted(paths, key=lambda p: self._failed_lately(p.portal))

    def _failed_lately(self, portal: model.Portal) -> bool:
        failed = self._failed.get(portal)
        return (failed is not None
                and time.monotonic() - failed < FAILED_LATELY_S)

    @contextlib.contextmanager
    def used(self, target: model.Iqn, portal: model.Portal,
             chap: model.ChapCredentials | None,
             patience_s: float = RECOVERY_TIMEOUT_S) -> Iterator[Session]:
        """Yield a working session, which nobody logs out meanwhile.

        :param target: IQN of the target.
        :param portal: where it is.
        :param chap: for a login, if one is needed.
        :param patience_s: how long a portal may take to answer, or a session
            to get its connection back; less than RECOVERY_TIMEOUT_S where
            there may be another path.
        :raises LoginError: when there is no session to be had.
        """
        key, came = _key(target, portal), time.monotonic()
        with self._locks.attaching(key):
            with self._enters(key), self._locks.deciding(key):
                there = self._sysfs.session(target, portal)
                if not there:
                    self._log_in(target, portal, chap, patience_s, came)
            yield self._working(target, portal, patience_s)

    @contextlib.contextmanager
    def _enters(self, key: str) -> Iterator[None]:
        """Count an attach that waits for its login, or for another one's."""
        with self._entering_lock:
            self._entering[key] += 1
        try:
            yield
        finally:
            with self._entering_lock:
                self._entering[key] -= 1
                self._entering += collections.Counter()  # drops zeros

    def _log_in(self, target: model.Iqn, portal: model.Portal,
                chap: model.ChapCredentials | None,
                patience_s: float, came: float) -> None:
        """Log in, with less patience for a portal that has just failed.

        :param came: since when this attach waits for its turn.
        """
        answer_s = min(patience_s, ANSWER_TIMEOUT_S)
        if ((patience_s < RECOVERY_TIMEOUT_S and self._failed_lately(portal))
                or self._failed.get(portal, came) > came):
            answer_s = min(answer_s, AGAIN_TIMEOUT_S)
        try:
            self._verbs.reach(portal, answer_s)
            self._verbs.login(str(target), portal, chap, LOGIN_TIMEOUT_S)
        except OSError as e:
            self._failed[portal] = time.monotonic()
            raise exception.LoginError(
                str(target), str(portal),
                f'the portal does not answer: {e}') from e
        except exception.LoginError:
            self._failed[portal] = time.monotonic()
            raise
        self._failed.pop(portal, None)
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
        it is under way; the last one to let go ends it. An attach that waits
        for a login is not waited for: a silent portal takes its time, and
        that attach releases the session itself when it fails.

        :param target: IQN of the target.
        :param portal: where it is.
        :returns: whether there is no session now.
        :raises InitiatorError: when it could not be ended.
        """
        key = _key(target, portal)
        if self._entering[key]:
            return False
        with (self._locks.deciding(key), self._locks.idle(key) as idle):
            if not idle:
                return False
            session = self._sysfs.session(target, portal)
            if session:
                if self._sysfs.devices(session):
                    return False
                self._verbs.logout(session)
                LOG.info('Logged out of %s at %s', target, portal)
            self._verbs.forget(str(target), portal)
        return True


def _key(target: model.Iqn, portal: model.Portal) -> str:
    """Return the name of a session as os-brick forms it for its lock."""
    return f'{portal}-{target}'
