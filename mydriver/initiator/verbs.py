# SPDX-License-Identifier: Apache-2.0
"""The typed front of what runs as root, and the edge of this process.

The use cases know the Protocol; tests give them a host made of a folder.
"""

from typing import Protocol

from mydriver import discovery
from mydriver.initiator import multipathd
from mydriver.initiator.sysfs import CHANNEL, ScsiDevice, Session
from mydriver.model import ChapCredentials, Portal
from mydriver.privileged import channel
from mydriver.privileged.initiator import devices as root_devices
from mydriver.privileged.initiator import multipath as root_multipath
from mydriver.privileged.initiator import sessions as root_sessions

#: Until a portal takes a TCP connection.
CONNECT_TIMEOUT_S = 5


class Verbs(Protocol):
    """What the compute host does for a volume; errors are ours."""

    def reach(self, portal: Portal, timeout_s: float) -> None:
        """See that a portal answers a login; OSError when it does not."""

    def login(self, target: str, portal: Portal,
              chap: ChapCredentials | None, timeout_s: float) -> None:
        """Make a session, LoginError when it cannot."""

    def logout(self, session: Session) -> None:
        """End a session."""

    def forget(self, target: str, portal: Portal) -> None:
        """Delete the node record."""

    def scan(self, session: Session, lun: int) -> None:
        """Look for one LUN."""

    def read_naa(self, device: ScsiDevice) -> str:
        """Ask the device which volume it is; empty without an answer."""

    def rescan(self, device: ScsiDevice, naa: str) -> None:
        """Read the device's size again."""

    def delete(self, device: ScsiDevice, naa: str) -> None:
        """Remove the device that the kernel knows under that NAA id."""

    def is_claimed(self, device: ScsiDevice, naa: str) -> bool:
        """Tell whether somebody on this host has the disk for himself."""

    def flush(self, name: str) -> None:
        """Write out the page cache of a block device."""

    def multipath_paths(self) -> set[str] | None:
        """Return the disks that multipathd knows, None if it is not there.

        :raises InitiatorError: when it is there and does not answer.
        """

    def multipath_claim(self, naa: str) -> None:
        """Tell multipathd that a volume is multipath."""

    def multipath_unclaim(self, naa: str) -> None:
        """Take that back."""

    def multipath_add_path(self, name: str) -> str:
        """Make multipathd look at a disk again; return what it said."""

    def multipath_del_path(self, name: str) -> None:
        """Make multipathd let go of a disk."""

    def multipath_remove_map(self, naa: str, force: bool) -> None:
        """Remove a volume's map."""

    def multipath_resize_map(self, naa: str) -> None:
        """Make a volume's map as large as its paths."""


class PrivilegedVerbs:
    """The real one, by way of the privileged daemon."""

    def reach(self, portal: Portal, timeout_s: float) -> None:
        """See :class:`Verbs`."""
        discovery.probe(portal, CONNECT_TIMEOUT_S, timeout_s)

    def login(self, target: str, portal: Portal,
              chap: ChapCredentials | None, timeout_s: float) -> None:
        """See :class:`Verbs`."""
        channel.run(
            root_sessions.login, target, portal.address, portal.port,
            [chap.username, chap.password, chap.mutual_username,
             chap.mutual_password] if chap else [], timeout_s)

    def logout(self, session: Session) -> None:
        """See :class:`Verbs`."""
        channel.run(root_sessions.logout, session.sid, session.target)

    def forget(self, target: str, portal: Portal) -> None:
        """See :class:`Verbs`."""
        channel.run(root_sessions.forget, target, portal.address, portal.port)

    def scan(self, session: Session, lun: int) -> None:
        """See :class:`Verbs`."""
        channel.run(root_devices.scan, session.host, CHANNEL,
                    session.target_id, lun)

    def read_naa(self, device: ScsiDevice) -> str:
        """See :class:`Verbs`."""
        return str(channel.run(root_devices.read_naa, list(device.hctl)))

    def rescan(self, device: ScsiDevice, naa: str) -> None:
        """See :class:`Verbs`."""
        channel.run(root_devices.rescan, list(device.hctl), naa)

    def delete(self, device: ScsiDevice, naa: str) -> None:
        """See :class:`Verbs`."""
        channel.run(root_devices.delete, list(device.hctl), naa)

    def is_claimed(self, device: ScsiDevice, naa: str) -> bool:
        """See :class:`Verbs`."""
        return bool(channel.run(
            root_devices.is_claimed, list(device.hctl), naa))

    def flush(self, name: str) -> None:
        """See :class:`Verbs`."""
        channel.run(root_devices.flush, name)

    def multipath_paths(self) -> set[str] | None:
        """See :class:`Verbs`."""
        return multipathd.paths()

    def multipath_claim(self, naa: str) -> None:
        """See :class:`Verbs`."""
        channel.run(root_multipath.multipath_claim, naa)

    def multipath_unclaim(self, naa: str) -> None:
        """See :class:`Verbs`."""
        channel.run(root_multipath.multipath_unclaim, naa)

    def multipath_add_path(self, name: str) -> str:
        """See :class:`Verbs`."""
        return str(channel.run(root_multipath.multipath_add_path, name))

    def multipath_del_path(self, name: str) -> None:
        """See :class:`Verbs`."""
        channel.run(root_multipath.multipath_del_path, name)

    def multipath_remove_map(self, naa: str, force: bool) -> None:
        """See :class:`Verbs`."""
        channel.run(root_multipath.multipath_remove_map, naa, force)

    def multipath_resize_map(self, naa: str) -> None:
        """See :class:`Verbs`."""
        channel.run(root_multipath.multipath_resize_map, naa)
