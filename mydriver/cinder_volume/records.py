# SPDX-License-Identifier: Apache-2.0
"""What is asked of Cinder's database, in Cinder's own words."""

from collections.abc import Collection, Iterator
from typing import Any

from cinder import context as cinder_context
from cinder import objects

#: Ids in one query; databases limit what a statement may hold.
_AT_A_TIME = 200


class CinderRecords:
    """Cinder's database; see :class:`.attachments.Records`.

    No query is limited to a host, a cluster or a project: the operator may
    have renamed this host since a volume was attached.
    """

    def of_backings(self, ids: Collection[str]) -> list[Any]:
        """Return the volumes that exist, each once."""
        return _volumes(ids, 'no')

    def deleted(self, ids: Collection[str]) -> frozenset[str]:
        """Return those of the ids under which Cinder deleted a volume."""
        gone = _volumes(ids, 'only')
        return frozenset(ids) & {i for v in gone for i in (v.id, v.name_id)}

    def of_host(self, host: str) -> Collection[Any]:
        """Return the volumes that Cinder has under a name of this host."""
        found: Collection[Any] = objects.VolumeList.get_all_by_host(
            cinder_context.get_admin_context(), host)
        return found


def _volumes(ids: Collection[str], read_deleted: str) -> list[Any]:
    """Return the volumes that have, or whose backing has, one of the ids."""
    context = cinder_context.get_admin_context(read_deleted=read_deleted)
    found = {}
    for part in _parts(sorted(ids)):
        # After a migration the backing has another id than the volume.
        for key in ('id', '_name_id'):
            for volume in objects.VolumeList.get_all(
                    context, filters={key: part}):
                found[volume.id] = volume
    return list(found.values())


def _parts(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _AT_A_TIME):
        yield ids[start:start + _AT_A_TIME]
