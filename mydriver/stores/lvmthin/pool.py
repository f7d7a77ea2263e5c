# SPDX-License-Identifier: Apache-2.0
"""A thin pool as the store sees it: volumes, tags, and how full it is.

:class:`ThinPool` is what the store needs of LVM and the kernel; :mod:`.lvm`
has the real one.
"""

from collections.abc import Sequence
import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """A logical volume of a group.

    :param name: LVM's name, whoever made the volume.
    :param size_bytes: its virtual size.
    :param pool: the thin pool that it is in, or empty.
    :param active: it has a device.
    :param open: the device is in use on this host.
    :param tags: LVM's tags.
    :param thin_id: its device id in the pool.
    :param kind: LVM's segment type, such as ``thin`` and ``thin-pool``.
    :param zero: of a pool: new chunks are zeroed.
    :param discards: of a pool: how it treats discards, lvmthin(7).
    :param uuid: LVM's, unique.
    """

    name: str
    size_bytes: int
    pool: str
    active: bool
    open: bool = False
    tags: frozenset[str] = frozenset()
    thin_id: int = 0
    kind: str = 'thin'
    zero: bool = True
    discards: str = 'passdown'
    uuid: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """A volume group.

    :param size_bytes: of all its disks.
    :param free_bytes: what no logical volume uses.
    :param extent_bytes: the unit of sizes.
    :param missing_disks: how many physical volumes LVM does not find.
    """

    size_bytes: int
    free_bytes: int
    extent_bytes: int
    missing_disks: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """The state of a thin pool, as the kernel reports it.

    :param data_bytes: room for data.
    :param data_used_bytes: how much of it is in use.
    :param metadata_bytes: room for metadata.
    :param metadata_used_bytes: how much of it is in use.
    :param trouble: why the pool does not work, or empty.
    """

    data_bytes: int
    data_used_bytes: int
    metadata_bytes: int
    metadata_used_bytes: int
    trouble: str = ''

    @property
    def data_percent(self) -> float:
        """Percentage of the data in use."""
        return _percent(self.data_used_bytes, self.data_bytes)

    @property
    def metadata_percent(self) -> float:
        """Percentage of the metadata in use."""
        return _percent(self.metadata_used_bytes, self.metadata_bytes)


def _percent(used: int, total: int) -> float:
    return round(100 * used / total, 1) if total else 100.0


class ThinPool(Protocol):
    """A thin pool and the volumes in it, under LVM's names.

    Methods raise StoreError when LVM or the kernel refuses.
    """

    @property
    def group_name(self) -> str:
        """Name of the volume group."""

    @property
    def name(self) -> str:
        """Name of the pool."""

    def group(self) -> Group | None:
        """Return the volume group, None where there is none."""

    def volumes(self) -> list[Volume]:
        """Return all volumes of the group, including the pool."""

    def status(self) -> Status | None:
        """Return the pool's state, None when it is not active."""

    def block_bytes(self) -> int | None:
        """Return the pool's logical block size, None when not active."""

    def device(self, lv: str) -> tuple[str, int] | None:
        """Return path and size in bytes of an active volume."""

    def is_suspended(self, lv: str) -> bool:
        """Tell whether I/O to a volume is suspended."""

    def mapped_bytes(self, lv: str) -> int:
        """Return how much of a volume is mapped to chunks of the pool."""

    def make(self, data_bytes: int, metadata_bytes: int,
             chunk_kib: int) -> None:
        """Create the pool."""

    def create(self, lv: str, size_bytes: int) -> None:
        """Create an empty volume."""

    def copy(self, source: str, lv: str, tags: Sequence[str] = (), *,
             active: bool = True) -> None:
        """Create a thin snapshot, which is a volume of its own."""

    def copy_together(self, copies: Sequence[tuple[str, str]]) -> float:
        """Give inactive copies the data of their sources at one moment.

        :param copies: pairs of source and copy.
        :returns: for how long the sources were suspended, in seconds.
        """

    def extend(self, lv: str, size_bytes: int) -> None:
        """Grow a volume."""

    def remove(self, lvs: Sequence[str]) -> None:
        """Remove those of the volumes that are in the pool."""

    def rename(self, old: str, new: str) -> None:
        """Rename a volume."""

    def adopt(self, foreign: str, lv: str, size_bytes: int) -> None:
        """Extend a volume of the pool, ours or not, and rename it."""

    def activate(self, lvs: Sequence[str]) -> None:
        """Activate volumes, or the pool when none is named."""

    def untag(self, lvs: Sequence[str], tag: str) -> None:
        """Remove a tag from volumes."""

    def flush(self, lv: str) -> None:
        """Write out what this host has cached of a volume."""

    def resume(self, lvs: Sequence[str]) -> None:
        """Resume suspended volumes."""
