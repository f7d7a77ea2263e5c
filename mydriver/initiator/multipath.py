# SPDX-License-Identifier: Apache-2.0
"""Several paths as one device, by way of multipathd and dm-multipath."""

from collections.abc import Collection
import logging
import time

from mydriver import exception
from mydriver.initiator.sysfs import Sysfs
from mydriver.initiator.verbs import Verbs
from mydriver.waiting import wait_for

LOG = logging.getLogger(__name__)

#: Until multipathd made a map of the first path, without and with a hint.
MAP_TIMEOUT_S = 10
_UNASKED_S = 2
#: Until it took in the other paths that are up; then it is asked to, and
#: again after as long.
PATHS_TIMEOUT_S = 5
#: Until it counts as unwilling: its own limit for a map that udev is not done
#: with (multipath.conf(5), missing_uev_wait_timeout).
ASKED_PATHS_TIMEOUT_S = 30
#: Until it forgot the paths of a volume that goes.
FORGET_TIMEOUT_S = 5
#: Until a map that udev is just looking at can be removed.
REMOVAL_TIMEOUT_S = 30


class Multipath:
    """The multipath maps of this host.

    :param verbs: what may change them.
    :param sysfs: what shows them.
    """

    def __init__(self, verbs: Verbs, sysfs: Sysfs) -> None:
        self._verbs = verbs
        self._sysfs = sysfs

    def runs(self) -> bool:
        """Tell whether there is a multipathd, be it one that is busy."""
        try:
            return self._verbs.multipath_paths() is not None
        except exception.InitiatorError as e:
            LOG.warning('It counts as running: %s', e)
            return True

    def claim(self, naa: str) -> None:
        """Announce a volume, before its first path comes up."""
        self._verbs.multipath_claim(naa)

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
            said = {disk: self._ask_for(disk) for disk in sorted(disks)}
            name = self._live_map(naa, MAP_TIMEOUT_S)
            if not name:
                LOG.warning('Asked for a map of volume %s, multipathd said: '
                            '%s', naa, said)
                return None
        # It refuses a path for good that came while the size was another.
        resized = self._resize_to_paths(naa, name, disks)
        self._take_in(name, disks, 0 if resized else PATHS_TIMEOUT_S)
        # Another server of this host had the volume for reading only, and
        # multipathd follows its paths by udev's events.
        wait_for(lambda: not self._sysfs.is_read_only(name) or any(
            self._sysfs.is_read_only(d) for d in disks),
            f'{name} to become writable, as its paths are', MAP_TIMEOUT_S)
        return name

    def _resize_to_paths(self, naa: str, name: str,
                         disks: Collection[str]) -> bool:
        """Make a map that was there already as large as its paths.

        The volume may have grown, or become smaller, since it was made, and
        multipathd takes no new path into a map of another size
        (multipathd/main.c, ev_add_path).

        :param disks: paths to come; all paths were scanned again just now.
        :returns: whether it has another size now.
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
                '%d bytes. A path whose portal is down shows an old size; '
                'attach or extend the volume again once that it is up.', name,
                ', '.join(f'{d} {s}' for d, s in sizes.items()), has_bytes)
            return False
        size_bytes = min(sizes.values())
        try:
            self.resize(naa, size_bytes)
        except exception.MyDriverError as e:
            # The guest can work with the old size; it cannot without a disk.
            LOG.warning('%s keeps its %d bytes, its paths have %d: %s', name,
                        has_bytes, size_bytes, e)
            return False
        LOG.warning('%s had %d bytes, its paths have %d: resized', name,
                    has_bytes, size_bytes)
        return True

    def _take_in(self, name: str, disks: Collection[str],
                 unasked_s: float) -> None:
        """Wait until all paths are in the map; ask for those that are not.

        multipathd takes in no further path of a map that it just made until
        udev is done with the map (multipathd/main.c, ev_add_path,
        wait_for_udev), which a busy host's udev takes its time for.

        :param unasked_s: until it is asked.
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
            said = {disk: self._ask_for(disk) for disk in sorted(missing())}
            LOG.info('Asked multipathd to take paths into %s: %s', name, said)
            # "fail" may mean that udev is not done with the path either.
            hopeless = set(said.values()) == {'blacklisted'}
            if (hopeless or time.monotonic() > deadline) and not are_in(0):
                LOG.warning(
                    '%s has the paths %s only. Asked for the rest, multipathd '
                    'said: %s. See its log for the cause; it may add them '
                    'later.', name, sorted(self._sysfs.paths(name)),
                    ', '.join(f'{disk} ({self._sysfs.size_bytes(disk)} bytes)'
                              f': {answer}' for disk, answer in said.items()))
                return
            unasked_s = PATHS_TIMEOUT_S

    def _ask_for(self, disk: str) -> str:
        """Ask multipathd to take a path; return what it said, if anything.

        One that does not answer must not cost the volume the paths that work.
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
        """Remove the map of a volume and see it go; none is no error.

        :param naa: NAA id of the volume.
        :param force: have it fail what waits for a path.
        :param timeout_s: how long to go on; ``REMOVAL_TIMEOUT_S`` by default.
        :raises WaitTimeout: when it stays, as while somebody has it open.
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

    def let_go(self, naa: str, disks: Collection[str]) -> None:
        """See that multipathd forgets a volume and the paths that it had.

        A path that it still knows when its name comes up again, for another
        volume, would end in the old volume's map.

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
            LOG.warning('%s Telling it.', e)
            for disk in disks:
                self._verbs.multipath_del_path(disk)
        self._verbs.multipath_unclaim(naa)

    def resize(self, naa: str, size_bytes: int) -> str | None:
        """Make the map of a volume as large as its paths.

        :param naa: NAA id of the volume.
        :param size_bytes: size that the paths have.
        :returns: name of the map; None where there is none.
        :raises InitiatorError: when multipathd refused.
        :raises WaitTimeout: when the map keeps its size.
        """
        name = self._sysfs.multipath_map(naa)
        refused: list[exception.InitiatorError] = []

        def resized() -> bool:
            # It refuses while udev is not done with a new map.
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
