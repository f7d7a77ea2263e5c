# SPDX-License-Identifier: Apache-2.0
"""The use cases: their order, and what is undone when a step fails."""

from collections.abc import Callable, Sequence
import contextlib
import dataclasses

from oslo_log import log as logging
from oslo_utils import excutils

from mydriver import discovery, events, model
from mydriver.target import (
    changes,
    chap,
    devices,
    kernel,
    kinds,
    pool,
    reconcile,
)
from mydriver.target.journal import base

LOG = logging.getLogger(__name__)

#: Takes target, initiator, portals and a timeout in seconds; returns the
#: portals that show the target to the initiator.
Discover = Callable[
    [model.Iqn, model.Iqn, Sequence[model.Portal], float],
    tuple[model.Portal, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Reached:
    """How an initiator reaches a volume.

    :param mapped: the mapping, its export and its NodeACL.
    :param portals: those that show the target to the initiator; the first is
        the preferred one.
    :param secrets: what it logs in with; None without CHAP.
    """

    mapped: model.MappedExport
    portals: tuple[model.Portal, ...]
    secrets: model.ChapCredentials | None


class ExportService:
    """The exports of one backend, and their mappings.

    :param settings: of the backend.
    :param journal: the desired state.
    :param target: the kernel target that is made to match it.
    :param keys: from which CHAP credentials derive; None when there never
        was CHAP.
    :param name_prefix: prefix of the names of the backend's backstores.
    :param its_devices: brings up what is exported.
    :param discover: asks portals.
    :param local_devices: for this host's own use of volumes, by default as
        for exports.
    """

    def __init__(self, settings: pool.Settings, journal: base.Journal,
                 target: kernel.KernelTarget, keys: chap.KeyRing | None,
                 name_prefix: str, its_devices: devices.Devices,
                 discover: Discover = discovery.portals_showing,
                 local_devices: devices.Devices | None = None) -> None:
        self._settings = settings
        self._journal = journal
        self._target = target
        self._kinds = kinds.Kinds(settings, journal, target, keys)
        self._changes = changes.Changes(settings.backend, journal, target,
                                        self._kinds, its_devices,
                                        local_devices)
        #: Repairs what a crash, a reboot or a lost journal left behind.
        self.reconciler = reconcile.Reconciler(
            settings, journal, target, self._kinds, self._changes,
            its_devices, name_prefix)
        self._discover = discover
        self._missing: tuple[str, ...] = ()

    # -- health

    def check(self) -> None:
        """Check that the host can serve; log what else is wrong with it.

        :raises ConfigurationError: names what is missing, and the remedy.
        """
        for concern in self._target.check():
            LOG.warning('Backend %s: %s', self._settings.backend, concern)

    def check_serving(self) -> None:
        """Check that all targets of the pool accept logins.

        A portal that is missing while others are there is logged, once.

        :raises TargetDown: names the targets that accept none.
        """
        missing = pool.missing_portals(
            self._settings, self.reconciler.pool, self._target.listening)
        if missing == self._missing:
            return
        self._missing = missing
        if missing:
            LOG.warning('Backend %s does not serve %s; hosts get its other '
                        'portals', self._settings.backend, '; '.join(missing))
        else:
            LOG.info('Backend %s serves all of its portals again',
                     self._settings.backend)

    # -- exports

    def all(self) -> list[model.Export]:
        """Return all exports."""
        return self._journal.exports()

    def create_export(self, volume_id: str) -> model.Export:
        """Bring up the device of a volume and export it; idempotent.

        :param volume_id: UUID of the backing.
        :raises BackingNotFound: when there is no such backing.
        :raises TargetError: when the kernel refuses.
        """
        with self._changes.lock(volume_id), changes.timed(
                'Exported volume %s', volume_id):
            return self._changes.export(
                volume_id, pool.place(volume_id, self.reconciler.pool))

    ensure_export = create_export

    def remove_export(self, volume_id: str) -> bool:
        """Withdraw a volume unless an initiator uses it; release its device.

        Cinder calls this too when one of several attachments failed.

        :returns: whether the volume is not exported any more.
        """
        return self._changes.withdraw_unused(volume_id)

    def resize(self, volume_id: str, size_bytes: int) -> None:
        """Report the new size of a volume to its initiators.

        :param size_bytes: which the backing already has.
        """
        with self._changes.lock(volume_id):
            if not self.is_exported(volume_id):
                return
            old = self._journal.export(volume_id)
            device = dataclasses.replace(old.device, size_bytes=size_bytes)
            export = self._journal.add_export(volume_id, device, old.target)
            self._target.resize(export)

    def local_device(self, volume_id: str
                     ) -> contextlib.AbstractContextManager[
                         model.BackingDevice]:
        """Keep the device of a volume up for this host's own use.

        :returns: a context that gives the device. Afterwards it is released,
            unless the volume is exported or has another local user.
        :raises BackingNotFound: when there is no such backing.
        """
        return self._changes.local_device(volume_id)

    def is_exported(self, volume_id: str) -> bool:
        """Tell whether a volume is exported."""
        return self._changes.is_exported(volume_id)

    # -- connections

    def users(self, volume_id: str) -> list[model.Iqn]:
        """Return the initiators that a volume is mapped to.

        Leftovers of failed attaches are removed and do not count.
        """
        with self._changes.lock(volume_id):
            return [m.mapping.initiator
                    for m in self._changes.users(volume_id)]

    def initialize_connection(self, volume_id: str, initiator: model.Iqn, *,
                              read_only: bool = False,
                              keep_writable: bool = False,
                              mutual: bool = False) -> Reached:
        """Map an exported volume to an initiator.

        An initiator has one mapping of a volume, however often its host
        attaches it.

        :param read_only: write-protect the LUN for that initiator.
        :param keep_writable: leave a writable mapping writable.
        :param mutual: the initiator can ask the target for CHAP, too.
        :returns: how the initiator reaches the volume.
        :raises ExportNotFound: when the volume is not exported.
        :raises KeyLost: when the initiator's secret cannot be derived.
        :raises TargetError: when the kernel refuses.
        :raises TargetNotDiscovered: when no portal shows the target to the
            initiator; the mapping is undone then.
        """
        with self._changes.lock(volume_id), changes.timed(
                'Mapped volume %s to %s', volume_id, initiator):
            was_read_only = any(
                m.mapping.initiator == initiator and m.mapping.read_only
                for m in self._changes.users(volume_id, but=initiator))
            kind = self._kinds.of_new(
                self._journal.export(volume_id).target)
            mapped = self._journal.add_mapping(
                volume_id, initiator, read_only=read_only,
                keep_writable=keep_writable,
                mutual=bool(kind.chap) and mutual, kind=kind)
            try:
                secrets = self._kinds.required_secrets(mapped)
                with events.phase('target'):
                    self._target.ensure_mapping(mapped, secrets)
                with events.phase('discover'):
                    portals = self._discover(
                        mapped.export.target, initiator,
                        self._portals(mapped.export.target),
                        self._settings.discovery_timeout_s)
            except Exception:
                with excutils.save_and_reraise_exception():
                    if mapped.created:
                        self._changes.take_back(mapped)
                    elif was_read_only:
                        self._changes.undo(
                            volume_id, self._changes.protect, mapped)
        return Reached(mapped, portals, secrets)

    def take_back(self, reached: Reached) -> None:
        """Undo an attach whose host has not been told of it.

        A mapping that was there before stays; a failure is logged.
        """
        mapped = reached.mapped
        with self._changes.lock(mapped.mapping.volume_id):
            if mapped.created:
                self._changes.take_back(mapped)

    def protect(self, volume_id: str, initiator: model.Iqn,
                confirm: changes.Confirm | None = None) -> None:
        """Write-protect the mapping of an initiator that now only reads.

        :param confirm: see :data:`.changes.Confirm`.
        :raises Overtaken: when it was mapped again through another service.
        :raises TargetError: when the kernel refuses.
        """
        found = self._changes.confirmed(volume_id, confirm)
        with self._changes.lock(volume_id):
            for mapped in found:
                if mapped.mapping.initiator == initiator:
                    self._changes.protect(mapped)

    def terminate_connection(self, volume_id: str,
                             initiator: model.Iqn | None,
                             confirm: changes.Confirm | None = None) -> bool:
        """Unmap a volume from an initiator.

        :param initiator: of the host that detached; None means all hosts.
        :param confirm: see :data:`.changes.Confirm`.
        :returns: True while other initiators use the volume.
        :raises Overtaken: when it was mapped again through another service.
        :raises TargetError: when the kernel refuses.
        """
        found = self._changes.confirmed(volume_id, confirm)
        with self._changes.lock(volume_id), changes.timed(
                'Unmapped volume %s from %s', volume_id,
                initiator or 'all initiators'):
            for mapped in [m for m in found
                           if not self._changes.drop_if_doomed(m)]:
                if initiator in (None, mapped.mapping.initiator):
                    self._changes.unmap(mapped)
            return bool(self._changes.users(volume_id))

    def _portals(self, target: model.Iqn) -> tuple[model.Portal, ...]:
        """Return the portals to ask: a missing one would cost a timeout."""
        listening = self._target.listening(target)
        portals = self._settings.portals_of(target)
        return tuple(p for p in portals if str(p) in listening) or portals
