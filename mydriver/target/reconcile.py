# SPDX-License-Identifier: Apache-2.0
"""What a start finds out about targets and lost mappings."""

from collections.abc import Callable
import dataclasses

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import kernel, kinds, ownership, recovery
from mydriver.target import pool as serving
from mydriver.target.journal import base

LOG = logging.getLogger(__name__)


class Reconciler:
    """Brings journal, kernel and Cinder's records together.

    :param settings: what the backend is made of.
    :param journal: the desired state.
    :param target: where it is made so.
    :param known: what initiators were told.
    :param name_prefix: how the names of our backstores begin.
    """

    def __init__(self, settings: serving.Settings, journal: base.Journal,
                 target: kernel.KernelTarget, known: kinds.Kinds,
                 name_prefix: str) -> None:
        self._settings = settings
        self._journal = journal
        self._target = target
        self._kinds = known
        self._name_prefix = name_prefix

    def own_targets(self) -> tuple[list[model.Iqn], list[model.Iqn]]:
        """Settle which targets are this backend's.

        Nothing is written to any before it is known to be ours.

        :returns: those of the pool; and all of them, those of earlier names
            too.
        :raises ConfigurationError: when one is another's.
        """
        ownership.claim(self._settings)
        taken = ownership.others(self._settings)
        used = {e.target for e in self._journal.exports()}
        for iqn in taken.keys() - used:
            self._journal.remove_target(iqn)
        known = self._journal.targets()
        more = recovery.unknown_targets(known, self._name_prefix,
                                        self._target)
        pool = serving.pool(self._settings, in_use=[*known, *more],
                            taken=taken)
        ownership.check_pool(self._settings, {*pool, *known, *more},
                             self._name_prefix, self._target, taken)
        return pool, self._journal.add_targets([*pool, *more])

    def drop_unused(self, earlier: set[model.Iqn]) -> None:
        """Remove targets of earlier names of this host that are empty."""
        used = {e.target for e in self._journal.exports()}
        for iqn in sorted(earlier - used):
            try:
                if self._target.drop_target(iqn):
                    self._journal.remove_target(iqn)
                    LOG.info('Removed target %s, which nobody used', iqn)
            except exception.MyDriverError as e:
                LOG.warning('Target %s, which nobody uses, stays: %s', iqn, e)

    def is_adopted(self, one: recovery.Recorded,
                   device: Callable[[str], model.BackingDevice]) -> bool:
        """Write a mapping into the journal, unless its place is taken."""
        volume_id, target = one.mapping.volume_id, one.target
        if target not in self._journal.targets():
            # A volume that moved to another host may have left its backing.
            here = {p.address for p in self._settings.portals}
            if not serving.is_of_a_pool(target) or here.isdisjoint(
                    p.address for p in one.portals):
                return False
            ownership.check_pool(
                self._settings, [target], self._name_prefix, self._target,
                ownership.others(self._settings))
            self._journal.add_targets([target])
            self._target.ensure_pool([target], self._kinds.more_portals())
        self._withdraw_elsewhere(volume_id, target)
        export = self._journal.add_export(volume_id, device(volume_id),
                                          target)
        return export.target == target and self._journal.adopt_mapping(
            export, one.mapping, bool(one.chap and one.chap.mutual_username),
            dataclasses.replace(
                self._kinds.found(one.chap is not None),
                portals=frozenset(map(str, one.portals)),
                key=self._kinds.source_of(one.chap, one.mapping.initiator,
                                          target)))

    def tell_secrets(self, placed: model.MappedExport, one: recovery.Recorded
                     ) -> None:
        """Set the secrets of a mapping that no key is known of."""
        if not placed.kind.chap or placed.kind.key or one.chap is None or (
                placed.export.target != one.target):
            return
        key = self._kinds.source_of(one.chap, one.mapping.initiator,
                                    one.target)
        if key:
            self._journal.set_kind(model.Node(
                one.mapping.initiator, one.target,
                dataclasses.replace(placed.kind, key=key)))
        self._target.ensure_mapping(placed, one.chap)

    def _withdraw_elsewhere(self, volume_id: str, target: model.Iqn) -> None:
        """Withdraw a volume that nobody uses at another target."""
        try:
            export = self._journal.export(volume_id)
        except exception.ExportNotFound:
            return
        if export.target != target and not self._journal.mappings(volume_id):
            self._target.drop_export(export)
            self._journal.remove_export(volume_id)
