# SPDX-License-Identifier: Apache-2.0
"""The exports, each in the object of its target.

No index says which target has a volume: it could contradict the targets'
objects, since only one object can be changed at a time. The target is
remembered once it was found; a memory that is wrong costs a read.

A volume must not be exported on two targets, even if two services export it
at the same time. So a new export is recorded as one that is doomed, which no
owner applies; then all other targets are read; and only if none of them has
the volume, the record is made valid. Of two services at least the later one
sees the record of the other, and withdraws its own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
import dataclasses
from typing import Any, TypeVar

from mydriver import exception, model
from mydriver.ceph import omap
from mydriver.target.journal import values
from mydriver.target.journal.rados import keys, luns, records, targets, views

_R = TypeVar('_R')


class Exports(targets.Targets):
    """Exports; see :class:`..base.Journal`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Where volumes were found last.
        self._hints: dict[str, model.Iqn] = {}
        #: The generations at which this process doomed exports.
        self._doomed_exports: dict[str, int] = {}

    def add_export(self, volume_id: str, device: model.BackingDevice,
                   target: model.Iqn) -> model.Export:
        """See :meth:`..base.Journal.add_export`."""
        if not values.is_uuid(volume_id):
            raise ValueError(f'{volume_id!r} is not a UUID')
        return self._store.until_consistent(
            keys.target_object(target),
            lambda: self._add_export(volume_id, device, target))

    def _add_export(self, volume_id: str, device: model.BackingDevice,
                    target: model.Iqn) -> model.Export:
        place = self._hints.get(volume_id, target)
        key = keys.export(volume_id)

        def claim(change: views.Change) -> tuple[records.Export | None, int]:
            known = change.load(key, records.Export)
            if known is not None:
                return (known, 0) if known.doomed else (_refresh(
                    change, volume_id, known, device), 0)
            if place != target:
                return None, 0
            return _add(change, volume_id, luns.free_of_tpg(change, target),
                        device, doomed=change.generation), change.generation

        def make_valid(change: views.Change) -> records.Export:
            known = change.load(key, records.Export)
            if known is None:
                raise views.Raced
            return _refresh(change, volume_id, known, device)

        record, claimed = self._change(place, [key], claim,
                                       luns.ranges_of_tpg())
        if record is None:
            del self._hints[volume_id]
            raise views.Raced
        if record.doomed:
            other = self._elsewhere(volume_id, place)
            if other is not None:
                self._hints[volume_id] = other
                if claimed:
                    self._withdraw_claim(volume_id, place, claimed)
                raise views.Raced
            record = self._change(place, [key], make_valid)
        self._hints[volume_id] = place
        return _export(volume_id, place, record)

    def export(self, volume_id: str) -> model.Export:
        """See :meth:`..base.Journal.export`."""
        key = keys.export(volume_id)
        for target in self._candidates(volume_id):
            record = self._view(target, [key]).load(key, records.Export)
            if record is not None:
                self._hints[volume_id] = target
                return _export(volume_id, target, record)
        raise exception.ExportNotFound(volume_id)

    def exports(self) -> list[model.Export]:
        """See :meth:`..base.Journal.exports`."""
        return [export for target in self.targets()
                for export in exports_of(target, self._whole(target))]

    def remove_export(self, volume_id: str) -> None:
        """See :meth:`..base.Journal.remove_export`."""
        doomed = self._doomed_exports.pop(volume_id, None)

        def remove(change: views.Change, _target: model.Iqn,
                   record: records.Export) -> None:
            refuse_mapped(change, volume_id)
            if doomed is not None:
                refuse_revived(change, record.doomed, doomed,
                               f'withdraw volume {volume_id}')
            change.volumes = {volume_id}
            change.remove(keys.export(volume_id))
            change.remove(keys.fault(volume_id))
            luns.release_of_tpg(change, record.lun)

        try:
            self._on_export(volume_id, remove, [keys.APPLIED],
                            [omap.Range(keys.mappings(volume_id))])
        except exception.ExportNotFound:
            return
        self._hints.pop(volume_id, None)

    def adopt_export(self, export: model.Export) -> bool:
        """See :meth:`..base.Journal.adopt_export`."""
        if not values.is_uuid(export.volume_id):
            return False
        try:
            self.export(export.volume_id)
        except exception.ExportNotFound:
            pass
        else:
            return False
        key = keys.export(export.volume_id)

        def adopt(change: views.Change) -> bool:
            if {key, keys.tpg_lun(export.lun)} & change.values.keys():
                return False
            _add(change, export.volume_id, export.lun, export.device)
            return True

        return self._change(export.target, [key, keys.tpg_lun(export.lun)],
                            adopt)

    # -- finding

    def _on_export(self, volume_id: str,
                   step: Callable[[views.Change, model.Iqn, records.Export],
                                  _R],
                   names: Iterable[str] = (),
                   ranges: Sequence[omap.Range] = ()) -> _R:
        """Change the object of the target that a volume is exported on.

        :param step: takes what was read, the target, and the export.
        :raises ExportNotFound: when it is not exported.
        """
        key = keys.export(volume_id)
        for target in self._candidates(volume_id):
            def found(change: views.Change, at: model.Iqn = target
                      ) -> tuple[_R] | None:
                record = change.load(key, records.Export)
                return None if record is None else (
                    step(change, at, record),)

            result = self._change(target, [key, *names], found, ranges)
            if result is not None:
                self._hints[volume_id] = target
                return result[0]
        raise exception.ExportNotFound(volume_id)

    def _candidates(self, volume_id: str) -> Iterator[model.Iqn]:
        """Return the targets to look for a volume, the likely one first."""
        hint = self._hints.get(volume_id)
        if hint in self._ids:
            yield hint
        for target in self.targets():
            if target != hint:
                yield target

    def _elsewhere(self, volume_id: str, but: model.Iqn
                   ) -> model.Iqn | None:
        """Return another target that has a volume."""
        key = keys.export(volume_id)
        return next((target for target in self.targets() if target != but
                     and key in self._view(target, [key]).values), None)

    def _withdraw_claim(self, volume_id: str, target: model.Iqn,
                        claimed: int) -> None:
        key = keys.export(volume_id)

        def withdraw(change: views.Change) -> None:
            record = change.load(key, records.Export)
            if record is not None and record.doomed == claimed:
                change.remove(key)
                luns.release_of_tpg(change, record.lun)

        self._change(target, [key], withdraw)


def exports_of(target: model.Iqn, view: views.View,
               doomed: bool | None = None) -> list[model.Export]:
    """Return the exports that were read of a target, in order of their LUNs.

    :param doomed: only those that are to be removed, or only the others.
    """
    found = [(volume_id, view.need(key, records.Export))
             for key, volume_id in view.below(keys.EXPORTS)]
    return sorted((_export(volume_id, target, record)
                   for volume_id, record in found
                   if doomed in (None, bool(record.doomed))),
                  key=lambda export: export.lun)


def refuse_mapped(change: views.Change, volume_id: str) -> None:
    """Check that a volume has no mappings.

    :raises TargetInUse: when it has.
    """
    users = [name for _, name in change.below(keys.mappings(volume_id))]
    if users:
        raise exception.TargetInUse(volume_id, ', '.join(users))


def refuse_revived(change: views.Change, found: int, doomed: int, what: str
                   ) -> None:
    """Check that the owner has removed what this process doomed.

    :param found: the generation since when it is doomed by the record.
    :param doomed: the one that this process waited for.
    :raises TargetError: when it is in use again, or not removed yet.
    """
    applied = change.need(keys.APPLIED, records.Applied)
    if found != doomed:
        raise exception.TargetError(what, 'it was requested again meanwhile')
    if applied.generation < doomed:
        raise exception.TargetError(
            what, f'the gateway {applied.owner or "(none yet)"} has not '
            'acknowledged that it did')


def _add(change: views.Change, volume_id: str, lun: int,
         device: model.BackingDevice, doomed: int = 0) -> records.Export:
    record = records.Export(lun, device.kind, device.path, device.size_bytes,
                            doomed)
    change.volumes = {volume_id}
    change.put(keys.export(volume_id), record)
    luns.take_of_tpg(change, lun, volume_id)
    return record


def _refresh(change: views.Change, volume_id: str, known: records.Export,
             device: model.BackingDevice) -> records.Export:
    record = dataclasses.replace(
        known, kind=device.kind, path=device.path,
        size_bytes=device.size_bytes, doomed=0)
    change.volumes = {volume_id}
    change.put(keys.export(volume_id), record)
    return record


def _export(volume_id: str, target: model.Iqn, record: records.Export
            ) -> model.Export:
    return model.Export(volume_id, record.device, target, record.lun)
