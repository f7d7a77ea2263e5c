# SPDX-License-Identifier: Apache-2.0
"""Keeps the session of a process, and settles what others have left.

Two threads of a process do it: one that shows signs of life and counts those
of others, and must never wait for anything else; and one that settles.
"""

from collections.abc import Callable
import contextlib
import os
import threading
import time
from typing import Any
import weakref

from oslo_log import log as logging

from mydriver import exception
from mydriver.stores.rbd import intents, pool, sessions, settling, trash

LOG = logging.getLogger(__name__)

#: Beats that it takes to tell that a process has died, and seconds that it may
#: take to fence it and to settle what it has left.
_BEATS = sessions.MOST_MISSED + 3
_SETTLE_S = 20.0

#: Pause between two looks into the trash, seconds, and how many images are
#: tried: without further deletions, nobody else would.
_TRASH_S = 60.0
_TRASHED = 32


class Keeper:
    """The sessions of a pool, kept in the background.

    :param its_pool: the pool.
    :param its_intents: the intents in it.
    :param its_sessions: the sessions that made these.
    """

    def __init__(self, its_pool: pool.Pool, its_intents: intents.Intents,
                 its_sessions: sessions.Sessions) -> None:
        self._pool = its_pool
        self._intents = its_intents
        self._sessions = its_sessions
        self._lock = threading.Lock()
        self._ending = threading.Lock()
        self._pid = 0
        self._settles = False
        self._kept: list[str] = []
        self._said: dict[str, str] = {}
        self._emptied_s = time.monotonic()
        #: The sessions that are over.
        self._over: list[sessions.Session] = []
        #: Whether other services use the pool, too.
        self.is_shared = False

    def start(self) -> None:
        """Start the threads, unless they run."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
        for step in (Keeper._beat, Keeper._settle):
            threading.Thread(
                target=_repeat, args=(weakref.ref(self), step), daemon=True,
                name=f'mydriver sessions of {self._pool.name}').start()

    def recover(self, io: Any) -> list[str]:
        """Settle what earlier runs of this service have left, at start-up.

        Only one run of a service exists at a time. What others have left is
        settled in the background, once they are known to be over.

        :returns: what is kept, with the reasons.
        """
        self._sessions.token(io)
        self._settles = True
        self.start()
        kept = []
        # A run that ends just now may show one more sign of life.
        for _ in range(3):
            kept = settling.end(
                self._pool, io, self._intents, self._sessions, self._earlier(
                    io))
            if not self._earlier(io):
                break
        return kept + self._settle_ownerless(io)

    def _earlier(self, io: Any) -> list[sessions.Session]:
        mine = self._sessions.service
        return [s for s in self._sessions.live(io) if mine
                and s.service == mine]

    def _settle_ownerless(self, io: Any) -> list[str]:
        """Settle intents without a session: an earlier release left those.

        Nobody can fence their owner. If other services may use the pool, they
        are kept.
        """
        kept = []
        # First: a session is recorded before its intents, and until they have
        # gone.
        found = intents.everything(io)
        known = {s.token for s in (*self._sessions.live(io),
                                   *self._sessions.ended(io))}
        for name, intent in sorted(found.items()):
            owner = intent.get('owner', '')
            if owner in known or self._sessions.is_ours(owner):
                continue
            if self.is_shared:
                kept.append(f'{name}: nobody knows who works on it. Stop '
                            'every cinder-volume of the cluster, and start '
                            'one without cluster in cinder.conf')
                continue
            try:
                settling.resume(self._pool, io, self._intents, name, intent)
            except exception.MyDriverError as e:
                kept.append(f'{name}, left by a crash: {e}')
        return kept

    def free(self, io: Any, name: str, *, but_claims: bool = False) -> None:
        """Settle what was left of a name, so that it can be worked on.

        While another process works on it, or may, it waits; as long as it
        takes to tell.

        :param but_claims: a claim need not go: the name is only read.
        :raises StoreError: when another process still works on it.
        """
        deadline = (time.monotonic() + _SETTLE_S
                    + _BEATS * self._sessions.beat_s)
        while True:
            intent = intents.find(io, name)
            if intent is None or (
                    but_claims and intent['do'] == intents.CLAIM):
                return
            if self._intents.is_left(name, intent):
                settling.resume(self._pool, io, self._intents, name, intent)
                return
            if self._over:
                self._end(io)
            if time.monotonic() > deadline:
                raise intents.busy(name)
            time.sleep(self._sessions.beat_s / 20)

    # -- in the background

    def _say(self, step: str, problem: str) -> None:
        """Log a problem once, as long as it is the same."""
        if problem and problem != self._said.get(step):
            LOG.warning('%s', problem)
        self._said[step] = problem

    def _beat(self) -> None:
        with self._pool.work('show a sign of life') as io:
            self._sessions.beat(io)
            self._over = self._sessions.look(io)

    def _settle(self) -> None:
        if not self._settles:
            return
        with self._pool.work('settle what was left') as io:
            self._end(io)
            for name, intent in intents.everything(io).items():
                if self._intents.is_left(name, intent):
                    with contextlib.suppress(exception.MyDriverError):
                        settling.resume(self._pool, io, self._intents, name,
                                        intent)
            if time.monotonic() - self._emptied_s >= _TRASH_S:
                self._emptied_s = time.monotonic()
                trash.empty(self._pool, io, _TRASHED)

    def _end(self, io: Any) -> None:
        """End sessions that are over, unless another thread is doing that."""
        if not self._ending.acquire(blocking=False):
            return
        try:
            over, self._over = self._over, []
            kept = settling.end(self._pool, io, self._intents,
                                self._sessions, over)
            if kept != self._kept:
                for one in kept:
                    LOG.error('Keeping %s', one)
            self._kept = kept
        finally:
            self._ending.release()


def _repeat(kept: 'weakref.ref[Keeper]', step: Callable[[Keeper], None]
            ) -> None:
    """Repeat a step of a keeper as long as it exists."""
    while (keeper := kept()) is not None:
        pause_s = keeper._sessions.beat_s
        del keeper
        time.sleep(pause_s)
        if (keeper := kept()) is None:
            return
        try:
            step(keeper)
        except exception.MyDriverError as e:
            keeper._say(step.__name__, str(e))
        except Exception:
            LOG.exception('The sessions of a pool are not kept')
        else:
            keeper._say(step.__name__, '')
