# SPDX-License-Identifier: Apache-2.0
"""The thin pool of LVM: read from sysfs, changed by privileged verbs."""

from collections.abc import Sequence
import contextlib
import os
from pathlib import Path
import secrets
from typing import Any

from oslo_concurrency import lockutils

from mydriver.privileged import channel, dm
from mydriver.privileged.stores import thin as as_root
from mydriver.stores.lvmthin import pool, status

#: More than the verbs allow an LVM command, which may wait for others.
_TIMEOUT_S = as_root.COMMAND_TIMEOUT_S + 30

_SECTOR_BYTES = 512


class LvmPool:
    """A thin pool of LVM; see :class:`.pool.ThinPool`.

    LVM commands run one at a time. Each takes the lock of its group anyway,
    and those that wait here do not occupy a thread of the privileged daemon.

    :param group_name: name of the volume group.
    :param name: name of the pool.
    """

    def __init__(self, group_name: str, name: str) -> None:
        self.group_name = group_name
        self.name = name

    def group(self) -> pool.Group | None:
        """See :class:`.pool.ThinPool`."""
        row = self._run(as_root.group)
        return row and pool.Group(
            int(row['vg_size']), int(row['vg_free']),
            int(row['vg_extent_size']), int(row['vg_missing_pv_count']))

    def volumes(self) -> list[pool.Volume]:
        """See :class:`.pool.ThinPool`."""
        return [pool.Volume(
            row['lv_name'], int(row['lv_size']), row['pool_lv'],
            row['lv_active'] == 'active', row['lv_device_open'] == 'open',
            frozenset(filter(None, row['lv_tags'].split(','))),
            int(row['thin_id'] or 0), row['segtype'], row['zero'] == 'zero',
            row['discards'], row['lv_uuid'])
            for row in self._run(as_root.volumes)]

    def status(self) -> pool.Status | None:
        """See :class:`.pool.ThinPool`."""
        found = channel.run(as_root.pool_status, self.group_name, self.name)
        return found and status.parse(*found)

    def block_bytes(self) -> int | None:
        """See :class:`.pool.ThinPool`; a pool has no node in /dev."""
        name = dm.name_of(self.group_name, self.name)
        for path in Path('/sys/block').glob('dm-*/dm/name'):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                # The second is the name of a pool that never had a volume.
                if path.read_text().strip() in (f'{name}-tpool', name):
                    block = path.parents[1] / 'queue/logical_block_size'
                    return int(block.read_text())
        return None

    def device(self, lv: str) -> tuple[str, int] | None:
        """See :class:`.pool.ThinPool`."""
        path = f'/dev/{self.group_name}/{lv}'
        folder = self._sysfs(path)
        if folder is None:
            return None
        return path, int((folder / 'size').read_text()) * _SECTOR_BYTES

    def is_suspended(self, lv: str) -> bool:
        """See :class:`.pool.ThinPool`."""
        folder = self._sysfs(f'/dev/{self.group_name}/{lv}')
        return (folder is not None
                and (folder / 'dm/suspended').read_text().strip() == '1')

    def _sysfs(self, path: str) -> Path | None:
        """Return the sysfs directory of a device, None where there is none.

        A link in /dev to a device of another name does not count.
        """
        try:
            number = os.stat(path).st_rdev
            folder = Path(f'/sys/dev/block/{os.major(number)}:'
                          f'{os.minor(number)}')
            name = (folder / 'dm/name').read_text().strip()
        except FileNotFoundError:
            return None
        wanted = dm.name_of(*path.split('/')[2:])
        return folder if name == wanted else None

    def mapped_bytes(self, lv: str) -> int:
        """See :class:`.pool.ThinPool`."""
        return _SECTOR_BYTES * int(channel.run(
            as_root.mapped_sectors, self.group_name, lv))

    def make(self, data_bytes: int, metadata_bytes: int,
             chunk_kib: int) -> None:
        """See :class:`.pool.ThinPool`."""
        self._run(as_root.create_pool, self.name,
                  data_bytes, metadata_bytes, chunk_kib)

    def create(self, lv: str, size_bytes: int) -> None:
        """See :class:`.pool.ThinPool`."""
        self._run(as_root.create, self.name, lv, size_bytes, _request())

    def copy(self, source: str, lv: str, tags: Sequence[str] = (), *,
             active: bool = True) -> None:
        """See :class:`.pool.ThinPool`."""
        self._run(as_root.copy, source, lv, list(tags), active, _request())

    def copy_together(self, copies: Sequence[tuple[str, str]]) -> float:
        """See :class:`.pool.ThinPool`."""
        return float(self._run(as_root.copy_together,
                               self.name, [list(c) for c in copies]))

    def extend(self, lv: str, size_bytes: int) -> None:
        """See :class:`.pool.ThinPool`."""
        self._run(as_root.extend, lv, size_bytes)

    def remove(self, lvs: Sequence[str]) -> None:
        """See :class:`.pool.ThinPool`."""
        self._run(as_root.remove, self.name, list(lvs))

    def rename(self, old: str, new: str) -> None:
        """See :class:`.pool.ThinPool`."""
        self._run(as_root.rename, old, new)

    def adopt(self, foreign: str, lv: str, size_bytes: int) -> None:
        """See :class:`.pool.ThinPool`."""
        self._run(as_root.adopt, self.name, foreign, lv, size_bytes)

    def activate(self, lvs: Sequence[str]) -> None:
        """See :class:`.pool.ThinPool`."""
        if lvs:
            self._run(as_root.activate, list(lvs))
        else:
            self._run(as_root.activate_pool, self.name)

    def untag(self, lvs: Sequence[str], tag: str) -> None:
        """See :class:`.pool.ThinPool`."""
        self._run(as_root.untag, list(lvs), tag)

    def flush(self, lv: str) -> None:
        """See :class:`.pool.ThinPool`."""
        channel.run(as_root.flush, self.group_name, lv, timeout_s=_TIMEOUT_S)

    def resume(self, lvs: Sequence[str]) -> None:
        """See :class:`.pool.ThinPool`."""
        channel.run(as_root.resume, self.group_name, list(lvs))

    def _run(self, verb: Any, *args: Any) -> Any:
        with lockutils.lock(f'mydriver-lvm-{self.group_name}'):
            return channel.run(verb, self.group_name, *args,
                               timeout_s=_TIMEOUT_S)


def _request() -> str:
    """Return a tag by which a repeated request finds the volume it made.

    The tag stays on the volume.
    """
    return f'mydriver.request={secrets.token_hex(6)}'
