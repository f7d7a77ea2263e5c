# SPDX-License-Identifier: Apache-2.0
"""What else on this host uses a guest's disk: other devices, mounts, swap.

A guest may put LVM, RAID or a filesystem on its disk, and the host that scans
the disk may activate them. Read-only and without privileges. Mounts of other
mount namespaces are not visible; of those, only the claim on the disk can be
seen (:meth:`.Verbs.is_claimed`).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mydriver.initiator.sysfs import Sysfs
from mydriver.privileged.initiator import usage


class Usage:
    """The uses of block devices.

    :param sysfs: shows which devices are on top of which.
    :param proc: where procfs is mounted.
    """

    def __init__(self, sysfs: Sysfs, proc: Path = usage.PROC) -> None:
        self._sysfs = sysfs
        self._proc = proc

    def of_volume(self, naa: str, disks: Iterable[str]) -> list[str]:
        """Return the users of a volume, each as text for a message.

        The map of its paths, and the maps that udev makes of that map's
        partitions, do not count: they are removed with the volume.

        :param naa: NAA id of the volume.
        :param disks: names of its paths; empty for a path without a disk.
        :raises InitiatorError: if sysfs cannot be read.
        :raises OSError: if procfs cannot be read.
        """
        found = usage.stack(
            filter(None, (*disks, self._sysfs.multipath_map(naa))),
            lambda name: [*self._sysfs.partitions(name),
                          *self._sysfs.holders(name)])
        users = {self._named(holder) for device in found
                 for holder in self._sysfs.holders(device)
                 if not self._sysfs.is_of_map(holder, naa)}
        return sorted(users | set(self._uses(set(found))))

    def _named(self, holder: str) -> str:
        name = self._sysfs.dm_name(holder)
        return f'{name} ({holder})' if name else holder

    def _uses(self, devices: set[str]) -> Iterator[str]:
        """Yield the mounts and swap spaces of devices, as text."""
        numbers = {self._sysfs.number(d) for d in devices} - {''}
        for use in usage.uses(self._proc):
            if use.number in numbers or use.device in devices:
                yield (f'swap on {use.source}' if use.mount_point is None
                       else f'the mount at {use.mount_point}')
