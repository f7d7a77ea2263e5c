# SPDX-License-Identifier: Apache-2.0
"""A kernel target in memory; it passes the contract suite of targets."""

from collections.abc import Callable, Collection, Mapping, Sequence
import dataclasses
import os

from mydriver import exception, model
from mydriver.target import configfs, lio


@dataclasses.dataclass
class _Acl:
    #: LUN to TPG LUN, read only
    luns: dict[int, tuple[int, bool]] = dataclasses.field(
        default_factory=dict)
    #: None asks for CHAP as the TPG does
    asks: bool | None = None
    secrets: model.ChapCredentials | None = None


@dataclasses.dataclass
class _Target:
    portals: frozenset[str]
    enabled: bool = True
    chap: bool = False
    #: TPG LUN to name, export
    luns: dict[int, tuple[str, model.Export]] = dataclasses.field(
        default_factory=dict)
    #: by initiator
    acls: dict[str, _Acl] = dataclasses.field(default_factory=dict)


class MemoryTarget:
    """Holds objects in memory, and refuses what the kernel refuses.

    :param backend: as for LioTarget.
    :param portals: as for LioTarget.
    :param on_change: called with the verb's name before and after each
        change; a test raises an exception from it to simulate a crash.
    :param chap: as for LioTarget.
    :param portals_of: as for LioTarget.
    """

    def __init__(self, backend: str, portals: Sequence[model.Portal],
                 on_change: Callable[[str], None] = lambda _verb: None,
                 chap: bool = False,
                 portals_of: lio.PortalsOf | None = None) -> None:
        self.name_prefix = f'mydriver-{backend}-'
        self.targets: dict[str, _Target] = {}
        #: target and initiator of each session
        self.sessions: set[tuple[str, str]] = set()
        self.on_change = on_change
        self._portals = portals
        self._portals_of = portals_of or (lambda _target: self._portals)
        self._chap = chap

    def check(self) -> list[str]:
        """Find nothing wrong."""
        return []

    def create(self, targets: Sequence[model.Iqn]) -> None:
        """Create the targets without portals."""
        for iqn in targets:
            if str(iqn) not in self.targets:
                made = self.targets[str(iqn)] = _Target(frozenset())
                made.enabled, made.chap = True, self._chap

    def ensure_pool(self, targets: Sequence[model.Iqn],
                    more: Mapping[model.Iqn, Collection[model.Portal]]
                    | None = None) -> None:
        """Create the targets."""
        for iqn in targets:
            made = self.targets.setdefault(str(iqn), _Target(frozenset()))
            made.portals |= {str(p) for p in (
                *self._portals_of(iqn), *(more or {}).get(iqn, ()))}
            made.enabled, made.chap = True, self._chap
            self._drop_idle_acls(str(iqn))

    def disable(self, target: model.Iqn) -> bool:
        """End all sessions of a target."""
        kept = self.targets.get(str(target))
        if kept:
            kept.enabled = False
            self.sessions = {s for s in self.sessions if s[0] != str(target)}
        return True

    def drop_target(self, target: model.Iqn) -> bool:
        """Remove an unused target."""
        if 'mydriver-' not in str(target):
            raise exception.RequestRefused('a target', f'{target}')
        kept = self.targets.get(str(target))
        if kept and (kept.luns or kept.acls):
            return False
        self.targets.pop(str(target), None)
        return True

    def ensure_export(self, export: model.Export) -> None:
        """Create a LUN."""
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

    def ensure_mapping(self, mapped: model.MappedExport,
                       secrets: model.ChapCredentials | None = None) -> None:
        """Create a mapped LUN."""
        self.on_change('before ensure_mapping')
        self._drop_idle_acls(str(mapped.export.target))
        mapping = mapped.mapping
        known = self._target(mapped.export.target)
        acl = known.acls.get(str(mapping.initiator), _Acl())
        if acl.luns.get(mapping.lun, (mapped.export.lun,))[0] != (
                mapped.export.lun):
            raise exception.ForeignObject(f'Mapped LUN {mapping.lun}',
                                          'taken')
        for tpg_lun, _read_only in acl.luns.values():
            name = known.luns[tpg_lun][0]
            if (name.startswith('mydriver-')
                    and not name.startswith(self.name_prefix)):
                raise exception.ForeignObject(
                    f'NodeACL {mapping.initiator}', f'has {name}')
        target = self._ensure_export(mapped.export)
        acl.luns[mapping.lun] = (mapped.export.lun, mapping.read_only)
        acl.asks = mapped.kind.chap
        acl.secrets = secrets or acl.secrets
        target.acls[str(mapping.initiator)] = acl
        self.on_change('after ensure_mapping')

    def drop_mapping(self, mapped: model.MappedExport) -> None:
        """Unmap a LUN."""
        self.on_change('before drop_mapping')
        mapping, export = mapped.mapping, mapped.export
        acls = self._target(export.target).acls
        luns = acls.get(str(mapping.initiator), _Acl()).luns
        if luns.get(mapping.lun, (None, False))[0] == export.lun:
            del luns[mapping.lun]
        self._drop_idle_acls(str(export.target))
        self.on_change('after drop_mapping')

    def _drop_idle_acls(self, iqn: str) -> None:
        acls = self.targets[iqn].acls
        for initiator in [i for i, acl in acls.items()
                          if not acl.luns and (iqn, i) not in self.sessions]:
            del acls[initiator]

    def drop_export(self, export: model.Export) -> None:
        """Remove a LUN."""
        self.on_change('before drop_export')
        target = self._target(export.target)
        name = self.name_prefix + export.volume_id
        if target.luns.get(export.lun, ('', None))[0] == name:
            if any(tpg_lun == export.lun for acl in target.acls.values()
                   for tpg_lun, _ro in acl.luns.values()):
                raise exception.TargetError('withdraw a volume', 'busy')
            del target.luns[export.lun]
        self.on_change('after drop_export')

    def resize(self, export: model.Export) -> None:
        """Set the size."""
        self.on_change('before resize')
        self._ensure_export(export)
        self.on_change('after resize')

    def is_mutual(self, target: model.Iqn, initiator: model.Iqn) -> bool:
        """Tell whether a NodeACL uses mutual CHAP."""
        secrets = self._target(target).acls[str(initiator)].secrets
        return bool(secrets and secrets.mutual_username)

    def secrets(self, initiator: str) -> list[model.ChapCredentials | None]:
        """Return the secrets of an initiator at each target, None for none."""
        return [t.acls[initiator].secrets for t in self.targets.values()
                if initiator in t.acls]

    def names(self) -> list[str]:
        """Return the names of the targets."""
        return sorted(self.targets)

    def observe(self, target: model.Iqn) -> configfs.SeenTarget | None:
        """Return the objects of a target."""
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
                  for initiator, acl in sorted(kept.acls.items())
                  for lun, (tpg_lun, read_only) in sorted(acl.luns.items())),
            frozenset(i for i, acl in kept.acls.items() if (
                kept.chap if acl.asks is None else acl.asks)))

    def listening(self, target: model.Iqn) -> frozenset[str]:
        """Return the portals that a target listens at."""
        kept = self.targets.get(str(target))
        return kept.portals if kept and kept.enabled else frozenset()

    def _target(self, iqn: model.Iqn) -> _Target:
        try:
            return self.targets[str(iqn)]
        except KeyError:
            raise exception.TargetError('find a target',
                                        f'no {iqn}') from None
