# SPDX-License-Identifier: Apache-2.0
"""Mappings and NodeACLs, each in the object of its target."""

import dataclasses
from typing import Any

from mydriver import exception, model
from mydriver.ceph import omap
from mydriver.target.journal.rados import (
    exports,
    keys,
    luns,
    mapped,
    records,
    views,
)

#: A mapping that another service has confirmed within this time, in seconds,
#: may be part of an attach that is under way there. Cinder gives up on a call
#: after 60 s (rpc_response_timeout); the rest is for clocks that differ.
UNDER_WAY_S = 600


@dataclasses.dataclass(frozen=True, slots=True)
class Doomed:
    """What this process doomed, to remove it once the owner has done so.

    :param generation: of that change.
    :param told: whether its host may have known the LUN before.
    """

    generation: int
    told: bool


class Mappings(exports.Exports):
    """Mappings, NodeACLs, LUNs in quarantine; see :class:`..base.Journal`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._doomed_mappings: dict[tuple[str, model.Iqn], Doomed] = {}

    def add_mapping(self, volume_id: str, initiator: model.Iqn, *,
                    read_only: bool, mutual: bool,
                    keep_writable: bool = False,
                    kind: model.NodeKind | None = None,
                    version: str | None = None) -> model.MappedExport:
        """See :meth:`..base.Journal.add_mapping`."""
        wanted = dataclasses.replace(kind or model.NodeKind(), mutual=mutual)

        def add(change: views.Change, target: model.Iqn,
                export: records.Export) -> model.MappedExport:
            if export.doomed:
                raise exception.ExportNotFound(volume_id)
            key = keys.mapping(volume_id, initiator)
            known = change.load(key, records.Mapped)
            mapped.refuse_other(change, volume_id, initiator, version)
            if known is None:
                lun = luns.take(change, initiator, target, volume_id,
                                self._now())
                record = self._confirmed(lun, read_only)
            else:
                keeps = (keep_writable and not known.read_only
                         and not known.doomed)
                record = dataclasses.replace(
                    self._confirmed(known.lun, read_only and not keeps),
                    told=known.told)
            change.put(key, record)
            mapped.renew(change, volume_id, initiator)
            change.volumes = {volume_id}
            _add_node(change, initiator, wanted)
            return dataclasses.replace(
                mapped.mapped(change, target, volume_id, initiator),
                created=known is None or bool(known.doomed))

        return self._on_export(
            volume_id, add, [*_keys_of(volume_id, initiator),
                             keys.node(initiator), *luns.keys_of(initiator)],
            luns.ranges_of(initiator))

    def mappings(self, volume_id: str | None = None
                 ) -> list[model.MappedExport]:
        """See :meth:`..base.Journal.mappings`."""
        if volume_id is None:
            return [one for target in self.targets() for one in
                    mapped.mappings_of(target, self._whole_mappings(target))]
        try:
            target = self.export(volume_id).target
        except exception.ExportNotFound:
            return []
        return self._store.until_consistent(
            keys.target_object(target),
            lambda: self._mappings(target, volume_id))

    def _mappings(self, target: model.Iqn, volume_id: str
                  ) -> list[model.MappedExport]:
        prefix = keys.mappings(volume_id)
        view = self._view(target, [keys.export(volume_id)],
                          [omap.Range(prefix)])
        its = [mapped.initiator_of(view, key, rest)
               for key, rest in view.below(prefix)]
        if its:
            view.more([keys.node(initiator) for initiator in its]
                      + mapped.versions_of(view))
        return [mapped.mapped(view, target, volume_id, initiator)
                for initiator in its]

    def earlier_mappings(self) -> list[model.MappedExport]:
        """See :meth:`..base.Journal.earlier_mappings`.

        The runs of several services overlap. A mapping is of an earlier run
        if this service has confirmed it in another run than this one, or if
        another service has, and longer ago than any of its calls can take: an
        attach that is under way elsewhere is not in Cinder's records yet.
        """
        return [one for target in self.targets()
                for view in [self._whole_mappings(target)]
                for one in mapped.mappings_of(target, view)
                if self._is_earlier(view.need(keys.mapping(
                    one.mapping.volume_id, one.mapping.initiator),
                    records.Mapped))]

    def _whole_mappings(self, target: model.Iqn) -> views.View:
        """Read a target's records, and the versions of all mappings."""
        def read() -> views.View:
            view = self._whole(target)
            view.more(mapped.versions_of(view))
            return view

        return self._store.until_consistent(keys.target_object(target), read)

    def _is_earlier(self, record: records.Mapped) -> bool:
        if record.service == self._run.service:
            return record.run != self._run.id
        return record.confirmed_at < self._now() - UNDER_WAY_S

    def doom(self, volume_id: str, initiator: model.Iqn, *,
             version: str | None = None) -> None:
        """See :meth:`..base.Journal.doom`."""
        self._doom(volume_id, initiator, version, told=False)

    def remove_mapping(self, volume_id: str, initiator: model.Iqn, *,
                       quarantine: bool = True, version: str | None = None
                       ) -> None:
        """See :meth:`..base.Journal.remove_mapping`.

        :raises TargetError: when this process has doomed it and it is in use
            again, or the owner has not acknowledged that it removed it.
        """
        doomed = self._doomed_mappings.pop((volume_id, initiator), None)

        def remove(change: views.Change, _target: model.Iqn,
                   _export: records.Export) -> None:
            key = keys.mapping(volume_id, initiator)
            known = change.load(key, records.Mapped)
            if known is None:
                return
            mapped.refuse_other(change, volume_id, initiator, version)
            if doomed is not None:
                exports.refuse_revived(
                    change, known.doomed, doomed.generation,
                    f'unmap volume {volume_id} from {initiator}')
            change.volumes = {volume_id}
            change.remove(key)
            mapped.forget(change, volume_id, initiator)
            told = doomed.told if doomed else known.told
            if luns.release(change, initiator, known.lun, volume_id,
                            self._now(), quarantine=quarantine or told):
                change.remove(keys.node(initiator))

        try:
            self._on_export(
                volume_id, remove,
                [*_keys_of(volume_id, initiator), keys.node(initiator),
                 keys.APPLIED, *luns.keys_of(initiator)],
                luns.ranges_of(initiator))
        except exception.ExportNotFound:
            return

    def adopt_mapping(self, export: model.Export, mapping: model.Mapping,
                      mutual: bool, kind: model.NodeKind | None = None
                      ) -> bool:
        """See :meth:`..base.Journal.adopt_mapping`."""
        volume_id, initiator = mapping.volume_id, mapping.initiator
        wanted = dataclasses.replace(kind or model.NodeKind(), mutual=mutual)

        def adopt(change: views.Change) -> bool:
            known = change.load(keys.export(volume_id), records.Export)
            if known is None or known.lun != export.lun or {
                    keys.mapping(volume_id, initiator),
                    keys.lun(initiator, mapping.lun)} & change.values.keys():
                return False
            change.volumes = {volume_id}
            luns.adopt(change, initiator, mapping.lun, volume_id)
            change.put(keys.mapping(volume_id, initiator), records.Mapped(
                mapping.lun, mapping.read_only, 'adopted', '', 0))
            mapped.renew(change, volume_id, initiator)
            _add_node(change, initiator, wanted)
            return True

        return self._change(
            export.target,
            [keys.export(volume_id), *_keys_of(volume_id, initiator),
             keys.lun(initiator, mapping.lun), keys.node(initiator),
             *luns.keys_of(initiator)], adopt, luns.ranges_of(initiator))

    def nodes(self) -> list[model.Node]:
        """See :meth:`..base.Journal.nodes`."""
        return [model.Node(mapped.initiator_of(view, key, rest), target,
                           view.need(key, records.Node).kind)
                for target in self.targets()
                for view in [self._whole(target)]
                for key, rest in view.below(keys.NODES)]

    def set_kind(self, node: model.Node) -> None:
        """See :meth:`..base.Journal.set_kind`."""
        key = keys.node(node.initiator)

        def set_it(change: views.Change) -> None:
            if key in change.values:
                change.put(key, records.Node.of(node.kind))
                change.volumes = None

        if node.target in self.targets():
            self._change(node.target, [key], set_it)

    def _confirmed(self, lun: int, read_only: bool) -> records.Mapped:
        return records.Mapped(lun, read_only, self._run.id,
                              self._run.service, self._now())

    def _doom(self, volume_id: str, initiator: model.Iqn,
              version: str | None, *, told: bool) -> Doomed | None:
        """Mark a mapping for removal.

        :param version: as it was read; None for any.
        :param told: its host may know the LUN.
        :returns: None when there is no such mapping.
        """
        key = keys.mapping(volume_id, initiator)

        def doom(change: views.Change, _target: model.Iqn,
                 _export: records.Export) -> Doomed | None:
            known = change.load(key, records.Mapped)
            if known is None:
                return None
            mapped.refuse_other(change, volume_id, initiator, version)
            generation = known.doomed or change.generation
            change.volumes = {volume_id}
            change.put(key, dataclasses.replace(
                known, doomed=generation, told=known.told or told))
            return Doomed(generation, known.told)

        try:
            return self._on_export(
                volume_id, doom, _keys_of(volume_id, initiator))
        except exception.ExportNotFound:
            return None


def _keys_of(volume_id: str, initiator: model.Iqn) -> list[str]:
    return [keys.mapping(volume_id, initiator),
            keys.version(volume_id, initiator)]


def _add_node(change: views.Change, initiator: model.Iqn,
              kind: model.NodeKind) -> None:
    """Record how an initiator logs in, unless that is recorded already.

    Only portals are added: see :mod:`mydriver.target.journal.mappings`.
    """
    key = keys.node(initiator)
    known = change.load(key, records.Node)
    if known is not None:
        portals = known.kind.portals | kind.portals
        if portals != known.kind.portals:
            change.volumes = None
        kind = dataclasses.replace(known.kind, portals=portals)
    change.put(key, records.Node.of(kind))
