# SPDX-License-Identifier: Apache-2.0
"""What the owner of a target reads, and what it acknowledges."""

from collections.abc import Callable, Mapping
import contextlib
import dataclasses

from mydriver import exception, model
from mydriver.ceph import bells, notify, omap
from mydriver.target.journal import shared
from mydriver.target.journal.rados import (
    errors,
    exports,
    keys,
    mapped,
    mappings,
    records,
    views,
)

#: Takes what is recorded; raises OwnerChanged when that is not the caller's.
_Check = Callable[[records.Applied], None]


class Ownership(mappings.Mappings):
    """Owners and their clients; see :class:`..shared.SharedJournal`."""

    # -- for those who ask

    def doom_export(self, volume_id: str) -> int:
        """See :meth:`..shared.SharedJournal.doom_export`."""
        def doom(change: views.Change, _target: model.Iqn,
                 known: records.Export) -> int:
            exports.refuse_mapped(change, volume_id)
            change.volumes = {volume_id}
            generation = known.doomed or change.generation
            change.put(keys.export(volume_id), dataclasses.replace(
                known, doomed=generation))
            return generation

        try:
            generation = self._on_export(
                volume_id, doom, (), [omap.Range(keys.mappings(volume_id))])
        except exception.ExportNotFound:
            return 0
        self._doomed_exports[volume_id] = generation
        return generation

    def doom_mapping(self, volume_id: str, initiator: model.Iqn, *,
                     version: str | None = None) -> int:
        """See :meth:`..shared.SharedJournal.doom_mapping`."""
        doomed = self._doom(volume_id, initiator, version, told=True)
        if doomed is None:
            return 0
        self._doomed_mappings[volume_id, initiator] = doomed
        return doomed.generation

    def generation(self, target: model.Iqn) -> int:
        """See :meth:`..shared.SharedJournal.generation`."""
        return self._view(target, ()).header.generation

    def applied(self, target: model.Iqn) -> shared.Applied:
        """See :meth:`..shared.SharedJournal.applied`."""
        record = _applied(self._view(target, [keys.APPLIED]))
        return shared.Applied(record.owner, record.epoch, record.generation)

    def wait_applied(self, target: model.Iqn, generation: int,
                     timeout_s: float) -> shared.Applied:
        """See :meth:`..shared.SharedJournal.wait_applied`."""
        seen = shared.Applied('', 0, 0)

        def probe() -> shared.Applied | None:
            nonlocal seen
            seen = self.applied(target)
            return seen if seen.generation >= generation else None

        try:
            return notify.wait_for(self._notices, keys.target_object(target),
                                   probe, '', timeout_s)
        except exception.WaitTimeout as e:
            who = f'gateway {seen.owner}' if seen.owner else 'any gateway'
            raise exception.WaitTimeout(
                f'{who} to apply change {generation} of {target}; it has come '
                f'to {seen.generation}', e.timeout_s) from None

    def listen(self, target: model.Iqn
               ) -> contextlib.AbstractContextManager[bells.Bell]:
        """See :meth:`..shared.SharedJournal.listen`."""
        return self._notices.listen(keys.target_object(target))

    def fault(self, target: model.Iqn, volume_id: str) -> str:
        """See :meth:`..shared.SharedJournal.fault`."""
        key = keys.fault(volume_id)
        record = self._view(target, [key]).load(key, records.Fault)
        return record.reason if record else ''

    # -- for the owner

    def snapshot(self, target: model.Iqn) -> shared.State:
        """See :meth:`..shared.SharedJournal.snapshot`."""
        view = self._whole(target, [keys.APPLIED])
        _applied(view)
        its: dict[str, list[model.MappedExport]] = {}
        for one in mapped.mappings_of(target, view):
            its.setdefault(one.mapping.volume_id, []).append(one)
        doomed = {e.volume_id for e in
                  exports.exports_of(target, view, doomed=True)}
        return shared.State(target, view.header.generation, tuple(sorted(
            (shared.Wanted(e.volume_id, e, e.volume_id in doomed,
                           tuple(its.get(e.volume_id, ())))
             for e in exports.exports_of(target, view)),
            key=lambda wanted: wanted.volume_id)), whole=True)

    def changes_since(self, target: model.Iqn, generation: int
                      ) -> shared.State:
        """See :meth:`..shared.SharedJournal.changes_since`."""
        changed = self._store.until_consistent(
            keys.target_object(target),
            lambda: self._changes_since(target, generation))
        return changed or self.snapshot(target)

    def _changes_since(self, target: model.Iqn, generation: int
                       ) -> shared.State | None:
        view = self._view(target, [keys.APPLIED])
        _applied(view)
        last = view.header.generation
        if not 0 < last - generation <= keys.LOG_LENGTH:
            return None if last != generation else shared.State(
                target, last, (), whole=False)
        numbers = range(generation + 1, last + 1)
        view.more([keys.log(number) for number in numbers])
        volumes = set()
        for number in numbers:
            entry = view.need(keys.log(number), records.Log)
            if entry.generation != number:
                raise view.damaged(keys.log(number), 'it is of another '
                                   f'change than {number}')
            if entry.volumes is None:
                return None
            volumes.update(entry.volumes)
        return shared.State(target, last, self._wanted(
            target, view, sorted(volumes)), whole=False)

    @staticmethod
    def _wanted(target: model.Iqn, view: views.View, volumes: list[str]
                ) -> tuple[shared.Wanted, ...]:
        """Read what shall be of certain volumes."""
        view.more([keys.export(v) for v in volumes],
                  [omap.Range(keys.mappings(v)) for v in volumes])
        its = [(volume_id, name) for volume_id in volumes for _, name
               in view.below(keys.mappings(volume_id))]
        view.more([keys.NODES + name for _, name in its])
        found_mappings = mapped.mappings_of(target, view)
        found = []
        for volume_id in volumes:
            record = view.load(keys.export(volume_id), records.Export)
            found.append(shared.Wanted(
                volume_id, None if record is None else model.Export(
                    volume_id, record.device, target, record.lun),
                bool(record and record.doomed), tuple(
                    m for m in found_mappings
                    if m.mapping.volume_id == volume_id)))
        return tuple(found)

    def begin(self, target: model.Iqn, owner: str, epoch: int) -> None:
        """See :meth:`..shared.SharedJournal.begin`."""
        def check(found: records.Applied) -> None:
            if (found.epoch, found.owner) != (epoch, owner) and (
                    found.epoch >= epoch):
                raise exception.OwnerChanged(
                    str(target), found.owner, found.epoch)

        self._acknowledge(target, check, records.Applied(owner, epoch), {})

    def acknowledge(self, target: model.Iqn, owner: str, epoch: int,
                    generation: int, faults: Mapping[str, str]) -> None:
        """See :meth:`..shared.SharedJournal.acknowledge`."""
        def check(found: records.Applied) -> None:
            if (found.epoch, found.owner) != (epoch, owner):
                raise exception.OwnerChanged(
                    str(target), found.owner, found.epoch)

        self._acknowledge(target, check, records.Applied(
            owner, epoch, generation), faults)

    def _acknowledge(self, target: model.Iqn, check: _Check,
                     record: records.Applied, faults: Mapping[str, str]
                     ) -> None:
        name = keys.target_object(target)
        put = {keys.fault(v): records.Fault.of(reason).text(keys.fault(v))
               for v, reason in faults.items()}

        def attempt() -> None:
            view = self._view(target, [keys.APPLIED],
                              [omap.Range(keys.FAULTS)])
            found = _applied(view)
            check(found)
            if record.generation > view.header.generation:
                raise _ahead(view, record)
            old = view.values[keys.APPLIED]
            changed = {keys.APPLIED: record.text(keys.APPLIED), **put}
            gone = [k for k, _ in view.below(keys.FAULTS) if k not in put]
            if not gone and changed.items() <= view.values.items():
                return
            with errors.translated(view.path):
                outcome = self._pool.write(name, changed, gone,
                                           where={keys.APPLIED: old})
            if outcome is not omap.Outcome.DONE:
                raise views.Raced
            self._notices.ring(name)

        self._store.until_consistent(name, attempt)


def _applied(view: views.View) -> records.Applied:
    """Return how far the owner has come, which cannot be beyond the journal.

    :raises JournalDamaged: when it is: the journal lost its last changes.
    """
    found = view.need(keys.APPLIED, records.Applied)
    if found.generation > view.header.generation:
        raise _ahead(view, found)
    return found


def _ahead(view: views.View, record: records.Applied
           ) -> exception.JournalDamaged:
    return errors.damaged(
        view.path, f'{record.owner} applied change {record.generation}, the '
        f'last one that it has is {view.header.generation}: it is an old copy')
