# SPDX-License-Identifier: Apache-2.0
"""Snapshots, clones and reverts: thin snapshots of volumes in a pool.

A thin snapshot is a writable volume that shares the chunks of its source;
either can be removed without the other. Where an operation takes several
steps, the copy is tagged until the last (:mod:`.names`).
"""

from collections.abc import Iterator, Sequence
import contextlib

from oslo_log import log as logging

from mydriver import exception
from mydriver.stores import refusals
from mydriver.stores.lvmthin import listing, names, repair, room
from mydriver.stores.lvmthin import pool as thinpool

LOG = logging.getLogger(__name__)


def snapshot(pool: thinpool.ThinPool, source: str, name: str) -> None:
    """See :meth:`.VolumeStore.snapshot`."""
    lv = names.lv_name(name)
    size_bytes = listing.find(pool, source)[1]
    found = pool.device(lv)
    if found and found[1] == size_bytes:
        return
    _copy(pool, source, name)


def snapshot_group(pool: thinpool.ThinPool,
                   pairs: Sequence[tuple[str, str]]) -> None:
    """See :meth:`.VolumeStore.snapshot_group`."""
    wanted = {name: listing.find(pool, source)[1] for source, name in pairs}
    for name in wanted:
        names.lv_name(name)
    have = listing.backings(pool)
    todo = [(source, name) for source, name in pairs
            if have.get(name) != wanted[name]]
    made: list[str] = []
    try:
        for source, name in todo:
            _copy(pool, source, name, [names.UNFINISHED], active=False)
            made.append(names.lv_name(name))
        if made:
            _copy_together(
                pool, [names.lv_name(source) for source, _ in todo], made)
    except exception.MyDriverError:
        with contextlib.suppress(exception.MyDriverError):
            pool.remove(made)
        raise


def _copy_together(pool: thinpool.ThinPool, origins: Sequence[str],
                   copies: Sequence[str]) -> None:
    spent_s = pool.copy_together(list(zip(origins, copies, strict=True)))
    pool.untag(copies, names.UNFINISHED)
    pool.activate(copies)
    LOG.info('Took a consistent snapshot of %d volumes, which were suspended '
             'for %.1f ms', len(copies), spent_s * 1e3)


def clone(pool: thinpool.ThinPool, source: str, name: str,
          size_bytes: int) -> None:
    """See :meth:`.VolumeStore.clone`."""
    lv = names.lv_name(name)
    source_bytes = listing.find(pool, source)[1]
    refusals.refuse_small_clone(source, source_bytes, size_bytes)
    if source_bytes == size_bytes:
        _copy(pool, source, name)
        return
    _copy(pool, source, name, [f'{names.SIZE}{size_bytes}'])
    try:
        pool.extend(lv, size_bytes)
    except exception.MyDriverError:
        with contextlib.suppress(exception.MyDriverError):
            pool.remove([lv])
        raise


def revert(pool: thinpool.ThinPool, name: str, snapshot: str) -> None:
    """See :meth:`.VolumeStore.revert`: a copy replaces the volume."""
    lv, kept = names.lv_name(name), names.lv_name(snapshot)
    spare = names.spare_name(name)
    if pool.device(spare):  # an earlier attempt failed
        repair.settle(pool, spare, lv)
    size_bytes = listing.find(pool, name)[1]
    kept_bytes = listing.find(pool, snapshot)[1]
    refusals.refuse_large_snapshot(name, size_bytes, snapshot, kept_bytes)
    room.refuse_when_full(pool)
    pool.copy(kept, spare, [f'{names.SIZE}{size_bytes}'])
    if kept_bytes < size_bytes:
        pool.extend(spare, size_bytes)
    # The copy is complete: after a crash from here on, repair.settle()
    # renames it.
    pool.remove([lv])
    pool.rename(spare, lv)


def _copy(pool: thinpool.ThinPool, source: str, name: str,
          tags: Sequence[str] = (), *, active: bool = True) -> None:
    lv = names.lv_name(name)
    if pool.device(lv):
        refusals.refuse_taken(name)
    room.refuse_when_full(pool)
    with unless_taken(pool, name):
        pool.copy(names.lv_name(source), lv, tags, active=active)


@contextlib.contextmanager
def unless_taken(pool: thinpool.ThinPool, name: str) -> Iterator[None]:
    """Explain a failure: somebody else may have taken the name meanwhile."""
    try:
        yield
    except exception.StoreError:
        if name in listing.backings(pool):
            refusals.refuse_taken(name)
        raise
