# SPDX-License-Identifier: Apache-2.0
"""SCSI devices: found by LUN, trusted only by identity."""

from collections.abc import Callable, Sequence
import contextlib
import dataclasses
import logging
import time
from typing import TypeVar

from mydriver import events, exception
from mydriver.connection.iscsi import Path
from mydriver.initiator.sysfs import ScsiDevice, Session, Sysfs
from mydriver.initiator.verbs import Verbs
from mydriver.waiting import wait_for

LOG = logging.getLogger(__name__)

T = TypeVar('T')

#: How long a mapped LUN may take to become a block device.
DEVICE_TIMEOUT_S = 30
#: How long the kernel may take to remove a device. With commands in flight on
#: a dead path, that is as long as the SCSI error handler takes.
REMOVAL_TIMEOUT_S = 60
# How long to wait for the device before the LUN is scanned again. The target
# maps a LUN before its host hears of it, so one scan usually suffices.
_SCAN_AGAIN_S = 2
#: How long a new disk may take to say which volume it is. It can be asked a
#: moment after it appears in sysfs, and later on a busy host.
ANSWER_TIMEOUT_S = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A device that is the volume.

    :param device: the device, with the name of its block device.
    :param session: the session that it is on.
    :param ours: whether this attach brought it up.
    :param naa: NAA id under which the kernel knows it; empty if the kernel
        could not read one when the device came up.
    """

    device: ScsiDevice
    session: Session
    ours: bool
    naa: str

    @property
    def name(self) -> str:
        """Name of the block device."""
        return self.device.name or ''


class Devices:
    """The SCSI devices of this host.

    :param verbs: change them.
    :param sysfs: reads them.
    """

    def __init__(self, verbs: Verbs, sysfs: Sysfs) -> None:
        self._verbs = verbs
        self._sysfs = sysfs

    def find(self, session: Session, lun: int, naa: str) -> Found:
        """Return the device of a LUN once it is known to be the volume.

        Stale devices of earlier mappings are removed. If the kernel and the
        target agree that the device is another volume, it is left alone:
        somebody may be using it.

        :param session: the session to look on.
        :param lun: the LUN that this initiator sees.
        :param naa: NAA id of the volume.
        :raises WrongDevice: if the LUN is another volume.
        :raises NoAnswer: if the device does not answer; one that was there
            before stays.
        :raises DeviceNotFound: if no device comes up.
        """
        self._remove_stale_luns(session, lun, naa)
        there = self._sysfs.device(session, lun)
        if there and self._keep_or_remove(there, naa):
            return Found(self._with_disk(session, lun), session, False, naa)
        found = ''
        for attempt in ('first', 'second'):
            with events.phase('scan'):
                device = self._scanned(session, lun)
            try:
                with events.phase('prove'):
                    found = self.ask(device)
            except exception.NoAnswer:
                with contextlib.suppress(exception.MyDriverError):
                    self.remove(device, self._sysfs.remembered_naa(device))
                raise
            if found == naa:
                if not self._sysfs.remembered_naa(device):
                    self.rescan(device, naa)
                return Found(device, session, True, naa)
            LOG.warning('%s (LUN %d of %s) identifies itself as %s, expected '
                        '%s, after the %s scan; removing it', device, lun,
                        session, found or 'nothing', naa, attempt)
            self.remove(device, self._sysfs.remembered_naa(device))
        raise exception.WrongDevice(
            f'LUN {lun} of {session}', naa, found or 'nothing')

    def ask(self, device: ScsiDevice,
            timeout_s: float | None = None) -> str:
        """Ask a device which volume it is.

        :param timeout_s: how long to try again while it does not answer;
            ``ANSWER_TIMEOUT_S`` by default.
        :returns: NAA id; empty if the target says that there is no such LUN,
            or the kernel no longer has the device.
        :raises NoAnswer: if it could not be asked. It may be the volume.
        """
        return self._answer(
            device, lambda: self._verbs.read_naa(device), timeout_s)

    def rescan(self, device: ScsiDevice, naa: str) -> None:
        """Make the kernel read a device's size and identity again.

        :param naa: NAA id of the volume.
        :raises WrongDevice: if the device is another volume.
        :raises NoAnswer: if it could not be asked which volume it is within
            ``ANSWER_TIMEOUT_S``.
        """
        self._answer(device, lambda: self._verbs.rescan(device, naa))

    @staticmethod
    def _answer(device: ScsiDevice, question: Callable[[], T],
                timeout_s: float | None = None) -> T:
        """Put a question to a device until it can be asked.

        The kernel shows a disk before it can be opened: until bdev_add, an
        open ends with ENXIO (block/genhd.c, device_add_disk).

        :param timeout_s: ``ANSWER_TIMEOUT_S`` by default.
        :raises NoAnswer: with the time that it was tried for.
        """
        if timeout_s is None:
            timeout_s = ANSWER_TIMEOUT_S
        deadline = time.monotonic() + timeout_s

        def look() -> tuple[T] | None:
            try:
                return (question(),)
            except exception.NoAnswer as e:
                if time.monotonic() < deadline:
                    return None
                if not timeout_s:
                    raise
                raise exception.NoAnswer(
                    e.what, f'{e.reason}; tried for {timeout_s:g} s') from e
            except exception.PrivilegedError as e:
                # Its session may have just lost its connection.
                raise exception.NoAnswer(
                    f'ask {device} which volume it is',
                    str(e).rstrip('.')) from e

        return wait_for(look, f'{device} to identify itself', timeout_s)[0]

    def _remove_stale_luns(self, session: Session, lun: int, naa: str) -> None:
        """Remove devices of the volume under LUNs that it no longer has.

        multipathd would use them as paths of the volume.
        """
        for device in self._sysfs.devices(session):
            if (device.lun == lun
                    or self._sysfs.remembered_naa(device) != naa):
                continue
            try:
                present = self.ask(device)
            except exception.NoAnswer as e:
                LOG.warning('%s may be a stale path of %s; it stays: %s',
                            device, naa, e)
                continue
            if present != naa:
                LOG.warning('Removing %s, a stale path of %s', device, naa)
                self.remove(device, naa)

    def _keep_or_remove(self, device: ScsiDevice, naa: str) -> bool:
        """Keep a device that was there before if it is the volume.

        One that is not, and that nobody can be using, is removed.

        :returns: whether it is the volume.
        :raises WrongDevice: if it is another volume; it stays.
        :raises NoAnswer: if it does not answer; it stays.
        """
        remembered = self._sysfs.remembered_naa(device)
        present = self.ask(device)
        if present == naa and remembered in (naa, ''):
            # The kernel may have failed to read its identity then, and the
            # volume may have grown since.
            self.rescan(device, naa)
            return True
        if present and remembered == present:
            raise exception.WrongDevice(str(device), naa, present)
        LOG.warning('Removing %s: it came up as %s and is %s now', device,
                    remembered or 'nothing', present or 'gone')
        self.remove(device, remembered)
        return False

    def _scanned(self, session: Session, lun: int) -> ScsiDevice:
        """Scan for a LUN until it has a block device."""
        scans = max(1, DEVICE_TIMEOUT_S // _SCAN_AGAIN_S)
        for _ in range(scans):
            self._verbs.scan(session, lun)
            try:
                return self._with_disk(session, lun, DEVICE_TIMEOUT_S / scans)
            except exception.WaitTimeout:
                if not self._sysfs.works(session):
                    break
        raise exception.DeviceNotFound(
            session.target, lun, f'no block device on {session} within '
            f'{DEVICE_TIMEOUT_S} s' if self._sysfs.works(session)
            else f'{session} failed')

    def _with_disk(self, session: Session, lun: int,
               timeout_s: float = DEVICE_TIMEOUT_S) -> ScsiDevice:
        """Wait for the block device, which the sd driver adds later."""
        def look() -> ScsiDevice | None:
            device = self._sysfs.device(session, lun)
            return device if (device and device.name
                              and self._sysfs.size_bytes(device.name)
                              ) else None

        return wait_for(look, f'a block device for LUN {lun} of {session}',
                        timeout_s)

    def of_volume(self, paths: Sequence[Path], naa: str, *,
                  strict: bool = False) -> list[Found]:
        """Return the devices that came up as a volume, over any portal.

        :param paths: to the volume. The sessions with their targets are
            searched, at other portals as well.
        :param naa: NAA id of the volume.
        :param strict: none of its devices may be missed.
        :raises NoAnswer: if the kernel has no identity of a device that may
            be the volume by its target and LUN, and the device cannot be
            asked; only with ``strict``.
        """
        luns: dict[str, set[int]] = {}
        for path in paths:
            luns.setdefault(str(path.target), set()).add(path.lun)
        return [Found(device, session, False,
                      self._sysfs.remembered_naa(device))
                for target in luns
                for session in self._sysfs.sessions(target)
                for device in self._sysfs.devices(session)
                if self._came_up_as(device, session, naa,
                                    strict and device.lun in luns[target])]

    def _came_up_as(self, device: ScsiDevice, session: Session, naa: str,
                    must_tell: bool) -> bool:
        if remembered := self._sysfs.remembered_naa(device):
            return remembered == naa
        # The kernel could not read its identity when the device came up.
        try:
            if not self._sysfs.works(session):
                # It would answer only once the session is given up.
                raise exception.NoAnswer(
                    f'ask {device} which volume it is', f'{session} is down')
            return self.ask(device, None if must_tell else 0) == naa
        except exception.NoAnswer as e:
            if must_tell:
                raise
            LOG.warning('%s may be a path of %s; it stays: %s', device, naa,
                        e)
            return False

    def remove(self, device: ScsiDevice, naa: str) -> None:
        """Remove a device and wait until it is gone.

        :param naa: NAA id under which the kernel knows it.
        :raises WaitTimeout: if it stays.
        """
        self._verbs.delete(device, naa)
        wait_for(lambda: not self._sysfs.exists(device),
                 f'the kernel to remove {device}', REMOVAL_TIMEOUT_S)
