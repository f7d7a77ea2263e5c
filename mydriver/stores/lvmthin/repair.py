# SPDX-License-Identifier: Apache-2.0
"""What a crash left in a thin pool: finished, removed, or kept in doubt."""

from oslo_log import log as logging

from mydriver import exception
from mydriver.stores.lvmthin import pool as thinpool
from mydriver.stores.lvmthin import upkeep

LOG = logging.getLogger(__name__)


def recover(pool: thinpool.ThinPool) -> tuple[str, ...]:
    """Finish or remove what a crash left; nobody works with the pool.

    :returns: what is kept, and why.
    """
    left = [v for v in upkeep.ours(pool) if not upkeep.is_whole(v)]
    missing = upkeep.group_of(pool).missing_disks if left else 0
    if missing:
        # What seems to be gone may be on them.
        return tuple(f'{v.name}, left by a crash: {missing} disks of volume '
                     f'group {pool.group_name} are missing' for v in left)
    kept = (_recover(pool, volume) for volume in left)
    return tuple(each for each in kept if each)


def _recover(pool: thinpool.ThinPool, volume: thinpool.Volume) -> str:
    """Finish or remove a volume; return why it is kept, or nothing."""
    lv = volume.name
    try:
        if upkeep.is_spare(lv):
            settle(pool, lv, upkeep.replaced_by(lv))
        elif volume.open:
            # Nobody was ever told of it before it was finished.
            return (f'{lv}, which seems to be unfinished but is in use. When '
                    'it is a volume that was made smaller by hand, remove its '
                    f'tags {upkeep.SIZE}* (lvchange --deltag)')
        else:
            LOG.warning('Removing %s, which was never finished', lv)
            pool.remove([lv])
    except exception.StoreError as e:
        return f'{lv}, left by a crash: {e}'
    return ''


def settle(pool: thinpool.ThinPool, spare: str, lv: str) -> None:
    """Finish a revert that was cut off, or undo it.

    The copy is whole before the volume goes. Where there is no volume and the
    copy is not whole, something else has happened.

    :param spare: the copy that was to take the place of ``lv``.
    :raises StoreError: when that is so.
    """
    present = {v.name: v for v in upkeep.ours(pool)}
    if spare not in present:
        return
    if lv in present:
        LOG.warning('Removing %s, a revert that was cut off', spare)
        pool.remove([spare])
    elif upkeep.is_as_large(present[spare]):
        LOG.warning('Finishing the revert of %s', lv)
        pool.rename(spare, lv)
    else:
        raise exception.StoreError(
            f'finish the revert of {lv}', 'it is missing, and the copy '
            f'{spare} is not whole. Rename the copy to that when it is '
            'wanted, or remove it')
