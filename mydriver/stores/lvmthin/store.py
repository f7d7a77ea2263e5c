# SPDX-License-Identifier: Apache-2.0
"""The store of logical volumes in an LVM thin pool.

Snapshots and clones are thin snapshots: writable volumes that share what
they hold with their source and need it no more than it needs them. Each step
of LVM's is atomic (it commits the group's metadata). Where an operation takes
two of them, the volume bears a tag meanwhile that says what is still missing,
and such a volume does not count (:func:`poolcare.is_whole`).

No command of LVM's is needed to attach a volume. All volumes are active from
the start of the service on, so that the kernel has their devices.
"""

from collections.abc import Iterator, Sequence
import contextlib

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.stores import base, identity
from mydriver.stores.lvmthin import pool as thinpool
from mydriver.stores.lvmthin import repair, upkeep

LOG = logging.getLogger(__name__)

#: The pool that is made when only a volume group is named.
POOL = 'mydriver'


class LvmThinStore:
    """Logical volumes in a thin pool; see :class:`base.VolumeStore`.

    :param path: ``GROUP``, whose pool is made when it is missing, or
        ``GROUP/POOL``.
    :param pool: for tests: where the volumes are.
    :param record: the id of the pool that was there before.
    """

    def __init__(self, path: str, pool: thinpool.ThinPool | None = None,
                 record: identity.Record | None = None) -> None:
        group, slash, name = path.partition('/')
        self._makes_pool = not slash
        self._record = record or identity.Record()
        self._pool = pool or thinpool.LvmPool(group, name or POOL)

    @property
    def location(self) -> str:
        """The volume group and pool."""
        return upkeep.place(self._pool)

    @property
    def consistent_groups(self) -> bool:
        """Yes: all are suspended before the first snapshot."""
        return True

    def block_bytes(self) -> int:
        """Return that of the pool, which LIO shows of its volumes.

        Source: drivers/target/target_core_iblock.c, iblock_configure_device.
        """
        found = self._pool.block_bytes()
        if found is None:
            raise exception.StoreError(
                f'see the block size of {self.location}',
                'the thin pool is not active')
        return found

    @property
    def copies_hold_writes(self) -> bool:
        """No: a thin snapshot shares the whole mapping at once."""
        return False

    @property
    def needs_native_thread(self) -> bool:
        """No: its work is done by the privileged daemon."""
        return False

    # -- life

    @property
    def is_known(self) -> bool:
        """Whether there is a record of the pool."""
        return self._record.known() is not None

    def prepare(self) -> None:
        """Make the pool if need be, and bring its volumes up."""
        upkeep.prepare(self._pool, self._record,
                         makes_pool=self._makes_pool)

    def check(self) -> None:
        """See that there is a pool that fits, and that it is in order."""
        upkeep.check(self._pool, self._record)

    def recover(self) -> tuple[str, ...]:
        """Finish or remove what a crash left; remember the pool."""
        if uuid := upkeep.recognise(self._pool, self._record):
            self._record.write(uuid)
        return repair.recover(self._pool)

    # -- volumes

    def create(self, name: str, size_bytes: int) -> None:
        """Make a thin volume."""
        lv = upkeep.lv_name(name)
        base.check_size(name, size_bytes)
        found = self._pool.device(lv)
        if found:
            if found[1] == size_bytes and not self._pool.mapped_bytes(lv):
                return
            raise _taken(name)
        upkeep.check_room(self._pool)
        with self._unless_taken(name):
            self._pool.create(lv, size_bytes)

    def delete(self, name: str) -> None:
        """Remove the volume; those that share its contents keep them.

        What a failed revert left of it goes first: alone it would be taken
        for the volume.
        """
        lv, spare = upkeep.lv_name(name), upkeep.spare_name(name)
        if self._pool.device(lv) is None:
            upkeep.there(self._pool)  # LVM's select finds nothing, too
        for each in [spare] * bool(self._pool.device(spare)) + [lv]:
            self._pool.remove([each])

    def extend(self, name: str, size_bytes: int) -> None:
        """Grow the volume; flush it in any case."""
        base.check_size(name, size_bytes)
        lv, current = self._found(name)
        if current > size_bytes:
            raise exception.StoreError(
                f'extend {name} to {size_bytes} bytes',
                f'it has {current} already, and nothing is ever shrunk')
        if current < size_bytes:
            upkeep.check_room(self._pool)
            self._pool.extend(lv, size_bytes)
        self._pool.flush(lv)

    def rename(self, old: str, new: str) -> None:
        """Rename the volume."""
        old_lv, new_lv = upkeep.lv_name(old), upkeep.lv_name(new)
        have = {v.name for v in upkeep.ours(self._pool)}
        if old_lv not in have:
            if new_lv not in have:
                raise exception.BackingNotFound(old, self.location)
            return
        if new_lv in have:
            raise _taken(new)
        self._pool.rename(old_lv, new_lv)

    # -- copies

    def snapshot(self, source: str, name: str) -> None:
        """Make a thin snapshot."""
        lv = upkeep.lv_name(name)
        origin, size_bytes = self._found(source)
        found = self._pool.device(lv)
        if found and found[1] == size_bytes:
            return
        self._copy(origin, name)

    def clone(self, source: str, name: str, size_bytes: int) -> None:
        """Make a thin snapshot, perhaps larger, that is a volume."""
        base.check_size(name, size_bytes)
        lv = upkeep.lv_name(name)
        origin, current = self._found(source)
        if current > size_bytes:
            raise exception.StoreError(
                f'clone {source} into {size_bytes} bytes',
                f'it has {current}')
        if current == size_bytes:
            self._copy(origin, name)
            return
        self._copy(origin, name, [f'{upkeep.SIZE}{size_bytes}'])
        try:
            self._pool.extend(lv, size_bytes)
        except exception.MyDriverError:
            with contextlib.suppress(exception.MyDriverError):
                self._pool.remove([lv])
            raise

    def share(self, source_fd: int, name: str, size_bytes: int) -> bool:
        """Say no: what is in a file has to be copied."""
        upkeep.lv_name(name)
        return False

    def revert(self, name: str, snapshot: str) -> None:
        """Put a copy of the snapshot in the volume's place."""
        lv, kept = upkeep.lv_name(name), upkeep.lv_name(snapshot)
        spare = upkeep.spare_name(name)
        if self._pool.device(spare):  # an earlier attempt failed
            repair.settle(self._pool, spare, lv)
        size_bytes = self._found(name)[1]
        kept_bytes = self._found(snapshot)[1]
        if kept_bytes > size_bytes:
            raise exception.StoreError(
                f'revert {name} of {size_bytes} bytes to {snapshot}',
                f'that has {kept_bytes}')
        upkeep.check_room(self._pool)
        self._pool.copy(kept, spare, [f'{upkeep.SIZE}{size_bytes}'])
        if kept_bytes < size_bytes:
            self._pool.extend(spare, size_bytes)
        # From here on a crash leaves a whole copy, whose renaming is made up
        # for (poolrepair.settle).
        self._pool.remove([lv])
        self._pool.rename(spare, lv)

    def snapshot_group(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Snapshot all sources as of one moment."""
        wanted = {upkeep.lv_name(name): self._found(source)
                  for source, name in pairs}
        have = {v.name: v.size_bytes for v in upkeep.ours(self._pool)
                if upkeep.is_whole(v)}
        todo = [(self._found(source)[0], name) for source, name in pairs
                if have.get(upkeep.lv_name(name))
                != wanted[upkeep.lv_name(name)][1]]
        made: list[str] = []
        try:
            for origin, name in todo:
                self._copy(origin, name, [upkeep.UNFINISHED], active=False)
                made.append(upkeep.lv_name(name))
            if made:
                self._copy_together([origin for origin, _name in todo], made)
        except exception.MyDriverError:
            with contextlib.suppress(exception.MyDriverError):
                self._pool.remove(made)
            raise

    def _copy_together(self, origins: Sequence[str],
                       copies: Sequence[str]) -> None:
        spent_s = self._pool.copy_together(
            list(zip(origins, copies, strict=True)))
        self._pool.untag(copies, upkeep.UNFINISHED)
        self._pool.activate(copies)
        LOG.info('Snapshots of %d volumes at one moment, for which they were '
                 'suspended %.1f ms', len(copies), spent_s * 1e3)

    def _copy(self, origin: str, name: str, tags: Sequence[str] = (), *,
              active: bool = True) -> None:
        lv = upkeep.lv_name(name)
        if self._pool.device(lv):
            raise _taken(name)
        upkeep.check_room(self._pool)
        with self._unless_taken(name):
            self._pool.copy(origin, lv, tags, active=active)

    # -- what there is

    def exists(self, name: str) -> bool:
        """Tell whether there is such a volume, whole."""
        upkeep.lv_name(name)
        return name in self.names()

    def names(self) -> tuple[str, ...]:
        """Return the names of what is ours in the pool, and whole."""
        return tuple(sorted(v.name.removeprefix('_')
                            for v in upkeep.ours(self._pool)
                            if upkeep.is_whole(v)))

    def extents(self, name: str) -> int:
        """Return 0: they make no difference."""
        upkeep.lv_name(name)
        return 0

    def device(self, name: str) -> model.BackingDevice:
        """Return the block device; no process is started for it."""
        found = self._pool.device(upkeep.lv_name(name))
        if found is None:
            raise self._no_device(name)
        return model.BackingDevice('iblock', *found)

    def bring_up(self, name: str) -> model.BackingDevice:
        """Return the device: it is always up."""
        return self.device(name)

    def let_down(self, name: str) -> None:
        """Leave the device up."""

    def capacity(self) -> base.Capacity:
        """Ask the kernel; with no room for metadata there is none for data."""
        status = upkeep.status(self._pool)
        free_bytes = status.data_bytes - status.data_used_bytes
        if status.metadata_percent >= upkeep.METADATA_LIMIT_PERCENT:
            free_bytes = 0
        return base.Capacity(
            status.data_bytes, free_bytes,
            sum(v.size_bytes for v in upkeep.ours(self._pool)))

    # -- what others made

    def foreign(self) -> tuple[base.Foreign, ...]:
        """Return the volumes of the pool that are not ours."""
        return tuple(sorted(
            (base.Foreign(v.name, v.size_bytes, _problem_of(v))
             for v in upkeep.there(self._pool) if self._is_foreign(v)),
            key=lambda f: f.name))

    def adopt(self, source: str, name: str, size_bytes: int) -> None:
        """Extend the volume and rename it."""
        base.check_source(source)
        lv = upkeep.lv_name(name)
        base.check_size(name, size_bytes)
        there = {v.name: v for v in upkeep.there(self._pool)}
        own = base.is_name(source)
        found = there.get(upkeep.lv_name(source) if own else source)
        if found is None or not (own or self._is_foreign(found)):
            if lv in there and found is None:
                return
            raise exception.BackingNotFound(source, self.location)
        if lv in there:
            raise _taken(name)
        problem = _problem_of(found)
        if found.size_bytes > size_bytes:
            problem = f'it has more than {size_bytes} bytes'
        if problem:
            raise exception.StoreError(f'take over {source}', problem)
        self._pool.adopt(found.name, lv, size_bytes)

    def _is_foreign(self, volume: thinpool.Volume) -> bool:
        return (base.is_foreign_name(volume.name)
                and not upkeep.is_ours(volume.name))

    # -- what these are made of

    def _found(self, name: str) -> tuple[str, int]:
        """Return LVM's name and the size of a volume that is there."""
        lv = upkeep.lv_name(name)
        found = self._pool.device(lv)
        if found is None:
            raise self._no_device(name)
        return lv, found[1]

    def _no_device(self, name: str) -> exception.MyDriverError:
        if not self.exists(name):
            return exception.BackingNotFound(name, self.location)
        return exception.StoreError(
            f'use {name}', 'its logical volume is not active. Restart '
            'cinder-volume, or run lvchange -ay -K on '
            f'{self._pool.group_name}/{upkeep.lv_name(name)}')

    @contextlib.contextmanager
    def _unless_taken(self, name: str) -> Iterator[None]:
        """Say so when a name was taken meanwhile."""
        try:
            yield
        except exception.StoreError:
            if self.exists(name):
                raise _taken(name) from None
            raise


def _taken(name: str) -> exception.StoreError:
    return exception.StoreError(
        f'make {name}', 'something with other contents has that name already')


def _problem_of(volume: thinpool.Volume) -> str | None:
    """Say why a volume cannot be taken over, None when it can."""
    if volume.open:
        return 'it is in use on this host'
    if not volume.active:
        return 'it is not active (lvchange -ay -K)'
    return None
