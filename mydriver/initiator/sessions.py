# SPDX-License-Identifier: Apache-2.0
"""iSCSI sessions: opened on demand, shared, closed by the last user."""

import collections
from collections.abc import Iterator, Sequence
import contextlib
import logging
import threading
import time

from mydriver import events, exception, model
from mydriver.connection.iscsi import Path
from mydriver.initiator.locks import SessionLocks
from mydriver.initiator.sysfs import Session, Sysfs
from mydriver.initiator.verbs import Verbs
from mydriver.waiting import wait_for

LOG = logging.getLogger(__name__)

#: How long a portal may take to answer a login of ours, which comes before
#: iscsid's: at a silent portal each attach would wait for iscsid to give up.
#: The kernel target serves one login at a time and waits 15 s for a silent
#: initiator (TA_LOGIN_TIMEOUT, iscsi_target_core.h).
ANSWER_TIMEOUT_S = 16
#: The same for a portal that has failed recently, if there may be another
#: path; and for how long a failure is recent.
AGAIN_TIMEOUT_S = 1
FAILED_LATELY_S = 60
#: How long a login may take: longer than iscsid tries (see
#: ``privileged/initiator/sessions.py``), shorter than a privileged call may
#: take.
LOGIN_TIMEOUT_S = 45
#: How long a session that lost its connection may take to recover.
RECOVERY_TIMEOUT_S = 30
#: The same, if there may be another path.
PATH_RECOVERY_TIMEOUT_S = 5


class Sessions:
    """The sessions of this host.

    :param verbs: change them.
    :param sysfs: reads them.
    :param locks: order logins, attaches and logouts.
    """

    def __init__(self, verbs: Verbs, sysfs: Sysfs,
                 locks: SessionLocks) -> None:
        self._verbs = verbs
        self._sysfs = sysfs
        self._locks = locks
        self._failed: dict[model.Portal, float] = {}
        # Number of attaches that wait for a login, by session.
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
        """Yield a session that works; nobody logs out of it meanwhile.

        :param target: IQN of the target.
        :param portal: where the target listens.
        :param chap: credentials, in case a login is needed.
        :param patience_s: how long a portal may take to answer, or a session
            to recover; less than RECOVERY_TIMEOUT_S if there may be another
            path.
        :raises LoginError: if there is no session and none can be made.
        """
        key, came = _key(target, portal), time.monotonic()
        with self._locks.attaching(key):
            with events.phase('login'):
                with self._enters(key), self._locks.deciding(key):
                    there = self._sysfs.session(target, portal)
                    if not there:
                        self._log_in(target, portal, chap, patience_s, came)
                session = self._working(target, portal, patience_s)
            yield session

    @contextlib.contextmanager
    def _enters(self, key: str) -> Iterator[None]:
        """Count an attach that waits for its own or another's login."""
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
        """Log in; a portal that has just failed gets less time.

        :param came: when this attach began to wait for its turn.
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

        :raises LoginError: if it is not in time.
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
                str(target), str(portal), str(e).rstrip('.') + '; if iscsid '
                'uses a whole core, restart it, which keeps sessions and '
                'disks') from e

    def release(self, target: model.Iqn, portal: model.Portal) -> bool:
        """Log out and delete the node record, unless they are needed.

        A session is needed while it has a SCSI device or while an attach uses
        it; whoever finishes last ends it. This does not wait for an attach
        that waits for a login, which takes long at a silent portal: that
        attach releases the session itself if it fails.

        :param target: IQN of the target.
        :param portal: where the target listens.
        :returns: whether there is no session now.
        :raises InitiatorError: if the session could not be ended.
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
    """Return the name that os-brick's lock has for a session."""
    return f'{portal}-{target}'
