# SPDX-License-Identifier: Apache-2.0
"""Typed facade of the initiator's privileged verbs.

The engine depends on the Protocol alone; unit tests pass a fake host whose
sysfs is a directory.
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

#: How long a portal may take to accept a TCP connection.
CONNECT_TIMEOUT_S = 5


class Verbs(Protocol):
    """What the engine does to the compute host.

    All verbs can be repeated. Errors are ours, except in :meth:`reach`.
    """

    def reach(self, portal: Portal, timeout_s: float) -> None:
        """Check that a portal answers a login.

        :raises OSError: if it does not, within ``timeout_s``.
        """

    def login(self, target: str, portal: Portal,
              chap: ChapCredentials | None, timeout_s: float) -> None:
        """Make a session, unless there is one.

        :raises LoginError: if that fails; no node record is left then.
        """

    def logout(self, session: Session) -> None:
        """End a session without devices; it may be gone already."""

    def forget(self, target: str, portal: Portal) -> None:
        """Delete a node record; it may be gone already."""

    def scan(self, session: Session, lun: int) -> None:
        """Make the kernel look for one LUN of a session."""

    def read_naa(self, device: ScsiDevice) -> str:
        """Ask a device which volume it is.

        :returns: NAA id; empty if there is no such device or LUN.
        :raises NoAnswer: if the device could not be asked, as for a moment
            after its disk has appeared in sysfs. :meth:`.Devices.ask` waits.
        """

    def rescan(self, device: ScsiDevice, naa: str) -> None:
        """Make the kernel read a device's size and identity again.

        :raises WrongDevice: if it is not the volume with that NAA id.
        :raises NoAnswer: if it could not be asked which volume it is.
        """

    def delete(self, device: ScsiDevice, naa: str) -> None:
        """Remove a device; it may be gone already.

        :raises WrongDevice: if the kernel knows it under another NAA id.
        """

    def is_claimed(self, device: ScsiDevice, naa: str) -> bool:
        """Tell whether something on this host has claimed a disk."""

    def flush(self, name: str) -> None:
        """Write out and drop the page cache of a disk or map."""

    def multipath_paths(self) -> set[str] | None:
        """Return the disks that multipathd knows; None if it does not run.

        :raises InitiatorError: if it runs and does not answer.
        """

    def multipath_claim(self, naa: str) -> None:
        """Add a volume to those that multipathd takes as multipath."""

    def multipath_unclaim(self, naa: str) -> None:
        """Remove a volume from those that multipathd takes as multipath."""

    def multipath_add_path(self, name: str) -> str:
        """Make multipathd look at a disk again; return its answer."""

    def multipath_del_path(self, name: str) -> None:
        """Make multipathd forget a disk."""

    def multipath_remove_map(self, naa: str, force: bool) -> None:
        """Remove a volume's map; it may be gone already."""

    def multipath_resize_map(self, naa: str) -> None:
        """Make a volume's map as large as its paths."""


class PrivilegedVerbs:
    """The verbs of this host, called in the privileged daemon."""

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
