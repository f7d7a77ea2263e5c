# SPDX-License-Identifier: Apache-2.0
"""Images of a Ceph cluster in memory, and hosts that map them exclusively."""

from collections.abc import Collection, Mapping
import itertools
import os

from mydriver import exception, model
from mydriver.target.gateways.record import Client


class MemoryCeph:
    """What the hosts share.

    :param folder: has a file ``volume-UUID`` for each image, which hosts
        "map".
    :ivar locks: which client has an image mapped, by volume.
    :ivar blocklist: the clients that are fenced.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.locks: dict[str, Client] = {}
        self.blocklist: set[Client] = set()
        self.nonces = itertools.count(1)

    def create(self, volume_id: str, size_bytes: int) -> None:
        """Create an image."""
        with open(self.path(volume_id), 'wb') as f:
            f.truncate(size_bytes)

    def device(self, volume_id: str) -> model.BackingDevice:
        """Return what an image is exported as.

        :raises BackingNotFound: when there is none.
        """
        path = self.path(volume_id)
        try:
            return model.BackingDevice('iblock', path, os.path.getsize(path))
        except FileNotFoundError:
            raise exception.BackingNotFound(
                f'volume-{volume_id}', self.folder) from None

    def path(self, volume_id: str) -> str:
        """Return the path that an image is mapped at."""
        return os.path.join(self.folder, f'volume-{volume_id}')

    def fence(self, clients: Collection[Client]) -> None:
        """Fence clients."""
        self.blocklist.update(clients)


class MemoryImages:
    """One host's mapped images of one target.

    :param ceph: what the hosts share.
    :param address: of the host.
    :ivar opened: volumes whose devices somebody has open.
    """

    def __init__(self, ceph: MemoryCeph, address: str) -> None:
        self._ceph = ceph
        self._address = address
        self._client: Client | None = None
        self._mapped: dict[str, Client] = {}
        self.opened: set[str] = set()

    def connect(self) -> Client:
        """Start the client."""
        if self._client is None:
            self._client = Client(self._address, next(self._ceph.nonces))
        return self._client

    def client(self) -> Client | None:
        """Return the client."""
        return self._client

    def disconnect(self) -> None:
        """End the client."""
        if self._mapped:
            raise exception.StoreError(f'end client {self._client}',
                                       'images are mapped with it')
        self._client = None

    def map(self, volume_id: str) -> model.BackingDevice:
        """Map an image."""
        device = self._ceph.device(volume_id)
        client, what = self._client, f'map volume-{volume_id}'
        if client is None:
            raise exception.StoreError(what, 'there is no client')
        if client in self._ceph.blocklist:
            raise exception.StoreError(what, 'the client is fenced')
        holder = self._ceph.locks.get(volume_id, client)
        if holder != client and holder not in self._ceph.blocklist:
            raise exception.StoreError(what, f'{holder} has it')
        self._ceph.locks[volume_id] = client
        self._mapped[volume_id] = client
        return device

    def mapped(self) -> Mapping[str, Client]:
        """Return what is mapped."""
        return dict(self._mapped)

    def unmap(self, volume_id: str, *, by_force: bool = False) -> None:
        """Unmap an image."""
        if volume_id in self.opened & self._mapped.keys() and not by_force:
            raise exception.StoreError(f'unmap volume-{volume_id}',
                                       'it is still in use')
        client = self._mapped.pop(volume_id, None)
        if client and self._ceph.locks.get(volume_id) == client:
            del self._ceph.locks[volume_id]
