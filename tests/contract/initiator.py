# SPDX-License-Identifier: Apache-2.0
"""What the verbs of a compute host must do: one suite for fake and kernel.

Each test calls :class:`.Verbs` and then looks at sysfs, never at the verbs'
own idea of what they did.
"""

import abc
from collections.abc import Callable
import contextlib
import dataclasses
import unittest

from mydriver import exception, model, waiting
from mydriver.initiator.sysfs import ScsiDevice, Session, Sysfs
from mydriver.initiator.verbs import Verbs

MIB = 1 << 20
TIMEOUT_S = 30.0
LOGIN_TIMEOUT_S = 45.0


@dataclasses.dataclass(frozen=True, slots=True)
class Mapped:
    """A volume that the storage has mapped to this host.

    :param volume_id: its UUID.
    :param lun: the LUN that this host sees.
    """

    volume_id: str
    lun: int

    @property
    def naa(self) -> str:
        """NAA id of the volume."""
        return model.naa_id(self.volume_id)


class InitiatorMaker(unittest.TestCase, abc.ABC):
    """What the suite needs to know of a host and its storage.

    :ivar verbs: the verbs under test.
    :ivar sysfs: what the kernel shows.
    :ivar target: IQN of the target that has all volumes.
    :ivar portals: two portals of the target.
    :ivar dead: a portal where nobody listens.
    :ivar chap: the credentials that the target asks for.
    """

    verbs: Verbs
    sysfs: Sysfs
    target: model.Iqn
    portals: tuple[model.Portal, model.Portal]
    dead: model.Portal
    chap: model.ChapCredentials

    @abc.abstractmethod
    def map_volume(self) -> Mapped:
        """Map a new volume of 16 MiB to this host, at the target."""

    @abc.abstractmethod
    def unmap(self, mapped: Mapped) -> None:
        """Take a LUN away without telling the host."""

    @abc.abstractmethod
    def swap(self, mapped: Mapped, other: Mapped) -> None:
        """Put another volume under a LUN without telling the host."""

    @abc.abstractmethod
    def grow(self, mapped: Mapped, size_bytes: int) -> None:
        """Make a volume larger without telling the host."""

    @abc.abstractmethod
    def claim(self, device: ScsiDevice
              ) -> contextlib.AbstractContextManager[object]:
        """Open a disk exclusively, as a mount of another namespace does."""

    @abc.abstractmethod
    def has_record(self, portal: model.Portal) -> bool:
        """Tell whether there is a node record for the target at a portal."""

    @abc.abstractmethod
    def start_multipathd(self) -> None:
        """Start multipathd for the rest of the test."""


class InitiatorContract(InitiatorMaker):
    """The suite."""

    def log_in(self, number: int = 0) -> Session:
        """Log in at a portal and return the session."""
        portal = self.portals[number]
        self.verbs.login(str(self.target), portal, self.chap,
                         LOGIN_TIMEOUT_S)

        def look() -> Session | None:
            session = self.sysfs.session(self.target, portal)
            return session if session and self.sysfs.works(session) else None

        return waiting.wait_for(look, 'a session', TIMEOUT_S)

    def bring_up(self, session: Session, mapped: Mapped) -> ScsiDevice:
        """Scan for a LUN and return its device once it can be asked.

        A disk has a name and a size before it can be opened (see
        :meth:`.Devices.ask`).
        """
        self.verbs.scan(session, mapped.lun)

        def look() -> ScsiDevice | None:
            device = self.sysfs.device(session, mapped.lun)
            if not (device and device.name
                    and self.sysfs.size_bytes(device.name)):
                return None
            try:
                self.verbs.read_naa(device)
            except exception.NoAnswer:
                return None
            return device

        return waiting.wait_for(look, 'a disk that can be opened', TIMEOUT_S)

    def tear_down(self, session: Session) -> None:
        """Remove the devices of a session and log out of it."""
        for device in self.sysfs.devices(session):
            self.verbs.delete(device, self.sysfs.remembered_naa(device))
            self.wait(lambda d=device: not self.sysfs.exists(d))  # type: ignore[misc]
        self.verbs.logout(session)
        assert session.portal
        self.verbs.forget(session.target, session.portal)

    @staticmethod
    def wait(condition: Callable[[], bool]) -> None:
        """Wait until the kernel shows something."""
        waiting.wait_for(condition, 'the kernel to follow', TIMEOUT_S)

    def size(self, device: ScsiDevice) -> int:
        """Return the size that the kernel shows of a device, bytes."""
        return self.sysfs.size_bytes(device.name or '')

    # Sessions

    def test_reach(self) -> None:
        self.verbs.reach(self.portals[0], 5)
        with self.assertRaises(OSError):
            self.verbs.reach(self.dead, 5)

    def test_login_twice(self) -> None:
        self.map_volume()
        first = self.log_in()
        self.assertEqual(first, self.log_in())
        self.assertEqual([first], self.sysfs.sessions(self.target))
        self.assertTrue(self.has_record(self.portals[0]))
        self.assertFalse(self.has_record(self.portals[1]))
        self.assertEqual([], self.sysfs.devices(first))
        self.tear_down(first)

    def test_session_at_each_portal(self) -> None:
        self.map_volume()
        sessions = [self.log_in(0), self.log_in(1)]
        self.assertEqual(list(self.portals), [s.portal for s in sessions])
        self.assertEqual(2, len({s.host for s in sessions}))
        self.tear_down(sessions[0])
        self.assertEqual(sessions[1:], self.sysfs.sessions(self.target))
        self.tear_down(sessions[1])

    def test_login_where_nobody_listens(self) -> None:
        with self.assertRaises(exception.LoginError):
            self.verbs.login(str(self.target), self.dead, self.chap,
                             LOGIN_TIMEOUT_S)
        self.assertEqual([], self.sysfs.sessions(self.target))
        self.assertFalse(self.has_record(self.dead))

    def test_login_with_a_wrong_secret(self) -> None:
        self.map_volume()
        wrong = dataclasses.replace(self.chap, password='wrong' * 4)
        with self.assertRaises(exception.LoginError) as caught:
            self.verbs.login(str(self.target), self.portals[0], wrong,
                             LOGIN_TIMEOUT_S)
        self.assertNotIn('wrong', str(caught.exception))
        self.assertEqual([], self.sysfs.sessions(self.target))
        self.assertFalse(self.has_record(self.portals[0]))

    def test_logout_twice(self) -> None:
        self.map_volume()
        session = self.log_in()
        for _ in range(2):
            self.verbs.logout(session)
            self.assertEqual([], self.sysfs.sessions(self.target))
        # The record is not the session's.
        self.assertTrue(self.has_record(self.portals[0]))
        self.verbs.forget(str(self.target), self.portals[0])

    def test_logout_of_another_targets_session_is_refused(self) -> None:
        self.map_volume()
        session = self.log_in()
        other = dataclasses.replace(session, target=f'{self.target}9')
        with self.assertRaises(exception.InitiatorError):
            self.verbs.logout(other)
        self.assertEqual([session], self.sysfs.sessions(self.target))
        self.tear_down(session)

    def test_logout_of_a_session_with_a_device_is_refused(self) -> None:
        mapped = self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        with self.assertRaises(exception.InitiatorError):
            self.verbs.logout(session)
        self.assertEqual([device], self.sysfs.devices(session))
        self.tear_down(session)

    def test_forget_twice(self) -> None:
        self.map_volume()
        self.verbs.logout(self.log_in())
        for _ in range(2):
            self.verbs.forget(str(self.target), self.portals[0])
            self.assertFalse(self.has_record(self.portals[0]))

    # Devices

    def test_scan_twice(self) -> None:
        mapped = self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        self.assertEqual(device, self.bring_up(session, mapped))
        self.assertEqual([device], self.sysfs.devices(session))
        self.assertEqual(mapped.lun, device.lun)
        self.assertEqual(16 * MIB, self.size(device))
        self.assertEqual(mapped.naa, self.sysfs.remembered_naa(device))
        self.tear_down(session)

    def test_scan_finds_one_lun_only(self) -> None:
        self.map_volume()
        second = self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, second)
        self.assertEqual([device], self.sysfs.devices(session))
        self.tear_down(session)

    def test_scan_for_a_lun_that_is_not_there(self) -> None:
        mapped = self.map_volume()
        session = self.log_in()
        self.verbs.scan(session, mapped.lun + 1)
        self.assertEqual([], self.sysfs.devices(session))
        self.tear_down(session)

    def test_scan_without_a_session(self) -> None:
        mapped = self.map_volume()
        session = self.log_in()
        self.tear_down(session)
        with self.assertRaises(exception.InitiatorError):
            self.verbs.scan(session, mapped.lun)

    def test_identity_is_that_of_now(self) -> None:
        mapped, other = self.map_volume(), self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        self.assertEqual(mapped.naa, self.verbs.read_naa(device))
        self.swap(mapped, other)
        self.assertEqual(other.naa, self.verbs.read_naa(device))
        self.assertEqual(mapped.naa, self.sysfs.remembered_naa(device))
        self.tear_down(session)

    def test_identity_of_what_is_gone(self) -> None:
        mapped = self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        self.unmap(mapped)
        self.assertEqual('', self.verbs.read_naa(device))
        self.assertTrue(self.sysfs.exists(device))
        self.tear_down(session)
        self.assertEqual('', self.verbs.read_naa(device))

    def test_rescan_after_growth(self) -> None:
        mapped = self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        self.grow(mapped, 64 * MIB)
        self.assertEqual(16 * MIB, self.size(device))
        for _ in range(2):
            self.verbs.rescan(device, mapped.naa)
            self.wait(lambda: self.size(device) == 64 * MIB)
        self.tear_down(session)

    def test_rescan_of_another_volume_is_refused(self) -> None:
        mapped, other = self.map_volume(), self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        self.grow(mapped, 64 * MIB)
        with self.assertRaises(exception.WrongDevice):
            self.verbs.rescan(device, other.naa)
        self.assertEqual(16 * MIB, self.size(device))
        self.tear_down(session)
        with self.assertRaises(exception.InitiatorError):
            self.verbs.rescan(device, mapped.naa)

    def test_delete_twice(self) -> None:
        mapped = self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        for _ in range(2):
            self.verbs.delete(device, mapped.naa)
            self.wait(lambda: not self.sysfs.exists(device))
            self.assertEqual([], self.sysfs.devices(session))
            self.assertEqual(0, self.size(device))
        self.tear_down(session)

    def test_delete_of_another_volume_is_refused(self) -> None:
        mapped, other = self.map_volume(), self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        for naa in (other.naa, ''):
            with self.assertRaises(exception.WrongDevice):
                self.verbs.delete(device, naa)
        self.assertEqual([device], self.sysfs.devices(session))
        self.tear_down(session)

    def test_delete_goes_by_what_the_kernel_remembers(self) -> None:
        mapped, other = self.map_volume(), self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        self.swap(mapped, other)
        with self.assertRaises(exception.WrongDevice):
            self.verbs.delete(device, other.naa)
        self.verbs.delete(device, mapped.naa)
        self.wait(lambda: not self.sysfs.exists(device))
        self.tear_down(session)

    def test_claimed_disk(self) -> None:
        mapped, other = self.map_volume(), self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        self.wait(lambda: not self.verbs.is_claimed(device, mapped.naa))
        with self.claim(device):
            self.assertIs(True, self.verbs.is_claimed(device, mapped.naa))
            with self.assertRaises(exception.InitiatorError):
                self.verbs.delete(device, mapped.naa)
            with self.assertRaises(exception.WrongDevice):
                self.verbs.is_claimed(device, other.naa)
            self.assertEqual([device], self.sysfs.devices(session))
        self.wait(lambda: not self.verbs.is_claimed(device, mapped.naa))
        self.tear_down(session)
        self.assertIs(False, self.verbs.is_claimed(device, mapped.naa))

    def test_flush(self) -> None:
        mapped = self.map_volume()
        session = self.log_in()
        device = self.bring_up(session, mapped)
        for _ in range(2):
            self.verbs.flush(device.name or '')
        self.tear_down(session)
        with self.assertRaises(exception.InitiatorError):
            self.verbs.flush(device.name or '')

    # Multipath

    def test_without_multipathd(self) -> None:
        mapped = self.map_volume()
        self.assertIsNone(self.verbs.multipath_paths())
        self.assertIsNone(self.sysfs.multipath_map(mapped.naa))
        for force in (False, True):
            self.verbs.multipath_remove_map(mapped.naa, force)
        with self.assertRaises(exception.InitiatorError):
            self.verbs.multipath_resize_map(mapped.naa)
        self.verbs.multipath_unclaim(mapped.naa)

    def test_map_of_two_paths(self) -> None:
        self.start_multipathd()
        mapped = self.map_volume()
        for _ in range(2):
            self.verbs.multipath_claim(mapped.naa)
        sessions = [self.log_in(0), self.log_in(1)]
        disks = [self.bring_up(session, mapped) for session in sessions]
        names = {disk.name or '' for disk in disks}
        self.wait(lambda: names <= (self.verbs.multipath_paths() or set()))
        self.wait(lambda: self.paths_of(mapped) == names)
        for name in sorted(names):
            self.verbs.multipath_add_path(name)
        self.assertEqual(names, self.paths_of(mapped))
        self.grow_map(mapped, disks)
        dm = self.sysfs.multipath_map(mapped.naa) or ''
        self.verbs.flush(dm)
        self.remove_map(mapped)
        for session in sessions:
            self.tear_down(session)
        self.wait(lambda: not names & (self.verbs.multipath_paths() or set()))
        for name in sorted(names):
            self.verbs.multipath_del_path(name)
        for _ in range(2):
            self.verbs.multipath_unclaim(mapped.naa)

    def paths_of(self, mapped: Mapped) -> set[str]:
        """Return the paths of a volume's map that works."""
        name = self.sysfs.multipath_map(mapped.naa)
        return (self.sysfs.paths(name)
                if name and self.sysfs.is_live(name) else set())

    def grow_map(self, mapped: Mapped, disks: list[ScsiDevice]) -> None:
        """Grow a volume, and its map once the paths have followed."""
        name = self.sysfs.multipath_map(mapped.naa) or ''
        self.grow(mapped, 64 * MIB)
        for disk in disks:
            self.verbs.rescan(disk, mapped.naa)
            self.wait(lambda d=disk: self.size(d) == 64 * MIB)  # type: ignore[misc]
        self.assertEqual(16 * MIB, self.sysfs.size_bytes(name))

        def resized() -> bool:
            # multipathd refuses while udev works on a new map.
            with contextlib.suppress(exception.InitiatorError):
                self.verbs.multipath_resize_map(mapped.naa)
            return self.sysfs.size_bytes(name) == 64 * MIB

        self.wait(resized)

    def remove_map(self, mapped: Mapped) -> None:
        """Remove a map, twice."""
        def removed() -> bool:
            # udev may have the map open for a moment.
            with contextlib.suppress(exception.InitiatorError):
                self.verbs.multipath_remove_map(mapped.naa, False)
            return self.sysfs.multipath_map(mapped.naa) is None

        self.wait(removed)
        self.verbs.multipath_remove_map(mapped.naa, True)
        self.assertIsNone(self.sysfs.multipath_map(mapped.naa))
