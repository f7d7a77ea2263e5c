# SPDX-License-Identifier: Apache-2.0
"""Cinder's database, queried through Cinder's objects."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from cinder import context as cinder_context
from cinder import objects

#: Ids in one query; databases limit what a statement may hold.
_AT_A_TIME = 200


class CinderRecords:
    """Cinder's database; see :class:`.records.Records`.

    No query is limited to a host, a cluster or a project, since the operator
    may have renamed this host after a volume was attached.
    """

    def of_backings(self, ids: Collection[str]) -> list[Any]:
        """Return the volumes that exist, each once."""
        return _volumes(ids, 'no')

    def deleted(self, ids: Collection[str]) -> frozenset[str]:
        """Return the ids among these of volumes that Cinder has deleted."""
        gone = _volumes(ids, 'only')
        return frozenset(ids) & {i for v in gone for i in (v.id, v.name_id)}

    def of_host(self, host: str) -> Collection[Any]:
        """Return the volumes that Cinder has on a host."""
        found: Collection[Any] = objects.VolumeList.get_all_by_host(
            _admin(), host)
        return found

    def of_cluster(self, cluster: str) -> Collection[Any]:
        """Return the volumes that Cinder has in a cluster."""
        found: Collection[Any] = objects.VolumeList.get_all(
            _admin(), filters={'cluster_name': cluster})
        return found

    def attachments(self, volume_id: str) -> Iterable[Any]:
        """Return the present attachments of a volume."""
        found: Iterable[Any] = (
            objects.VolumeAttachmentList.get_all_by_volume_id(
                _admin(), volume_id))
        return found

    def admin_metadata(self, volume_id: str) -> Mapping[str, str]:
        """Return the administrator's metadata of a volume."""
        found: Mapping[str, str] = objects.Volume.get_by_id(
            _admin(), volume_id).admin_metadata
        return found

    def has_snapshots(self, volume_id: str) -> bool:
        """Tell whether a volume has snapshots."""
        return bool(objects.SnapshotList.get_all_for_volume(
            _admin(), volume_id))

    def has_snapshot(self, snapshot_id: str) -> bool:
        """Tell whether Cinder has a snapshot of that id."""
        return bool(objects.Snapshot.exists(_admin(), snapshot_id))


def _admin(**options: Any) -> Any:
    return cinder_context.get_admin_context(**options)


def _volumes(ids: Collection[str], read_deleted: str) -> list[Any]:
    """Return the volumes that have, or whose backing has, one of the ids."""
    context = _admin(read_deleted=read_deleted)
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
