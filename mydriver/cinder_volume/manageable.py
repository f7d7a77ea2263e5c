# SPDX-License-Identifier: Apache-2.0
"""What a store holds and could be managed, in the form that Cinder expects.

Nothing here imports cinder.
"""

from collections.abc import Callable, Iterator, Mapping
import dataclasses
from typing import Any

from oslo_utils import units

from mydriver import exception
from mydriver.stores import base, names

#: The key of a reference, the one that the in-tree drivers use.
KEY = 'source-name'

MANAGED = 'already managed'


@dataclasses.dataclass(frozen=True, slots=True)
class Managed:
    """A volume or snapshot of Cinder's.

    :param cinder_id: its id.
    :param source: name of the backing of a snapshot's volume.
    """

    cinder_id: str
    source: str | None = None


def source_of(reference: Any) -> str:
    """Return the name in a reference, as the API passes it through.

    :raises StoreError: when it cannot be the name of anything in a store.
    """
    if not isinstance(reference, Mapping) or not isinstance(
            reference.get(KEY), str):
        raise exception.StoreError(
            'find what is to be managed', f'a reference is {{"{KEY}": NAME}}')
    return names.check_source(reference[KEY])


def shown(reference: Any) -> str:
    """Return a reference as an error may show it."""
    return exception.shown(reference.get(KEY) if isinstance(
        reference, Mapping) else reference)


def size_of(store: base.VolumeStore, source: str) -> int:
    """Return the size of something that can be managed, in whole GiB.

    :raises BackingNotFound: when there is nothing of that name.
    :raises StoreError: when it cannot be taken over.
    """
    if names.is_name(source):
        return size_gib(store.device(source).size_bytes)
    for found in store.foreign():
        if found.name == source:
            if found.problem:
                raise exception.StoreError(
                    f'take over {source}', found.problem)
            return size_gib(found.size_bytes)
    raise exception.BackingNotFound(source, store.location)


def size_gib(size_bytes: int) -> int:
    """Return a size in GiB, rounded up."""
    return -(-size_bytes // units.Gi)


def volumes(store: base.VolumeStore, managed: Mapping[str, Managed],
            objection: Callable[[str], str | None]) -> list[dict[str, Any]]:
    """Return all volumes of a store, and what could become one.

    :param managed: Cinder's volumes, by the name of their backing.
    :param objection: takes the name of any other backing; returns why it must
        not be managed, None if it may.
    """
    return [*_backings(store, 'volume-', managed, objection),
            *(_entry(f.name, f.size_bytes, f.problem)
              for f in store.foreign())]


def snapshots(store: base.VolumeStore, managed: Mapping[str, Managed],
              objection: Callable[[str], str | None]) -> list[dict[str, Any]]:
    """Return all snapshots of a store, see :func:`volumes`.

    The store does not know of which volume a snapshot was made; only Cinder
    does, for its own.
    """
    entries = list(_backings(store, 'snapshot-', managed, objection))
    for entry in entries:
        ours = managed.get(entry['reference'][KEY])
        entry['source_reference'] = {KEY: ours.source if ours else None}
    return entries


def _backings(store: base.VolumeStore, prefix: str,
              managed: Mapping[str, Managed],
              objection: Callable[[str], str | None]
              ) -> Iterator[dict[str, Any]]:
    for name in store.names():
        if not name.startswith(prefix):
            continue
        size_bytes, problem = 0, None
        try:
            size_bytes = store.device(name).size_bytes
        except exception.BackingNotFound:
            continue  # deleted since
        except exception.MyDriverError as e:
            problem = str(e)  # one bad backing must not break the list
        if name in managed:
            yield _entry(name, size_bytes, MANAGED, managed[name].cinder_id)
        else:
            yield _entry(name, size_bytes, problem or objection(name))


def _entry(name: str, size_bytes: int, problem: str | None,
           cinder_id: str | None = None) -> dict[str, Any]:
    """Return one thing as Cinder's API shows it."""
    return {
        'reference': {KEY: name},
        'size': size_gib(size_bytes),
        'safe_to_manage': problem is None,
        'reason_not_safe': problem,
        'cinder_id': cinder_id,
        'extra_info': None,
    }
