# SPDX-License-Identifier: Apache-2.0
"""Re-create mappings that Cinder has on record and the journal lost."""

from collections.abc import Callable, Iterable
import contextlib
import dataclasses

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import changes, devices, kernel, kinds, ownership, pool
from mydriver.target.journal import base

LOG = logging.getLogger(__name__)

#: Takes a volume; keeps other services from changing its exports.
Exclusively = Callable[[str], contextlib.AbstractContextManager[object]]


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """A mapping that Cinder has an attachment for.

    :param mapping: the mapping, as the initiator was told.
    :param target: its target.
    :param chap: the credentials that the initiator was told, or None.
    :param portals: where the initiator was told to log in.
    """

    mapping: model.Mapping
    target: model.Iqn
    chap: model.ChapCredentials | None
    portals: tuple[model.Portal, ...]


class Remaker:
    """Re-creates lost mappings.

    :param settings: of the backend.
    :param journal: the desired state.
    :param target: the kernel target that is made to match it.
    :param known_kinds: how initiators log in.
    :param change: makes the changes.
    :param its_devices: brings up what is exported.
    :param name_prefix: prefix of the names of the backend's backstores.
    """

    def __init__(self, settings: pool.Settings, journal: base.Journal,
                 target: kernel.KernelTarget, known_kinds: kinds.Kinds,
                 change: changes.Changes, its_devices: devices.Devices,
                 name_prefix: str) -> None:
        self._settings = settings
        self._journal = journal
        self._target = target
        self._kinds = known_kinds
        self._changes = change
        self._devices = its_devices
        self._name_prefix = name_prefix

    def remake(self, recorded: Iterable[Recorded],
               exclusively: Exclusively) -> int:
        """Re-create the mappings that the journal lacks.

        Each gets the LUN that its host was told. Existing mappings are left
        alone.

        :param recorded: Cinder's attachments.
        :param exclusively: see :data:`Exclusively`.
        :returns: how many mappings were created.
        """
        made = 0
        for one in recorded:
            with (changes.failure_logged(one.mapping.volume_id),
                  exclusively(one.mapping.volume_id),
                  self._changes.lock(one.mapping.volume_id)):
                made += self._remake(one)
        return made

    def _remake(self, one: Recorded) -> bool:
        mapping, target = one.mapping, one.target
        mapped = next((m for m in self._changes.users(mapping.volume_id)
                       if m.mapping.initiator == mapping.initiator), None)
        if mapped is not None:
            self._restore_secrets(mapped, one)
            return False
        what = (f'LUN {mapping.lun} of {mapping.initiator} at {target}, '
                f'volume {mapping.volume_id},')
        if not self._record(one):
            LOG.warning('%s is missing and cannot be re-created: the volume '
                        'is on another host, or another object has its place',
                        what)
            return False
        mapped = next(m for m in self._journal.mappings(mapping.volume_id)
                      if m.mapping.initiator == mapping.initiator)
        self._target.ensure_mapping(
            mapped, self._kinds.secrets(mapped) or one.chap)
        more = self._kinds.more_portals()
        if target in more:
            self._target.ensure_pool([target], more)
        LOG.warning('%s was missing and has been re-created', what)
        return True

    def _record(self, one: Recorded) -> bool:
        """Write a mapping into the journal.

        :returns: False when another object has its place, or the volume is
            on another host.
        """
        volume_id, target = one.mapping.volume_id, one.target
        if target not in self._journal.targets() and not self._add_target(
                one):
            return False
        device = self._devices.bring_up(volume_id)
        self._withdraw_elsewhere(volume_id, target)
        export = self._journal.add_export(volume_id, device, target)
        return export.target == target and self._journal.adopt_mapping(
            export, one.mapping, bool(one.chap and one.chap.mutual_username),
            dataclasses.replace(
                self._kinds.found(target, one.chap is not None),
                portals=frozenset(map(str, one.portals)),
                key=self._kinds.source_of(one.chap, one.mapping.initiator,
                                          target)))

    def _add_target(self, one: Recorded) -> bool:
        """Add a target of an earlier pool to the journal and the kernel.

        :returns: False when it is another host's: a volume that moved there
            may have left its backing here.
        :raises ConfigurationError: when it is another backend's.
        """
        here = {p.address for p in self._settings.portals}
        if not pool.is_of_a_pool(one.target) or here.isdisjoint(
                p.address for p in one.portals):
            return False
        ownership.check_pool(
            self._settings, [one.target], self._name_prefix, self._target,
            ownership.others(self._settings))
        self._journal.add_targets([one.target])
        self._target.ensure_pool([one.target], self._kinds.more_portals())
        return True

    def _restore_secrets(self, mapped: model.MappedExport, one: Recorded
                         ) -> None:
        """Set the secrets of a mapping whose key is unknown."""
        if not mapped.kind.chap or mapped.kind.key or one.chap is None or (
                mapped.export.target != one.target):
            return
        key = self._kinds.source_of(one.chap, one.mapping.initiator,
                                    one.target)
        if key:
            self._journal.set_kind(model.Node(
                one.mapping.initiator, one.target,
                dataclasses.replace(mapped.kind, key=key)))
        self._target.ensure_mapping(mapped, one.chap)

    def _withdraw_elsewhere(self, volume_id: str, target: model.Iqn) -> None:
        """Withdraw an unused volume from any other target.

        Its device stays up: it is exported again at once.
        """
        try:
            export = self._journal.export(volume_id)
        except exception.ExportNotFound:
            return
        if export.target != target and not self._journal.mappings(volume_id):
            self._target.drop_export(export)
            self._journal.remove_export(volume_id)
