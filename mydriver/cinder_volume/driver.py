# SPDX-License-Identifier: Apache-2.0
"""The Cinder volume driver: the list of its parts."""

from typing import Any

from cinder import interface

from mydriver.cinder_volume import (
    base,
    connections,
    groups,
    image_sharing,
    image_transfer,
    manage,
    migrate,
    native,
    parts,
    volumes,
)


@interface.volumedriver
@parts.made_of(
    connections.Connections,
    volumes.Volumes,
    groups.Groups,
    image_sharing.ImageSharing,
    image_transfer.ImageTransfer,
    manage.Manage,
    migrate.Migrate,
)
class LIODriver(base.BackendDriver):
    """Volumes exported over iSCSI by the Linux kernel's target.

    Where the store allows it, hosts can also use them without the target.
    """

    def assemble(self, backend: parts.Backend) -> list[Any]:
        """Create the parts, and pass to each the parts that it calls."""
        its_native = native.Native(backend)
        connecting = connections.Connections(backend, its_native)
        storing = volumes.Volumes(backend, connecting)
        return [
            connecting,
            storing,
            groups.Groups(backend, storing),
            image_sharing.ImageSharing(backend),
            image_transfer.ImageTransfer(
                backend, super().copy_image_to_encrypted_volume),
            manage.Manage(backend, connecting),
            migrate.Migrate(backend, its_native),
        ]
