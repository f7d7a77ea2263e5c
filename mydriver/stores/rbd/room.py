# SPDX-License-Identifier: Apache-2.0
"""How full a pool is, and when it accepts nothing new."""

import json
from typing import Any

from oslo_utils import units

from mydriver import exception
from mydriver.stores import base
from mydriver.stores.rbd import images, listing, pool

#: With less than this free, nothing new is created. Ceph stops all writes
#: when an OSD is full, and after a snapshot guests need room to overwrite
#: data.
_RESERVED_PERCENT = 5
_MOST_RESERVED_BYTES = 16 * units.Gi


def capacity(its_pool: pool.Pool, io: Any) -> base.Capacity:
    """Return the pool's room, as the manager knows it."""
    total_bytes, free_bytes = _figures(its_pool)
    found = images.sizes(io, listing.backings(io).values())
    return base.Capacity(total_bytes, free_bytes, sum(found.values()))


def refuse_when_full(its_pool: pool.Pool, needed_bytes: int = 0) -> None:
    """Refuse to make anything new in a pool that is nearly full.

    :param needed_bytes: for the text of the error.
    :raises StoreFull: when it is.
    """
    total_bytes, free_bytes = _figures(its_pool)
    if free_bytes < min(total_bytes * _RESERVED_PERCENT // 100,
                        _MOST_RESERVED_BYTES):
        raise exception.StoreFull(its_pool.location, needed_bytes, free_bytes)


def _figures(its_pool: pool.Pool) -> tuple[int, int]:
    """Return the size of a pool and what is free in it, in bytes.

    Replicas are taken off. A quota of the pool limits both.
    """
    found = [p for p in _asked(its_pool, {'prefix': 'df'})['pools']
             if p['name'] == its_pool.name]
    if not found:
        raise exception.StoreError(
            f'measure {its_pool.location}', 'Ceph has no figures of it. Check '
            'that a manager (ceph-mgr) is running')
    stats = found[0]['stats']
    used_bytes, free_bytes = int(stats['stored']), int(stats['max_avail'])
    quota = int(_asked(its_pool, {
        'prefix': 'osd pool get-quota', 'pool': its_pool.name}
        )['quota_max_bytes'])
    if quota:
        free_bytes = min(free_bytes, max(0, quota - used_bytes))
    return used_bytes + free_bytes, free_bytes


def _asked(its_pool: pool.Pool, command: dict[str, str]) -> Any:
    number, out, text = its_pool.ask(
        json.dumps({**command, 'format': 'json'}))
    if number:
        raise exception.StoreError(f'measure {its_pool.location}', text)
    return json.loads(out)
