# SPDX-License-Identifier: Apache-2.0
"""A thin pool in memory: sparse files, and what LVM would report of them."""

from collections.abc import Sequence
import dataclasses
import os
import secrets
from typing import Any

from oslo_utils import units

from mydriver import exception
from mydriver.stores.lvmthin import pool


class FakePool:
    """See :class:`.pool.ThinPool`. Volumes are sparse files.

    :param folder: an empty directory in memory.
    """

    def __init__(self, folder: str) -> None:
        self.group_name = 'vg'
        self.name = 'mydriver'
        self.has_group = True
        self.found: dict[str, pool.Volume] = {}
        self.state = pool.Status(100 * units.Gi, 0, units.Gi, 0)
        self.is_active = True
        #: How many of the next queries find no device of the pool.
        self.away = 0
        self.suspended: set[str] = set()
        self.block = 512
        #: Volumes that cannot be activated.
        self.broken: set[str] = set()
        #: How many changes succeed before all others fail; None for all.
        self.fails_in: int | None = None
        self.room = pool.Group(
            100 * units.Gi, 100 * units.Gi, 4 * units.Mi)
        self._folder = folder
        self._ids = 0
        #: Distinguishes this pool from others of the same name.
        self.serial = secrets.token_hex(4)

    def group(self) -> pool.Group | None:
        """Return the group."""
        return self.room if self.has_group else None

    def volumes(self) -> list[pool.Volume]:
        """Return all volumes; none of a missing group, as LVM does."""
        return list(self.found.values()) if self.has_group else []

    def status(self) -> pool.Status | None:
        """Return what the test has set."""
        if self.away:
            self.away -= 1
            return None
        return self.state if self.is_active else None

    def block_bytes(self) -> int | None:
        """Return what the test has set."""
        return self.block if self.is_active else None

    def device(self, lv: str) -> tuple[str, int] | None:
        """Return the file of an active volume."""
        volume = self.found.get(lv)
        return ((self._path(lv), volume.size_bytes)
                if volume and volume.active else None)

    def is_suspended(self, lv: str) -> bool:
        """Tell whether the test has suspended it."""
        return lv in self.suspended

    def mapped_bytes(self, lv: str) -> int:
        """Return the room that the file takes."""
        return os.stat(self._path(lv)).st_blocks * 512

    def make(self, data_bytes: int, metadata_bytes: int,
             chunk_kib: int) -> None:
        """Create the pool."""
        self._change()
        self.state = pool.Status(data_bytes, 0, metadata_bytes, 0)
        self.add(self.name, data_bytes, pool='', kind='thin-pool')

    def add(self, lv: str, size_bytes: int, **fields: Any) -> None:
        """Add a volume; tests call it too.

        :param fields: of :class:`.pool.Volume`.
        """
        self._ids += 1
        self.found[lv] = dataclasses.replace(pool.Volume(
            lv, size_bytes, self.name, active=True, thin_id=self._ids,
            uuid=f'{self.serial}-{self._ids:06}'), **fields)
        with open(self._path(lv), 'ab') as f:
            f.truncate(size_bytes)

    def create(self, lv: str, size_bytes: int) -> None:
        """Create an empty volume."""
        self._change(new=lv)
        self.add(lv, size_bytes)

    def copy(self, source: str, lv: str, tags: Sequence[str] = (), *,
             active: bool = True) -> None:
        """Copy the file."""
        self._change(source, new=lv)
        size_bytes = self.found[source].size_bytes
        self.add(lv, size_bytes, active=active, tags=frozenset(tags))
        self._fill(lv, source)

    def _fill(self, lv: str, source: str) -> None:
        with open(self._path(source), 'rb') as f:
            data = f.read(4 * units.Mi)
        with open(self._path(lv), 'r+b') as f:
            if data.strip(b'\0'):
                f.write(data)

    def copy_together(self, copies: Sequence[tuple[str, str]]) -> float:
        """Copy again, all at once."""
        self._change()
        for source, lv in copies:
            assert not self.found[lv].active
            self._fill(lv, source)
        return 0.001

    def extend(self, lv: str, size_bytes: int) -> None:
        """Make the file larger."""
        self._change(lv)
        self.change(lv, size_bytes=size_bytes)
        os.truncate(self._path(lv), size_bytes)

    def remove(self, lvs: Sequence[str]) -> None:
        """Remove files."""
        self._change()
        for lv in lvs:
            if self.found.pop(lv, None):
                os.unlink(self._path(lv))

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        self._change(old, new=new)
        self.found[new] = self.found.pop(old)
        self.change(new, name=new)
        os.rename(self._path(old), self._path(new))

    def adopt(self, foreign: str, lv: str, size_bytes: int) -> None:
        """Extend and rename."""
        if self.found[foreign].size_bytes < size_bytes:
            self.extend(foreign, size_bytes)
        self.rename(foreign, lv)

    def activate(self, lvs: Sequence[str]) -> None:
        """Activate volumes, or the pool."""
        self._change(*lvs)
        self.is_active = True
        for lv in set(lvs) - self.broken:
            self.change(lv, active=True)
        if failed := self.broken.intersection(lvs):
            # Like LVM, after it has activated all others.
            raise exception.StoreError('run lvchange', f'{failed}')

    def untag(self, lvs: Sequence[str], tag: str) -> None:
        """Remove a tag."""
        self._change(*lvs)
        for lv in lvs:
            self.change(lv, tags=self.found[lv].tags - {tag})

    def flush(self, lv: str) -> None:
        """Do nothing: nobody crashes this memory."""
        self._change(lv)

    def resume(self, lvs: Sequence[str]) -> None:
        """Resume volumes."""
        self._change(*lvs)
        self.suspended.difference_update(lvs)

    def change(self, lv: str, **fields: Any) -> None:
        """Change a volume behind the store's back; see :meth:`add`."""
        self.found[lv] = dataclasses.replace(self.found[lv], **fields)

    def _path(self, lv: str) -> str:
        return os.path.join(self._folder, lv)

    def _change(self, *needed: str, new: str = '') -> None:
        if not self.has_group:
            raise exception.StoreError('run lvm', 'there is no such group')
        if self.fails_in is not None:
            self.fails_in -= 1
            if self.fails_in < 0:
                raise exception.StoreError('run lvm', 'the test wants it')
        for lv in needed:
            if lv not in self.found:
                raise exception.StoreError('run lvm', f'there is no {lv}')
        if new in self.found:
            raise exception.StoreError('run lvm', f'{new} exists')
