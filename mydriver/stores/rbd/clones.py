# SPDX-License-Identifier: Apache-2.0
"""Images that share the data of another one (clone format 2).

A clone needs a snapshot of its source, which nothing else uses. It is removed
after its clone. Ceph could do that by itself: removed while it has a clone, it
is hidden and goes with that. But librbd 16 removes it while it is removing the
clone, and was seen to hang there.
"""

import secrets
import threading
from typing import Any

from mydriver.stores.rbd import alone, images, listing

#: The kernel maps no image with more ancestors (drivers/block/rbd.c,
#: RBD_MAX_PARENT_CHAIN_LEN).
KERNEL_DEPTH = 16

#: How many images are flattened at the same time. That takes minutes, and a
#: native thread for each. cinder-volume has 20 beside its green ones, and
#: needs some of them for signs of life (:mod:`.sessions`).
MOST_FLATTENED = 8
_flattening = threading.BoundedSemaphore(MOST_FLATTENED)


def snap_name() -> str:
    """Return a new name for the snapshot of which an image is made."""
    return f'{listing.HIDDEN}{secrets.token_hex(8)}'


def make(io: Any, source: str, source_id: str, name: str, snap: str,
         size_bytes: int) -> None:
    """Clone an image as it is now, and extend the clone.

    :param snap: the name of the snapshot to make of it.
    """
    with alone.with_images(source_id):
        images.clone(io, source, source_id, snap, name)
    images.resize(io, images.id_of(io, name) or '', size_bytes)


def depth(io: Any, image_id: str) -> int:
    """Return the number of an image's ancestors."""
    found, at = 0, images.parent_of(io, image_id)
    while at and found < KERNEL_DEPTH:
        found += 1
        try:
            at = images.parent_of(io, at[0])
        except images.not_found():
            return found  # it is in another pool, with images of Glance
    return found


def flatten_beyond(io: Any, name: str, most: int) -> None:
    """Copy the data of an image's ancestors if there are too many.

    :param most: how many it may have.
    """
    its_id = images.id_of(io, name)
    if its_id and depth(io, its_id) > most:
        parent = images.parent_of(io, its_id)
        with alone.with_images(its_id), _flattening:
            images.flatten(io, its_id)
        drop_parent(io, parent)


def drop_parent(io: Any, parent: tuple[str, str] | None) -> None:
    """Remove the snapshot of which a clone was made that is gone now.

    :param parent: id of the image and name of the snapshot, or None.
    """
    if parent and parent[1].startswith(listing.HIDDEN):
        with alone.with_images(parent[0]):
            images.prune(io, parent[0], parent[1])


def drop_snapshot(io: Any, image_id: str, snap: str) -> None:
    """Remove a snapshot of an image by its id; fine if either is missing.

    :param image_id: may be empty: then there is nothing to do.
    """
    if not image_id:
        return
    with alone.with_images(image_id):
        images.drop_snapshot(io, image_id, snap)
