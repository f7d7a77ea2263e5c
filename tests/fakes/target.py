# SPDX-License-Identifier: Apache-2.0
"""A kernel target in memory, for speed; it passes the target's contract."""

from collections.abc import Callable, Sequence
import dataclasses
import os

from mydriver import exception, model
from mydriver.cinder_volume import configfs, journal


@dataclasses.dataclass
class _Target:
    portals: frozenset[str]
    enabled: bool = True
    #: TPG LUN to name, export
    luns: dict[int, tuple[str, model.Export]] = dataclasses.field(
        default_factory=dict)
    #: initiator to mutual, {LUN: (TPG LUN, read only)}
    acls: dict[str, tuple[bool, dict[int, tuple[int, bool]]]] = (
        dataclasses.field(default_factory=dict))


class MemoryTarget:
    """Keeps what it is told, and refuses what the kernel refuses.

    :param backend: as for LioTarget.
    :param portals: as for LioTarget.
    :param on_change: called with the verb's name before and after each
        change; a test raises from it to be the crash.
    """

    def __init__(self, backend: str, portals: Sequence[model.Portal],
                 on_change: Callable[[str], None] = lambda _verb: None
                 ) -> None:
        self.name_prefix = f'mydriver-{backend}-'
        self.targets: dict[str, _Target] = {}
        #: target and initiator of each session
        self.sessions: set[tuple[str, str]] = set()
        self.on_change = on_change
        self._portals = portals

    def check(self) -> list[str]:
        """Always serve, without complaint."""
        return []

    def ensure_pool(self, targets: Sequence[model.Iqn]) -> None:
        """Make the targets."""
        for iqn in targets:
            self.targets.setdefault(str(iqn), _Target(
                frozenset(str(p) for p in self._portals))).enabled = True
            self._drop_idle_acls(str(iqn))

    def ensure_export(self, export: model.Export) -> None:
        """Make a LUN."""
        self.on_change('before ensure_export')
        self._ensure_export(export)
        self.on_change('after ensure_export')

    def _ensure_export(self, export: model.Export) -> _Target:
        target = self._target(export.target)
        if not os.path.isfile(export.device.path) or os.path.getsize(
                export.device.path) < export.device.size_bytes:
            raise exception.TargetError('export a volume', 'no such file')
        name = self.name_prefix + export.volume_id
        if target.luns.get(export.lun, (name, None))[0] != name:
            raise exception.ForeignObject(f'LUN {export.lun}', 'taken')
        for other in self.targets.values():
            for known_name, known in other.luns.values():
                if (known_name == name
                        and known.device.path != export.device.path):
                    raise exception.ForeignObject(name, 'other device')
        target.luns[export.lun] = (name, export)
        return target

    def ensure_mapping(self, placed: journal.Placed) -> None:
        """Make a mapped LUN."""
        self.on_change('before ensure_mapping')
        target = self._ensure_export(placed.export)
        self._drop_idle_acls(str(placed.export.target))
        mapping = placed.mapping
        _mutual, luns = target.acls.get(str(mapping.initiator), (False, {}))
        if luns.get(mapping.lun, (placed.export.lun,))[0] != (
                placed.export.lun):
            raise exception.ForeignObject(f'Mapped LUN {mapping.lun}',
                                          'taken')
        luns[mapping.lun] = (placed.export.lun, mapping.read_only)
        target.acls[str(mapping.initiator)] = (placed.mutual, luns)
        self.on_change('after ensure_mapping')

    def drop_mapping(self, export: model.Export, initiator: model.Iqn,
                     lun: int) -> None:
        """Unmap a LUN."""
        self.on_change('before drop_mapping')
        acls = self._target(export.target).acls
        _mutual, luns = acls.get(str(initiator), (False, {}))
        if luns.get(lun, (None, False))[0] == export.lun:
            del luns[lun]
        self._drop_idle_acls(str(export.target))
        self.on_change('after drop_mapping')

    def _drop_idle_acls(self, iqn: str) -> None:
        acls = self.targets[iqn].acls
        for initiator in [i for i, (_mutual, luns) in acls.items()
                          if not luns and (iqn, i) not in self.sessions]:
            del acls[initiator]

    def drop_export(self, export: model.Export) -> None:
        """Remove a LUN."""
        self.on_change('before drop_export')
        target = self._target(export.target)
        name = self.name_prefix + export.volume_id
        if target.luns.get(export.lun, ('', None))[0] == name:
            if any(tpg_lun == export.lun for _m, luns in target.acls.values()
                   for tpg_lun, _ro in luns.values()):
                raise exception.TargetError('withdraw a volume', 'busy')
            del target.luns[export.lun]
        self.on_change('after drop_export')

    def resize(self, export: model.Export) -> None:
        """Take over the size."""
        self.on_change('before resize')
        self._ensure_export(export)
        self.on_change('after resize')

    def is_mutual(self, target: model.Iqn, initiator: model.Iqn) -> bool:
        """Tell the kind of CHAP."""
        return self._target(target).acls[str(initiator)][0]

    def observe(self, target: model.Iqn) -> configfs.SeenTarget | None:
        """Show what there is."""
        kept = self.targets.get(str(target))
        if kept is None:
            return None
        return configfs.SeenTarget(
            str(target), kept.enabled, kept.portals,
            tuple(configfs.SeenExport(
                lun, name, e.device.kind, e.volume_id, e.device.path,
                e.device.size_bytes)
                for lun, (name, e) in sorted(kept.luns.items())),
            frozenset(kept.acls),
            tuple(configfs.SeenMapping(initiator, lun, tpg_lun, read_only)
                  for initiator, (_m, luns) in sorted(kept.acls.items())
                  for lun, (tpg_lun, read_only) in sorted(luns.items())))

    def listening(self, target: model.Iqn) -> frozenset[str]:
        """Show where it listens."""
        kept = self.targets.get(str(target))
        return kept.portals if kept and kept.enabled else frozenset()

    def _target(self, iqn: model.Iqn) -> _Target:
        try:
            return self.targets[str(iqn)]
        except KeyError:
            raise exception.TargetError('find a target',
                                        f'no {iqn}') from None
