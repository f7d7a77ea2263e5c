# SPDX-License-Identifier: Apache-2.0
"""Volumes and their snapshots, in the backend's store."""

from typing import Any

from cinder import coordination
from cinder import exception as cinder_exception
from oslo_log import log as logging
from oslo_utils import units

from mydriver import events, exception
from mydriver.cinder_volume import blocks, connections, parts
from mydriver.stores import names

LOG = logging.getLogger(__name__)


class Volumes:
    """Create, delete, extend, copy and revert.

    :param connections: withdraws a volume before it is changed.
    """

    def __init__(self, backend: parts.Backend,
                 connections: connections.Connections) -> None:
        self._backend = backend
        self._store = backend.store
        self._exports = backend.exports
        self._connections = connections

    # -- volumes

    def create_volume(self, volume: Any) -> dict[str, str]:
        """Create an empty volume, perhaps as the target of a migration.

        :returns: its block size, for Cinder's record.
        """
        self._check_migrated_blocks(volume)
        self._store.create(names.of_volume(volume), volume.size * units.Gi)
        return self._geometry()

    @coordination.synchronized(parts.LOCK)
    def delete_volume(self, volume: Any) -> None:
        """Delete a volume, unless a host may still use it."""
        events.waited('lock')
        self._connections.withdraw(volume)
        self._store.delete(names.of_volume(volume))

    @coordination.synchronized(parts.LOCK)
    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Extend a volume, attached or not.

        :param new_size: in GiB.
        """
        events.waited('lock')
        size_bytes = new_size * units.Gi
        self._store.extend(names.of_volume(volume), size_bytes)
        try:
            self._exports.resize(volume.name_id, size_bytes)
        except exception.MyDriverError as e:
            # The backing has grown; hosts see it at their next attach.
            LOG.error('Volume %s has grown to %d GiB, but its hosts cannot '
                      'see it: %s', volume.name_id, new_size, e)
            raise cinder_exception.TargetUpdateFailed(
                volume_id=volume.id) from e

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any
                                    ) -> dict[str, str]:
        """Create a volume from a snapshot; it may be larger.

        :returns: its block size, for Cinder's record.
        """
        self._store.clone(names.snapshot_name(snapshot.id),
                          names.of_volume(volume), volume.size * units.Gi)
        return self._geometry()

    def create_cloned_volume(self, volume: Any, src_vref: Any
                             ) -> dict[str, str]:
        """Create a volume from another volume; it may be larger.

        :returns: its block size, for Cinder's record.
        """
        self.check_copy(src_vref)
        self._store.clone(names.of_volume(src_vref), names.of_volume(volume),
                          volume.size * units.Gi)
        return self._geometry()

    def retype(self, context: Any, volume: Any, new_type: Any, diff: Any,
               host: Any) -> tuple[bool, None]:
        """Accept any type: no type changes anything in the backend."""
        return True, None

    # -- snapshots

    def create_snapshot(self, snapshot: Any) -> None:
        """Take a snapshot of a volume, attached or not."""
        self.check_copy(snapshot.volume)
        self._store.snapshot(names.of_volume(snapshot.volume),
                             names.snapshot_name(snapshot.id))

    def delete_snapshot(self, snapshot: Any) -> None:
        """Delete a snapshot; volumes created from it stay."""
        self._store.delete(names.snapshot_name(snapshot.id))

    @coordination.synchronized(parts.LOCK)
    def revert_to_snapshot(self, context: Any, volume: Any,
                           snapshot: Any) -> None:
        """Revert a volume to a snapshot of it.

        It keeps its size, which may have grown since.
        """
        self._connections.withdraw(volume)
        self._store.revert(names.of_volume(volume),
                           names.snapshot_name(snapshot.id))

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        """Revert without a temporary snapshot: a crash cannot mix contents."""
        return False

    def backup_use_temp_snapshot(self) -> bool:
        """Back up from a clone: it costs no more than a snapshot here."""
        return False

    # -- for other parts

    def check_copy(self, volume: Any) -> None:
        """Refuse a copy that would hold back a guest's writes for too long.

        The target knows whether there may be such a guest: the volume is
        exported then.

        :raises StoreError: when the volume has too many extents.
        """
        if not (self._store.traits.copies_hold_writes
                and self._exports.is_exported(volume.name_id)):
            return
        name = names.of_volume(volume)
        extents = self._store.extents(name)
        limit = self._backend.options.mydriver_max_extents
        if extents > limit:
            raise exception.StoreError(
                f'copy {name} while it is in use',
                f'it has {extents} extents, and all writes to it would wait '
                'until each of them is shared. Copy it when it is detached, '
                'or merge them then (xfs_fsr), move it to a backend with '
                'lvmthin, or raise mydriver_max_extents, which is '
                f'{limit}')

    # -- inside

    def _geometry(self) -> dict[str, str]:
        return blocks.geometry(self._store.block_bytes())

    def _check_migrated_blocks(self, volume: Any) -> None:
        """Refuse a migration from a backend of another block size.

        The record of such a volume has the geometry of the one that is
        migrated (VolumeManager._migrate_volume_generic).

        :raises BlocksDiffer: when they differ.
        """
        status = volume.migration_status or ''
        if status.startswith('target:'):
            self._backend.check_blocks(
                f'Volume {status.removeprefix("target:")}',
                blocks.of_volume(volume) or blocks.USUAL_BYTES,
                self._store.location, self._store.block_bytes())
