# SPDX-License-Identifier: Apache-2.0
"""Tell other hosts that an object in Ceph has changed, and wait for that.

librados' watch and notify carry the news: within a millisecond, if all is
well. A notice may be lost all the same, together with a watch or before there
is one. So it only says that it is worth looking, and whoever waits also looks
from time to time without one (:func:`wait_for`).

librados calls back in threads of its own, in which nothing may wait, and which
in a service with green threads must not touch anything that eventlet has
replaced: no lock, no log. So a callback does one thing: it writes to eventfds
(:mod:`.bells`). A thread of its own renews watches that were lost.
"""

import atexit
from collections.abc import Callable, Iterator
import contextlib
import os
import threading
import time
from typing import Any, Protocol, TypeVar
import weakref

from oslo_log import log as logging

from mydriver import exception
from mydriver.ceph import bells, cluster, omap, watches

LOG = logging.getLogger(__name__)

T = TypeVar('T')

#: How long a watch outlives its connection. Meanwhile a notice is held for
#: it; who sent the notice does not wait for that.
WATCH_TIMEOUT_S = 10

#: How long a notice is held for a watch that does not answer.
_NOTICE_MS = 5000

#: How many notices of an object may be under way. When Ceph does not answer,
#: more of them would not help.
_MOST_UNDER_WAY = 4

#: How long to wait for the answers to notices when they are not needed.
_ANSWER_S = 1.0

#: How long the last callback may take.
_LAST_CALLBACK_S = 0.05

#: How often watches are looked after, unless a callback says that one is lost.
_RENEW_S = 1.0


class Notices(Protocol):
    """News of objects; thread-safe. No method raises errors of Ceph."""

    def ring(self, name: str) -> None:
        """Tell all who listen that an object has changed.

        It does not wait for anybody.
        """

    def listen(self, name: str
               ) -> contextlib.AbstractContextManager[bells.Bell]:
        """Return a context with a bell for an object.

        What is announced after it was entered rings the bell.
        """

    def close(self) -> None:
        """End all watches."""


def wait_for(notices: Notices, name: str, probe: Callable[[], T | None],
             what: str, timeout_s: float) -> T:
    """Look at an object until what is seen is as wanted.

    :param name: of the object.
    :param probe: looks once; called at first, after each notice, and from
        time to time.
    :param what: the condition, for the error: "waiting for {what}".
    :param timeout_s: how long to wait; longer, when Ceph does not answer.
    :returns: the first true value that ``probe`` returned.
    :raises WaitTimeout: when the time is up.
    """
    deadline = time.monotonic() + timeout_s
    with notices.listen(name) as bell:
        while True:
            left_s = deadline - time.monotonic()
            found = probe()
            if found:
                return found
            if left_s <= 0:
                raise exception.WaitTimeout(what, round(timeout_s, 1))
            bell.wait(left_s)


class RadosNotices:
    """Notices through librados.

    It should be closed before the connection is.

    :param objects: of the namespace.
    :param watch: listen with a watch. Without one, who waits looks more
        often; that is for services with green threads, in which librados must
        not block the thread that renews watches.
    :param watch_timeout_s: how long a watch outlives its connection.
    """

    def __init__(self, objects: omap.RadosObjects, *, watch: bool = True,
                 watch_timeout_s: int = WATCH_TIMEOUT_S) -> None:
        self._objects = objects
        self._watch = watch
        self._watch_timeout_s = watch_timeout_s
        self._lock = threading.Lock()
        self._reset()
        _OPEN.add(self)

    def ring(self, name: str) -> None:
        """See :meth:`Notices.ring`."""
        under_way = self._under_way.setdefault(name, [])
        under_way[:] = [c for c in under_way if not c.is_complete()]
        if len(under_way) >= _MOST_UNDER_WAY:
            return
        try:
            with cluster.errors_translated(f'announce a change of {name}'):
                under_way.append(self._objects.pool().aio_notify(
                    name, _ignore, '', _NOTICE_MS))
        except exception.MyDriverError as e:
            LOG.debug('Others will notice later: %s', e)

    @contextlib.contextmanager
    def listen(self, name: str) -> Iterator[bells.Bell]:
        """See :meth:`Notices.listen`."""
        if not self._watch:
            bell = bells.Bell(lambda: False)
            try:
                yield bell
            finally:
                bell.close()
            return
        watch = self._watch_of(name)
        bell = bells.Bell(lambda: watch.is_alive)
        watch.add(bell)
        try:
            yield bell
        finally:
            watch.discard(bell)
            bell.close()

    def close(self) -> None:
        """See :meth:`Notices.close`."""
        with self._lock:
            ended, thread = self._watches, self._thread
            under_way = self._under_way
            if self._pid != os.getpid():
                ended, thread, under_way = {}, None, {}
            wake = self._wake
            self._reset()
        if thread is not None:
            wake.ring()
            thread.join()
        for watch in ended.values():
            watch.close()
        for notices in under_way.values():
            _wait_for_answers(notices)
        wake.close()

    @property
    def is_used(self) -> bool:
        """Whether librados may call back."""
        return bool(self._watches or self._under_way)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._watches: dict[str, watches.Watch] = {}
        self._under_way: dict[str, list[Any]] = {}
        self._thread: threading.Thread | None = None
        self._wake = bells.Bell()

    def _watch_of(self, name: str) -> watches.Watch:
        with self._lock:
            if self._pid != os.getpid():  # librados does not survive a fork
                self._reset()
            if name not in self._watches:
                self._watches[name] = watches.Watch(
                    self._objects, name, self._watch_timeout_s, self._wake)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._renew, args=(self._watches, self._wake),
                    name='mydriver-watches', daemon=True)
                self._thread.start()
            self._wake.ring()
            return self._watches[name]

    def _renew(self, its: dict[str, watches.Watch], wake: bells.Bell
               ) -> None:
        """Renew watches that were lost, until these are not in use any more.

        That takes as long as Ceph does not answer, so nobody waits for it.
        """
        while its is self._watches:
            for watch in tuple(its.values()):
                if not watch.is_alive:
                    watch.renew()
            wake.wait(_RENEW_S)


def _ignore(*_result: object) -> None:
    """Take the result of a notice, in a thread of librados."""


def _wait_for_answers(notices: list[Any]) -> None:
    deadline = time.monotonic() + _ANSWER_S
    for notice in notices:
        while not notice.is_complete() and time.monotonic() < deadline:
            time.sleep(0.002)
        if notice.is_complete():
            notice.wait_for_complete_and_cb()


#: What is closed when the interpreter ends: a callback that comes after that
#: aborts the process.
_OPEN: weakref.WeakSet[RadosNotices] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    used = [notices for notices in tuple(_OPEN) if notices.is_used]
    for notices in used:
        notices.close()
    if used:  # Python cannot ask librados whether the last callback is over
        time.sleep(_LAST_CALLBACK_S)
