# SPDX-License-Identifier: Apache-2.0
"""Revert an image to a snapshot of it, atomically.

librbd's own rollback copies object by object in place: interrupted, it leaves
a mixture. Here a clone of the snapshot is completed under a hidden name first.
Once the intent has its id, the old image goes to the trash and the clone gets
the name; interrupted in between, that is finished.
"""

from typing import Any

from mydriver.stores import names
from mydriver.stores.rbd import clones, images, intents, listing, pool, trash


def spare_name(name: str) -> str:
    """Return the name of the image that replaces another one."""
    return f'{listing.HIDDEN}revert-{names.check_name(name)}'


def revert(its_pool: pool.Pool, io: Any, claim: intents.Claim, old_id: str,
           snapshot: str, size_bytes: int, most_depth: int) -> None:
    """Replace an image by a clone of a snapshot.

    :param claim: of its name.
    :param old_id: its id.
    :param snapshot: name of the snapshot's image.
    :param size_bytes: which the image keeps.
    :param most_depth: how many ancestors it may have.
    """
    spare = spare_name(claim.name)
    source_id = images.id_of(io, snapshot) or ''
    steps = {'old': old_id, 'new': '', 'source': source_id,
             'snap': clones.snap_name()}
    claim.record(intents.REVERT, **steps)
    images.forget_stale(io, spare)
    clones.make(io, snapshot, source_id, spare, steps['snap'], size_bytes)
    clones.flatten_beyond(io, spare, most_depth)
    claim.record(intents.REVERT, **{
        **steps, 'new': images.id_of(io, spare) or ''})
    settle(its_pool, io, claim.name, claim.intent)


def settle(its_pool: pool.Pool, io: Any, name: str, intent: intents.Intent
           ) -> None:
    """Finish a revert whose clone is complete, or undo it."""
    spare, new_id = spare_name(name), intent['new']
    if not new_id:
        images.discard(io, spare)
        clones.drop_snapshot(io, intent['source'], intent['snap'])
        return
    its_id = images.id_of(io, name)
    if its_id not in (None, new_id, intent['old']):
        # Somebody else has replaced it, so this was for an image of the past.
        images.discard(io, spare)
        return
    if its_id == intent['old']:
        trash.throw(its_pool, io, name)
    images.rename(io, spare, name)
