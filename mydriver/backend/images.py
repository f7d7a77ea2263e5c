# SPDX-License-Identifier: Apache-2.0
"""The images that a gateway maps, from the backend's pool."""

from collections.abc import Mapping

from mydriver import exception, model
from mydriver.ceph import cluster
from mydriver.stores.rbd import shared
from mydriver.target.gateways import record


class PoolImages:
    """The images of a target; see :class:`mydriver.target.gateways.images`.

    :param connection: to the cluster.
    :param target: name of the target; it ends with its number.
    """

    def __init__(self, connection: cluster.Cluster, target: model.Iqn
                 ) -> None:
        self._images = shared.TargetImages(
            connection, int(str(target).rpartition('-')[2]))

    def connect(self) -> record.Client:
        """Start the client; return it."""
        return _client(self._images.connect())

    def client(self) -> record.Client | None:
        """Return the client, None when there is none."""
        found = self._images.client()
        return None if found is None else _client(found)

    def disconnect(self) -> None:
        """End the client."""
        self._images.disconnect()

    def map(self, volume_id: str) -> model.BackingDevice:
        """Map the image of a volume."""
        return self._images.map(volume_id)

    def mapped(self) -> Mapping[str, record.Client]:
        """Return the mapped volumes, with the client of each."""
        return {v: _client(c) for v, c in self._images.mapped().items()}

    def unmap(self, volume_id: str, *, by_force: bool = False) -> None:
        """Unmap the image of a volume."""
        self._images.unmap(volume_id, by_force=by_force)


def _client(text: str) -> record.Client:
    """Return a client from what sysfs shows.

    :raises StoreError: when that is not the address of one.
    """
    try:
        return record.Client.parse(text)
    except ValueError as e:
        raise exception.StoreError('read the client of an image', str(e)
                                   ) from e
