# SPDX-License-Identifier: Apache-2.0
"""Which images of a pool are backings."""

from typing import Any

from mydriver import exception
from mydriver.stores import names, refusals
from mydriver.stores.rbd import images, intents

#: Prefix of images that are ours without being backings.
HIDDEN = 'mydriver.'


def backings(io: Any) -> dict[str, str]:
    """Return the ids of all backings, by name."""
    # First: what is completed meanwhile may be left out, but what is
    # incomplete must not be listed.
    unfinished = {name for name, intent in intents.everything(io).items()
                  if intent['do'] == intents.MAKE}
    return {name: its_id for name, its_id in images.ids(io).items()
            if names.is_name(name) and name not in unfinished}


def prune(io: Any, image_id: str) -> None:
    """Remove the snapshots of an image from which nothing will be cloned.

    A clone that is being made, by whichever process, has an intent that names
    the snapshot, from before that is taken until the clone is complete. So
    snapshots that were there before the intents are read, and that none of
    them names, get no clone any more.
    """
    found = images.idle_snapshots(io, image_id, HIDDEN)
    if found:
        wanted = {intent.get('snap')
                  for intent in intents.everything(io).values()}
        for snap in found:
            if snap not in wanted:
                images.prune(io, image_id, snap)


def exists(io: Any, name: str) -> bool:
    """Tell whether there is a backing of that name."""
    intent = intents.find(io, name)
    if intent and intent['do'] == intents.REVERT:
        return True  # for a moment there is no image of the name
    return (images.id_of(io, name) is not None
            and (intent is None or intent['do'] != intents.MAKE))


def find(io: Any, name: str, where: str) -> str:
    """Return the id of a backing.

    :param where: the store, for the text of the error.
    :raises BackingNotFound: when there is no such backing.
    """
    refusals.refuse_odd_name(name)
    intent = intents.find(io, name)
    its_id = images.id_of(io, name)
    if its_id is None and intent and intent['do'] == intents.REVERT:
        raise exception.StoreError(
            f'use {name}', 'it is being reverted. If that was interrupted, '
            'cinder-volume finishes it within a minute')
    if its_id is None or (intent and intent['do'] == intents.MAKE):
        raise exception.BackingNotFound(name, where)
    return its_id


def check_same(io: Any, name: str, its_id: str) -> None:
    """Check that a name is still that of the image that was looked at.

    To be called with the name claimed: until then, this process may have been
    stopped, and another one may have worked on it.

    :raises StoreError: when it is not.
    """
    if images.id_of(io, name) != its_id:
        raise exception.StoreError(
            f'work on {name}', 'another cinder-volume has replaced or removed '
            'it meanwhile')


def check_renamed(io: Any, old: str, new: str, its_id: str, where: str
                  ) -> None:
    """Check that an image got its name.

    :raises BackingNotFound: when somebody else was faster to rename it.
    """
    if images.id_of(io, new) != its_id:
        raise exception.BackingNotFound(old, where)
