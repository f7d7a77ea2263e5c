# SPDX-License-Identifier: Apache-2.0
"""The lease and the record of a target, in one RADOS object.

The lease is a lock of Ceph's own class ``lock`` (src/cls/lock in Ceph). Its
arguments are encoded here, because librados has no call that asserts a lock
within another operation, and because its Python module leaves the microseconds
of a duration unset: a lock for 2 s was seen to last 4.6 s.
"""

from collections.abc import Iterator
import contextlib
import errno
import struct
from typing import Any

from mydriver import exception
from mydriver.ceph import cluster
from mydriver.target.gateways.lease import Found
from mydriver.target.gateways.record import OwnershipRecord

#: Name of the lock, and key of the record in the object's omap.
_LOCK = 'owner'
_RECORD = 'record'

# cls_lock_types.h, ClsLockType and the flags.
_EXCLUSIVE = 1
_MUST_RENEW = 2


class RadosOwnership:
    """One target's lease and record; implements :class:`.lease.Ownership`.

    :param its: the cluster, with time-outs that suit the lease.
    :param target: the target's name.
    :param namespace: of RADOS objects, the backend's own.
    """

    def __init__(self, its: cluster.Cluster, target: str,
                 namespace: str = '') -> None:
        self._cluster = its
        self._target = target
        self._namespace = namespace
        self._object = f'mydriver.owner.{target}'

    def create(self) -> None:
        """Make the record of a new target, unless the object exists.

        To be called only for a target that is being made: where it was lost
        later, nobody knows whom to fence.

        :raises CephError: when Ceph does not answer.
        """
        rados = cluster.module('rados')
        with self._operation('record a new target', errno.EEXIST) as op:
            op.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
            self._set(op, OwnershipRecord())

    def acquire(self, cookie: str, duration_s: float) -> bool:
        """Ask for the lease.

        :returns: False when somebody has it, also under the same cookie.
        :raises OwnershipDamaged: when the target has no record.
        :raises CephError: when Ceph does not answer.
        """
        rados = cluster.module('rados')
        result = _Result()
        with self._operation('grant a lease', errno.EBUSY, errno.EEXIST,
                             errno.ECANCELED, errno.ENOENT, result=result
                             ) as op:
            # Locking would create an object that has been lost.
            op.omap_cmp(_RECORD, '', rados.LIBRADOS_CMPXATTR_OP_GT)
            op.execute('lock', 'lock', _lock(cookie, duration_s))
        if result.error in (errno.ECANCELED, errno.ENOENT):
            raise exception.OwnershipDamaged(self._target, 'there is none')
        return not result.error

    def renew(self, cookie: str, duration_s: float) -> bool:
        """Extend the lease. One that has ended is not revived.

        :returns: False when the lease is not, or no longer, that of the
            cookie.
        :raises CephError: when Ceph does not answer.
        """
        result = _Result()
        with self._operation('renew a lease', errno.EBUSY, errno.ENOENT,
                             result=result) as op:
            op.execute('lock', 'lock', _lock(cookie, duration_s, _MUST_RENEW))
        return not result.error

    def release(self, cookie: str) -> None:
        """End the lease, if it is that of the cookie.

        :raises CephError: when Ceph does not answer.
        """
        with self._operation('end a lease', errno.ENOENT) as op:
            op.execute('lock', 'unlock', _encoded(
                _text(_LOCK), _text(cookie)))

    def read(self) -> Found:
        """Return the record.

        :raises OwnershipDamaged: when there is none, or it is damaged.
        :raises CephError: when Ceph does not answer.
        """
        rados = cluster.module('rados')
        pool = self._pool()
        with cluster.errors_translated(f'read {self._object}'):
            try:
                with rados.ReadOpCtx() as op:
                    values, _ = pool.get_omap_vals_by_keys(op, (_RECORD,))
                    pool.operate_read_op(op, self._object)
                    found = dict(values)
            except rados.ObjectNotFound:
                found = {}
        if _RECORD not in found:
            raise exception.OwnershipDamaged(self._target, 'there is none')
        try:
            # The module returns None for a value of no bytes.
            stored = bytes(found[_RECORD] or b'').decode('ascii')
        except UnicodeDecodeError as e:
            raise exception.OwnershipDamaged(
                self._target, 'it is not ASCII') from e
        return Found(OwnershipRecord.parse(self._target, stored), stored)

    def write(self, cookie: str, its: OwnershipRecord, replaced: Found
              ) -> bool:
        """Write the record, if the lease is held and it has not changed.

        :returns: False when the lease is not that of the cookie, or the record
            is another one.
        :raises CephError: when Ceph does not answer.
        """
        result = _Result()
        with self._operation('write a record', errno.EBUSY, errno.ENOENT,
                             errno.ECANCELED, result=result) as op:
            op.execute('lock', 'assert_locked', _encoded(
                _text(_LOCK), bytes((_EXCLUSIVE,)), _text(cookie), _text('')))
            op.omap_cmp(_RECORD, replaced.stored)
            self._set(op, its)
        return not result.error

    def _set(self, op: Any, its: OwnershipRecord) -> None:
        self._pool().set_omap(op, (_RECORD,), (its.dump().encode(),))

    def _pool(self) -> Any:
        return self._cluster.pool(namespace=self._namespace)

    @contextlib.contextmanager
    def _operation(self, what: str, *expected: int,
                   result: '_Result | None' = None) -> Iterator[Any]:
        """Carry out one atomic operation on the object.

        :param expected: errors that are answers; in ``result`` afterwards.
        """
        rados = cluster.module('rados')
        pool = self._pool()
        with (cluster.errors_translated(f'{what} ({self._object})'),
              rados.WriteOpCtx() as op):
            yield op
            try:
                pool.operate_write_op(op, self._object)
            except rados.Error as e:
                number = abs(getattr(e, 'errno', None) or 0)
                if number not in expected:
                    raise
                if result is not None:
                    result.error = number


class _Result:
    """How an operation ended: an error number, 0 when it was done."""

    error = 0


def _lock(cookie: str, duration_s: float, flags: int = 0) -> bytes:
    """Encode the argument of ``lock.lock``: cls_lock_ops.h, lock_op."""
    seconds, fraction = divmod(duration_s, 1)
    return _encoded(
        _text(_LOCK), bytes((_EXCLUSIVE,)), _text(cookie), _text(''),
        _text(''), struct.pack('<II', int(seconds), int(fraction * 10**9)),
        bytes((flags,)))


def _encoded(*parts: bytes) -> bytes:
    """Encode a struct of version 1: include/encoding.h, ENCODE_START."""
    body = b''.join(parts)
    return struct.pack('<BBI', 1, 1, len(body)) + body


def _text(text: str) -> bytes:
    """Encode a string: include/encoding.h."""
    data = text.encode()
    return struct.pack('<I', len(data)) + data
