# SPDX-License-Identifier: Apache-2.0
"""An LVM thin pool as the store sees it: volumes, tags, and how full it is.

:class:`ThinPool` is what the store needs; :class:`LvmPool` does it with
privileged verbs. What can be read without privileges, is.
"""

from collections.abc import Sequence
import contextlib
import dataclasses
import os
from pathlib import Path
import re
import secrets
from typing import Any, Protocol

from oslo_concurrency import lockutils

from mydriver import exception
from mydriver.privileged import channel
from mydriver.privileged.stores import thin as as_root

#: Above what the verbs give a command of LVM's, which waits for others.
_TIMEOUT_S = as_root.COMMAND_TIMEOUT_S + 30

_SECTOR_BYTES = 512
#: Blocks of a pool's metadata (drivers/md/dm-thin-metadata.h).
_METADATA_BLOCK_BYTES = 4096

# Numbers of 64 bits (drivers/md/dm-thin.c, pool_status); int() would also take
# signs, underscores and the digits of other scripts.
_NUMBER = '([0-9]{1,20})'
_STATUS = re.compile(
    rf'\s*[0-9]+ +{_NUMBER}/{_NUMBER} +{_NUMBER}/{_NUMBER} +\S+ +(\S+)')
_TABLE = re.compile(rf'\s*\S+ +\S+ +{_NUMBER}(?!\S)')


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """A logical volume of a group.

    :param name: its name, of ours or not.
    :param size_bytes: the size that it shows.
    :param pool: the thin pool that it is in, or empty.
    :param active: it has a device.
    :param open: that is in use on this host.
    :param tags: LVM's tags.
    :param thin_id: its number in the pool.
    :param kind: LVM's segment type, such as ``thin`` and ``thin-pool``.
    :param zero: of a pool: new chunks are zeroed.
    :param discards: of a pool: what becomes of discards.
    :param uuid: LVM's, which no other volume ever has.
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
    """A volume group: its room, the unit of sizes, disks that are missing."""

    size_bytes: int
    free_bytes: int
    extent_bytes: int
    missing_disks: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """The state of a thin pool, as the kernel tells it.

    :param data_bytes: room for data.
    :param data_used_bytes: of it in use.
    :param metadata_bytes: room for metadata.
    :param metadata_used_bytes: of it in use.
    :param trouble: what is wrong with it, or empty.
    """

    data_bytes: int
    data_used_bytes: int
    metadata_bytes: int
    metadata_used_bytes: int
    trouble: str = ''

    @property
    def data_percent(self) -> float:
        """How full the data is."""
        return _percent(self.data_used_bytes, self.data_bytes)

    @property
    def metadata_percent(self) -> float:
        """How full the metadata is."""
        return _percent(self.metadata_used_bytes, self.metadata_bytes)


class ThinPool(Protocol):
    """A thin pool and the volumes in it, all under LVM's names."""

    @property
    def group_name(self) -> str:
        """Name of the volume group."""

    @property
    def name(self) -> str:
        """Name of the pool."""

    def group(self) -> Group | None:
        """Return the volume group, None where there is none."""

    def volumes(self) -> list[Volume]:
        """Return all volumes of the group, the pool among them."""

    def status(self) -> Status | None:
        """Return the pool's state, None when it is not active."""

    def block_bytes(self) -> int | None:
        """Return the pool's logical block size, None when not active."""

    def device(self, lv: str) -> tuple[str, int] | None:
        """Return path and size in bytes of an active volume."""

    def is_suspended(self, lv: str) -> bool:
        """Tell whether users of a volume have to wait."""

    def mapped_bytes(self, lv: str) -> int:
        """Return how much of a volume has a place in the pool."""

    def make(self, data_bytes: int, metadata_bytes: int,
             chunk_kib: int) -> None:
        """Make the pool."""

    def create(self, lv: str, size_bytes: int) -> None:
        """Make an empty volume."""

    def copy(self, source: str, lv: str, tags: Sequence[str] = (), *,
             active: bool = True) -> None:
        """Make a volume that shares what another one holds."""

    def copy_together(self, copies: Sequence[tuple[str, str]]) -> float:
        """Let inactive copies hold what their sources hold at one moment.

        :param copies: source and copy.
        :returns: how long the sources were suspended, in seconds.
        """

    def extend(self, lv: str, size_bytes: int) -> None:
        """Grow a volume."""

    def remove(self, lvs: Sequence[str]) -> None:
        """Remove those of the volumes that are in the pool."""

    def rename(self, old: str, new: str) -> None:
        """Give a volume another name."""

    def adopt(self, foreign: str, lv: str, size_bytes: int) -> None:
        """Extend a volume of the pool, ours or not, and rename it."""

    def activate(self, lvs: Sequence[str]) -> None:
        """Give volumes their devices; with none named, the pool."""

    def untag(self, lvs: Sequence[str], tag: str) -> None:
        """Take a tag from volumes."""

    def flush(self, lv: str) -> None:
        """Make durable what was written by way of the local path."""

    def resume(self, lvs: Sequence[str]) -> None:
        """Let suspended volumes go on."""


class LvmPool:
    """The real one; see :class:`ThinPool`.

    One command of LVM's at a time: each takes the group's lock anyway, and
    waiting here does not take a thread of the privileged daemon's.

    :param group_name: of the volume group.
    :param name: of the pool.
    """

    def __init__(self, group_name: str, name: str) -> None:
        self.group_name = group_name
        self.name = name

    def group(self) -> Group | None:
        """See :class:`ThinPool`."""
        row = self._run(as_root.group)
        return row and Group(int(row['vg_size']), int(row['vg_free']),
                             int(row['vg_extent_size']),
                             int(row['vg_missing_pv_count']))

    def volumes(self) -> list[Volume]:
        """See :class:`ThinPool`."""
        return [Volume(
            row['lv_name'], int(row['lv_size']), row['pool_lv'],
            row['lv_active'] == 'active', row['lv_device_open'] == 'open',
            frozenset(filter(None, row['lv_tags'].split(','))),
            int(row['thin_id'] or 0), row['segtype'], row['zero'] == 'zero',
            row['discards'], row['lv_uuid'])
            for row in self._run(as_root.volumes)]

    def status(self) -> Status | None:
        """See :class:`ThinPool`."""
        found = channel.run(as_root.pool_status, self.group_name, self.name)
        return found and parse_status(*found)

    def block_bytes(self) -> int | None:
        """See :class:`ThinPool`; the pool has no node of its own in /dev."""
        name = _dm_name(self.group_name, self.name)
        for path in Path('/sys/block').glob('dm-*/dm/name'):
            with contextlib.suppress(FileNotFoundError):  # gone since
                # The second is that of a pool that never had a volume.
                if path.read_text().strip() in (f'{name}-tpool', name):
                    block = path.parents[1] / 'queue/logical_block_size'
                    return int(block.read_text())
        return None

    def device(self, lv: str) -> tuple[str, int] | None:
        """See :class:`ThinPool`."""
        path = f'/dev/{self.group_name}/{lv}'
        folder = self._sysfs(path)
        if folder is None:
            return None
        return path, int((folder / 'size').read_text()) * _SECTOR_BYTES

    def is_suspended(self, lv: str) -> bool:
        """See :class:`ThinPool`."""
        folder = self._sysfs(f'/dev/{self.group_name}/{lv}')
        return (folder is not None
                and (folder / 'dm/suspended').read_text().strip() == '1')

    def _sysfs(self, path: str) -> Path | None:
        """Return the kernel's folder of a device, None where there is none.

        A link in /dev that leads to another device is no device of ours.
        """
        try:
            number = os.stat(path).st_rdev
            folder = Path(f'/sys/dev/block/{os.major(number)}:'
                          f'{os.minor(number)}')
            name = (folder / 'dm/name').read_text().strip()
        except FileNotFoundError:
            return None
        wanted = _dm_name(*path.split('/')[2:])
        return folder if name == wanted else None

    def mapped_bytes(self, lv: str) -> int:
        """See :class:`ThinPool`."""
        return _SECTOR_BYTES * int(channel.run(
            as_root.mapped_sectors, self.group_name, lv))

    def make(self, data_bytes: int, metadata_bytes: int,
             chunk_kib: int) -> None:
        """See :class:`ThinPool`."""
        self._run(as_root.create_pool, self.name,
                  data_bytes, metadata_bytes, chunk_kib)

    def create(self, lv: str, size_bytes: int) -> None:
        """See :class:`ThinPool`."""
        self._run(as_root.create, self.name, lv, size_bytes, _request())

    def copy(self, source: str, lv: str, tags: Sequence[str] = (), *,
             active: bool = True) -> None:
        """See :class:`ThinPool`."""
        self._run(as_root.copy, source, lv, list(tags), active, _request())

    def copy_together(self, copies: Sequence[tuple[str, str]]) -> float:
        """See :class:`ThinPool`."""
        return float(self._run(as_root.copy_together,
                               self.name, [list(c) for c in copies]))

    def extend(self, lv: str, size_bytes: int) -> None:
        """See :class:`ThinPool`."""
        self._run(as_root.extend, lv, size_bytes)

    def remove(self, lvs: Sequence[str]) -> None:
        """See :class:`ThinPool`."""
        self._run(as_root.remove, self.name, list(lvs))

    def rename(self, old: str, new: str) -> None:
        """See :class:`ThinPool`."""
        self._run(as_root.rename, old, new)

    def adopt(self, foreign: str, lv: str, size_bytes: int) -> None:
        """See :class:`ThinPool`."""
        self._run(as_root.adopt, self.name, foreign, lv, size_bytes)

    def activate(self, lvs: Sequence[str]) -> None:
        """See :class:`ThinPool`."""
        if lvs:
            self._run(as_root.activate, list(lvs))
        else:
            self._run(as_root.activate_pool, self.name)

    def untag(self, lvs: Sequence[str], tag: str) -> None:
        """See :class:`ThinPool`."""
        self._run(as_root.untag, list(lvs), tag)

    def flush(self, lv: str) -> None:
        """See :class:`ThinPool`."""
        channel.run(as_root.flush, self.group_name, lv, timeout_s=_TIMEOUT_S)

    def resume(self, lvs: Sequence[str]) -> None:
        """See :class:`ThinPool`."""
        channel.run(as_root.resume, self.group_name, list(lvs))

    def _run(self, verb: Any, *args: Any) -> Any:
        with lockutils.lock(f'mydriver-lvm-{self.group_name}'):
            return channel.run(verb, self.group_name, *args,
                               timeout_s=_TIMEOUT_S)


def _dm_name(group_name: str, lv: str) -> str:
    """Return device-mapper's name (lvm2, libdm, dm_build_dm_name)."""
    return f'{group_name.replace("-", "--")}-{lv.replace("-", "--")}'


def _request() -> str:
    """Return a tag that tells a new volume from others of its name.

    It stays with the volume.
    """
    return f'mydriver.request={secrets.token_hex(6)}'


def parse_status(status: str, table: str) -> Status:
    """Read what the kernel says of a thin pool.

    Source: Documentation/admin-guide/device-mapper/thin-provisioning.rst.

    :param status: ``TRANSACTION USED/TOTAL USED/TOTAL ROOT MODE ...``, or
        ``Fail``, or ``Error``.
    :param table: ``METADATA-DEVICE DATA-DEVICE BLOCK-SECTORS ...``.
    :raises StoreError: when it is not of that form.
    """
    words = status.split()
    if words[:1] in (['Fail'], ['Error']):
        return Status(0, 0, 0, 0, 'it has failed')
    found, block = _STATUS.match(status), _TABLE.match(table)
    if not found or not block:
        raise exception.StoreError(
            'read the state of a thin pool',
            f'it is {exception.shown(status)!r}')
    metadata_used, metadata, data_used, data = (
        int(n) for n in found.groups()[:4])
    block_bytes, mode = int(block[1]) * _SECTOR_BYTES, found[5]
    trouble = {'rw': '', 'ro': 'its metadata is read-only',
               'out_of_data_space': 'it has no room for data'}.get(
                   mode, f'its mode is {exception.shown(mode)}')
    if 'needs_check' in words:
        trouble = 'its metadata needs a check'
    return Status(data * block_bytes, data_used * block_bytes,
                  metadata * _METADATA_BLOCK_BYTES,
                  metadata_used * _METADATA_BLOCK_BYTES, trouble)


def _percent(used: int, total: int) -> float:
    return round(100 * used / total, 1) if total else 100.0
