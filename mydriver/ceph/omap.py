# SPDX-License-Identifier: Apache-2.0
"""Small objects in Ceph whose content is an omap: atomic reads and changes.

One call is one operation on one object, which its primary OSD carries out as
a whole or not at all (``librados``, ``ObjectReadOperation`` and
``ObjectWriteOperation``). A change is on all replicas when it returns.
"""

from collections.abc import Collection, Mapping, Sequence
import dataclasses
import enum
import errno
from typing import Any, Protocol

from mydriver.ceph import blocking, cluster

#: How many keys an OSD returns for one range, by default
#: (``osd_max_omap_entries_per_request`` is 1024, and can be set lower).
MOST_KEYS = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """Keys that begin with a prefix, in order.

    :param prefix: of the keys.
    :param after: only keys that sort after this one.
    :param limit: how many at most.
    """

    prefix: str
    after: str = ''
    limit: int = MOST_KEYS


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What one read of an object returned.

    :param values: by key; a key that does not exist is missing. Not shown:
        they may be secrets.
    :param cut: what may be left of ranges that were returned in full length.
    """

    values: Mapping[str, str] = dataclasses.field(repr=False)
    cut: tuple[Range, ...] = ()


class Outcome(enum.Enum):
    """What became of a change."""

    DONE = 'done'
    #: A value was not the expected one; nothing was changed.
    DIFFERS = 'differs'
    #: There is no such object; nothing was changed.
    MISSING = 'missing'
    #: The object that was to be created exists; nothing was changed.
    EXISTS = 'exists'


class Present(enum.Enum):
    """What is expected of a key that must exist, whatever its value is."""

    PRESENT = 'present'


PRESENT = Present.PRESENT

#: Expected values by key; the empty text for a key that must not exist.
Where = Mapping[str, str | Present]


class Objects(Protocol):
    """The objects of one RADOS namespace of a pool. Thread-safe.

    :raises CephError: by any method, when the cluster does not answer or
        refuses. A change may be carried out in spite of that, even later.
    """

    @property
    def where(self) -> str:
        """Pool and namespace, for texts: ``POOL/NAMESPACE``."""

    def read(self, name: str, keys: Collection[str] = (),
             ranges: Sequence[Range] = ()) -> Found | None:
        """Read values of an object, all at the same moment.

        :param name: of the object.
        :returns: None when there is no such object.
        """

    def write(self, name: str, put: Mapping[str, str],
              remove: Collection[str] = (), *,
              where: Where | None = None,
              new: bool = False) -> Outcome:
        """Change an object, if its values are the expected ones.

        :param name: of the object.
        :param put: values to set, by key.
        :param remove: keys to remove.
        :param where: expected values.
        :param new: create the object, which must not exist.
        :raises ValueError: when an expected value is not ASCII.
        """


class RadosObjects:
    """The real ones, through librados.

    :param connection: to the cluster.
    :param namespace: RADOS namespace in the pool.
    """

    def __init__(self, connection: cluster.Cluster, namespace: str) -> None:
        self._cluster = connection
        self._namespace = namespace

    @property
    def where(self) -> str:
        """See :attr:`Objects.where`."""
        return f'{self._cluster.settings.pool}/{self._namespace}'

    def pool(self) -> Any:
        """Return the ``rados.Ioctx`` of the namespace.

        :raises CephError: when the cluster does not answer.
        """
        return self._cluster.pool(namespace=self._namespace)

    def read(self, name: str, keys: Collection[str] = (),
             ranges: Sequence[Range] = ()) -> Found | None:
        """See :meth:`Objects.read`."""
        pool = self.pool()
        with cluster.errors_translated(f'read {self.where}/{name}'):
            return _read(pool, name, keys, ranges)

    def write(self, name: str, put: Mapping[str, str],
              remove: Collection[str] = (), *,
              where: Where | None = None,
              new: bool = False) -> Outcome:
        """See :meth:`Objects.write`."""
        refuse_not_ascii(where or {})
        pool = self.pool()
        with cluster.errors_translated(f'write {self.where}/{name}'):
            return _write(pool, name, put, remove, where or {}, new)


class PoolObjects:
    """Objects of one connection, whose errors are librados' own.

    :class:`RadosObjects` goes on with another connection when one has ended.

    :param pool: librados' context of the pool.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @property
    def where(self) -> str:
        """See :attr:`Objects.where`."""
        return f'{self._pool.name}/'

    def read(self, name: str, keys: Collection[str] = (),
             ranges: Sequence[Range] = ()) -> Found | None:
        """See :meth:`Objects.read`."""
        return _read(self._pool, name, keys, ranges)

    def write(self, name: str, put: Mapping[str, str],
              remove: Collection[str] = (), *,
              where: Where | None = None,
              new: bool = False) -> Outcome:
        """See :meth:`Objects.write`."""
        refuse_not_ascii(where or {})
        return _write(self._pool, name, put, remove, where or {}, new)


def within(pool: Any) -> Objects:
    """Return the objects of a connection; see :class:`PoolObjects`."""
    return PoolObjects(pool)


@blocking.step
def _read(pool: Any, name: str, keys: Collection[str],
          ranges: Sequence[Range]) -> Found | None:
    rados = cluster.module('rados')
    with rados.ReadOpCtx() as operation:
        found = [pool.get_omap_vals_by_keys(operation, tuple(keys))[0]
                 ] if keys else []
        listed = [pool.get_omap_vals(
            operation, part.after, part.prefix, part.limit)[0]
            for part in ranges]
        try:
            pool.operate_read_op(operation, name)
        except rados.ObjectNotFound:
            return None
        # The iterators live in the operation.
        return _found([_text(rows) for rows in found],
                      [_text(rows) for rows in listed], ranges)


@blocking.step
def _write(pool: Any, name: str, put: Mapping[str, str],
           remove: Collection[str], where: Where, new: bool) -> Outcome:
    rados = cluster.module('rados')
    with rados.WriteOpCtx() as operation:
        if new:
            operation.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
        for key, value in where.items():
            # A key that does not exist compares as an empty value.
            operation.omap_cmp(key, *(
                ('', rados.LIBRADOS_CMPXATTR_OP_GT) if value is PRESENT
                else (value, rados.LIBRADOS_CMPXATTR_OP_EQ)))
        if put:
            pool.set_omap(operation, tuple(put), tuple(
                value.encode() for value in put.values()))
        if remove:
            pool.remove_omap_keys(operation, tuple(remove))
        try:
            pool.operate_write_op(operation, name)
        except rados.ObjectNotFound:
            return Outcome.MISSING
        except rados.ObjectExists:
            return Outcome.EXISTS
        except rados.Error as e:
            if getattr(e, 'errno', None) == errno.ECANCELED:
                return Outcome.DIFFERS
            raise
    return Outcome.DONE


def refuse_not_ascii(where: Where) -> None:
    """Check that values can be compared.

    librados' Python module takes the length of a value in characters, not in
    bytes, when it compares (Ceph 16, rados.pyx, ``WriteOp.omap_cmp``).

    :raises ValueError: when one of them is not ASCII.
    """
    for key, value in where.items():
        if value is not PRESENT and not value.isascii():
            raise ValueError(f'the value of {key} cannot be compared')


def _text(rows: Any) -> dict[str, str]:
    # What is not text is damaged; whoever parses it will say so.
    return {key: value.decode(errors='backslashreplace')
            for key, value in rows}


def _found(single: Sequence[Mapping[str, str]],
           listed: Sequence[Mapping[str, str]], ranges: Sequence[Range]
           ) -> Found:
    values: dict[str, str] = {}
    for rows in (*single, *listed):
        values.update(rows)
    return Found(values, tuple(
        dataclasses.replace(part, after=max(rows))
        for part, rows in zip(ranges, listed, strict=True)
        if len(rows) >= part.limit))
