# SPDX-License-Identifier: Apache-2.0
"""Hosts that use volumes natively, without a target.

No target sees these hosts, so the store keeps a note of each beside the
volume. The note is made before the host is told where the volume is, and
removed when its last attachment ends. A volume with a note is not exported,
and one that is mapped to an initiator gets no note: each side announces itself
first and looks for the other one then, so that two processes cannot miss each
other.
"""

from collections.abc import Mapping
from typing import Any

from oslo_log import log as logging
from oslo_utils import excutils

from mydriver import exception
from mydriver.cinder_volume import attachments, parts, protocols, users
from mydriver.connection import HostName, Protocol, rbd
from mydriver.stores import names
from mydriver.stores import native as stores
from mydriver.target import changes

LOG = logging.getLogger(__name__)


class Native:
    """Native access to the volumes of a backend, if its store has any.

    The caller holds the volume's lock.
    """

    def __init__(self, backend: parts.Backend) -> None:
        self._options = backend.options
        self._records = backend.records
        self._store = stores.of(backend.store)
        self._exports = backend.exports
        self._in_flight = backend.in_flight
        self._fsid = ''

    @property
    def policy(self) -> protocols.Policy | None:
        """Which hosts use volumes natively; None when the store cannot."""
        if self._store is None:
            return None
        return protocols.Policy(self._options.mydriver_rbd_native)

    def users(self, volume: Any) -> tuple[str, ...]:
        """Return the hosts that are noted as users of a volume."""
        return tuple(self._versions(volume))

    def offer(self, volume: Any) -> protocols.Offer:
        """Return what the backend offers to hosts that attach a volume.

        :raises ConfigurationError: when the volume's type asks for a protocol
            that does not exist.
        """
        wanted = protocols.of_type(volume)
        if self._store is None:
            return protocols.Offer(wanted=wanted)
        hosts = self.users(volume)
        mapped_to = self._exports.users(volume.name_id)
        return protocols.Offer(
            self.policy, self._secret_uuid(volume), wanted,
            Protocol.RBD if hosts else Protocol.ISCSI if mapped_to else None,
            ', '.join(hosts or map(str, mapped_to)))

    # -- attach and detach

    def attach(self, volume: Any, host: HostName, *, read_only: bool
               ) -> rbd.Connection:
        """Note a host as a user of a volume; return how it reaches it.

        :raises NativeRefused: when the store has no native access.
        :raises OtherProtocol: when an initiator has the volume mapped.
        """
        if self._store is None:
            raise exception.NativeRefused(str(host), protocols.NO_ACCESS)
        name = names.of_volume(volume)
        location = self._store.native_location(name)
        is_new = str(host) not in self._store.native_users(name)
        version = self._store.add_native_user(name, str(host))
        try:
            self._withdraw_export(volume, host)
        except Exception:
            with excutils.save_and_reraise_exception():
                if is_new:
                    self._store.drop_native_user(name, str(host), version)
        self._in_flight.begin(volume, host)
        LOG.info('Volume %s is used natively by %s', volume.name_id, host)
        return rbd.Connection(
            volume_id=volume.name_id, pool=location.pool,
            image=location.image, monitors=location.monitors,
            user=location.user, secret_uuid=self._secret_uuid(volume),
            cluster=location.cluster, read_only=read_only,
            encrypted=bool(volume.encryption_key_id))

    def release(self, volume: Any, host: HostName | None,
                confirm: changes.Confirm | None = None) -> bool:
        """Remove the note of a host that has detached.

        :param host: None means all hosts.
        :param confirm: called after the notes were read, see
            :data:`.changes.Confirm`.
        :returns: True while other hosts use the volume natively.
        :raises Overtaken: when it was attached again meanwhile.
        """
        found = self._versions(volume)
        if not found or self._store is None:
            return False
        if confirm is not None:
            confirm()
        for one, version in found.items():
            if host in (None, HostName(one)):
                if not self._store.drop_native_user(
                        names.of_volume(volume), one, version):
                    raise exception.Overtaken.by_attach(volume.name_id, one)
                LOG.info('Volume %s is no longer used natively by %s',
                         volume.name_id, one)
        return bool(self.users(volume))

    # -- comparison with Cinder

    def settle(self, volume: Any, *, is_attach: bool) -> None:
        """Remove the notes of hosts that Cinder has no attachment of.

        A crash between note and record leaves such a note. While any attach
        may be under way, in this process or another one, all notes stay.

        :param is_attach: called for an attach, which Cinder has a record of
            that names no host yet.
        """
        noted = self._versions(volume)
        if not noted or self._store is None:
            return
        known = users.Users(self._records, {volume.name_id})
        for host, version in noted.items():
            if self._may_attach(volume, HostName(host), is_attach) or (
                    known.may_use(volume.name_id, HostName(host))):
                continue
            LOG.warning('Volume %s is noted as used natively by %s, but '
                        'Cinder has no attachment of that host: removing the '
                        'note', volume.name_id, host)
            # It stays if that host has attached the volume again since.
            self._store.drop_native_user(names.of_volume(volume), host,
                                         version)

    def reclaim(self, volume: Any) -> bool:
        """Note the hosts that Cinder has native attachments of, at start-up.

        :returns: whether hosts use the volume natively.
        """
        if self._store is None:
            return False
        noted = self.users(volume)
        for host in sorted(self._recorded(volume).difference(noted)):
            LOG.warning('Volume %s has no note of %s, which uses it natively '
                        'by the records of Cinder: noting it', volume.name_id,
                        host)
            self._store.add_native_user(names.of_volume(volume), host)
            noted = (*noted, host)
        return bool(noted)

    # -- inside

    def _versions(self, volume: Any) -> Mapping[str, str]:
        """Return the hosts that are noted, and the versions of the notes."""
        if self._store is None:
            return {}
        try:
            return self._store.native_notes(names.of_volume(volume))
        except exception.BackingNotFound:
            return {}

    def _secret_uuid(self, volume: Any) -> str:
        """Return the libvirt secret that hosts need for the backend.

        :param volume: any; all are in one cluster, whose id does not change.
        """
        if self._store is not None and not self._fsid:
            self._fsid = self._store.native_location(
                names.of_volume(volume)).fsid
        return self._options.mydriver_rbd_secret_uuid or self._fsid

    def _withdraw_export(self, volume: Any, host: HostName) -> None:
        """Withdraw what earlier attaches left, so that its lock is free."""
        if not self._exports.remove_export(volume.name_id):
            raise exception.OtherProtocol(
                volume.name_id, str(Protocol.ISCSI),
                ', '.join(map(str, self._exports.users(volume.name_id))),
                str(host), 'it was about to use the volume natively')

    def _may_attach(self, volume: Any, host: HostName, is_attach: bool
                    ) -> bool:
        """Tell whether a host may be attaching a volume; in doubt, it is."""
        try:
            present = list(self._records.attachments(volume.id))
        except Exception as e:
            # The database's errors are of many kinds, and none is an answer.
            LOG.warning('Cinder cannot tell who attaches volume %s: %s',
                        volume.id, e)
            return True
        unnamed = sum(not a.connector for a in present)
        return unnamed > is_attach or self._in_flight.is_pending(
            volume, host, present)

    def _recorded(self, volume: Any) -> set[str]:
        """Return the hosts that have this very image by Cinder's records."""
        found = set()
        for one in volume.volume_attachment:
            host = attachments.host_of(one)
            if (host is None
                    or attachments.protocol_of(one) != Protocol.RBD):
                continue
            try:
                told = rbd.Connection.parse(one.connection_info)
            except exception.InvalidConnectionData:
                continue
            if told.image == names.of_volume(volume):
                found.add(str(host))
        return found
