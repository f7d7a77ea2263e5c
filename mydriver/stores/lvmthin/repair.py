# SPDX-License-Identifier: Apache-2.0
"""Finish, remove, or when in doubt keep what a crash left in a thin pool."""

from oslo_log import log as logging

from mydriver import exception
from mydriver.stores.lvmthin import listing, names, setup
from mydriver.stores.lvmthin import pool as thinpool

LOG = logging.getLogger(__name__)


def recover(pool: thinpool.ThinPool) -> tuple[str, ...]:
    """Finish or remove what a crash left; nobody else may use the pool.

    :returns: what is kept, each with the reason.
    :raises StoreError: when LVM does not find the pool.
    """
    left = [v for v in listing.ours(pool) if not names.is_complete(v)]
    missing = setup.group_of(pool).missing_disks if left else 0
    if missing:
        # What seems to be gone may be on those disks.
        return tuple(f'{v.name}, left by a crash: {missing} disks of volume '
                     f'group {pool.group_name} are missing' for v in left)
    kept = (_recover(pool, volume) for volume in left)
    return tuple(reason for reason in kept if reason)


def _recover(pool: thinpool.ThinPool, volume: thinpool.Volume) -> str:
    """Finish or remove a volume; return why it is kept, or nothing."""
    lv = volume.name
    try:
        if names.is_spare(lv):
            settle(pool, lv, names.replaced_by(lv))
        elif volume.open:
            # Nobody can know of a volume before it is complete.
            return (f'{lv}, which seems to be incomplete but is in use. If it '
                    'is a volume that was shrunk by hand, remove its tags '
                    f'{names.SIZE}* (lvchange --deltag)')
        else:
            LOG.warning('Removing %s, which was never completed', lv)
            pool.remove([lv])
    except exception.StoreError as e:
        return f'{lv}, left by a crash: {e}'
    return ''


def settle(pool: thinpool.ThinPool, spare: str, lv: str) -> None:
    """Finish an interrupted revert, or undo it.

    The copy is complete before the volume is removed. When there is neither
    the volume nor a complete copy, the cause was something else.

    :param spare: the copy that was to replace the volume ``lv``.
    :raises StoreError: in that last case.
    """
    present = {v.name: v for v in listing.ours(pool)}
    if spare not in present:
        return
    if lv in present:
        LOG.warning('Removing %s of an interrupted revert', spare)
        pool.remove([spare])
    elif names.has_its_size(present[spare]):
        LOG.warning('Finishing the revert of %s', lv)
        pool.rename(spare, lv)
    else:
        raise exception.StoreError(
            f'finish the revert of {lv}', 'it is missing, and the copy '
            f'{spare} is incomplete. Rename the copy to {lv} if you need it, '
            'or remove it')
