# SPDX-License-Identifier: Apache-2.0
"""The watch of one object, with librados."""

import contextlib
import ctypes
import threading
from typing import Any

from oslo_log import log as logging

from mydriver import exception
from mydriver.ceph import bells, cluster, omap

LOG = logging.getLogger(__name__)


class Watch:
    """The watch of an object; it is kept when nobody listens any more.

    A handle of librados' is closed once at most, and never by Python's
    garbage collection: after an unwatch that timed out, a second one uses
    memory that was freed (seen with Ceph 16: rados.Watch.close and
    __dealloc__, IoCtxImpl::unwatch).

    :param lost: rung when it has to be renewed.
    """

    def __init__(self, objects: omap.RadosObjects, name: str, timeout_s: int,
                 lost: bells.Bell) -> None:
        self._objects = objects
        self._name = name
        self._timeout_s = timeout_s
        self._renewer = lost
        self._lock = threading.Lock()
        self._bells: tuple[bells.Bell, ...] = ()  # replaced, never changed
        self._handle: Any = None
        #: The pool that the handle depends on.
        self._pool: Any = None
        #: A callback says so; the handle itself says it later.
        self._is_lost = False

    def add(self, bell: bells.Bell) -> None:
        """Ring a bell from now on."""
        with self._lock:
            self._bells = (*self._bells, bell)

    def discard(self, bell: bells.Bell) -> None:
        """Do not ring a bell any more."""
        with self._lock:
            self._bells = tuple(b for b in self._bells if b is not bell)

    @property
    def is_alive(self) -> bool:
        """Whether there is a watch, as far as librados knows."""
        handle = self._handle
        if handle is None or self._is_lost or not self._is_connected:
            return False
        try:
            handle.check()
        except cluster.module('rados').Error:
            return False
        return True

    @property
    def _is_connected(self) -> bool:
        # librados aborts the process when its connection was closed.
        return self._pool is not None and self._pool.state == 'open'

    def renew(self) -> None:
        """Make a new watch."""
        was_there, self._is_lost = self._handle is not None, False
        try:
            with cluster.errors_translated(f'watch {self._name}'):
                pool = self._objects.pool()
                handle = pool.watch(self._name, self._notified, self._lost,
                                    self._timeout_s)
        except exception.MyDriverError as e:
            self._is_lost = True
            log = LOG.warning if was_there else LOG.debug
            log('%s Changes are noticed later until it can.', e)
            return
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))
        self.close()  # the old one; Ceph answers
        self._pool, self._handle = pool, handle
        self._ring()  # for what was announced meanwhile

    def close(self) -> None:
        """End the watch."""
        handle, self._handle = self._handle, None
        if handle is not None and self._is_connected:
            with contextlib.suppress(cluster.module('rados').Error):
                handle.close()

    # -- called in threads of librados

    def _notified(self, _notice: int, _notifier: int, _watch: int,
                  _data: bytes) -> None:
        self._ring()

    def _lost(self, watch: int, _error: int) -> None:
        handle = self._handle
        if handle is not None and handle.get_id() == watch:
            self._is_lost = True
            self._ring()
            self._renewer.ring()

    def _ring(self) -> None:
        for bell in self._bells:
            bell.ring()
