# SPDX-License-Identifier: Apache-2.0
"""Services that stand still before a step, and locks that they lose.

A step is what another service can see: an operation on Ceph or on a lock. Each
service works in an :class:`Actor`, a thread; nobody else stands still.
"""

from collections.abc import Callable, Iterator
import contextlib
import threading
from typing import Any

from tests.fakes import native, omap

#: More than anything takes here.
LONG_S = 20.0

#: Notified of everything that changes here.
_changed = threading.Condition()


class Actor(threading.Thread):
    """Does some work, and stands still before one of its steps.

    :param work: what it does.
    :param stop_at: number of the step; 0 for none.
    :ivar steps: how many it has begun.
    :ivar result: of the work.
    :ivar error: that the work ended with.
    """

    def __init__(self, work: Callable[[], Any], stop_at: int = 0) -> None:
        super().__init__(daemon=True)
        self.steps = 0
        self.result: Any = None
        self.error: Exception | None = None
        self.state = 'working'
        self._work = work
        self._stop_at = stop_at
        self._go_on = threading.Event()
        self.is_hidden = False

    def run(self) -> None:
        """Do the work."""
        try:
            self.result = self._work()
        except Exception as e:
            self.error = e
        self.now('done')

    def step(self) -> None:
        """Begin a step."""
        if self.is_hidden:
            return
        self.steps += 1
        if self.steps == self._stop_at:
            self.now('stopped')
            if not self._go_on.wait(LONG_S):
                raise AssertionError('it was not told to go on')

    def now(self, state: str) -> None:
        """Tell what it is doing."""
        with _changed:
            self.state = state
            _changed.notify_all()

    def until_idle(self) -> str:
        """Wait until it has come to its end, stands still, or waits."""
        with _changed:
            if not _changed.wait_for(lambda: self.state != 'working', LONG_S):
                raise AssertionError('it neither ends nor waits')
            return self.state

    def go_on(self) -> None:
        """Let it go on, if it stands still."""
        if self.state == 'stopped':
            self.now('working')
        self._go_on.set()


def step() -> None:
    """Begin a step of the service whose thread this is."""
    actor = threading.current_thread()
    if isinstance(actor, Actor):
        actor.step()


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Do what another host does, in this thread."""
    actor = threading.current_thread()
    if isinstance(actor, Actor):
        actor.is_hidden = True
    try:
        yield
    finally:
        if isinstance(actor, Actor):
            actor.is_hidden = False


class Locks:
    """As Cinder's coordinator, with locks in an etcd."""

    def __init__(self) -> None:
        self.holders: dict[str, Lock] = {}

    def get_lock(self, name: str) -> 'Lock':
        """Return a lock, which is not acquired."""
        return Lock(self, name)

    def lose(self) -> None:
        """End all leases."""
        with _changed:
            self.holders.clear()
            _changed.notify_all()


class Lock:
    """As ``tooz.drivers.etcd3gw.Etcd3Lock``."""

    def __init__(self, locks: Locks, name: str) -> None:
        self._locks = locks
        self.name = name

    def acquire(self, blocking: bool = True) -> bool:
        """Wait until nobody has the lock."""
        step()
        actor = threading.current_thread()
        with _changed:
            while self.name in self._locks.holders:
                if isinstance(actor, Actor):
                    actor.now('waiting')
                if not _changed.wait(LONG_S):
                    raise AssertionError(f'{self.name} is never released')
            if isinstance(actor, Actor):
                actor.now('working')
            self._locks.holders[self.name] = self
        return True

    def release(self) -> bool:
        """Release it, if it is still this one's."""
        step()
        with _changed:
            if self._locks.holders.get(self.name) is not self:
                return False
            del self._locks.holders[self.name]
            _changed.notify_all()
        return True

    def __enter__(self) -> 'Lock':
        self.acquire()
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()


class Objects(omap.FakeObjects):
    """Objects in Ceph: each operation is a step."""

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """See :meth:`.omap.Objects.read`."""
        step()
        return super().read(*args, **kwargs)

    def write(self, *args: Any, **kwargs: Any) -> Any:
        """See :meth:`.omap.Objects.write`."""
        step()
        return super().write(*args, **kwargs)


class NativeStore(native.NativeStore):
    """A store with native access: each change of a note is a step."""

    def native_notes(self, name: str) -> Any:
        """See :meth:`.native.NativeStore.native_notes`."""
        step()
        return super().native_notes(name)

    def add_native_user(self, name: str, user: str) -> Any:
        """See :meth:`.native.NativeStore.add_native_user`."""
        step()
        return super().add_native_user(name, user)

    def drop_native_user(self, *args: Any, **kwargs: Any) -> Any:
        """See :meth:`.native.NativeStore.drop_native_user`."""
        step()
        return super().drop_native_user(*args, **kwargs)
