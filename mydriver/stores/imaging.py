# SPDX-License-Identifier: Apache-2.0
"""Stores that clone Glance's images where both are in one cluster."""

import dataclasses
from typing import Protocol, cast

from mydriver.stores import base


@dataclasses.dataclass(frozen=True, slots=True)
class ImageLocation:
    """An image in a pool of Ceph, as Glance names it.

    :param fsid: id of the cluster.
    :param pool: name of the pool.
    :param image: name of the RBD image.
    :param snapshot: name of its snapshot, which never changes.
    """

    fsid: str
    pool: str
    image: str
    snapshot: str


class ImageStore(base.VolumeStore, Protocol):
    """A store whose trait ``clones_images`` is set."""

    def clone_image(self, location: ImageLocation, name: str,
                    size_bytes: int) -> bool:
        """Create a backing that shares the data of an image.

        :param size_bytes: of the backing, not less than the image's.
        :returns: False when nothing was made, since the image is not where
            its data could be shared.
        :raises NoRoom: when the store has too little room.
        :raises StoreError: when the name is taken, or the image is larger.
        """

    def head(self, name: str, length: int) -> bytes:
        """Return the first bytes of a backing, which need not be up.

        :raises BackingNotFound: when there is no such backing.
        """


def of(store: base.VolumeStore) -> ImageStore | None:
    """Return a store with these methods, None when it has none."""
    return cast(ImageStore, store) if store.traits.clones_images else None
