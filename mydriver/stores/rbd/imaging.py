# SPDX-License-Identifier: Apache-2.0
"""Images of Glance in the same cluster, and the first bytes of any image."""

import errno
from typing import Any

from mydriver import exception
from mydriver.ceph import blocking, cluster
from mydriver.stores import imaging, refusals
from mydriver.stores.rbd import (
    clones,
    core,
    images,
    listing,
    room,
    settling,
)

#: The image is not there, or not for this client.
_NOT_OURS = (errno.ENOENT, errno.EPERM, errno.EACCES)


class Imaging(core.Core):
    """See :class:`mydriver.stores.imaging.ImageStore`."""

    def clone_image(self, location: imaging.ImageLocation, name: str,
                    size_bytes: int) -> bool:
        """Clone the snapshot of an image in any pool of the cluster."""
        refusals.refuse_odd_size(name, size_bytes)
        with self.working(f'clone image {location.image} to {name}', name,
                          size_bytes) as io:
            if location.fsid != self.pool.fsid():
                return False
            if images.id_of(io, name) is not None:
                refusals.refuse_taken(name)
            try:
                theirs = self.pool.other(location.pool)
            except exception.ConfigurationError:
                return False  # there is no such pool
            found = _size_of(theirs, location)
            if found is None:
                return False
            refusals.refuse_small_clone(location.image, found, size_bytes)
            room.refuse_when_full(self.pool, size_bytes)
            with settling.making(self.pool, io, self.intents, name):
                _clone(theirs, location, io, name)
                images.resize(io, images.id_of(io, name) or '', size_bytes)
            clones.flatten_beyond(io, name, self.clone_depth)
        return True

    def head(self, name: str, length: int) -> bytes:
        """Read with librbd."""
        with self.pool.work(f'read {name}') as io:
            return _head(io, listing.find(io, name, self.location), length)


@blocking.step
def _size_of(theirs: Any, location: imaging.ImageLocation) -> int | None:
    """Return the size of an image's snapshot; None when it cannot be had."""
    errors = cluster.module('rados').Error, cluster.module('rbd').Error
    try:
        with images.opened(theirs, location.image, read_only=True) as image:
            image.set_snap(location.snapshot)
            return int(image.size())
    except errors as e:
        if abs(getattr(e, 'errno', 0) or 0) not in _NOT_OURS:
            raise
        return None


@blocking.step
def _clone(theirs: Any, location: imaging.ImageLocation, io: Any, name: str
           ) -> None:
    images.rbd().RBD().clone(theirs, location.image, location.snapshot, io,
                             name, features=images.features())


@blocking.step
def _head(io: Any, image_id: str, length: int) -> bytes:
    with images.opened(io, image_id=image_id, read_only=True) as image:
        return bytes(image.read(0, min(length, image.size())))
