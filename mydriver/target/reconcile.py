# SPDX-License-Identifier: Apache-2.0
"""Reconcile the journal, the kernel and Cinder's records."""

from collections.abc import Callable, Iterable
import contextlib
import dataclasses
import time

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import (
    adoption,
    changes,
    devices,
    kernel,
    kinds,
    ownership,
    pool,
    recorded,
)
from mydriver.target.journal import base

LOG = logging.getLogger(__name__)

#: How long targets that the kernel lost may stay closed until their LUNs are
#: back, seconds. open-iscsi lets commands wait for 120 s
#: (node.session.timeo.replacement_timeout); one device that hangs may take 60.
CLOSED_S = 30.0


class Reconciler:
    """Repairs what a crash, a reboot or a lost journal left behind.

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
        self._remaker = recorded.Remaker(
            settings, journal, target, known_kinds, change, its_devices,
            name_prefix)
        self._name_prefix = name_prefix
        #: The targets that new exports are placed on.
        self.pool = pool.pool(settings)

    def start(self) -> None:
        """Make the kernel match the journal.

        A target that the kernel lost, as at a reboot, listens once all of its
        LUNs are back: a session that was let in earlier would lack those that
        come later, and its guests' commands to them would fail. Until then
        connections are refused, and initiators try again, every 3 s with
        open-iscsi. If devices hang, it listens after ``CLOSED_S`` without
        their LUNs, rather than lose the guests of all others.

        Objects that are already correct are left alone. An export that cannot
        be restored, or whose device cannot be brought up, is logged and left
        as it is; the others are restored all the same.

        :raises ConfigurationError: when an object belongs to another backend.
        :raises TargetError: when the pool of targets cannot be created.
        """
        self.pool, known = self._own_targets()
        self._kinds.learn()
        # Existing targets get their settings later, once it is recorded how
        # their sessions log in.
        self._target.create(known)
        adoption.adopt(known, self._name_prefix, self._journal, self._target,
                       self._kinds.found)
        self._kinds.keep_key()
        mapped = [m for m in self._journal.mappings()
                  if not self._changes.drop_if_doomed(m)]
        self._restore_mappings(mapped, lambda: self._target.ensure_pool(
            known, self._kinds.more_portals()))
        self._restore_exports({m.export.volume_id for m in mapped})
        self._drop_unused(set(known) - set(self.pool))
        LOG.info('Backend %s exports %d volumes, %d mappings',
                 self._settings.backend, len(self._journal.exports()),
                 len(mapped))

    def settle(self, is_live: Callable[[str, model.Iqn | None], bool],
               volume_id: str | None = None,
               exclusively: recorded.Exclusively = contextlib.nullcontext
               ) -> int:
        """Remove leftovers of earlier runs that Cinder has no attachment for.

        A crash during an attach leaves such a mapping or export: Cinder has
        no record of it and will never ask for its removal. An export without
        a mapping serves nobody; each attach creates it again.

        :param is_live: takes a volume and an initiator, and tells whether
            the mapping must stay; or a volume and None, and tells whether the
            export must. If in doubt, it returns True.
        :param volume_id: of the only volume to look at; its export stays.
        :param exclusively: where other services may attach volumes meanwhile.
        :returns: how many mappings were found that Cinder does not have.
        """
        stale = [m for m in self._journal.earlier_mappings()
                 if volume_id in (None, m.mapping.volume_id)
                 and not is_live(m.mapping.volume_id, m.mapping.initiator)]
        for one in stale:
            with (changes.failure_logged(one.mapping.volume_id),
                  exclusively(one.mapping.volume_id),
                  self._changes.lock(one.mapping.volume_id)):
                self._unmap_stale(one, is_live)
        mapped = {m.export.volume_id for m in self._journal.mappings()}
        for export in self._journal.exports():
            if not volume_id and export.volume_id not in mapped and (
                    not is_live(export.volume_id, None)):
                with (changes.failure_logged(export.volume_id),
                      exclusively(export.volume_id)):
                    self._changes.withdraw_unused(export.volume_id)
        return len(stale)

    def _unmap_stale(self, one: model.MappedExport,
                     is_live: Callable[[str, model.Iqn | None], bool]) -> None:
        """Unmap a leftover, unless it has been put to use meanwhile.

        It is read before Cinder is asked. If it is put to use afterwards, it
        has another version.
        """
        mapping = one.mapping
        again = next((m for m in self._journal.earlier_mappings()
                      if (m.mapping.volume_id, m.mapping.initiator)
                      == (mapping.volume_id, mapping.initiator)), None)
        if again is None or is_live(mapping.volume_id, mapping.initiator):
            return
        LOG.warning('Volume %s is mapped to %s, but Cinder has no attachment '
                    'for it: unmapping', mapping.volume_id, mapping.initiator)
        self._changes.unmap(again)

    def missing(self, attachments: Iterable[recorded.Recorded]
                ) -> list[recorded.Recorded]:
        """Return those of Cinder's attachments that have no mapping."""
        known = {(m.mapping.volume_id, m.mapping.initiator)
                 for m in self._journal.mappings()}
        return [a for a in attachments if (
            a.mapping.volume_id, a.mapping.initiator) not in known]

    def remake(self, attachments: Iterable[recorded.Recorded],
               exclusively: recorded.Exclusively = contextlib.nullcontext
               ) -> int:
        """Re-create mappings that Cinder has and the journal lost.

        :param attachments: those that Cinder has.
        :param exclusively: where other services may attach volumes meanwhile.
        :returns: how many mappings were created.
        """
        return self._remaker.remake(attachments, exclusively)

    def forget_keys(self, attachments: Iterable[recorded.Recorded]) -> None:
        """Remove replaced CHAP keys that no attachment depends on.

        The journal alone is not enough: it may have been lost.

        :param attachments: all that Cinder has.
        """
        self._kinds.forget_keys({self._kinds.source_of(
            one.chap, one.mapping.initiator, one.target)
            for one in attachments})

    # -- start

    def _own_targets(self) -> tuple[list[model.Iqn], list[model.Iqn]]:
        """Determine which targets are this backend's.

        Nothing is written to a target before it is known to be ours.

        :returns: those of the pool; and all of them, including those of
            earlier names.
        :raises ConfigurationError: when one belongs to another backend.
        """
        ownership.claim(self._settings)
        taken = ownership.others(self._settings)
        used = {e.target for e in self._journal.exports()}
        for iqn in taken.keys() - used:
            self._journal.remove_target(iqn)
        known = self._journal.targets()
        more = adoption.unknown_targets(known, self._name_prefix,
                                        self._target)
        names = pool.pool(self._settings, in_use=[*known, *more],
                          taken=taken)
        ownership.check_pool(self._settings, {*names, *known, *more},
                             self._name_prefix, self._target, taken)
        return names, self._journal.add_targets([*names, *more])

    def _restore_mappings(self, mapped: Iterable[model.MappedExport],
                          listen: Callable[[], None]) -> None:
        """Restore mappings, each volume's device being brought up once.

        :param listen: lets initiators in; called once it is time to.
        """
        deadline = time.monotonic() + CLOSED_S
        is_late = False
        by_volume: dict[str, list[model.MappedExport]] = {}
        for one in mapped:
            by_volume.setdefault(one.export.volume_id, []).append(one)
        for volume_id, its_mappings in by_volume.items():
            if not is_late and time.monotonic() > deadline:
                is_late = True
                LOG.warning('The targets of %s listen before all of their '
                            'LUNs are back: restoring these takes longer than '
                            '%d s. Guests may see errors on disks that come '
                            'back later.', self._settings.backend, CLOSED_S)
                listen()
            with changes.failure_logged(volume_id):
                export = self._changes.refresh(its_mappings[0].export)
                for one in its_mappings:
                    with changes.failure_logged(volume_id):
                        self._changes.map(
                            dataclasses.replace(one, export=export))
        if not is_late:
            listen()

    def _restore_exports(self, but: set[str]) -> None:
        for export in self._journal.exports():
            if export.volume_id not in but:
                with changes.failure_logged(export.volume_id):
                    self._target.ensure_export(self._changes.refresh(export))

    def _drop_unused(self, earlier: set[model.Iqn]) -> None:
        """Remove the empty targets of earlier names of this host."""
        used = {e.target for e in self._journal.exports()}
        for iqn in sorted(earlier - used):
            try:
                if self._target.drop_target(iqn):
                    self._journal.remove_target(iqn)
                    LOG.info('Removed the unused target %s', iqn)
            except exception.MyDriverError as e:
                LOG.warning('The unused target %s could not be removed: %s',
                            iqn, e)
