# SPDX-License-Identifier: Apache-2.0
"""Which volumes there are in a thin pool, and which of them are backings."""

from mydriver import exception
from mydriver.stores.lvmthin import names
from mydriver.stores.lvmthin import pool as thinpool

#: What to do when LVM does not find a group or pool.
MISSING = ('Check that its disks are present, and that LVM on this host may '
           'use them (lvmdevices).')


def location(pool: thinpool.ThinPool) -> str:
    """Return ``GROUP/POOL``."""
    return f'{pool.group_name}/{pool.name}'


def present(pool: thinpool.ThinPool) -> list[thinpool.Volume]:
    """Return all volumes of the pool.

    LVM prints an empty list when the group is missing, and the other volumes
    of a group that has lost its pool. Neither means that there are none.

    :raises StoreError: when LVM does not find the pool.
    """
    found = pool.volumes()
    if all(v.name != pool.name for v in found):
        raise exception.StoreError(
            f'list thin pool {location(pool)}', 'LVM does not find it. '
            + MISSING.removesuffix('.'))
    return [v for v in found if v.pool == pool.name]


def ours(pool: thinpool.ThinPool) -> list[thinpool.Volume]:
    """Return the volumes of the pool that are ours, complete or not.

    :raises StoreError: when LVM does not find the pool.
    """
    return [v for v in present(pool) if names.is_ours(v.name)]


def backings(pool: thinpool.ThinPool) -> dict[str, int]:
    """Return the sizes in bytes of all backings, by their names.

    :raises StoreError: when LVM does not find the pool.
    """
    return {names.backing_name(v.name): v.size_bytes
            for v in ours(pool) if names.is_complete(v)}


def find(pool: thinpool.ThinPool, name: str) -> tuple[str, int]:
    """Return path and size in bytes of a backing's device.

    LVM is asked only where there is no device.

    :raises BackingNotFound: when there is no such backing.
    :raises StoreError: when its volume is not active.
    """
    lv = names.lv_name(name)
    device = pool.device(lv)
    if device is not None:
        return device
    if name not in backings(pool):
        raise exception.BackingNotFound(name, location(pool))
    raise exception.StoreError(
        f'use {name}', 'its logical volume is not active. Restart '
        f'cinder-volume, or run lvchange -ay -K on {pool.group_name}/{lv}')
