# SPDX-License-Identifier: Apache-2.0
"""Volumes of the pool that others made, and how they become backings."""

from mydriver import exception
from mydriver.stores import base, refusals
from mydriver.stores import names as backing_names
from mydriver.stores.lvmthin import listing, names
from mydriver.stores.lvmthin import pool as thinpool


def foreign(pool: thinpool.ThinPool) -> tuple[base.Foreign, ...]:
    """See :meth:`.VolumeStore.foreign`."""
    return tuple(sorted(
        (base.Foreign(v.name, v.size_bytes, _problem_of(v))
         for v in listing.present(pool) if names.is_foreign(v.name)),
        key=lambda f: f.name))


def adopt(pool: thinpool.ThinPool, source: str, name: str,
          size_bytes: int) -> None:
    """See :meth:`.VolumeStore.adopt`: extend the volume and rename it."""
    backing_names.check_source(source)
    lv = names.lv_name(name)
    refusals.refuse_odd_size(name, size_bytes)
    present = {v.name: v for v in listing.present(pool)}
    was_ours = backing_names.is_name(source)
    found = present.get(names.lv_name(source) if was_ours else source)
    if found is None and lv in present:
        return
    if found is None or not (was_ours or names.is_foreign(found.name)):
        raise exception.BackingNotFound(source, listing.location(pool))
    if lv in present:
        refusals.refuse_taken(name)
    refusals.refuse_adoption(source, found.size_bytes, size_bytes,
                             _problem_of(found))
    pool.adopt(found.name, lv, size_bytes)


def _problem_of(volume: thinpool.Volume) -> str | None:
    """Return why a volume cannot be adopted, None when it can."""
    if volume.open:
        return 'it is in use on this host'
    if not volume.active:
        return 'it is not active (lvchange -ay -K)'
    return None
