# SPDX-License-Identifier: Apache-2.0
"""Bring a thin pool up, create it when it is missing, and check it."""

from collections.abc import Sequence

from oslo_log import log as logging
from oslo_utils import units

from mydriver import exception, waiting
from mydriver.stores import identity
from mydriver.stores.lvmthin import listing, names, room
from mydriver.stores.lvmthin import pool as thinpool

LOG = logging.getLogger(__name__)

#: How long a device may stay suspended before it is resumed here.
PATIENCE_S = 30.0

#: Volumes of one LVM command.
_AT_ONCE = 200

#: Metadata takes at most 16 GiB (lvmthin(7)); some of it is for growth.
_MOST_METADATA_BYTES = 15 * units.Gi


def prepare(pool: thinpool.ThinPool, record: identity.Record, *,
            makes_pool: bool) -> None:
    """Bring a pool and its volumes up, as after a boot.

    The host may have left volumes inactive, and a crash may have left some
    suspended. Volumes that cannot be activated are logged and skipped.

    :param record: the id of the pool that was there before.
    :param makes_pool: create the pool when there never was one.
    :raises ConfigurationError: when there is no pool, or another one.
    :raises StoreError: when the pool cannot be brought up.
    """
    recognise(pool, record)
    found = _find(pool)
    if found is None and makes_pool:
        _make(pool)
    elif found is None:
        raise _no_pool(pool)
    if pool.status() is None:
        pool.activate([])
    _activate(pool)
    _resume(pool, [v.name for v in listing.ours(pool)])


def _activate(pool: thinpool.ThinPool) -> None:
    idle = _idle(pool)
    for at in range(0, len(idle), _AT_ONCE):
        some = idle[at:at + _AT_ONCE]
        try:
            pool.activate(some)
        except exception.StoreError as e:
            # LVM has activated all the others.
            left = sorted({*_idle(pool)} & {*some})
            LOG.error('Failed to activate %s of %s: %s',
                      ', '.join(left), listing.location(pool), e)


def _idle(pool: thinpool.ThinPool) -> list[str]:
    """Return the volumes that are complete and not active."""
    return [v.name for v in listing.ours(pool)
            if not v.active and names.is_complete(v)]


def _resume(pool: thinpool.ThinPool, lvs: Sequence[str]) -> None:
    """Resume volumes that nobody else resumes in time."""
    def suspended() -> list[str]:
        return [lv for lv in lvs if pool.is_suspended(lv)]

    try:
        waiting.wait_for(lambda: not suspended(), 'suspended volumes',
                         PATIENCE_S)
    except exception.WaitTimeout:
        if left := suspended():
            LOG.warning('Resuming %s', ', '.join(left))
            pool.resume(left)


def recognise(pool: thinpool.ThinPool, record: identity.Record) -> str | None:
    """Return the id of a pool, if it is the one that was there before.

    :returns: None when there is no pool and never was one.
    :raises ConfigurationError: when it is another one, or gone.
    """
    found = _find(pool)
    uuid = found.uuid if found else None
    record.compare(uuid, listing.location(pool), listing.MISSING)
    return uuid


def check(pool: thinpool.ThinPool, record: identity.Record, *,
          makes_pool: bool) -> None:
    """Check that there is a suitable pool, and that it works.

    :param makes_pool: :func:`prepare` creates the pool when there never was
        one.
    :raises NotYetMade: when it will do so.
    :raises ConfigurationError: when there is none, or it is not suitable.
    :raises StoreError: when it does not work.
    """
    group = group_of(pool)
    recognise(pool, record)
    if units.Gi % group.extent_bytes:
        raise _wrong(
            f'volume group {pool.group_name} has extents of '
            f'{group.extent_bytes} bytes, and 1 GiB is not a multiple of '
            'them', 'Use a group with the default of 4 MiB.')
    found = _find(pool)
    if found is None and makes_pool:
        _plan(pool)
        raise exception.NotYetMade(
            identity.OPTION, f'there is no thin pool {listing.location(pool)} '
            'yet', 'cinder-volume creates it when it starts.')
    if found is None:
        raise _no_pool(pool)
    _check_kind(listing.location(pool), found)
    room.status(pool)


def group_of(pool: thinpool.ThinPool) -> thinpool.Group:
    """Return the volume group of a pool.

    :raises ConfigurationError: when there is none.
    """
    group = pool.group()
    if group is None:
        raise _wrong(f'there is no volume group {pool.group_name}',
                     'Create it (pvcreate, vgcreate), and check that LVM on '
                     'this host may use its disks (lvmdevices).')
    return group


def _find(pool: thinpool.ThinPool) -> thinpool.Volume | None:
    group_of(pool)
    return next((v for v in pool.volumes() if v.name == pool.name), None)


def _check_kind(location: str, pool: thinpool.Volume) -> None:
    """Refuse a pool in which volumes would not be safe."""
    if pool.kind != 'thin-pool':
        raise _wrong(f'{location} is not a thin pool but {pool.kind}',
                     'Name a thin pool, or only a volume group.')
    if not pool.zero:
        raise _wrong(f'thin pool {location} does not zero new chunks, so that '
                     'a volume could reveal the data of a deleted one',
                     f'Run lvchange --zero y {location}.')
    if pool.discards != 'passdown':
        raise _wrong(f'thin pool {location} has discards {pool.discards}',
                     f'Run lvchange --discards passdown {location}; to leave '
                     'ignore, the pool has to be inactive.')


def _make(pool: thinpool.ThinPool) -> None:
    data_bytes, metadata_bytes, chunk_kib = _plan(pool)
    LOG.info('Creating thin pool %s of %d MiB, with %d MiB of metadata',
             listing.location(pool), data_bytes // units.Mi,
             metadata_bytes // units.Mi)
    pool.make(data_bytes, metadata_bytes, chunk_kib)


def _plan(pool: thinpool.ThinPool) -> tuple[int, int, int]:
    """Return the layout of a new pool; see :func:`plan`.

    :raises ConfigurationError: when the group has no room for one.
    """
    found = plan(group_of(pool).free_bytes)
    if found[0] < units.Gi:
        raise _wrong(
            f'volume group {pool.group_name} has no room for a thin pool of '
            '1 GiB', 'Add a disk (vgextend), or name an existing thin pool '
            'as GROUP/POOL.')
    return found


def plan(free_bytes: int) -> tuple[int, int, int]:
    """Return the layout of a new pool in a group.

    A mapping takes about 64 bytes of metadata (thin_metadata_size(8)). There
    is metadata for twice as many mappings as chunks, because snapshots that
    have diverged have mappings of their own. The group keeps free twice the
    metadata, as a spare for repairs and for growth, and 1 % for data. Large
    pools get larger chunks, which keeps the metadata within its limit.

    :param free_bytes: what is free in the group.
    :returns: bytes of data, bytes of metadata, KiB of a chunk.
    """
    chunk_kib = 64
    while (metadata_bytes := free_bytes // (chunk_kib * units.Ki) * 128
           ) > _MOST_METADATA_BYTES:
        chunk_kib *= 2
    unit = 16 * units.Mi
    metadata_bytes = max(unit, -(-metadata_bytes // unit) * unit)
    data_bytes = free_bytes - 3 * metadata_bytes - free_bytes // 100
    return max(0, data_bytes // unit * unit), metadata_bytes, chunk_kib


def _no_pool(pool: thinpool.ThinPool) -> exception.ConfigurationError:
    return _wrong(f'there is no thin pool {listing.location(pool)}',
                  'Create it with lvcreate --type thin-pool; or name only the '
                  'volume group, and cinder-volume creates one at start-up.')


def _wrong(problem: str, remedy: str) -> exception.ConfigurationError:
    return exception.ConfigurationError(identity.OPTION, problem, remedy)
