# SPDX-License-Identifier: Apache-2.0
"""Images of the pool that others made, and how they become backings."""

from typing import Any

from mydriver import exception
from mydriver.ceph import blocking
from mydriver.stores import base, names, refusals
from mydriver.stores.rbd import images, intents, listing, pool, setup


def foreign(io: Any) -> tuple[base.Foreign, ...]:
    """See :meth:`.VolumeStore.foreign`."""
    found = (_foreign(io, name, its_id)
             for name, its_id in sorted(images.ids(io).items())
             if names.is_foreign_name(name)
             and not name.startswith(listing.HIDDEN))
    return tuple(f for f in found if f)


@blocking.step
def _foreign(io: Any, name: str, its_id: str) -> base.Foreign | None:
    try:
        with images.opened(io, image_id=its_id, read_only=True) as image:
            return base.Foreign(name, image.size(), _problem_of(image))
    except images.not_found():
        return None  # removed meanwhile, or the rest of one


def _problem_of(image: Any) -> str | None:
    """Return why an open image cannot be adopted, None when it can."""
    problem = setup.problem_of(image)
    if problem is None and list(image.watchers_list()):
        problem = 'a client has it open'
    if problem is None and any(
            not snap['name'].startswith(listing.HIDDEN)
            for snap in image.list_snaps()):
        problem = 'it has snapshots, which nobody could delete'
    return problem


def adopt(its_pool: pool.Pool, io: Any, its_intents: intents.Intents,
          source: str, name: str, size_bytes: int) -> None:
    """See :meth:`.VolumeStore.adopt`: extend the image and rename it."""
    if images.id_of(io, source) is None:
        if not listing.exists(io, name):
            raise exception.BackingNotFound(source, its_pool.location)
        return
    if names.is_name(source):
        source_id = listing.find(io, source, its_pool.location)
    else:
        source_id = images.id_of(io, source) or ''
    with its_intents.held(io, name) as claim:
        if images.id_of(io, name) is not None:
            refusals.refuse_taken(name)
        found = _foreign(io, source, source_id)
        if found is None:
            raise exception.BackingNotFound(source, its_pool.location)
        refusals.refuse_adoption(source, found.size_bytes, size_bytes,
                                 found.problem)
        images.resize(io, source_id, size_bytes)
        claim.record(intents.RENAME, old=source)
        images.rename(io, source, name)
        listing.check_renamed(io, source, name, source_id,
                              its_pool.location)
