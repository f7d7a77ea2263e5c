# SPDX-License-Identifier: Apache-2.0
"""Cinder's generic volume groups.

A group is a record in Cinder's database, which the store knows nothing of.
The store only takes the snapshots of all members, at one moment if it can
(``consistent_groups``).

A group whose type promises consistent snapshots is refused where the store
cannot take them. NotImplementedError would not do: the manager then falls back
to one snapshot after another and breaks the promise silently
(``VolumeManager.create_group_snapshot``; the in-tree LVM driver does so).

Cinder's generic way to delete a group destroys the record of a volume even
when the driver reports it busy (``_delete_group_generic``). Ours makes the
deletion of the group fail.
"""

from collections.abc import Sequence
from typing import Any

from cinder import exception as cinder_exception
from cinder.objects import fields
from cinder.volume import volume_utils
from oslo_log import log as logging
from oslo_utils import units

from mydriver import exception
from mydriver.cinder_volume import parts, volumes
from mydriver.stores import batch, names

LOG = logging.getLogger(__name__)

_Update = dict[str, Any]


class Groups:
    """Groups of volumes, and their snapshots.

    :param volumes: deletes the members.
    """

    def __init__(self, backend: parts.Backend,
                 volumes: volumes.Volumes) -> None:
        self._store = backend.store
        self._volumes = volumes

    def create_group(self, context: Any, group: Any) -> _Update:
        """Accept an empty group."""
        self._check_promise(group)
        return {'status': fields.GroupStatus.AVAILABLE}

    def update_group(self, context: Any, group: Any,
                     add_volumes: Any = None, remove_volumes: Any = None
                     ) -> tuple[None, None, None]:
        """Accept volumes into a group, or out of it."""
        self._check_promise(group)
        return None, None, None

    def delete_group(self, context: Any, group: Any, volumes: Any
                     ) -> tuple[_Update, list[_Update]]:
        """Delete a group's volumes, unless a host may still use one."""
        return _of_all(
            volumes, self._volumes.delete_volume, fields.GroupStatus.DELETED,
            fields.GroupStatus.ERROR_DELETING)

    def create_group_snapshot(self, context: Any, group_snapshot: Any,
                              snapshots: Any
                              ) -> tuple[_Update, list[_Update]]:
        """Take a snapshot of each member: of all, or of none."""
        self._check_promise(group_snapshot)
        for snapshot in snapshots:
            self._volumes.check_copy(snapshot.volume)
        self._store.snapshot_group([
            (names.of_volume(s.volume), names.snapshot_name(s.id))
            for s in snapshots])
        return _available(snapshots)

    def delete_group_snapshot(self, context: Any, group_snapshot: Any,
                              snapshots: Any
                              ) -> tuple[_Update, list[_Update]]:
        """Delete the snapshots; volumes made from them stay."""
        return _of_all(
            snapshots, self._volumes.delete_snapshot,
            fields.GroupSnapshotStatus.DELETED,
            fields.GroupSnapshotStatus.ERROR_DELETING)

    def create_group_from_src(
            self, context: Any, group: Any, volumes: Any,
            group_snapshot: Any = None, snapshots: Any = None,
            source_group: Any = None, source_vols: Any = None
            ) -> tuple[_Update, list[_Update]]:
        """Create a volume from each snapshot or member of a group, or none.

        :param snapshots: in the order of ``volumes``, or None.
        :param source_vols: in the order of ``volumes``, or None.
        """
        self._check_promise(group)
        for volume in source_vols or ():
            self._volumes.check_copy(volume)
        if snapshots:
            batch.clone_snapshots(self._store, _wanted(
                [names.snapshot_name(s.id) for s in snapshots], volumes))
        else:
            batch.clone_volumes(self._store, _wanted(
                [names.of_volume(v) for v in source_vols or ()], volumes))
        return _available(volumes)

    def _check_promise(self, group: Any) -> None:
        """Check that the store can do what the group's type promises.

        :param group: a group or a group's snapshot.
        """
        if (not self._store.traits.consistent_groups
                and volume_utils.is_group_a_cg_snapshot_type(group)):
            raise exception.StoreError(
                'take consistent snapshots of a group',
                f'{self._store.location} takes one snapshot after the other; '
                'use a group type without consistent_group_snapshot_enabled')


def _wanted(sources: Sequence[str], volumes: Any
            ) -> list[tuple[str, str, int]]:
    return [(source, names.of_volume(v), v.size * units.Gi)
            for source, v in zip(sources, volumes, strict=True)]


def _available(members: Any) -> tuple[_Update, list[_Update]]:
    """Return the updates that the manager expects of a success."""
    return ({'status': 'available'},
            [{'id': m.id, 'status': 'available'} for m in members])


def _of_all(members: Any, delete: Any, gone: str, failed: str
            ) -> tuple[_Update, list[_Update]]:
    """Delete what can be deleted; return the updates for the manager."""
    updates: list[_Update] = []
    status = gone
    for member in members:
        try:
            delete(member)
            updates.append({'id': member.id, 'status': gone})
        except (exception.MyDriverError,
                cinder_exception.CinderException) as e:
            LOG.error('%s of a group could not be deleted: %s', member.id, e)
            updates.append({'id': member.id, 'status': failed})
            status = failed
    return {'status': status}, updates
