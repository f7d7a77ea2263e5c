# SPDX-License-Identifier: Apache-2.0
"""Exports and connections: which host may use a volume, and how."""

import functools
from typing import Any

from cinder import coordination

from mydriver import connection, exception, model
from mydriver.cinder_volume import attachments, blocks, parts, users
from mydriver.connection import iscsi

#: What a backend offers to hosts, the preferred protocol first.
OFFERED = (connection.Protocol.ISCSI,)


class Connections:
    """Exports, initialize_connection and terminate_connection."""

    def __init__(self, backend: parts.Backend) -> None:
        self._backend = backend
        self._records = backend.records
        self._store = backend.store
        self._exports = backend.exports
        self._in_flight = backend.in_flight

    # -- exports

    @coordination.synchronized(parts.LOCK)
    def create_export(self, context: Any, volume: Any,
                      connector: Any) -> dict[str, str] | None:
        """Export a volume.

        :returns: its block size, where Cinder does not have it yet.
        """
        self._export(volume)
        return (None if volume.provider_geometry else
                blocks.geometry(self._store.block_bytes()))

    @coordination.synchronized(parts.LOCK)
    def ensure_export(self, context: Any, volume: Any) -> None:
        """Re-create the export of an in-use volume at start-up."""
        self._export(volume)

    @coordination.synchronized(parts.LOCK)
    def remove_export(self, context: Any, volume: Any) -> None:
        """Withdraw the export of a volume, unless a host may still use it."""
        self._exports.remove_export(volume.name_id)

    def withdraw(self, volume: Any) -> None:
        """Withdraw a volume that is to be deleted or unmanaged.

        The caller holds the volume's lock.

        :raises TargetInUse: when a host may be using it.
        """
        for initiator in self._in_flight.forget(volume):
            self._exports.terminate_connection(volume.name_id, initiator)
        if self._exports.remove_export(volume.name_id):
            return
        # Start-up may have been unable to find out who uses it.
        self._exports.reconciler.settle(users.Users(
            self._records, {volume.name_id}).may_use, volume.name_id)
        if not self._exports.remove_export(volume.name_id):
            raise exception.TargetInUse(volume.name_id, 'a host')

    def _export(self, volume: Any) -> None:
        self._exports.create_export(volume.name_id)

    # -- connections

    def validate_connector(self, connector: dict[str, Any]) -> None:
        """Refuse a connector that cannot be served."""
        connection.negotiate(connector, OFFERED)

    @coordination.synchronized(parts.LOCK)
    def initialize_connection(self, volume: Any, connector: dict[str, Any]
                              ) -> dict[str, Any]:
        """Map an exported volume to a host; return how it reaches the LUN.

        :returns: ``driver_volume_type`` and ``data``; it holds secrets.
        """
        agreed = connection.negotiate(connector, OFFERED)
        self._load_admin_metadata(volume)
        read_only = attachments.is_read_only(volume, connector)
        map_it = functools.partial(
            self._exports.initialize_connection, volume.name_id,
            agreed.identity, read_only=read_only,
            keep_writable=(attachments.access(volume)
                           is attachments.Access.PER_ATTACHMENT),
            mutual=agreed.capabilities.mutual_chap)
        try:
            reached = map_it()
        except exception.ExportNotFound:
            # The last other host has detached since our create_export.
            self._export(volume)
            reached = map_it()
        self._in_flight.begin(volume, agreed.identity)
        return {
            'driver_volume_type': str(agreed.protocol),
            'data': iscsi.Connection(
                volume_id=volume.name_id,
                paths=iscsi.paths(reached.mapped.export.target,
                                  reached.portals,
                                  reached.mapped.mapping.lun),
                chap=reached.secrets, read_only=read_only,
                encrypted=bool(volume.encryption_key_id),
                wwn=model.naa_id(volume.name_id)).to_data(agreed.capabilities),
        }

    @coordination.synchronized(parts.LOCK)
    def terminate_connection(self, volume: Any,
                             connector: dict[str, Any] | None,
                             **kwargs: Any) -> bool:
        """Unmap a volume from a host, or from all hosts.

        :param connector: of the host; None means all of them.
        :returns: True while the volume is still in use, so that its export
            must stay.
        """
        initiator = None
        if connector is not None:
            host = connection.Connector.parse(connector)
            initiator = host.require_initiator()
            if attachments.is_shared(volume, initiator):
                self._protect_rest(volume, connector, initiator)
                self._in_flight.kept(volume, initiator)
                return True
            if self._in_flight.drop_finished(
                    volume, initiator,
                    lambda: self._records.attachments(volume.id)):
                self._in_flight.kept(volume, initiator)
                return True
        return self._exports.terminate_connection(volume.name_id, initiator)

    def _protect_rest(self, volume: Any, connector: dict[str, Any],
                      initiator: model.Iqn) -> None:
        """Write-protect a mapping if its remaining attachments only read."""
        self._load_admin_metadata(volume)
        if attachments.rest_reads_only(volume, connector, initiator):
            self._exports.protect(volume.name_id, initiator)

    def _load_admin_metadata(self, volume: Any) -> None:
        """Load the administrator's metadata, which decides who may write.

        Cinder loads it in an administrator's context only
        (objects.Volume.obj_load_attr). In a user's context the manager would
        tell Nova that a read-only volume is writable, and we would take the
        mode of the attachment for that of the volume. The manager reads the
        same object after us.
        """
        if not volume._context.is_admin:
            volume.admin_metadata = self._records.admin_metadata(volume.id)
            volume.obj_reset_changes(['admin_metadata'])
