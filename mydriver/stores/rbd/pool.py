# SPDX-License-Identifier: Apache-2.0
"""The pool of a store: used for each operation, and recognised.

Calls have the deadlines of :mod:`mydriver.ceph.cluster`. A change that timed
out may still be carried out, so it is an error like any other, and what it
was part of is finished or undone by its intent (:mod:`.intents`).
"""

from collections.abc import Iterator
import contextlib
import errno
import secrets
from typing import Any

from mydriver import exception, model
from mydriver.ceph import blocking, clients, cluster, fence, monitors
from mydriver.stores import identity

OPTION = 'mydriver_rbd_pool'

#: Object with the store's part of its id. A pool that was emptied, or made
#: anew under the same name, has none.
MARKER = 'mydriver.store'
_TOKEN_BYTES = 8
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_REMEDY = ('Check that mydriver_rbd_ceph_conf names the cluster and '
           'mydriver_rbd_pool the pool that it was.')


class Pool:
    """The pool of a store, which must not be exchanged for another.

    :param settings: how it is reached.
    :param record: the id of the store that was there before.
    """

    def __init__(self, settings: cluster.Settings,
                 record: identity.Record) -> None:
        self.settings = settings
        self.name = settings.pool
        self._cluster = cluster.Cluster(settings)
        self._record = record

    @property
    def location(self) -> str:
        """The pool and the configuration that leads to it."""
        return f'{self.settings.pool} ({self.settings.conf})'

    @contextlib.contextmanager
    def work(self, what: str, needed_bytes: int = 0) -> Iterator[Any]:
        """Give librados' context of the pool; turn Ceph's errors into ours.

        :param what: the operation, for the text of errors.
        :param needed_bytes: room that it needs, for the text of StoreFull.
        :raises ConfigurationError: when it is another pool, or none.
        :raises StoreFull: when the cluster or the pool's quota is full.
        :raises StoreError: for any other error of Ceph.
        """
        errors = cluster.module('rados').Error, cluster.module('rbd').Error
        io = None
        try:
            io = self._cluster.pool()
            self._record.compare(self.store_id(io), self.location, _REMEDY,
                                 OPTION)
            yield io
        except errors as e:
            number = abs(getattr(e, 'errno', 0) or 0)
            if number in _NO_ROOM:
                raise exception.StoreFull(
                    self.location, needed_bytes, 0) from e
            if number == errno.ESHUTDOWN:
                # This client was fenced: only a new connection can go on.
                self._cluster.abandon(io)
            raise exception.StoreError(
                f'{what} in {self.location}', cluster.reason(e)) from e
        except exception.CephError as e:
            raise exception.StoreError(
                f'{what} in {self.location}', e.reason) from e

    def other(self, name: str) -> Any:
        """Return librados' context of another pool of the cluster.

        :raises ConfigurationError: when there is no such pool.
        """
        return self._cluster.pool(name)

    def client_of(self, io: Any) -> clients.Client:
        """Return the client that a context belongs to.

        :raises CephError: when its connection has been replaced.
        """
        return self._cluster.client_of(io)

    @property
    def fence(self) -> fence.Fence:
        """Keeps clients of the cluster from writing."""
        return fence.Fence(self._cluster)

    def fsid(self) -> str:
        """Return the id of the cluster."""
        return self._cluster.fsid()

    def monitors(self) -> tuple[model.Portal, ...]:
        """Return the addresses of the cluster's monitors."""
        return _monitors(self._cluster.handle())

    def ask(self, command: str, target: str = 'mon') -> Any:
        """Send a command to the monitors or the manager.

        :param command: as JSON.
        :param target: ``mon`` or ``mgr``.
        :returns: number of the error, 0 for none; output; text of the error.
        """
        return _ask(self._cluster.handle(), command, target)

    # -- identity

    def store_id(self, io: Any) -> str | None:
        """Return the id of the store in the pool, None where there is none.

        It holds the ids of cluster and pool: the marker alone would be the
        same in a copy of the pool.
        """
        token = _marker(io)
        return None if token is None else (
            f'{self.fsid()}-{io.get_pool_id()}-{token[:16]}')

    def is_known(self) -> bool:
        """Tell whether there is a record, or an id in the pool."""
        with self.work('look for the id of the store') as io:
            return (self._record.known() is not None
                    or self.store_id(io) is not None)

    def keep_identity(self) -> None:
        """Give the pool an id, unless it has one, and record it."""
        with self.work('mark the store') as io:
            if self.store_id(io) is None:
                self._mark(io)
            found = self.store_id(io)
            if found is not None:
                self._record.write(found)

    @blocking.step
    def _mark(self, io: Any) -> None:
        rados = cluster.module('rados')
        with rados.WriteOpCtx() as op, contextlib.suppress(
                rados.ObjectExists):
            op.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
            op.write_full(secrets.token_hex(_TOKEN_BYTES).encode())
            io.operate_write_op(op, MARKER)


# The connection has a lock, so it is not asked for within a step.

@blocking.step
def _monitors(handle: Any) -> tuple[model.Portal, ...]:
    return monitors.addresses(handle)


@blocking.step
def _ask(handle: Any, command: str, target: str) -> Any:
    call = handle.mgr_command if target == 'mgr' else handle.mon_command
    return call(command, b'')


@blocking.step
def _marker(io: Any) -> str | None:
    try:
        return str(io.read(MARKER).decode(errors='replace'))
    except cluster.module('rados').ObjectNotFound:
        return None
