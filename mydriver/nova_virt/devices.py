# SPDX-License-Identifier: Apache-2.0
"""SCSI devices: found by one LUN, believed by their identity only."""

import dataclasses
import logging

from mydriver import exception
from mydriver.nova_virt.initiator import Initiator
from mydriver.nova_virt.sysfs import ScsiDevice, Session, Sysfs
from mydriver.nova_virt.waiting import wait_for

LOG = logging.getLogger(__name__)

#: Until a LUN that is mapped shows as a block device.
DEVICE_TIMEOUT_S = 30
#: Until the kernel let go of a device; one with commands under way on a dead
#: path takes as long as the SCSI error handler.
REMOVAL_TIMEOUT_S = 60
# How long one scan's device is waited for before the LUN is scanned again.
# The target maps a LUN before anybody is told of it, so once is the rule.
_SCAN_AGAIN_S = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A device that was seen to be the volume.

    :param device: the device, with the name of its block device.
    :param session: the session that it came over.
    :param ours: whether it was not there before.
    """

    device: ScsiDevice
    session: Session
    ours: bool

    @property
    def name(self) -> str:
        """Name of the block device."""
        return self.device.name or ''


class Devices:
    """The SCSI devices of this host.

    :param initiator: what may change them.
    :param sysfs: what shows them.
    """

    def __init__(self, initiator: Initiator, sysfs: Sysfs) -> None:
        self._initiator = initiator
        self._sysfs = sysfs

    def find(self, session: Session, lun: int, naa: str) -> Found:
        """Return the device of a LUN once it was seen to be the volume.

        What an earlier mapping left behind on the LUN is removed. A device
        that the kernel and the target agree on to be another volume is left
        as it is: somebody may be using it.

        :param session: the session to look on.
        :param lun: the LUN that this initiator sees.
        :param naa: NAA id of the volume.
        :raises WrongDevice: when the LUN is another volume.
        :raises DeviceNotFound: when no device comes up.
        """
        self._drop_old_luns(session, lun, naa)
        there = self._sysfs.device(session, lun)
        if there and self._still_good(there, naa):
            return Found(self._named(session, lun), session, False)
        found = ''
        for attempt in ('first', 'second'):
            device = self._scanned(session, lun)
            found = self._initiator.read_naa(device)
            if found == naa:
                return Found(device, session, True)
            LOG.warning('%s (LUN %d of %s) says that it is %s, expected %s, '
                        'at the %s scan; removing it', device, lun, session,
                        found or 'nothing', naa, attempt)
            self.remove(device, self._sysfs.remembered_naa(device))
        raise exception.WrongDevice(
            f'LUN {lun} of {session}', naa, found or 'nothing')

    def _drop_old_luns(self, session: Session, lun: int, naa: str) -> None:
        """Remove what is left of the volume under LUNs that it no longer has.

        multipathd would take it for a path of the volume.
        """
        for device in self._sysfs.devices(session):
            if (device.lun != lun
                    and self._sysfs.remembered_naa(device) == naa
                    and self._initiator.read_naa(device) != naa):
                LOG.warning('Removing %s, an old path of %s', device, naa)
                self.remove(device, naa)

    def _still_good(self, device: ScsiDevice, naa: str) -> bool:
        """Tell whether a device that was there already is the volume.

        One that is not and that nobody can be using is removed.

        :raises WrongDevice: when it is another volume.
        """
        remembered = self._sysfs.remembered_naa(device)
        present = self._initiator.read_naa(device)
        if remembered == present == naa:
            # The volume may have grown since the device came up.
            self._initiator.rescan(device, naa)
            return True
        if present and remembered == present:
            raise exception.WrongDevice(str(device), naa, present)
        LOG.warning('Removing %s: it came up as %s and is %s now', device,
                    remembered or 'nothing', present or 'gone')
        self.remove(device, remembered)
        return False

    def _scanned(self, session: Session, lun: int) -> ScsiDevice:
        """Scan for a LUN until its block device is there."""
        scans = max(1, DEVICE_TIMEOUT_S // _SCAN_AGAIN_S)
        for _ in range(scans):
            self._initiator.scan(session, lun)
            try:
                return self._named(session, lun, DEVICE_TIMEOUT_S / scans)
            except exception.WaitTimeout:
                if not self._sysfs.works(session):
                    break
        raise exception.DeviceNotFound(
            session.target, lun, f'no block device on {session} within '
            f'{DEVICE_TIMEOUT_S} s' if self._sysfs.works(session)
            else f'{session} broke down')

    def _named(self, session: Session, lun: int,
               timeout_s: float = DEVICE_TIMEOUT_S) -> ScsiDevice:
        """Wait for the block device, which the sd driver makes on its own."""
        def look() -> ScsiDevice | None:
            device = self._sysfs.device(session, lun)
            return device if (device and device.name
                              and self._sysfs.size_bytes(device.name)
                              ) else None

        return wait_for(look, f'a block device for LUN {lun} of {session}',
                        timeout_s)

    def of_volume(self, target: str, naa: str) -> list[Found]:
        """Return the devices that came up as a volume, over any portal.

        :param target: IQN of the target.
        :param naa: NAA id of the volume.
        """
        return [Found(device, session, False)
                for session in self._sysfs.sessions(target)
                for device in self._sysfs.devices(session)
                if self._sysfs.remembered_naa(device) == naa]

    def remove(self, device: ScsiDevice, naa: str) -> None:
        """Remove a device and see it go.

        :param naa: NAA id under which the kernel knows it.
        :raises WaitTimeout: when it stays.
        """
        self._initiator.delete(device, naa)
        wait_for(lambda: not self._sysfs.exists(device),
                 f'the kernel to let go of {device}', REMOVAL_TIMEOUT_S)
