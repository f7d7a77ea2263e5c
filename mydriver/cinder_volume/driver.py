# SPDX-License-Identifier: Apache-2.0
"""The Cinder volume driver: Cinder's objects in, dicts out, no logic.

Each backing is named after ``volume.name_id``, not ``volume.id``: after a
migration they differ. Every call that changes who may use a volume holds that
volume's lock, since Cinder's manager takes none around them.
"""

from typing import Any

from cinder import coordination, interface
from cinder import exception as cinder_exception
from oslo_log import log as logging

from mydriver import connection, exception, model
from mydriver.cinder_volume import (
    attachments,
    blocks,
    errors,
    groups,
    image_sharing,
    image_transfer,
    manage,
    migrate,
    stats,
)
from mydriver.cinder_volume import base as adapter
from mydriver.stores import base

LOG = logging.getLogger(__name__)


@interface.volumedriver
class LIODriver(groups.Groups, image_sharing.ImageSharing, manage.Manage,
                migrate.Migrate):
    """Volumes exported over iSCSI by the Linux kernel's target."""

    # -- volumes and snapshots

    @errors.translated()
    def create_volume(self, volume: Any) -> dict[str, str]:
        """Make an empty volume, perhaps the far end of a migration."""
        self.check_migrated_blocks(volume)
        self.store.create(adapter.name(volume), volume.size * stats.GIB)
        return blocks.geometry(self.store.block_bytes())

    @errors.translated()
    @coordination.synchronized(adapter.LOCK)
    def delete_volume(self, volume: Any) -> None:
        """Delete a volume, unless a host may still use it."""
        self.withdraw(volume)
        self.store.delete(adapter.name(volume))

    @errors.translated()
    @coordination.synchronized(adapter.LOCK)
    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Grow a volume, in use or not.

        :param new_size: in GiB.
        """
        size_bytes = new_size * stats.GIB
        self.store.extend(adapter.name(volume), size_bytes)
        try:
            self.exports.resize(volume.name_id, size_bytes)
        except exception.MyDriverError as e:
            # It has grown; hosts see it when they attach anew.
            LOG.error('Volume %s has grown to %d GiB, but its hosts cannot '
                      'see it: %s', volume.name_id, new_size, e)
            raise cinder_exception.TargetUpdateFailed(
                volume_id=volume.id) from e

    @errors.translated()
    def create_snapshot(self, snapshot: Any) -> None:
        """Keep what a volume holds now, in use or not."""
        self.check_copy(snapshot.volume)
        self.store.snapshot(adapter.name(snapshot.volume),
                            base.snapshot_name(snapshot.id))

    @errors.translated()
    def delete_snapshot(self, snapshot: Any) -> None:
        """Delete a snapshot; volumes made from it stay."""
        self.store.delete(base.snapshot_name(snapshot.id))

    @errors.translated()
    def create_volume_from_snapshot(self, volume: Any, snapshot: Any
                                    ) -> dict[str, str]:
        """Make a volume that holds what a snapshot holds, or larger."""
        self.store.clone(base.snapshot_name(snapshot.id),
                         adapter.name(volume), volume.size * stats.GIB)
        return blocks.geometry(self.store.block_bytes())

    @errors.translated()
    def create_cloned_volume(self, volume: Any, src_vref: Any
                             ) -> dict[str, str]:
        """Make a volume that holds what another holds now, or larger."""
        self.check_copy(src_vref)
        self.store.clone(adapter.name(src_vref), adapter.name(volume),
                         volume.size * stats.GIB)
        return blocks.geometry(self.store.block_bytes())

    @errors.translated()
    @coordination.synchronized(adapter.LOCK)
    def revert_to_snapshot(self, context: Any, volume: Any,
                           snapshot: Any) -> None:
        """Make a volume hold again what a snapshot of it holds.

        It keeps its size, which may have grown since.
        """
        self.withdraw(volume)
        self.store.revert(adapter.name(volume),
                          base.snapshot_name(snapshot.id))

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        """Revert at once: no crash leaves a mixture of old and new."""
        return False

    def retype(self, context: Any, volume: Any, new_type: Any, diff: Any,
               host: Any) -> tuple[bool, None]:
        """Nothing of a volume's type is kept here, so nothing changes."""
        return True, None

    # -- images

    @errors.translated()
    def copy_image_to_volume(self, context: Any, volume: Any,
                             image_service: Any, image_id: str,
                             disable_sparse: bool = False) -> None:
        """Write an image to a new volume."""
        self.check_image_blocks(image_service.show(context, image_id))
        image_transfer.fetch(
            context, image_service, image_id,
            self.store.device(adapter.name(volume)), size_gib=volume.size,
            block_size=self.configuration.volume_dd_blocksize,
            disable_sparse=disable_sparse)
        self.store.extend(adapter.name(volume), volume.size * stats.GIB)

    @errors.translated()
    def copy_image_to_encrypted_volume(
            self, context: Any, volume: Any, image_service: Any,
            image_id: str, disable_sparse: bool = False) -> None:
        """Write an image to a new volume that the host encrypts.

        Cinder attaches it for that; only the image is looked at first.
        """
        self.check_image_blocks(image_service.show(context, image_id))
        super().copy_image_to_encrypted_volume(
            context, volume, image_service, image_id,
            disable_sparse=disable_sparse)

    @errors.translated()
    def copy_volume_to_image(self, context: Any, volume: Any,
                             image_service: Any,
                             image_meta: dict[str, Any]) -> None:
        """Write a volume to an image."""
        # What this host has cached of a block device may be older.
        self.store.extend(adapter.name(volume), volume.size * stats.GIB)
        block_bytes = self.store.block_bytes()
        if block_bytes != blocks.USUAL_BYTES:
            image_transfer.set_property(
                context, image_service, image_meta['id'], blocks.PROPERTY,
                str(block_bytes))
        image_transfer.upload(context, image_service, image_meta,
                              self.store.device(adapter.name(volume)), volume)

    def backup_use_temp_snapshot(self) -> bool:
        """Back up from a clone: it costs no more than a snapshot here."""
        return False

    # -- exports and connections

    @errors.translated()
    @coordination.synchronized(adapter.LOCK)
    def create_export(self, context: Any, volume: Any,
                      connector: Any) -> dict[str, str] | None:
        """Make the LUN of a volume exist on a target.

        :returns: its block size, where Cinder does not know it yet.
        """
        self.exports.create_export(volume.name_id)
        return (None if volume.provider_geometry else
                blocks.geometry(self.store.block_bytes()))

    @errors.translated()
    @coordination.synchronized(adapter.LOCK)
    def ensure_export(self, context: Any, volume: Any) -> None:
        """Make sure that it does, for a volume in use, at start."""
        self.exports.ensure_export(volume.name_id)

    @errors.translated()
    @coordination.synchronized(adapter.LOCK)
    def remove_export(self, context: Any, volume: Any) -> None:
        """Remove the LUN of a volume, unless a host may still use it."""
        self.exports.remove_export(volume.name_id)

    @errors.translated()
    def validate_connector(self, connector: dict[str, Any]) -> None:
        """Refuse a connector that cannot be served."""
        connection.initiator_of(connector)

    @errors.translated()
    @coordination.synchronized(adapter.LOCK)
    def initialize_connection(self, volume: Any, connector: dict[str, Any]
                              ) -> dict[str, Any]:
        """Let a host use an exported volume; return how it reaches it."""
        initiator = connection.initiator_of(connector)
        self._reveal(volume)
        if not self.exports.is_exported(volume.name_id):
            # The last other host let go of it since our create_export.
            self.exports.create_export(volume.name_id)
        can = connection.Capabilities.of(connector)
        read_only = attachments.is_read_only(volume, connector)
        reached = self.exports.initialize_connection(
            volume.name_id, initiator, read_only=read_only,
            keep_writable=attachments.of_volume(volume) is None,
            mutual=can.mutual_chap)
        self.in_flight.begin(volume, initiator)
        return {
            'driver_volume_type': 'iscsi',
            'data': connection.Connection(
                volume_id=volume.name_id,
                target=reached.mapped.export.target,
                portals=reached.portals, lun=reached.mapped.mapping.lun,
                chap=reached.secrets, read_only=read_only,
                encrypted=bool(volume.encryption_key_id),
                wwn=model.naa_id(volume.name_id)).to_data(can),
        }

    @errors.translated()
    @coordination.synchronized(adapter.LOCK)
    def terminate_connection(self, volume: Any,
                             connector: dict[str, Any] | None,
                             **kwargs: Any) -> bool:
        """Take a volume from a host, or from all hosts.

        :param connector: of the host, None for all of them.
        :returns: True while the volume is still used, so that its export
            must stay.
        """
        if connector is not None and self._is_still_used(volume, connector):
            self.in_flight.kept(volume, connection.initiator_of(connector))
            return True
        return self.exports.terminate_connection(
            volume.name_id, None if connector is None
            else connection.initiator_of(connector))

    def _is_still_used(self, volume: Any, connector: dict[str, Any]) -> bool:
        """Tell whether a host uses a volume by another attachment."""
        initiator = connection.initiator_of(connector)
        if not attachments.is_shared(volume, initiator):
            return self.in_flight.keeps(volume, initiator,
                                       lambda: self._attachments(volume))
        self._reveal(volume)
        if attachments.rest_reads_only(volume, connector, initiator):
            self.exports.protect(volume.name_id, initiator)
        return True

    @classmethod
    def clean_volume_file_locks(cls, volume_id: str) -> None:
        """Remove what the lock of a deleted volume leaves behind."""
        coordination.synchronized_remove(adapter.LOCK_PREFIX + volume_id)
