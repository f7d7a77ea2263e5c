# SPDX-License-Identifier: Apache-2.0
"""The images of one target of a gateway, mapped by a client of their own.

A gateway decides by its lease who maps, and fences the previous owner first.
So, unlike :mod:`.local`, nothing here looks at who else has an image open:
cinder-volume opens it too, for snapshots.
"""

import contextlib
from typing import Any

from mydriver import exception, model
from mydriver.ceph import blocking, cluster
from mydriver.privileged import channel, krbd
from mydriver.privileged.rbd import clients as as_root
from mydriver.stores import names
from mydriver.stores.rbd import images

#: Anchors have no data and this size, bytes.
_ANCHOR_BYTES = 4 << 20

_MAP_TIMEOUT_S = 60.0


class TargetImages:
    """The images of one target on this host.

    :param connection: to the cluster.
    :param target: number of the target in its pool of targets.
    """

    def __init__(self, connection: cluster.Cluster, target: int) -> None:
        self._cluster = connection
        self._settings = connection.settings
        self._target = target
        self._fsid = ''

    def connect(self) -> str:
        """Start the client of the target; return its address.

        :raises StoreError: when the kernel refuses.
        :raises CephError: when Ceph does not answer.
        """
        with cluster.errors_translated('create the anchor of a target'):
            _ensure_anchor(self._cluster.pool(), krbd.anchor(self._target))
        return str(channel.run(
            as_root.connect, *self._place(), self._target,
            timeout_s=_MAP_TIMEOUT_S))

    def client(self) -> str | None:
        """Return the address of the client, None when there is none."""
        found = krbd.find(self._image(krbd.anchor(self._target)))
        return found.client if found else None

    def disconnect(self) -> None:
        """End the client.

        :raises StoreError: when something is mapped with it.
        """
        channel.run(as_root.disconnect, *self._place(), self._target)

    def map(self, volume_id: str) -> model.BackingDevice:
        """Map the image of a volume, unless it is mapped.

        :raises BackingNotFound: when there is no such image.
        :raises StoreError: when the kernel refuses.
        """
        name = names.volume_name(volume_id)
        with cluster.errors_translated(f'look for {name}'):
            io = self._cluster.pool()
            image_id = images.id_of(io, name)
            if image_id is None:
                raise exception.BackingNotFound(name, self._settings.pool)
            size_bytes = images.size_of(io, image_id)
        path = channel.run(as_root.map_image, *self._place(), self._target,
                           name, image_id, timeout_s=_MAP_TIMEOUT_S)
        return model.BackingDevice('iblock', path, size_bytes)

    def mapped(self) -> dict[str, str]:
        """Return the volumes that are mapped, with the client of each."""
        mine = self.client()
        fsid = self._id()
        return {volume_id: m.client for m in krbd.mappings()
                if (m.image.fsid, m.image.pool) == (
                    fsid, self._settings.pool) and m.client == mine
                and (volume_id := names.volume_id(m.image.name))}

    def unmap(self, volume_id: str, *, by_force: bool = False) -> None:
        """Unmap the image of a volume.

        :raises StoreError: when its device is open.
        """
        channel.run(as_root.unmap_image, *self._place(), self._target,
                    names.volume_name(volume_id), by_force)

    def _place(self) -> tuple[str, str]:
        return self._settings.conf, self._settings.pool

    def _image(self, name: str) -> krbd.Image:
        return krbd.Image(self._id(), self._settings.pool, name)

    def _id(self) -> str:
        if not self._fsid:
            self._fsid = self._cluster.fsid()
        return self._fsid


@blocking.step
def _ensure_anchor(io: Any, name: str) -> None:
    """Create an image that any number of hosts can map for reading."""
    rbd = images.rbd()
    with contextlib.suppress(rbd.ImageExists):
        rbd.RBD().create(io, name, _ANCHOR_BYTES, old_format=False,
                         features=rbd.RBD_FEATURE_LAYERING)
