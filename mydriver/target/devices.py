# SPDX-License-Identifier: Apache-2.0
"""What the export service asks of the store: devices to export."""

from typing import Protocol

from mydriver import model


class Devices(Protocol):
    """The devices of a backend's volumes. Every method is idempotent."""

    def bring_up(self, volume_id: str) -> model.BackingDevice:
        """Make the device of a volume available on this host.

        A failure says nothing about an export that exists: it stays.

        :param volume_id: UUID of the backing.
        :returns: the device, with its present path and size.
        :raises BackingNotFound: when the store has no such volume.
        :raises MyDriverError: when the device cannot be brought up.
        """

    def let_down(self, volume_id: str) -> None:
        """Release the device of a volume that is no longer exported.

        :param volume_id: UUID of the backing; it need not exist.
        :raises MyDriverError: when the device cannot be released.
        """
