# SPDX-License-Identifier: Apache-2.0
"""The lock of a volume, and the proof that it is still held.

A lock in etcd or Redis ends when its holder is silent for too long. A service
that was stopped, and goes on, does not notice. Heartbeats come too late, and
not all drivers of tooz can tell who holds a lock. All of them tell whether a
lock that is released was still theirs, from one operation that compares the
holder (``Etcd3Lock.release``, ``RedisLock.release``).
"""

from collections.abc import Iterator
import contextlib
from typing import Any

from cinder import coordination
from oslo_log import log as logging

from mydriver import exception
from mydriver.cinder_volume import parts

LOG = logging.getLogger(__name__)


class Held:
    """The lock of a volume, which was acquired.

    :param lock: tooz's.
    :param volume_id: of the backing.
    :param is_shared: other services may get it, too.
    """

    def __init__(self, lock: Any, volume_id: str, *, is_shared: bool) -> None:
        self._lock = lock
        self._volume_id = volume_id
        self._is_shared = is_shared
        self._is_held = True

    def prove(self, user: str) -> None:
        """Check that the lock has been held until now, without a gap.

        So nobody else who takes it has changed what was read since it was
        acquired. Afterwards it is held again, but others may have had it in
        between: what is done then has to compare versions. The caller holds no
        lock that these may wait for.

        :param user: who is being detached, for errors.
        :raises Overtaken: when the lock was lost, or nobody knows.
        """
        if not self._is_shared:
            return
        try:
            self._is_held = self._lock.release()
        except Exception as e:  # of any driver of tooz
            raise exception.Overtaken(
                self._volume_id, user, 'it is unknown whether this service '
                f'still has the lock of the volume ({e})') from e
        if not self._is_held:
            raise exception.Overtaken(
                self._volume_id, user, 'this service has stood still, and '
                'has lost the lock of the volume')
        self._is_held = False
        self._is_held = self._lock.acquire()

    def end(self) -> None:
        """Release the lock; a failure is logged."""
        if not self._is_held:
            return
        try:
            self._lock.release()
        except Exception as e:  # the same; the work is done
            LOG.error('The lock of volume %s cannot be released: %s',
                      self._volume_id, e)


@contextlib.contextmanager
def held(volume_id: str, *, is_shared: bool) -> Iterator[Held]:
    """Hold the lock that :data:`.parts.LOCK` names.

    :param volume_id: of the backing.
    :param is_shared: other services may get it, too.
    """
    lock = coordination.COORDINATOR.get_lock(parts.LOCK_PREFIX + volume_id)
    lock.acquire()
    its = Held(lock, volume_id, is_shared=is_shared)
    try:
        yield its
    finally:
        its.end()
