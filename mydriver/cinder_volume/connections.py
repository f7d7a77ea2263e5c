# SPDX-License-Identifier: Apache-2.0
"""Exports and connections: which host may use a volume, and how."""

from collections.abc import Collection
import contextlib
import functools
from typing import Any

from cinder import coordination

from mydriver import connection, events, exception, model
from mydriver.cinder_volume import (
    attachments,
    blocks,
    locks,
    native,
    overtaken,
    parts,
    protocols,
    users,
)
from mydriver.connection import HostName, Protocol, iscsi
from mydriver.target import changes


class Connections:
    """Exports, initialize_connection and terminate_connection.

    :param its_native: the hosts that use volumes without a target.
    """

    def __init__(self, backend: parts.Backend, its_native: native.Native
                 ) -> None:
        self._backend = backend
        self._native = its_native
        self._records = backend.records
        self._store = backend.store
        self._exports = backend.exports
        self._in_flight = backend.in_flight

    # -- exports

    @coordination.synchronized(parts.LOCK)
    def create_export(self, context: Any, volume: Any,
                      connector: Any) -> dict[str, str] | None:
        """Export a volume, unless the host uses it natively.

        :returns: its block size, where Cinder does not have it yet.
        """
        events.waited('lock')
        if self._native.policy is None or self._agree(
                volume, connector).protocol is Protocol.ISCSI:
            self._export(volume)
        return (None if volume.provider_geometry else
                blocks.geometry(self._store.block_bytes()))

    @coordination.synchronized(parts.LOCK)
    def ensure_export(self, context: Any, volume: Any) -> None:
        """Re-create the export of an in-use volume at start-up.

        In a cluster, another service may have detached the volume since
        Cinder has listed those in use. What it exports is in the journal.
        """
        if self._backend.cluster and (
                self._native.users(volume)
                or self._exports.is_exported(volume.name_id)
                or not any(a.connector for a in self._records.attachments(
                    volume.id))):
            return
        if not self._native.reclaim(volume):
            self._export(volume)

    @coordination.synchronized(parts.LOCK)
    def remove_export(self, context: Any, volume: Any) -> None:
        """Withdraw the export of a volume, unless a host may still use it."""
        events.waited('lock')
        self._exports.remove_export(volume.name_id)

    def withdraw(self, volume: Any) -> None:
        """Withdraw a volume that is to be deleted or unmanaged.

        The caller holds the volume's lock.

        :raises TargetInUse: when it is mapped to a host that may be using it.
        :raises UsedNatively: when a host may be using it natively.
        """
        for user in self._in_flight.forget(volume):
            self._release(volume, user, functools.partial(
                self._refuse_attached, volume, user))
        self._native.settle(volume, is_attach=False)
        if hosts := self._native.users(volume):
            raise exception.UsedNatively(volume.name_id, ', '.join(hosts))
        if self._exports.remove_export(volume.name_id):
            return
        # Start-up may have been unable to find out who uses it.
        self._settle_mappings(volume)
        if not self._exports.remove_export(volume.name_id):
            raise exception.TargetInUse(volume.name_id, 'a host')

    def _export(self, volume: Any) -> None:
        self._exports.create_export(volume.name_id)

    # -- connections

    def validate_connector(self, connector: dict[str, Any]) -> None:
        """Refuse a connector that cannot be served, whatever the volume."""
        connection.negotiate(connector, (
            Protocol.ISCSI, *([Protocol.RBD] if self._native.policy else ())))

    def _agree(self, volume: Any, connector: dict[str, Any]
               ) -> connection.Agreement:
        """Agree with a host on the protocol for a volume.

        :raises ConnectorError: when they have none in common, or when the
            volume is in use over one that the host cannot use.
        """
        host = connection.Connector.parse(connector)
        with contextlib.suppress(exception.OtherProtocol):
            return self._negotiate(volume, host)
        # The users may be those of an earlier run, and gone.
        self._native.settle(volume, is_attach=True)
        self._settle_mappings(volume)
        return self._negotiate(volume, host)

    def _negotiate(self, volume: Any, host: connection.Connector
                   ) -> connection.Agreement:
        offer = self._native.offer(volume)
        return connection.negotiate(host, offer.to(
            host, volume.name_id,
            is_cinders=self._is_cinders(volume, host, offer)))

    def _is_cinders(self, volume: Any, host: connection.Connector,
                    offer: protocols.Offer) -> bool:
        """Tell whether an attach is one of those that Cinder does not record.

        They come from cinder-backup, from cinder-volume itself (migration,
        images), and from old clients. Only asked where it matters.
        """
        if host.capabilities.verifies_wwn or not (
                offer.policy is protocols.Policy.ALWAYS
                or offer.wanted is Protocol.RBD):
            return False
        return all(a.connector for a in self._records.attachments(volume.id))

    @coordination.synchronized(parts.LOCK)
    def initialize_connection(self, volume: Any, connector: dict[str, Any]
                              ) -> dict[str, Any]:
        """Let a host use a volume; return how it reaches it.

        :returns: ``driver_volume_type`` and ``data``; it may hold secrets.
        """
        events.waited('lock')
        agreed = self._agree(volume, connector)
        self._load_admin_metadata(volume)
        read_only = attachments.is_read_only(volume, connector)
        if agreed.protocol is Protocol.RBD:
            data = self._native.attach(
                volume, agreed.host.require_name(), read_only=read_only
                ).to_data()
        else:
            data = self._map(volume, agreed.host, read_only=read_only)
        return {'driver_volume_type': str(agreed.protocol), 'data': data}

    def _map(self, volume: Any, host: connection.Connector, *,
             read_only: bool) -> dict[str, Any]:
        """Map a volume to a host's initiator.

        :returns: how the initiator reaches the LUN.
        """
        initiator, can = host.require_initiator(), host.capabilities
        map_it = functools.partial(
            self._exports.initialize_connection, volume.name_id,
            initiator, read_only=read_only,
            keep_writable=(attachments.access(volume)
                           is attachments.Access.PER_ATTACHMENT),
            mutual=can.mutual_chap)
        try:
            reached = map_it()
        except exception.ExportNotFound:
            # The last other host has detached since our create_export.
            self._export(volume)
            reached = map_it()
        if hosts := self._native.users(volume):
            # Another process, whose locks are not ours, has let them in.
            self._exports.take_back(reached)
            raise exception.UsedNatively(volume.name_id, ', '.join(hosts))
        self._in_flight.begin(volume, initiator)
        return iscsi.Connection(
            volume_id=volume.name_id,
            paths=iscsi.paths(reached.mapped.export.target, reached.portals,
                              reached.mapped.mapping.lun),
            chap=reached.secrets, read_only=read_only,
            encrypted=bool(volume.encryption_key_id),
            wwn=model.naa_id(volume.name_id)).to_data(can)

    def terminate_connection(self, volume: Any,
                             connector: dict[str, Any] | None,
                             **kwargs: Any) -> bool:
        """End the use of a volume by a host, or by all hosts.

        :param connector: of the host; None means all of them.
        :returns: True while the volume is still in use, so that its export
            must stay.
        :raises Overtaken: when it was attached again meanwhile, or may have
            been, through another service of the cluster.
        """
        is_shared = bool(self._backend.cluster)
        # Alone, nobody else changes them during the wait for the lock.
        before = list(volume.volume_attachment) if is_shared else []
        with locks.held(volume.name_id, is_shared=is_shared) as lock:
            events.waited('lock')
            return self._terminate(volume, connector, before, lock)

    def _terminate(self, volume: Any, connector: dict[str, Any] | None,
                   before: Collection[Any], lock: locks.Held) -> bool:
        """End the use of a volume.

        Its mappings and notes are read first. Then it is proven that the lock
        was held until then, so that what was decided before is still right.
        Then they are removed, unless they have another version: the host was
        let in again since.

        :param before: the attachments before the lock was acquired.
        """
        if connector is None:
            confirm = functools.partial(lock.prove, 'all hosts')
            overtaken.refuse_ended(self._records, volume, before, 'all hosts')
            self._native.release(volume, None, confirm)
            return self._exports.terminate_connection(
                volume.name_id, None, confirm)
        user = self._user(volume, connection.Connector.parse(connector))
        if user is None:
            return bool(self._native.users(volume))
        confirm = functools.partial(lock.prove, str(user))
        overtaken.refuse_ended(
            self._records, volume,
            [a for a in before if attachments.is_of(a, user)], str(user))
        if attachments.is_shared(volume, user):
            if isinstance(user, model.Iqn):
                self._protect_rest(volume, connector, user, confirm)
            self._in_flight.kept(volume, user)
            return True
        if self._in_flight.drop_finished(
                volume, user, lambda: self._records.attachments(volume.id)):
            self._in_flight.kept(volume, user)
            return True
        return self._release(volume, user, confirm)

    def _refuse_attached(self, volume: Any, user: attachments.User) -> None:
        """Check that a host has not attached a volume that is to go."""
        if self._backend.cluster:
            overtaken.refuse_attached(self._records, volume, user)

    def _user(self, volume: Any, host: connection.Connector
              ) -> attachments.User | None:
        """Return as whom a host uses a volume, None when it does not.

        :raises NoInitiatorName: when it could only be an initiator.
        """
        if host.name and str(host.name) in self._native.users(volume):
            return host.name
        if self._native.policy is None:
            return host.require_initiator()
        return host.initiator

    def _release(self, volume: Any, user: attachments.User,
                 confirm: changes.Confirm) -> bool:
        """Let a host go.

        :param confirm: see :data:`.changes.Confirm`.
        :returns: True while others use the volume.
        """
        if isinstance(user, HostName):
            return self._native.release(volume, user, confirm)
        return self._exports.terminate_connection(
            volume.name_id, user, confirm)

    def _settle_mappings(self, volume: Any) -> None:
        """Remove mappings of earlier runs that Cinder has no attachment of."""
        self._exports.reconciler.settle(users.Users(
            self._records, {volume.name_id}).may_use, volume.name_id)

    def _protect_rest(self, volume: Any, connector: dict[str, Any],
                      initiator: model.Iqn, confirm: changes.Confirm
                      ) -> None:
        """Write-protect a mapping if its remaining attachments only read."""
        self._load_admin_metadata(volume)
        if attachments.rest_reads_only(volume, connector, initiator):
            self._exports.protect(volume.name_id, initiator, confirm)

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
