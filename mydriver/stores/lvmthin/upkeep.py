# SPDX-License-Identifier: Apache-2.0
"""The care of a thin pool: bring it up, check it, keep it from being full."""

from collections.abc import Sequence
import re

from oslo_log import log as logging

from mydriver import exception, waiting
from mydriver.stores import identity, names
from mydriver.stores.lvmthin import pool as thinpool

LOG = logging.getLogger(__name__)

OPTION = identity.OPTION

#: Above these nothing new is made. What guests may still write is the rest of
#: the data; of metadata each new chunk takes some, and when it is full the
#: whole pool is read-only. From that percentage on LVM refuses as well, where
#: metadata is small (lvm2, lib/metadata/thin_manip.c, pool_below_threshold).
DATA_LIMIT_PERCENT = 95
METADATA_LIMIT_PERCENT = 75

#: Tag of a volume that a group's snapshot is still being made of.
UNFINISHED = 'mydriver.unfinished'
#: Begins the tag of a volume that is whole only with so many bytes.
SIZE = 'mydriver.size='

#: How long a device may be suspended by somebody who will resume it.
PATIENCE_S = 30.0

#: How long a pool may be away. With its first volume LVM takes its device
#: down, and brings it up under another name (``-tpool``): who looks meanwhile,
#: for a second volume or for the room that is left, sees neither.
ABSENCE_S = 10.0

GIB = 1024 ** 3
_MIB = 1024 ** 2
_KIB = 1024
#: Arguments of one command.
_AT_ONCE = 200

_REVERT = '_revert-'

_MISSING = ('See that its disks are there, and that LVM on this host may use '
            'them (lvmdevices).')


# -- names

def lv_name(name: str) -> str:
    """Return LVM's name, which must not begin with "snapshot"."""
    names.check_name(name)
    return f'_{name}' if name.startswith('snapshot') else name


def spare_name(name: str) -> str:
    """Return LVM's name of what will replace a backing at a revert."""
    return re.sub('^(volume|snapshot)-', _REVERT, names.check_name(name))


def is_ours(lv: str) -> bool:
    """Tell whether LVM's name is one of those that we make."""
    return (is_spare(lv)
            or (names.is_name(lv) and not lv.startswith('snapshot'))
            or (lv.startswith('_snapshot') and names.is_name(lv[1:])))


def is_spare(lv: str) -> bool:
    """Tell whether LVM's name is one of :func:`spare_name`."""
    return lv.startswith(_REVERT) and names.is_name(replaced_by(lv))


def replaced_by(spare: str) -> str:
    """Return the name of the volume whose place a copy is to take."""
    return f'volume-{spare.removeprefix(_REVERT)}'


def is_whole(volume: thinpool.Volume) -> bool:
    """Tell whether nothing is missing of a volume."""
    return (UNFINISHED not in volume.tags
            and not is_spare(volume.name)
            and is_as_large(volume))


def is_as_large(volume: thinpool.Volume) -> bool:
    """Tell whether a volume has the size that it was to get."""
    # A tag with something else than a number is none of ours.
    wanted = (tag.removeprefix(SIZE) for tag in volume.tags
              if tag.startswith(SIZE))
    return all(volume.size_bytes >= int(size) for size in wanted
               if size.isdecimal())


def there(pool: thinpool.ThinPool) -> list[thinpool.Volume]:
    """Return all volumes of the pool.

    LVM shows an empty list where the group is missing, and of a group that
    lost its pool what else is there. Neither says that there are no volumes.

    :raises StoreError: when there is no such pool.
    """
    found = pool.volumes()
    if all(v.name != pool.name for v in found):
        raise exception.StoreError(
            f'look at thin pool {place(pool)}', 'LVM does not find it. '
            + _MISSING.removesuffix('.'))
    return [v for v in found if v.pool == pool.name]


def ours(pool: thinpool.ThinPool) -> list[thinpool.Volume]:
    """Return the volumes of the pool that are ours, whole or not.

    :raises StoreError: when there is no such pool.
    """
    return [v for v in there(pool) if is_ours(v.name)]


def place(pool: thinpool.ThinPool) -> str:
    """Return ``GROUP/POOL``."""
    return f'{pool.group_name}/{pool.name}'


# -- life

def prepare(pool: thinpool.ThinPool, record: identity.Record, *,
            makes_pool: bool) -> None:
    """Bring a pool and its volumes up, as after a boot.

    Hosts may leave volumes inactive, and a crash may leave some suspended.

    :param record: the id of the pool that was there before.
    :param makes_pool: make the pool when there never was one.
    """
    recognise(pool, record)
    found = _find(pool)
    if found is None and makes_pool:
        _make(pool)
    elif found is None:
        raise _no_pool(pool)
    if pool.status() is None:
        pool.activate([])
    idle = _idle(pool)
    for at in range(0, len(idle), _AT_ONCE):
        try:
            pool.activate(idle[at:at + _AT_ONCE])
        except exception.StoreError as e:  # LVM brings up all the others
            left = sorted({*_idle(pool)} & {*idle[at:at + _AT_ONCE]})
            LOG.error('%s of %s cannot be activated: %s',
                      ', '.join(left), place(pool), e)
    _resume(pool, [v.name for v in ours(pool)])


def _idle(pool: thinpool.ThinPool) -> list[str]:
    """Return the volumes that are whole and not active."""
    return [v.name for v in ours(pool) if not v.active and is_whole(v)]


def recognise(pool: thinpool.ThinPool, record: identity.Record) -> str | None:
    """Return the id of a pool, when it is the one that was there before.

    :returns: None where there is no pool, and never was one.
    :raises ConfigurationError: when it is another one, or gone.
    """
    found = _find(pool)
    uuid = found.uuid if found else None
    record.compare(uuid, place(pool), _MISSING)
    return uuid


def check(pool: thinpool.ThinPool, record: identity.Record) -> None:
    """See that there is a pool that fits, and that it is in order."""
    group = group_of(pool)
    recognise(pool, record)
    if GIB % group.extent_bytes:
        raise _wrong(
            f'volume group {pool.group_name} has extents of '
            f'{group.extent_bytes} bytes, and 1 GiB is not a multiple of '
            'them', 'Use a group with the default of 4 MiB.')
    found = _find(pool)
    if found is None:
        raise _no_pool(pool)
    _check_kind(place(pool), found)
    status(pool)


def group_of(pool: thinpool.ThinPool) -> thinpool.Group:
    """Return the volume group.

    :raises ConfigurationError: when there is none.
    """
    group = pool.group()
    if group is None:
        raise _wrong(f'there is no volume group {pool.group_name}',
                     'Make it (pvcreate, vgcreate), and see that LVM on this '
                     'host may use its disks (lvmdevices).')
    return group


def _no_pool(pool: thinpool.ThinPool) -> exception.ConfigurationError:
    return _wrong(f'there is no thin pool {place(pool)}',
                  'Make it with lvcreate --type thin-pool; or name the volume '
                  'group alone, and cinder-volume makes one when it starts.')


def _find(pool: thinpool.ThinPool) -> thinpool.Volume | None:
    group_of(pool)
    return next((v for v in pool.volumes() if v.name == pool.name), None)


def _make(pool: thinpool.ThinPool) -> None:
    data_bytes, metadata_bytes, chunk_kib = plan(group_of(pool).free_bytes)
    if data_bytes < GIB:
        raise _wrong(
            f'volume group {pool.group_name} has no room for a thin pool of '
            '1 GiB', 'Add a disk (vgextend), or name a thin pool that is '
            'there as GROUP/POOL.')
    LOG.info('Making thin pool %s of %d MiB, with %d MiB of metadata',
             place(pool), data_bytes // _MIB, metadata_bytes // _MIB)
    pool.make(data_bytes, metadata_bytes, chunk_kib)


def _resume(pool: thinpool.ThinPool, lvs: Sequence[str]) -> None:
    """Resume volumes that nobody else resumes."""
    def suspended() -> list[str]:
        return [lv for lv in lvs if pool.is_suspended(lv)]

    try:
        waiting.wait_for(lambda: not suspended(), 'suspended volumes',
                         PATIENCE_S)
    except exception.WaitTimeout:
        if left := suspended():
            LOG.warning('Resuming %s', ', '.join(left))
            pool.resume(left)


# -- how full it is

def status(pool: thinpool.ThinPool) -> thinpool.Status:
    """Return the pool's state.

    :raises StoreError: when it cannot serve.
    """
    found = _seen(pool)
    if found is None:
        raise exception.StoreError(
            f'use thin pool {place(pool)}', 'it is not active')
    if found.trouble:
        raise exception.StoreError(
            f'use thin pool {place(pool)}',
            f'{found.trouble} (data {found.data_percent} % full, metadata '
            f'{found.metadata_percent} %). See "A full thin pool" in the '
            'operations guide')
    return found


def _seen(pool: thinpool.ThinPool) -> thinpool.Status | None:
    """Return the pool's state; None when it stays inactive."""
    try:
        return waiting.wait_for(pool.status, f'thin pool {place(pool)}',
                                ABSENCE_S)
    except exception.WaitTimeout:
        return None


def check_room(pool: thinpool.ThinPool) -> None:
    """Refuse to make anything new in a pool that is nearly full.

    :raises PoolFull: with the part that is, and the remedy.
    """
    found = status(pool)
    for part, percent, limit, remedy in (
            ('data', found.data_percent, DATA_LIMIT_PERCENT,
             f'-L +SIZE {place(pool)}) or delete volumes.'),
            ('metadata', found.metadata_percent, METADATA_LIMIT_PERCENT,
             f'--poolmetadatasize +SIZE {place(pool)}) or delete snapshots.'
             )):
        if percent >= limit:
            raise exception.PoolFull(place(pool), part, percent, limit,
                                     f'Extend it (lvextend {remedy}')


def plan(free_bytes: int) -> tuple[int, int, int]:
    """Return how to make a pool of the free room of a group.

    A mapping takes about 64 bytes of metadata (thin_metadata_size(8)). There
    is room for as many as twice the chunks, since snapshots that went apart
    have their own; and the group keeps room for as much metadata twice more,
    a spare that repairs are written to and one to grow by, and 1 % for data.
    Metadata cannot exceed 16 GiB, so that chunks grow with large pools.

    :returns: bytes of data, bytes of metadata, KiB of a chunk.
    """
    chunk_kib = 64
    while (metadata_bytes := free_bytes // (chunk_kib * _KIB) * 128
           ) > 15 * GIB:
        chunk_kib *= 2
    unit = 16 * _MIB
    metadata_bytes = max(unit, -(-metadata_bytes // unit) * unit)
    data_bytes = free_bytes - 3 * metadata_bytes - free_bytes // 100
    return max(0, data_bytes // unit * unit), metadata_bytes, chunk_kib


def _check_kind(location: str, pool: thinpool.Volume) -> None:
    """Refuse a pool that volumes would not be safe in."""
    if pool.kind != 'thin-pool':
        raise _wrong(f'{location} is not a thin pool but {pool.kind}',
                     'Name a thin pool, or a volume group alone.')
    if not pool.zero:
        raise _wrong(f'thin pool {location} does not zero new chunks, so that '
                     'a volume could show what a deleted one held',
                     f'Run lvchange --zero y {location}.')
    if pool.discards != 'passdown':
        raise _wrong(f'thin pool {location} has discards {pool.discards}',
                     f'Run lvchange --discards passdown {location}; to leave '
                     'ignore, the pool has to be inactive.')


def _wrong(problem: str, remedy: str) -> exception.ConfigurationError:
    return exception.ConfigurationError(OPTION, problem, remedy)
