# SPDX-License-Identifier: Apache-2.0
"""Refusals that are the same in every store.

Each ``refuse_*`` function raises when its case applies and does nothing
otherwise, so that a store reads as a list of preconditions.
"""

from typing import Never

from mydriver import exception
from mydriver.stores import base, names


def refuse_odd_name(name: str) -> None:
    """Refuse what is not the name of a backing.

    Names become parts of paths and arguments of commands.

    :raises StoreError: unless it is ``volume-UUID`` or ``snapshot-UUID``.
    """
    if names.NAME.match(name) is None:
        raise names.odd_name(name)


def refuse_odd_size(name: str, size_bytes: int) -> None:
    """Refuse a size that a backing cannot have.

    :param name: of the backing.
    :raises StoreError: unless it is a positive number of whole blocks.
    """
    if size_bytes <= 0 or size_bytes % base.BLOCK_BYTES:
        raise exception.StoreError(
            f'make {name} of {size_bytes} bytes',
            f'sizes are positive multiples of {base.BLOCK_BYTES}')


def refuse_taken(name: str, cause: BaseException | None = None) -> Never:
    """Refuse to replace something else that has a name.

    :param name: of the backing that was to be made.
    :param cause: the error that said so.
    :raises StoreError: always.
    """
    raise exception.StoreError(
        f'make {name}', 'something with other contents has that name already'
        ) from cause


def refuse_shrinking(name: str, current_bytes: int, wanted_bytes: int
                     ) -> None:
    """Refuse to extend a backing to less than its size.

    :raises StoreError: when ``wanted_bytes`` is less.
    """
    if wanted_bytes < current_bytes:
        raise exception.StoreError(
            f'extend {name} to {wanted_bytes} bytes',
            f'it has {current_bytes} already, and volumes are never shrunk')


def refuse_small_clone(source: str, source_bytes: int, wanted_bytes: int
                       ) -> None:
    """Refuse a clone that is smaller than its source.

    :raises StoreError: when ``wanted_bytes`` is less.
    """
    if wanted_bytes < source_bytes:
        raise exception.StoreError(
            f'clone {source} into {wanted_bytes} bytes',
            f'the source has {source_bytes}')


def refuse_large_snapshot(name: str, size_bytes: int, snapshot: str,
                          snapshot_bytes: int) -> None:
    """Refuse to revert a backing to a snapshot that does not fit into it.

    :raises StoreError: when ``snapshot_bytes`` is more than ``size_bytes``.
    """
    if snapshot_bytes > size_bytes:
        raise exception.StoreError(
            f'revert {name} of {size_bytes} bytes to {snapshot}',
            f'the snapshot has {snapshot_bytes}')


def refuse_adoption(source: str, source_bytes: int, wanted_bytes: int,
                    problem: str | None) -> None:
    """Refuse to adopt what has a problem or does not fit.

    :param source: name of what is to be adopted.
    :param wanted_bytes: size of the backing that it is to become.
    :param problem: what the store has against it, see :class:`.Foreign`.
    :raises StoreError: when there is a problem, or it is too large.
    """
    if source_bytes > wanted_bytes:
        problem = f'it has more than {wanted_bytes} bytes'
    if problem:
        raise exception.StoreError(f'take over {source}', problem)
