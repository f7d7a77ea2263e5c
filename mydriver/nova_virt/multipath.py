# SPDX-License-Identifier: Apache-2.0
"""Several paths as one device, by way of multipathd and dm-multipath."""

from collections.abc import Collection
import logging

from mydriver import exception
from mydriver.nova_virt.initiator import Initiator
from mydriver.nova_virt.sysfs import Sysfs
from mydriver.nova_virt.waiting import wait_for

LOG = logging.getLogger(__name__)

#: Until multipathd made a map of the first path, without and with a hint.
MAP_TIMEOUT_S = 10
_UNASKED_S = 2
#: Until it took in the other paths that are up.
PATHS_TIMEOUT_S = 5
#: Until a map that udev is just looking at can be removed.
REMOVAL_TIMEOUT_S = 30


class Multipath:
    """The multipath maps of this host.

    :param initiator: what may change them.
    :param sysfs: what shows them.
    """

    def __init__(self, initiator: Initiator, sysfs: Sysfs) -> None:
        self._initiator = initiator
        self._sysfs = sysfs

    def runs(self) -> bool:
        """Tell whether there is a multipathd, be it one that is busy."""
        try:
            return self._initiator.multipath_paths() is not None
        except exception.InitiatorError as e:
            LOG.warning('It counts as running: %s', e)
            return True

    def claim(self, naa: str) -> None:
        """Announce a volume, before its first path comes up."""
        self._initiator.multipath_claim(naa)

    def assemble(self, naa: str, disks: Collection[str]) -> str | None:
        """Wait for the map of a volume and for its paths in there.

        :param naa: NAA id of the volume.
        :param disks: names of the paths, each seen to be the volume.
        :returns: name of the map, such as ``dm-3``; None where multipathd
            makes none, as when its configuration leaves out these devices.
        :raises WaitTimeout: when the map takes no writes and its paths do.
        """
        name = self._live_map(naa, _UNASKED_S)
        if not name:
            for disk in disks:
                self._initiator.multipath_add_path(disk)
            name = self._live_map(naa, MAP_TIMEOUT_S)
        if not name:
            return None
        try:
            wait_for(lambda: self._sysfs.paths(name) >= set(disks),
                     f'the paths {sorted(disks)} in {name}', PATHS_TIMEOUT_S)
        except exception.WaitTimeout as e:
            LOG.warning('%s It has %s; multipathd may add the rest later.',
                        e, sorted(self._sysfs.paths(name)))
        # Another server of this host had the volume for reading only, and
        # multipathd follows its paths by udev's events.
        wait_for(lambda: not self._sysfs.is_read_only(name) or any(
            self._sysfs.is_read_only(d) for d in disks),
            f'{name} to become writable, as its paths are', MAP_TIMEOUT_S)
        return name

    def _live_map(self, naa: str, timeout_s: float) -> str | None:
        def look() -> str | None:
            name = self._sysfs.multipath_map(naa)
            return name if name and self._sysfs.is_live(name) else None

        try:
            return wait_for(look, f'a multipath map of {naa}', timeout_s)
        except exception.WaitTimeout:
            return None

    def remove(self, naa: str, force: bool,
               timeout_s: float | None = None) -> None:
        """Remove the map of a volume and see it go; none is no error.

        :param naa: NAA id of the volume.
        :param force: have it fail what waits for a path.
        :param timeout_s: how long to go on; ``REMOVAL_TIMEOUT_S`` by default.
        :raises WaitTimeout: when it stays, as while somebody has it open.
        """
        refused: list[exception.InitiatorError] = []

        def gone() -> bool:
            try:
                self._initiator.multipath_remove_map(naa, force)
            except exception.InitiatorError as e:
                refused[:] = [e]
            return self._sysfs.multipath_map(naa) is None

        name = self._sysfs.multipath_map(naa)
        if not name:
            return
        try:
            wait_for(gone, f'{name}, the multipath map of {naa}, to go; '
                     f'"fuser -v /dev/{name}" names the processes that have '
                     'it open',
                     REMOVAL_TIMEOUT_S if timeout_s is None else timeout_s)
        except exception.WaitTimeout as e:
            raise e from (refused[0] if refused else None)

    def let_go(self, naa: str, disks: Collection[str]) -> None:
        """See that multipathd forgets a volume and the paths that it had.

        A path that it still knows when its name comes up again, for another
        volume, would end in the old volume's map.

        :param naa: NAA id of the volume.
        :param disks: names that its paths had.
        """
        def forgotten() -> bool:
            try:
                known = self._initiator.multipath_paths() or set()
            except exception.InitiatorError:
                return False
            return not known & set(disks)

        try:
            wait_for(forgotten, f'multipathd to forget {sorted(disks)}',
                     PATHS_TIMEOUT_S)
        except exception.WaitTimeout as e:
            LOG.warning('%s Telling it.', e)
            for disk in disks:
                self._initiator.multipath_del_path(disk)
        self._initiator.multipath_unclaim(naa)

    def resize(self, naa: str, size_bytes: int) -> str | None:
        """Make the map of a volume as large as its paths.

        :param naa: NAA id of the volume.
        :param size_bytes: size that the paths have.
        :returns: name of the map; None where there is none.
        :raises InitiatorError: when multipathd refused.
        :raises WaitTimeout: when the map keeps its size.
        """
        name = self._sysfs.multipath_map(naa)
        if name and self._sysfs.size_bytes(name) != size_bytes:
            self._initiator.multipath_resize_map(naa)
            wait_for(lambda: self._sysfs.size_bytes(name) == size_bytes,
                     f'{name} to have {size_bytes} bytes', MAP_TIMEOUT_S)
        return name
