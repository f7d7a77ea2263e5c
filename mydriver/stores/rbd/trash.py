# SPDX-License-Identifier: Apache-2.0
"""Deleted images: in the trash at once, removed in the background.

An image goes to the trash in a few milliseconds, whatever its size, and its
name is free. Its snapshots go with it: clones find their parent by its id. It
stays in the trash until the last of them has gone: the deletion of that one
removes it, or a later one, or the keeper of a service.

Small images are removed from the trash at once. For larger ones the manager
gets a task (``rbd task add trash remove``), which it keeps and repeats; so
nothing here waits, and a restart does not lose it.
"""

import contextlib
import json
import random
import threading
from typing import Any

from oslo_log import log as logging
from oslo_utils import units

from mydriver.stores import names
from mydriver.stores.rbd import alone, clones, images, listing, pool

LOG = logging.getLogger(__name__)

#: Up to this size an image is removed at once: 1024 objects, a second or less.
SMALL_BYTES = 4 * units.Gi

#: How many images that wait for their clones are tried after each deletion.
_TRIED = 4
#: All that there are, for :func:`empty`.
ALL = 1 << 30


def throw(its_pool: pool.Pool, io: Any, name: str) -> None:
    """Delete an image; whoever uses its snapshots keeps them.

    :raises rbd.ImageBusy: when a client has it open.
    """
    its_id = images.id_of(io, name)
    if its_id is None:
        return
    try:
        with alone.with_images(its_id):
            images.trash_move(io, name)
    except images.not_found():
        # The rest of an image whose removal was interrupted.
        images.discard(io, name)
        return
    remove(its_pool, io, its_id)
    empty(its_pool, io, _TRIED)


def empty(its_pool: pool.Pool, io: Any, most: int) -> None:
    """Remove what is in the trash and has no clones any more.

    One thread does it at a time; others leave it to that one.

    :param most: how many images to try.
    """
    if _emptying.acquire(blocking=False):
        try:
            _empty(its_pool, io, most)
        finally:
            _emptying.release()


_emptying = threading.Lock()


def _empty(its_pool: pool.Pool, io: Any, most: int) -> None:
    ours = [its_id for its_id, name in images.trash(io).items()
            if names.is_name(name) or name.startswith(listing.HIDDEN)]
    # Any of them: the first may have clones for years.
    for its_id in random.sample(ours, min(most, len(ours))):
        remove(its_pool, io, its_id)


def remove(its_pool: pool.Pool, io: Any, its_id: str) -> None:
    """Remove an image from the trash, now or soon, unless it has clones.

    An error is logged: the image has left the store already.
    """
    rbd = images.rbd()
    try:
        with contextlib.suppress(*images.not_found(), rbd.ImageHasSnapshots):
            parent = None
            with contextlib.suppress(*images.not_found()):
                parent = images.parent_of(io, its_id)
            with alone.with_images(its_id):
                gone = _remove(its_pool, io, its_id)
            if gone:
                clones.drop_parent(io, parent)
                if parent and parent[0] in images.trash(io):
                    remove(its_pool, io, parent[0])
    except rbd.ImageBusy:
        pass  # it is being removed
    except rbd.Error as e:
        LOG.warning('Image %s stays in the trash of %s: %s', its_id,
                    its_pool.location, e)


def _remove(its_pool: pool.Pool, io: Any, its_id: str) -> bool:
    """Remove an image that has no clones; tell whether it is gone."""
    listing.prune(io, its_id)
    size_bytes, is_parent = images.trashed(io, its_id)
    if is_parent:
        return False
    if size_bytes > SMALL_BYTES:
        number, _out, text = its_pool.ask(json.dumps({
            'prefix': 'rbd task add trash remove',
            'image_id_spec': f'{its_pool.name}/{its_id}'}), 'mgr')
        if not number:
            return False
        LOG.info('The manager does not remove image %s (%s): removing it now',
                 its_id, text)
    images.trash_remove(io, its_id)
    return True
