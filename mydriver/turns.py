# SPDX-License-Identifier: Apache-2.0
"""A lock with a queue and a limited wait.

A lock of :mod:`threading` goes to whoever asks while it is free: under load
that is the thread that has just released it and is still running, again and
again, and the others wait as long as the load lasts. Handing the lock over to
a sleeping thread each time would be fair, but costs a thread switch. So here
it goes to whoever asks until the first thread in the queue has waited for
some time, and then to that one.
"""

import collections
import dataclasses
import threading
import time
from types import TracebackType

from mydriver import exception


@dataclasses.dataclass(eq=False, slots=True)
class _Waiter:
    """A thread in the queue, which sleeps while ``awake`` is locked."""

    thread: int
    since: float
    awake: threading.Lock

    def wake(self) -> None:
        if self.awake.locked():
            self.awake.release()


class Turns:
    """A reentrant lock with a queue.

    :param what: what is waited for, for the error's text.
    :param timeout_s: how long a thread may wait for its turn.
    :param slots: how many threads may have their turn at the same time.
    :param patience_s: a thread that has waited this long comes next.
    """

    def __init__(self, what: str, timeout_s: float, slots: int = 1,
                 patience_s: float = 0.1) -> None:
        self._what = what
        self._timeout_s = timeout_s
        self._slots = slots
        self._patience_s = patience_s
        self._guard = threading.Lock()  # never held for long
        self._queue: collections.deque[_Waiter] = collections.deque()
        #: The threads whose turn it is, and how many times each took it.
        self._depths: dict[int, int] = {}

    @property
    def is_mine(self) -> bool:
        """Whether it is this thread's turn."""
        return threading.get_ident() in self._depths

    def __enter__(self) -> None:
        """Wait for this thread's turn.

        :raises WaitTimeout: when it does not come in time.
        """
        me = threading.get_ident()
        if me not in self._depths:
            with self._guard:
                waiter = self._ask(me)
            if waiter is not None:
                self._wait(waiter)
        self._depths[me] += 1

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """Give the turn to the next thread."""
        me = threading.get_ident()
        self._depths[me] -= 1
        if self._depths[me]:
            return
        with self._guard:
            del self._depths[me]
            self._call_next()

    def _ask(self, me: int) -> _Waiter | None:
        """Take a free slot, or return a place in the queue."""
        if len(self._depths) < self._slots and not self._is_impatient():
            self._depths[me] = 0
            return None
        waiter = _Waiter(me, time.monotonic(), threading.Lock())
        waiter.awake.acquire()
        self._queue.append(waiter)
        return waiter

    def _wait(self, waiter: _Waiter) -> None:
        try:
            while not self._is_up(waiter):
                pass
        except BaseException:  # a green thread may be killed here
            with self._guard:
                if waiter in self._queue:
                    self._queue.remove(waiter)
                else:
                    self._depths.pop(waiter.thread, None)
                self._call_next()
            raise

    def _is_up(self, waiter: _Waiter) -> bool:
        """Sleep until woken; tell whether it is the waiter's turn."""
        left = waiter.since + self._timeout_s - time.monotonic()
        woken = left > 0 and waiter.awake.acquire(timeout=left)
        with self._guard:
            if waiter.thread in self._depths:
                return True
            if len(self._depths) < self._slots:
                self._queue.remove(waiter)
                self._depths[waiter.thread] = 0
                self._call_next()  # there may be another slot
                return True
            if woken:
                return False
            raise exception.WaitTimeout(
                f'{self._what}; {len(self._queue) - 1} others wait',
                self._timeout_s)

    def _call_next(self) -> None:
        """Wake the first in the queue; if impatient, it gets the slot."""
        if self._queue and len(self._depths) < self._slots:
            impatient = self._is_impatient()
            waiter = self._queue[0]
            if impatient:
                self._queue.popleft()
                self._depths[waiter.thread] = 0
            waiter.wake()

    def _is_impatient(self) -> bool:
        return bool(self._queue) and (
            time.monotonic() - self._queue[0].since >= self._patience_s)
