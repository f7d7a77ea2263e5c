# SPDX-License-Identifier: Apache-2.0
"""Extend an attached volume on the compute host: the order of the steps."""

from collections.abc import Sequence
import logging

from mydriver import events, exception
from mydriver.connection.iscsi import Connection
from mydriver.initiator.devices import Found
from mydriver.initiator.host import Host, naa_of
from mydriver.waiting import wait_for

LOG = logging.getLogger(__name__)

#: How long the paths may take to have one size.
RESIZE_TIMEOUT_S = 30


class Extender:
    """Makes this host use the new size of volumes.

    :param host: this host.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def extend(self, connection: Connection) -> int:
        """Make this host use the size that a volume has now.

        :param connection: how the volume is reached, with its NAA id.
        :returns: size of its device, bytes.
        :raises DeviceNotFound: if it is not attached to this host.
        :raises InitiatorError: if a path is down, since a map must not be
            larger than one of its paths.
        :raises WrongDevice: if a path is no longer the volume.
        """
        naa = naa_of(connection)
        with self._host.locks.volume(naa):
            found = self._host.devices.of_volume(
                connection.paths, naa, strict=True)
            if not found:
                first = connection.paths[0]
                raise exception.DeviceNotFound(
                    str(first.target), first.lun,
                    'it is not attached to this host')
            for f in found:
                if not self._host.sysfs.works(f.session):
                    raise exception.InitiatorError(
                        f'extend volume {connection.volume_id}',
                        f'{f.session} is down')
                with events.phase('rescan'):
                    self._host.devices.rescan(f.device, naa)
            with events.phase('resize'):
                size_bytes = self._common_size(found)
                dm = self._host.multipath.resize(naa, size_bytes)
        LOG.info('Volume %s has %d bytes on /dev/%s', connection.volume_id,
                 size_bytes, dm or found[0].name)
        return size_bytes

    def _common_size(self, found: Sequence[Found]) -> int:
        """Wait until all paths have one size, and return it in bytes."""
        def look() -> int | None:
            sizes = {self._host.sysfs.size_bytes(f.name) for f in found}
            return sizes.pop() if len(sizes) == 1 else None

        names = ', '.join(
            f'{f.name} ({self._host.sysfs.size_bytes(f.name)} bytes)'
            for f in found)
        return wait_for(look, f'{names} to have one size', RESIZE_TIMEOUT_S)
