# SPDX-License-Identifier: Apache-2.0
"""Multipath maps: several paths as one device, made by multipathd."""

from collections.abc import Collection
import logging
import time

from mydriver import exception
from mydriver.initiator.sysfs import Sysfs
from mydriver.initiator.verbs import Verbs
from mydriver.waiting import wait_for

LOG = logging.getLogger(__name__)

#: How long multipathd may take to make a map of the first path once asked, and
#: how long it gets to do so unasked.
MAP_TIMEOUT_S = 10
_UNASKED_S = 2
#: How long it gets to add the other paths unasked, and then the interval
#: between two requests.
PATHS_TIMEOUT_S = 5
#: For how long requests go on: its own limit for a map that udev processes
#: (multipath.conf(5), missing_uev_wait_timeout).
ASKED_PATHS_TIMEOUT_S = 30
#: How long it may take to forget the paths of a removed volume.
FORGET_TIMEOUT_S = 5
#: How long udev may hold a map open that is to be removed.
REMOVAL_TIMEOUT_S = 30


class Multipath:
    """The multipath maps of this host.

    :param verbs: change them.
    :param sysfs: reads them.
    """

    def __init__(self, verbs: Verbs, sysfs: Sysfs) -> None:
        self._verbs = verbs
        self._sysfs = sysfs

    def runs(self) -> bool:
        """Tell whether multipathd runs, even if it does not answer."""
        try:
            return self._verbs.multipath_paths() is not None
        except exception.InitiatorError as e:
            LOG.warning('multipathd counts as running: %s', e)
            return True

    def claim(self, naa: str) -> None:
        """Announce a volume to multipathd, before its first path comes up."""
        self._verbs.multipath_claim(naa)

    def assemble(self, naa: str, disks: Collection[str]) -> str | None:
        """Wait until the map of a volume has all of its paths.

        :param naa: NAA id of the volume.
        :param disks: names of the paths, each known to be the volume.
        :returns: name of the map, such as ``dm-3``; None if multipathd makes
            none, for example because its configuration excludes the devices.
        :raises WaitTimeout: if the map is read-only and its paths are not.
        """
        name = self._live_map(naa, _UNASKED_S)
        if not name:
            answers = {disk: self._ask_for(disk) for disk in sorted(disks)}
            name = self._live_map(naa, MAP_TIMEOUT_S)
            if not name:
                LOG.warning('multipathd made no map of volume %s and '
                            'answered: %s', naa, answers)
                return None
        # multipathd refuses for good a path that came with another size.
        resized = self._resize_to_paths(naa, name, disks)
        self._add_paths(name, disks, 0 if resized else PATHS_TIMEOUT_S)
        # The volume may have been attached read-only before; multipathd
        # follows its paths when udev's events arrive.
        wait_for(lambda: not self._sysfs.is_read_only(name) or any(
            self._sysfs.is_read_only(d) for d in disks),
            f'{name} to become writable, as its paths are', MAP_TIMEOUT_S)
        return name

    def _resize_to_paths(self, naa: str, name: str,
                         disks: Collection[str]) -> bool:
        """Make a map that was there before as large as its paths.

        The size of the volume may have changed since the map was made, and
        multipathd adds no path to a map of another size (multipathd/main.c,
        ev_add_path).

        :param disks: paths to be added; all paths have just been rescanned.
        :returns: whether the map was resized.
        """
        sizes = {disk: size
                 for disk in sorted({*self._sysfs.paths(name), *disks})
                 if (size := self._sysfs.size_bytes(disk))}
        has_bytes = self._sysfs.size_bytes(name)
        if set(sizes.values()) <= {has_bytes}:
            return False
        if len(set(sizes.values())) > 1:
            LOG.warning(
                'The paths of %s differ in size (%s bytes), so it keeps its '
                '%d bytes. A path whose portal is down shows a stale size; '
                'attach or extend the volume again once it is up.', name,
                ', '.join(f'{d} {s}' for d, s in sizes.items()), has_bytes)
            return False
        size_bytes = min(sizes.values())
        try:
            self.resize(naa, size_bytes)
        except exception.MyDriverError as e:
            # The guest can work with the old size, but not without a disk.
            LOG.warning('%s keeps its %d bytes, its paths have %d: %s', name,
                        has_bytes, size_bytes, e)
            return False
        LOG.warning('%s had %d bytes, its paths have %d: resized', name,
                    has_bytes, size_bytes)
        return True

    def _add_paths(self, name: str, disks: Collection[str],
                 unasked_s: float) -> None:
        """Wait until the map has all paths; ask for those that are missing.

        multipathd adds no path to a new map until udev has processed the map
        (multipathd/main.c, ev_add_path, wait_for_udev), which takes a while on
        a busy host.

        :param unasked_s: how long to wait before multipathd is asked.
        """
        def missing() -> set[str]:
            return set(disks) - self._sysfs.paths(name)

        def are_in(timeout_s: float) -> bool:
            try:
                return wait_for(lambda: not missing(),
                                f'{sorted(disks)} in {name}', timeout_s)
            except exception.WaitTimeout:
                return False

        deadline = time.monotonic() + ASKED_PATHS_TIMEOUT_S
        while not are_in(unasked_s):
            answers = {disk: self._ask_for(disk) for disk in sorted(missing())}
            LOG.info('Asked multipathd to add paths to %s: %s', name, answers)
            # "fail" may also mean that udev still processes the path.
            hopeless = set(answers.values()) == {'blacklisted'}
            if (hopeless or time.monotonic() > deadline) and not are_in(0):
                LOG.warning(
                    '%s has only the paths %s. For the others, multipathd '
                    'answered: %s. See its log for the cause; it may add them '
                    'later.', name, sorted(self._sysfs.paths(name)),
                    ', '.join(f'{disk} ({self._sysfs.size_bytes(disk)} bytes)'
                              f': {answer}'
                              for disk, answer in answers.items()))
                return
            unasked_s = PATHS_TIMEOUT_S

    def _ask_for(self, disk: str) -> str:
        """Ask multipathd to add a path and return its answer.

        If it does not answer, the volume must keep the paths that work, so
        that is no error.
        """
        try:
            return self._verbs.multipath_add_path(disk)
        except exception.InitiatorError as e:
            return str(e)

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
        """Remove the map of a volume and wait until it is gone.

        :param naa: NAA id of the volume; it may have no map.
        :param force: make the map fail the commands that wait for a path.
        :param timeout_s: how long to try; ``REMOVAL_TIMEOUT_S`` by default.
        :raises WaitTimeout: if the map stays, as while it is open.
        """
        refused: list[exception.InitiatorError] = []

        def gone() -> bool:
            try:
                self._verbs.multipath_remove_map(naa, force)
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

    def forget(self, naa: str, disks: Collection[str]) -> None:
        """Make multipathd forget a volume and the paths that it had.

        If it still knows a path when another volume gets that disk name, it
        would add the disk to the old volume's map.

        :param naa: NAA id of the volume.
        :param disks: names that its paths had.
        """
        def forgotten() -> bool:
            try:
                known = self._verbs.multipath_paths() or set()
            except exception.InitiatorError:
                return False
            return not known & set(disks)

        try:
            wait_for(forgotten, f'multipathd to forget {sorted(disks)}',
                     FORGET_TIMEOUT_S)
        except exception.WaitTimeout as e:
            LOG.warning('%s Asking it to.', e)
            for disk in disks:
                self._verbs.multipath_del_path(disk)
        self._verbs.multipath_unclaim(naa)

    def resize(self, naa: str, size_bytes: int) -> str | None:
        """Make the map of a volume as large as its paths.

        :param naa: NAA id of the volume.
        :param size_bytes: size of the paths.
        :returns: name of the map; None if there is none.
        :raises InitiatorError: if multipathd refuses.
        :raises WaitTimeout: if the map keeps its size.
        """
        name = self._sysfs.multipath_map(naa)
        refused: list[exception.InitiatorError] = []

        def resized() -> bool:
            # multipathd refuses while udev processes a new map.
            try:
                self._verbs.multipath_resize_map(naa)
            except exception.InitiatorError as e:
                refused[:] = [e]
            return self._sysfs.size_bytes(name or '') == size_bytes

        if name and self._sysfs.size_bytes(name) != size_bytes:
            try:
                wait_for(resized, f'{name} to have {size_bytes} bytes',
                         MAP_TIMEOUT_S)
            except exception.WaitTimeout as e:
                raise (refused[0] if refused else e) from e
        return name
