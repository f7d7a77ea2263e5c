# SPDX-License-Identifier: Apache-2.0
"""What every store can do, and the names under which it keeps things.

A store knows bytes and names, nothing of Cinder's objects and nothing of the
target. Volumes and snapshots are the same kind of thing to it: a backing of a
fixed size, under a name. Only a volume is ever exported or written to.
"""

from collections.abc import Sequence
import dataclasses
import re
from typing import Protocol

from mydriver import exception, model

#: Sizes are multiples of that, the least that a logical block can have
#: (SBC-3). What the target shows of a backing, its store says.
BLOCK_BYTES = 512

# Lower-case hex only: one backing has one spelling.
_NAME = re.compile(r'(volume|snapshot)-'
                   r'[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\Z')

# What LVM lets a name be made of, lvm(8), without a leading dot or hyphen.
_FOREIGN = re.compile(r'[A-Za-z0-9_+][A-Za-z0-9_+.-]{0,126}\Z')


@dataclasses.dataclass(frozen=True, slots=True)
class Capacity:
    """Room in a store.

    :param total_bytes: size of the place that holds the store.
    :param free_bytes: what can still be written there.
    :param provisioned_bytes: sum of the sizes that its backings show, which
        may be more than ``total_bytes``: backings are thin.
    """

    total_bytes: int
    free_bytes: int
    provisioned_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Foreign:
    """What is in the store's place under a name that is not one of ours.

    :param name: its name; never a path.
    :param size_bytes: its size, which need not be whole blocks.
    :param problem: why it cannot be taken over, None when it can.
    """

    name: str
    size_bytes: int
    problem: str | None = None


class VolumeStore(Protocol):
    """A place for thin backings with instant snapshots and clones.

    Everything that a method did is durable when it returns. After a crash in
    the middle a name is either there, whole, or not there at all. Methods
    block, may be called from any thread, and need no lock of the caller for
    different names.
    """

    @property
    def location(self) -> str:
        """Where the store is: a folder, a volume group and pool."""

    @property
    def consistent_groups(self) -> bool:
        """Whether :meth:`snapshot_group` keeps what was there at one moment.

        That is: no write that came after another one is in a snapshot of the
        group unless the other one is.
        """

    def block_bytes(self) -> int:
        """Return the logical block size that hosts see of its volumes.

        What is on a disk, partition tables and filesystems, counts in these:
        bytes that are moved to where it is another are not found any more.

        :raises StoreError: when it cannot be told.
        """

    @property
    def copies_hold_writes(self) -> bool:
        """Whether writes to a backing wait while it is being copied.

        They wait for as long as it has extents, see :meth:`extents`.
        """

    @property
    def needs_native_thread(self) -> bool:
        """Whether its methods wait in the kernel themselves.

        All green threads would wait with them.
        """

    @property
    def is_known(self) -> bool:
        """Whether its place is known to be a store, from an earlier start.

        :raises ConfigurationError: when that cannot be told.
        """

    def prepare(self) -> None:
        """Bring up what is there, as after a boot; at any time, repeatedly.

        :raises ConfigurationError: with what is wrong and the remedy; also
            when the place does not hold the store that it held before.
        :raises StoreError: when something cannot be brought up.
        """

    def recover(self) -> tuple[str, ...]:
        """Finish or remove what a crash left in the middle.

        Nobody else may be working with the store meanwhile. From now on no
        other place is taken for this store.

        :returns: what was left as it is, each with the reason: what is not
            known to be worthless is kept.
        """

    def check(self) -> None:
        """Make sure that the store can do its work.

        :raises ConfigurationError: with what is wrong and the remedy.
        """

    def create(self, name: str, size_bytes: int) -> None:
        """Make an empty backing that reads as zeros.

        Doing it twice is fine as long as nothing was written in between.

        :raises StoreFull: when there is no room.
        :raises StoreError: when another backing has that name.
        """

    def delete(self, name: str) -> None:
        """Remove a backing; it is fine when there is none."""

    def extend(self, name: str, size_bytes: int) -> None:
        """Grow a backing to a size, the new part reading as zeros.

        What was written by way of the local path before is made durable too,
        also where the size is right already. It never shrinks.

        :raises BackingNotFound: when there is no such backing.
        :raises StoreFull: when there is no room.
        :raises StoreError: when it is larger than that already.
        """

    def snapshot(self, source: str, name: str) -> None:
        """Keep what a backing holds now under another name.

        The source may be exported and written to meanwhile: what its users
        were told to be written is in the snapshot. Where a snapshot of the
        source's size has that name already it is kept as it is.

        :raises BackingNotFound: when there is no such source.
        :raises StoreFull: when there is no room.
        :raises StoreError: when another backing has that name.
        """

    def snapshot_group(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Take snapshots of several backings: of all, or of none.

        Snapshots that are there already are kept as they are, also when it
        fails.

        :param pairs: of the source's name and that of its snapshot, which may
            be a volume's: it is one then.
        :raises BackingNotFound: when there is no such source.
        :raises StoreFull: when there is no room.
        :raises StoreError: when another backing has one of the names.
        """

    def clone(self, source: str, name: str, size_bytes: int) -> None:
        """Make a backing with the contents of another, or larger.

        :param source: a volume, which may be in use, or a snapshot.
        :raises BackingNotFound: when there is no such source.
        :raises StoreFull: when there is no room.
        :raises StoreError: when something has that name already, or the
            source is larger than ``size_bytes``.
        """

    def share(self, source_fd: int, name: str, size_bytes: int) -> bool:
        """Make a backing with the contents of an open file, without copying.

        :param source_fd: a regular file, open for reading, which need not be
            in the store.
        :param size_bytes: of the backing, not less than the file's.
        :returns: False when the file is not where its contents could be
            shared with the store; nothing was made then.
        :raises StoreFull: when there is no room.
        :raises StoreError: when something has that name already.
        """

    def revert(self, name: str, snapshot: str) -> None:
        """Make a backing hold again what a snapshot holds.

        It keeps its size, and reads as zeros beyond the snapshot's. After a
        crash in the middle it holds all of the one or all of the other. It
        must not be exported or open: users would go on with the old contents.

        :raises BackingNotFound: when one of the two is missing.
        :raises StoreFull: when there is no room.
        :raises StoreError: when the snapshot is larger.
        """

    def rename(self, old: str, new: str) -> None:
        """Give a backing another name, never that of something else.

        It is fine when that was done before: when there is no ``old``, but a
        ``new``. It must not be exported.

        :raises BackingNotFound: when there is neither.
        :raises StoreError: when both are there.
        """

    def foreign(self) -> tuple[Foreign, ...]:
        """Return what could be taken over, sorted by name.

        That are things of the same kind as a backing, directly in the store's
        place: no links, no special files, nothing hidden, nothing of ours.
        """

    def adopt(self, source: str, name: str, size_bytes: int) -> None:
        """Take over something as a backing of ours, under a new name.

        It is fine when that was done before. The name is the last thing that
        changes: when something fails, it can be tried again.

        :param source: the name of a :class:`Foreign` without a problem, or of
            a backing.
        :param size_bytes: to which it is extended, not less than its size.
        :raises BackingNotFound: when there is nothing of that name, or it is
            no such thing.
        :raises StoreFull: when there is no room.
        :raises StoreError: when it has a problem, is larger, or when
            something else has the new name.
        """

    def exists(self, name: str) -> bool:
        """Tell whether there is a backing of that name."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all backings, sorted."""

    def extents(self, name: str) -> int:
        """Return in how many pieces a backing is kept.

        :returns: 0 where that makes no difference to anybody.
        :raises BackingNotFound: when there is no such backing.
        """

    def device(self, name: str) -> model.BackingDevice:
        """Return what the target exports, its path readable on this host.

        :raises BackingNotFound: when there is no such backing.
        """

    def bring_up(self, name: str) -> model.BackingDevice:
        """Make a volume's device available on this host; idempotent.

        :returns: what the target exports.
        :raises BackingNotFound: when there is no such backing.
        """

    def let_down(self, name: str) -> None:
        """Release the device of a volume that is no longer exported.

        :param name: of a backing, which need not exist.
        """

    def capacity(self) -> Capacity:
        """Return how much room there is."""


def volume_name(volume_id: str) -> str:
    """Return the name of a volume's backing."""
    return check_name(f'volume-{volume_id}')


def snapshot_name(snapshot_id: str) -> str:
    """Return the name of a snapshot's backing."""
    return check_name(f'snapshot-{snapshot_id}')


def is_name(text: str) -> bool:
    """Tell whether a store keeps something under such a name."""
    return _NAME.match(text) is not None


def is_foreign_name(text: str) -> bool:
    """Tell whether a thing of that name could be taken over.

    No slashes, nothing hidden, nothing that is ours already, and nothing that
    would have to be quoted anywhere.
    """
    return _FOREIGN.match(text) is not None and not is_name(text)


def check_name(name: str) -> str:
    """Return the name when it is one of ours; it goes into paths.

    :raises StoreError: when it is not.
    """
    if not is_name(name):
        raise exception.StoreError(
            f'take the name {name!r}', 'it is not volume- or snapshot- and a '
            'UUID in lower case')
    return name


def check_source(name: str) -> str:
    """Return the name when it is one that :meth:`VolumeStore.adopt` takes.

    :raises StoreError: when it is not.
    """
    if not is_name(name) and not is_foreign_name(name):
        raise exception.StoreError(
            f'take over {name!r}', 'that cannot be the name of anything here')
    return name


def check_size(name: str, size_bytes: int) -> int:
    """Return the size when a backing can have it.

    :raises StoreError: when it is not a positive number of whole blocks.
    """
    if size_bytes <= 0 or size_bytes % BLOCK_BYTES:
        raise exception.StoreError(
            f'make {name} of {size_bytes} bytes',
            f'sizes are positive multiples of {BLOCK_BYTES}')
    return size_bytes
