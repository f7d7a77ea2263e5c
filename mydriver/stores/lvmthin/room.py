# SPDX-License-Identifier: Apache-2.0
"""How full a thin pool is, and when it accepts nothing new."""

from mydriver import exception, waiting
from mydriver.stores import base
from mydriver.stores.lvmthin import listing
from mydriver.stores.lvmthin import pool as thinpool

#: Above these limits nothing new is made: the rest of the data is for what
#: guests still write to existing volumes. Each new chunk takes some metadata,
#: and once that is full the pool is read-only. LVM refuses new volumes as
#: well, from 75 % of metadata on where it is small (lvm2,
#: lib/metadata/thin_manip.c, pool_below_threshold).
DATA_LIMIT_PERCENT = 95
METADATA_LIMIT_PERCENT = 75

#: How long a pool may have no device. When the first volume is created, LVM
#: replaces the pool's device by one of another name (``-tpool``), and whoever
#: looks in between sees neither.
ABSENCE_S = 10.0


def status(pool: thinpool.ThinPool) -> thinpool.Status:
    """Return the state of a pool that works.

    :raises StoreError: when it is not active, or has failed.
    :raises WaitTimeout: when the privileged daemon is busy for too long.
    """
    where = listing.location(pool)
    what = f'thin pool {where}'
    try:
        found = waiting.wait_for(pool.status, what, ABSENCE_S)
    except exception.WaitTimeout as e:
        if e.what != what:  # the question itself had to wait for too long
            raise
        raise exception.StoreError(f'use {what}', 'it is not active') from None
    if found.trouble:
        raise exception.StoreError(
            f'use thin pool {where}',
            f'{found.trouble} (data {found.data_percent} % full, metadata '
            f'{found.metadata_percent} %). See "A full thin pool" in the '
            'operations guide')
    return found


def capacity(pool: thinpool.ThinPool) -> base.Capacity:
    """Return the pool's room; without metadata there is none for data.

    :raises StoreError: when the pool does not work.
    """
    found = status(pool)
    free_bytes = found.data_bytes - found.data_used_bytes
    if found.metadata_percent >= METADATA_LIMIT_PERCENT:
        free_bytes = 0
    return base.Capacity(found.data_bytes, free_bytes,
                         sum(v.size_bytes for v in listing.ours(pool)))


def refuse_when_full(pool: thinpool.ThinPool) -> None:
    """Refuse to make anything new in a pool that is nearly full.

    :raises PoolFull: names the part that is nearly full, and the remedy.
    :raises StoreError: when the pool does not work.
    """
    found, where = status(pool), listing.location(pool)
    for part, percent, limit, remedy in (
            ('data', found.data_percent, DATA_LIMIT_PERCENT,
             f'-L +SIZE {where}) or delete volumes.'),
            ('metadata', found.metadata_percent, METADATA_LIMIT_PERCENT,
             f'--poolmetadatasize +SIZE {where}) or delete snapshots.')):
        if percent >= limit:
            raise exception.PoolFull(where, part, percent, limit,
                                     f'Extend it (lvextend {remedy}')
