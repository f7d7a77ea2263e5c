# SPDX-License-Identifier: Apache-2.0
"""The store of logical volumes in an LVM thin pool.

Snapshots and clones are thin snapshots. Each LVM command is atomic: it commits
the metadata of the group. Where an operation takes several commands, the
volume bears a tag that says what is missing, and does not count until then
(:func:`.names.is_complete`).

Attaching a volume runs no LVM command: all volumes are active from the start
of the service on, so that the kernel has a device for each.
"""

from collections.abc import Sequence

from mydriver import exception, model
from mydriver.stores import base, identity, refusals
from mydriver.stores.lvmthin import (
    adoption,
    copies,
    listing,
    lvm,
    names,
    repair,
    room,
    setup,
)
from mydriver.stores.lvmthin import pool as thinpool

#: The pool that is created when only a volume group is named.
POOL = 'mydriver'


class LvmThinStore:
    """Logical volumes in a thin pool; see :class:`.base.VolumeStore`.

    :param path: ``GROUP``, whose pool is created when it is missing, or
        ``GROUP/POOL``.
    :param pool: for tests: where the volumes are.
    :param record: the id of the pool that was there before.
    """

    # All sources are suspended before the first snapshot, and a snapshot
    # shares the mapping of its source at once. The work is done in another
    # process, the privileged daemon.
    traits = base.Traits(
        backstore='iblock', consistent_groups=True, thin=True,
        shares_files=False, copies_hold_writes=False, fixed_block_bytes=None,
        needs_native_thread=False, native=False)

    def __init__(self, path: str, pool: thinpool.ThinPool | None = None,
                 record: identity.Record | None = None) -> None:
        group, slash, name = path.partition('/')
        self._makes_pool = not slash
        self._record = record or identity.Record()
        self._pool = pool or lvm.LvmPool(group, name or POOL)

    @property
    def location(self) -> str:
        """The volume group and pool."""
        return listing.location(self._pool)

    def block_bytes(self) -> int:
        """Return that of the pool's device, which LIO reports for volumes.

        Source: drivers/target/target_core_iblock.c, iblock_configure_device.
        """
        found = self._pool.block_bytes()
        if found is None:
            raise exception.StoreError(
                f'read the block size of {self.location}',
                'the thin pool is not active')
        return found

    # -- life of the store

    @property
    def is_known(self) -> bool:
        """Whether there is a record of the pool."""
        return self._record.known() is not None

    def prepare(self) -> None:
        """Create the pool if need be, and activate its volumes."""
        setup.prepare(self._pool, self._record, makes_pool=self._makes_pool)

    def check(self) -> None:
        """Check that there is a suitable pool, and that it works."""
        setup.check(self._pool, self._record, makes_pool=self._makes_pool)

    def recover(self) -> tuple[str, ...]:
        """Finish or remove what a crash left; remember the pool."""
        if uuid := setup.recognise(self._pool, self._record):
            self._record.write(uuid)
        return repair.recover(self._pool)

    # -- volumes

    def create(self, name: str, size_bytes: int) -> None:
        """Create a thin volume."""
        lv = names.lv_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        found = self._pool.device(lv)
        if found:
            if found[1] == size_bytes and not self._pool.mapped_bytes(lv):
                return
            refusals.refuse_taken(name)
        room.refuse_when_full(self._pool)
        with copies.unless_taken(self._pool, name):
            self._pool.create(lv, size_bytes)

    def delete(self, name: str) -> None:
        """Remove the volume; its snapshots and clones keep their data.

        What a failed revert left of it goes first: on its own it would be
        taken for the volume.
        """
        lv, spare = names.lv_name(name), names.spare_name(name)
        if self._pool.device(lv) is None:
            # LVM removes nothing, without an error, when the pool is missing.
            listing.present(self._pool)
        if self._pool.device(spare):
            self._pool.remove([spare])
        self._pool.remove([lv])

    def extend(self, name: str, size_bytes: int) -> None:
        """Grow the volume, and flush it in any case."""
        lv = names.lv_name(name)
        refusals.refuse_odd_size(name, size_bytes)
        current_bytes = listing.find(self._pool, name)[1]
        refusals.refuse_shrinking(name, current_bytes, size_bytes)
        if current_bytes < size_bytes:
            room.refuse_when_full(self._pool)
            self._pool.extend(lv, size_bytes)
        self._pool.flush(lv)

    def rename(self, old: str, new: str) -> None:
        """Rename the volume."""
        old_lv, new_lv = names.lv_name(old), names.lv_name(new)
        have = {v.name for v in listing.ours(self._pool)}
        if old_lv not in have:
            if new_lv not in have:
                raise exception.BackingNotFound(old, self.location)
            return
        if new_lv in have:
            refusals.refuse_taken(new)
        self._pool.rename(old_lv, new_lv)

    # -- copies

    def snapshot(self, source: str, name: str) -> None:
        """Create a thin snapshot."""
        copies.snapshot(self._pool, source, name)

    def snapshot_group(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Create thin snapshots while all sources are suspended."""
        copies.snapshot_group(self._pool, pairs)

    def clone(self, source: str, name: str, size_bytes: int) -> None:
        """Create a thin snapshot that is a volume, and perhaps larger."""
        refusals.refuse_odd_size(name, size_bytes)
        copies.clone(self._pool, source, name, size_bytes)

    def share(self, source_fd: int, name: str, size_bytes: int) -> bool:
        """Return False: a file has no extents that a pool could share."""
        names.lv_name(name)
        return False

    def revert(self, name: str, snapshot: str) -> None:
        """Replace the volume by a copy of the snapshot."""
        copies.revert(self._pool, name, snapshot)

    # -- what others made

    def foreign(self) -> tuple[base.Foreign, ...]:
        """Return the volumes of the pool that are not ours."""
        return adoption.foreign(self._pool)

    def adopt(self, source: str, name: str, size_bytes: int) -> None:
        """Extend the volume and rename it."""
        adoption.adopt(self._pool, source, name, size_bytes)

    # -- what there is

    def exists(self, name: str) -> bool:
        """Tell whether there is such a volume, complete."""
        names.lv_name(name)
        return name in listing.backings(self._pool)

    def names(self) -> tuple[str, ...]:
        """Return the backings of all our volumes that are complete."""
        return tuple(sorted(listing.backings(self._pool)))

    def extents(self, name: str) -> int:
        """Return 0: the time that a copy takes does not depend on them."""
        names.lv_name(name)
        return 0

    def device(self, name: str) -> model.BackingDevice:
        """Return the block device; this reads sysfs only."""
        path, size_bytes = listing.find(self._pool, name)
        return model.BackingDevice(self.traits.backstore, path, size_bytes)

    def bring_up(self, name: str) -> model.BackingDevice:
        """Return the device, which :meth:`prepare` has activated."""
        return self.device(name)

    def let_down(self, name: str) -> None:
        """Do nothing: all volumes stay active."""
        names.lv_name(name)

    def pool_status(self) -> thinpool.Status | None:
        """Return the pool's state, None when it is not active."""
        return self._pool.status()

    def capacity(self) -> base.Capacity:
        """Return what the kernel says of the pool."""
        return room.capacity(self._pool)
