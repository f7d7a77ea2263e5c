# SPDX-License-Identifier: Apache-2.0
"""What a gateway asks of the kernel's RBD client on its host.

The images of one target are mapped through one client, which no other target
uses: so the fence of one target does not end the service of another one.
"""

from collections.abc import Mapping
from typing import Protocol

from mydriver import model
from mydriver.target.gateways.record import Client


class Images(Protocol):
    """The mapped images of one target. Every method is idempotent.

    :raises StoreError: by any method, when the kernel refuses.
    """

    def connect(self) -> Client:
        """Start the client, unless there is one; return it."""

    def client(self) -> Client | None:
        """Return the client, None when there is none."""

    def disconnect(self) -> None:
        """End the client, with which nothing may be mapped any more."""

    def map(self, volume_id: str) -> model.BackingDevice:
        """Map the image of a volume, unless it is mapped.

        :raises BackingNotFound: when there is no such image.
        :raises StoreError: also when there is no client, or another client on
            this host has mapped it.
        """

    def mapped(self) -> Mapping[str, Client]:
        """Return the mapped volumes, with the client of each."""

    def unmap(self, volume_id: str, *, by_force: bool = False) -> None:
        """Unmap the image of a volume.

        :param by_force: although the device is open; what was written and not
            acknowledged yet fails.
        """
