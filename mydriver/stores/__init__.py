# SPDX-License-Identifier: Apache-2.0
"""Stores, which keep the data of volumes and snapshots."""

from collections.abc import Callable

from mydriver import exception
from mydriver.ceph import cluster
from mydriver.stores import base, identity
from mydriver.stores.lvmthin import store as lvmthin
from mydriver.stores.rbd import store as rbd
from mydriver.stores.reflink import store as reflink

#: The kind whose place is a pool of Ceph; see :func:`build_rbd`.
RBD = 'rbd'

_KINDS: dict[str, Callable[[str, identity.Record], base.VolumeStore]] = {
    'lvmthin': lambda place, record: lvmthin.LvmThinStore(
        place, record=record),
    'reflink': lambda place, record: reflink.ReflinkStore(
        place, record=record),
}


def build(kind: str, location: str,
          record: identity.Record | None = None) -> base.VolumeStore:
    """Return a store on this host without touching or checking its place.

    :param kind: value of the option ``mydriver_store``.
    :param location: value of ``mydriver_store_path``: for ``reflink`` a
        directory, for ``lvmthin`` ``GROUP`` or ``GROUP/POOL``.
    :param record: the id of the store that was there before; by default it
        is kept in memory.
    :raises ConfigurationError: when there is no such kind.
    """
    try:
        make = _KINDS[kind]
    except KeyError:
        raise exception.ConfigurationError(
            'mydriver_store', f'there is no store {kind!r}',
            f'Choose one of {", ".join(sorted([*_KINDS, RBD]))}.') from None
    return make(location, record or identity.Record())


def build_rbd(ceph: cluster.Settings, clone_depth: int = rbd.CLONE_DEPTH,
              record: identity.Record | None = None) -> base.VolumeStore:
    """Return a store in a pool of Ceph without connecting to it.

    :param ceph: how the pool is reached.
    :param clone_depth: value of ``mydriver_rbd_max_clone_depth``.
    :param record: as for :func:`build`.
    """
    return rbd.RbdStore(ceph, record or identity.Record(), clone_depth)
