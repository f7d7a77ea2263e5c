# SPDX-License-Identifier: Apache-2.0
"""The interface of a store.

A store knows names and bytes. It knows nothing of Cinder's objects or of the
target. Volumes and snapshots are the same to it: backings of a fixed size,
each with a name (:mod:`.names`). Only volumes are exported and written to.
"""

from collections.abc import Sequence
import dataclasses
from typing import Literal, Protocol

from mydriver import model

#: Unit of sizes: the smallest logical block (SBC-3). The block size that
#: hosts see is up to the store.
BLOCK_BYTES = 512


@dataclasses.dataclass(frozen=True, slots=True)
class Traits:
    """What a kind of store guarantees.

    Callers and the contract suite consult the traits, never the class.

    :param backstore: the LIO backstore that serves the backings.
    :param consistent_groups: the snapshots of
        :meth:`VolumeStore.snapshot_group` are of one point in time: if one of
        them has a write, they have all writes that had completed before it.
    :param thin: backings take room as they are written, so that the sum of
        their sizes may exceed the room.
    :param shares_files: :meth:`VolumeStore.share` can succeed.
    :param copies_hold_writes: writes to a backing wait while it is copied,
        the longer the more :meth:`VolumeStore.extents` it has.
    :param fixed_block_bytes: what :meth:`VolumeStore.block_bytes` always
        returns, None when it depends on the place.
    :param needs_native_thread: methods block the calling thread in the
        kernel, and with it all of eventlet's green threads.
    :param native: hosts can use volumes without a target; the store is a
        :class:`~mydriver.stores.native.NativeStore`.
    :param clones_images: images of Glance in the same cluster can be cloned;
        the store is an :class:`~mydriver.stores.imaging.ImageStore`.
    :param shared: several services can work on it at the same time; the store
        is a :class:`~mydriver.stores.sharing.SharedStore`.
    """

    backstore: Literal['fileio', 'iblock']
    consistent_groups: bool
    thin: bool
    shares_files: bool
    copies_hold_writes: bool
    fixed_block_bytes: int | None
    needs_native_thread: bool
    native: bool
    clones_images: bool = False
    shared: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Capacity:
    """The room in a store.

    :param total_bytes: size of the place that holds the store.
    :param free_bytes: how much can still be written.
    :param provisioned_bytes: sum of the sizes of all backings.
    """

    total_bytes: int
    free_bytes: int
    provisioned_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Foreign:
    """Something in the store's place that others made.

    :param name: its name, never a path.
    :param size_bytes: its size, not necessarily whole blocks.
    :param problem: why it cannot be adopted, None when it can.
    """

    name: str
    size_bytes: int
    problem: str | None = None


class VolumeStore(Protocol):
    """A place for backings with instant snapshots and clones.

    The effect of a method is durable when the method returns. After a crash in
    the middle, a backing is either complete or not there. Methods block, can
    be called from any thread, and for different names at the same time.

    An empty answer means that there is nothing. When the store's place is
    missing, or is not the one that it was, methods raise StoreError or
    ConfigurationError. They raise StoreError for a bad name or size.
    """

    @property
    def traits(self) -> Traits:
        """What this kind of store guarantees."""

    @property
    def location(self) -> str:
        """The place: a directory, or a volume group and pool."""

    def block_bytes(self) -> int:
        """Return the logical block size that hosts see.

        Partition tables and filesystems count in these blocks: a volume that
        moves to a store of another block size becomes unreadable.
        """

    # Life of the store

    @property
    def is_known(self) -> bool:
        """Whether the place was a store at an earlier start."""

    def prepare(self) -> None:
        """Bring the place up, as after a boot; may be repeated at any time.

        :raises ConfigurationError: with the problem and the remedy.
        """

    def recover(self) -> tuple[str, ...]:
        """Finish or remove what a crash left, and remember the place.

        Nobody else may use the store meanwhile. From now on another place is
        not accepted as this store.

        :returns: what was kept because it may be needed, with the reasons.
        """

    def check(self) -> None:
        """Check that the store can do its work; change nothing.

        :raises NotYetMade: when its place is missing, never was there, and
            :meth:`prepare` makes it.
        :raises ConfigurationError: with the problem and the remedy.
        """

    # Backings

    def create(self, name: str, size_bytes: int) -> None:
        """Create a backing that reads as zeros.

        It is fine when it exists and nothing was written to it.

        :raises NoRoom: when the store has too little room.
        :raises StoreError: when another backing has the name.
        """

    def delete(self, name: str) -> None:
        """Remove a backing; it is fine when there is none."""

    def extend(self, name: str, size_bytes: int) -> None:
        """Grow a backing; the new part reads as zeros.

        Data written through the local path is made durable as well, even if
        the size is right already.

        :raises BackingNotFound: when there is no such backing.
        :raises NoRoom: when the store has too little room.
        :raises StoreError: when the backing is larger.
        """

    def rename(self, old: str, new: str) -> None:
        """Rename a backing that is not exported; fine when already done.

        :raises BackingNotFound: when there is neither.
        :raises StoreError: when both exist.
        """

    # Copies

    def snapshot(self, source: str, name: str) -> None:
        """Copy a backing, which may be in use, to a new one of its size.

        The copy has all completed writes. It is fine when a snapshot of that
        name and size exists: it is kept as it is.

        :raises BackingNotFound: when there is no such source.
        :raises NoRoom: when the store has too little room.
        :raises StoreError: when another backing has the name.
        """

    def snapshot_group(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Take snapshots of several backings: all of them, or none.

        Snapshots that existed before are kept as they are, also on failure.

        :param pairs: source and snapshot; the latter may be a volume's name.
        :raises: what :meth:`snapshot` raises.
        """

    def clone(self, source: str, name: str, size_bytes: int) -> None:
        """Copy a backing to a new one that may be larger.

        :param source: a volume, which may be in use, or a snapshot.
        :raises BackingNotFound: when there is no such source.
        :raises NoRoom: when the store has too little room.
        :raises StoreError: when the name is taken, or the source is larger.
        """

    def share(self, source_fd: int, name: str, size_bytes: int) -> bool:
        """Create a backing that shares the extents of a file.

        :param source_fd: a regular file anywhere, open for reading.
        :param size_bytes: of the backing, not less than the file's.
        :returns: False when nothing was made, since the file is not where its
            extents could be shared.
        :raises NoRoom: when the store has too little room.
        :raises StoreError: when the name is taken.
        """

    def revert(self, name: str, snapshot: str) -> None:
        """Replace the data of a backing by that of a snapshot, atomically.

        The backing keeps its size and must not be exported or open, because
        its users would keep the old data.

        :raises BackingNotFound: when one of the two is missing.
        :raises NoRoom: when the store has too little room.
        :raises StoreError: when the snapshot is larger.
        """

    # What others made

    def foreign(self) -> tuple[Foreign, ...]:
        """Return what others made and could be adopted, sorted by name.

        Links, special files and hidden files are left out.
        """

    def adopt(self, source: str, name: str, size_bytes: int) -> None:
        """Turn something foreign into a backing; fine when already done.

        It gets the new name last, so that a failed call can be repeated.

        :param source: name of a :class:`Foreign` or of a backing.
        :param size_bytes: its new size, not less than the old one.
        :raises BackingNotFound: when there is no such thing.
        :raises NoRoom: when the store has too little room.
        :raises StoreError: when it has a problem, is larger, or the new name
            is taken.
        """

    # Queries

    def exists(self, name: str) -> bool:
        """Tell whether there is a backing of that name."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all backings, sorted."""

    def extents(self, name: str) -> int:
        """Return the number of extents of a backing, 0 if irrelevant.

        :raises BackingNotFound: when there is no such backing.
        """

    def capacity(self) -> Capacity:
        """Return the room in the store."""

    # Life of a device

    def device(self, name: str) -> model.BackingDevice:
        """Return what the target exports, up or not; change nothing.

        :raises BackingNotFound: when there is no such backing.
        :raises StoreError: when it cannot be used.
        """

    def bring_up(self, name: str) -> model.BackingDevice:
        """Make the path of :meth:`device` usable; fine when it is.

        Called before the backing is exported and before its path is opened.
        Exports are saved, so the path must be the same after a reboot.

        Nothing to do where backings always have a path. A store that maps
        them maps here, unless a mapping exists, as after a crash. With the
        kernel client of Ceph RBD (krbd) that is ``rbd map``; the path is
        udev's ``/dev/rbd/POOL/IMAGE``, since the number of ``/dev/rbdN``
        changes.

        :raises BackingNotFound: when there is no such backing.
        :raises StoreError: when it cannot be used.
        """

    def let_down(self, name: str) -> None:
        """Release the path of a backing; fine when it is, or when missing.

        Called when the last export is gone and all files are closed. Data and
        size stay. A path that nobody uses is also released, if need be, by
        :meth:`delete`, :meth:`rename` and :meth:`revert`.

        Nothing to do where backings always have a path. With krbd this is
        ``rbd unmap``, whose EBUSY means that somebody still uses the device.

        :raises StoreError: when the device is still in use.
        """
