# SPDX-License-Identifier: Apache-2.0
"""Several backings at once: all of them are made, or none."""

from collections.abc import Iterator, Sequence
import contextlib

from mydriver import exception
from mydriver.stores import base, refusals


def snapshot_in_turn(store: base.VolumeStore,
                     pairs: Sequence[tuple[str, str]]) -> None:
    """Take one snapshot after the other: for stores that cannot do better.

    :param pairs: of the source's and the snapshot's name.
    """
    with _all_or_none(store) as made:
        for source, name in pairs:
            known = store.exists(name)
            store.snapshot(source, name)
            if not known:
                made.append(name)


def clone_snapshots(store: base.VolumeStore,
                    wanted: Sequence[tuple[str, str, int]]) -> None:
    """Make volumes from snapshots.

    :param wanted: name of the source, name of the volume, size in bytes.
    """
    with _all_or_none(store) as made:
        for source, name, size_bytes in wanted:
            store.clone(source, name, size_bytes)
            made.append(name)


def clone_volumes(store: base.VolumeStore,
                  wanted: Sequence[tuple[str, str, int]]) -> None:
    """Make volumes that hold what others hold at one moment.

    Where the store can keep several volumes at one moment, that is how the
    clones are made; then they grow to their sizes.

    :param wanted: as for :func:`clone_snapshots`.
    """
    if not store.traits.consistent_groups:
        clone_snapshots(store, wanted)
        return
    names = [name for _source, name, _size in wanted]
    for name in filter(store.exists, names):
        # As a snapshot of an earlier attempt it would be kept.
        refusals.refuse_taken(name)
    with _all_or_none(store) as made:
        store.snapshot_group([(source, name) for source, name, _ in wanted])
        made += names
        for _source, name, size_bytes in wanted:
            store.extend(name, size_bytes)


@contextlib.contextmanager
def _all_or_none(store: base.VolumeStore) -> Iterator[list[str]]:
    """Give a list of what was made; it is deleted when an error comes.

    That error is the one to be told. What cannot be deleted is a note of it.
    """
    made: list[str] = []
    try:
        yield made
    except BaseException as e:
        for name in made:
            try:
                store.delete(name)
            except exception.MyDriverError as undone:
                e.add_note(f'{name} stays: {undone}')
        raise
