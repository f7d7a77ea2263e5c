# SPDX-License-Identifier: Apache-2.0
"""Operations on several backings, of which all succeed or none."""

from collections.abc import Iterator, Sequence
import contextlib

from mydriver import exception
from mydriver.stores import base, refusals


def snapshot_in_turn(store: base.VolumeStore,
                     pairs: Sequence[tuple[str, str]]) -> None:
    """Take one snapshot after the other, for stores that can do no better.

    :param pairs: names of source and snapshot.
    """
    with _all_or_none(store) as made:
        for source, name in pairs:
            known = store.exists(name)
            store.snapshot(source, name)
            if not known:
                made.append(name)


def clone_snapshots(store: base.VolumeStore,
                    wanted: Sequence[tuple[str, str, int]]) -> None:
    """Create volumes from snapshots.

    :param wanted: source, new volume, and its size in bytes.
    """
    with _all_or_none(store) as made:
        for source, name, size_bytes in wanted:
            store.clone(source, name, size_bytes)
            made.append(name)


def clone_volumes(store: base.VolumeStore,
                  wanted: Sequence[tuple[str, str, int]]) -> None:
    """Clone volumes, at one point in time if the store can.

    Then the clones start as the snapshots of a group, and are extended to
    their sizes.

    :param wanted: as for :func:`clone_snapshots`.
    """
    if not store.traits.consistent_groups:
        clone_snapshots(store, wanted)
        return
    names = [name for _source, name, _size in wanted]
    for name in filter(store.exists, names):
        # snapshot_group() would keep it as one of an earlier attempt.
        refusals.refuse_taken(name)
    with _all_or_none(store) as made:
        store.snapshot_group([(source, name) for source, name, _ in wanted])
        made += names
        for _source, name, size_bytes in wanted:
            store.extend(name, size_bytes)


@contextlib.contextmanager
def _all_or_none(store: base.VolumeStore) -> Iterator[list[str]]:
    """Collect the names of what was made, and delete it after an error.

    The error is raised again. What cannot be deleted is added to it as a note.
    """
    made: list[str] = []
    try:
        yield made
    except BaseException as e:
        for name in made:
            try:
                store.delete(name)
            except exception.MyDriverError as undone:
                e.add_note(f'{name} was not removed: {undone}')
        raise
