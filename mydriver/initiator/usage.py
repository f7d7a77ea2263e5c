# SPDX-License-Identifier: Apache-2.0
"""Who on this host uses a guest's disk: other devices, mounts, swap.

A guest may put LVM, RAID or a filesystem on its disk, and the host that scans
the disk may take them for its own. Reading only, and without privileges.
Mounts of other mount namespaces are not seen, only that a disk is claimed
(:meth:`.Verbs.is_claimed`).
"""

from collections.abc import Iterable, Iterator
import os
from pathlib import Path
import re

from mydriver.initiator.sysfs import Sysfs

# /proc/swaps and mountinfo write blanks as \040 (fs/seq_file.c, mangle_path).
_ESCAPED = re.compile(r'\\([0-7]{3})')


class Usage:
    """The uses of block devices.

    :param sysfs: what shows which device stands on which.
    :param proc: where procfs is mounted.
    """

    def __init__(self, sysfs: Sysfs, proc: Path = Path('/proc')) -> None:
        self._sysfs = sysfs
        self._proc = proc

    def of_volume(self, naa: str, disks: Iterable[str]) -> list[str]:
        """Return who uses a volume, each in words; nobody is an empty list.

        A map of its paths, and the maps that udev makes of the map's
        partitions, are not users: they go with it.

        :param naa: NAA id of the volume.
        :param disks: names of its paths; empty where a path has none.
        """
        waiting = [d for d in (*disks, self._sysfs.multipath_map(naa)) if d]
        seen: set[str] = set()
        users: list[str] = []
        while waiting:
            device = waiting.pop()
            if device in seen:
                continue
            seen.add(device)
            waiting += self._sysfs.partitions(device)
            for holder in self._sysfs.holders(device):
                waiting.append(holder)
                if not self._sysfs.is_of_map(holder, naa):
                    users.append(self._named(holder))
        users += self._mounts(seen)
        users += self._swaps(seen)
        return sorted(set(users))

    def _named(self, holder: str) -> str:
        name = self._sysfs.dm_name(holder)
        return f'{name} ({holder})' if name else holder

    def _mounts(self, devices: set[str]) -> Iterator[str]:
        """Yield where devices are mounted (proc(5), mountinfo)."""
        numbers = {self._sysfs.number(d) for d in devices} - {''}
        for line in self._lines('self/mountinfo'):
            fields = line.split(' ')
            source = fields[fields.index('-') + 2]
            if fields[2] in numbers or _device(source) in devices:
                yield f'the mount at {_plain(fields[4])}'

    def _swaps(self, devices: set[str]) -> Iterator[str]:
        for line in self._lines('swaps'):
            path = line.split(' ')[0]
            if _device(path) in devices:
                yield f'swap on {_plain(path)}'

    def _lines(self, file: str) -> list[str]:
        """Return the lines of a file; none where the kernel has no such."""
        try:
            return (self._proc / file).read_text(
                errors='surrogateescape').splitlines()
        except FileNotFoundError:
            return []


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda m: chr(int(m[1], 8)), text)


def _device(path: str) -> str:
    """Return the kernel's name of a device node, through links of udev's."""
    plain = _plain(path)
    if not plain.startswith('/dev/'):
        return ''
    return os.path.basename(os.path.realpath(plain))
