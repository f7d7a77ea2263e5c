# SPDX-License-Identifier: Apache-2.0
"""Observe the targets and the compute host through their kernels."""

from collections.abc import Mapping
import dataclasses
import json
from pathlib import Path
from typing import Any
import uuid

from lab import errors
from lab.cloud import api, driver, settings
from lab.cloud.config import cinder
from lab.scenario import backings
from mydriver import model

_PROBE = Path(__file__).with_name('probe.py')

#: Directories on the storage node that must have no leftovers.
_FOLDERS = (*driver.FOLDERS.values(), f'{cinder.STATE_PATH}/conversion',
            cinder.BACKUP_PATH)


class NotSeen(errors.LabError):
    """A node does not have what it must have."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """The state of the nodes, as probe.py prints it.

    :param target: the storage node's, with that of the gateways.
    :param initiator: the compute node's.
    """

    target: dict[str, Any]
    initiator: dict[str, Any]

    def mapped(self, volume_id: str) -> list[str]:
        """Return a volume's mappings: target, LUN and initiator."""
        names = {name for name, b in self.target['backstores'].items()
                 if b['serial'] == volume_id}
        return [f'{iqn} has LUN {lun.removeprefix("lun_")} for {initiator}'
                for iqn, found in self.target['targets'].items()
                for initiator, luns in found['acls'].items()
                for lun, name in luns.items() if name in names]

    def backing(self, volume_id: str) -> dict[str, str] | None:
        """Return the backstore whose unit serial is the volume's UUID."""
        return next((b for b in self.target['backstores'].values()
                     if b['serial'] == volume_id), None)

    def disks(self, volume_id: str) -> list[dict[str, Any]]:
        """Return the compute host's SCSI disks of a volume."""
        return [d for d in self.initiator['devices'].values()
                if d['naa'] == model.naa_id(volume_id)]

    def inventory(self) -> dict[str, set[str]]:
        """Return the objects that volumes and attachments create, by kind."""
        targets = self.target['targets']
        return {
            'sessions': {f'{name} {s["target"]}' for name, s in
                         self.initiator['sessions'].items()},
            'SCSI devices': {f'{hctl} {d["name"]}' for hctl, d in
                             self.initiator['devices'].items()},
            'multipath maps': set(self.initiator['maps']),
            'node records': set(self.initiator['records']),
            'ACLs': {f'{iqn} {acl}' for iqn, t in targets.items()
                     for acl in t['acls']},
            'mapped LUNs': {f'{iqn} {acl} {lun}' for iqn, t in targets.items()
                            for acl, luns in t['acls'].items()
                            for lun in luns},
            'LUNs': {f'{iqn} {lun}' for iqn, t in targets.items()
                     for lun in t['luns']},
            'backstores': set(self.target['backstores']),
            'RBD mappings': set(self.target['mapped images']),
            'backing files': {
                path for path in self.target['files']
                if path.rpartition('/')[2] != driver.STORE_MARK},
        }


class Observer:
    """Observes both nodes.

    :param cloud: the cloud that is up.
    """

    def __init__(self, cloud: api.Cloud) -> None:
        self._cloud = cloud
        self.backings = backings.of(
            cloud, lambda *argv: self.run('storage', *argv))

    def look(self) -> Seen:
        """Return the current state of the nodes."""
        gateways = self._cloud.options.gateway_nodes
        target = merged({
            'storage': self.probe('storage', 'target', *_FOLDERS),
            **{name: self.probe(name, 'target') for name in gateways}})
        target['files'] |= self.backings.more()
        return Seen(target, self.probe('compute', 'initiator'))

    def journal(self) -> list[str]:
        """Return the rows of the driver's journal, each after its table."""
        rows: list[str] = self.probe('storage', 'journal', driver.JOURNAL)
        return rows

    def journal_version(self) -> int:
        """Return the version of the driver's journal."""
        return int(self.probe('storage', 'version', driver.JOURNAL))

    def exports(self) -> list[str]:
        """Return the journal's rows on exports and mappings."""
        return [row for row in self.journal()
                if not row.startswith(('target', 'quarantine'))]

    def mark(self, volume_id: str, word: str) -> str:
        """Write to a volume's first sector what the guest shall do with it.

        :param word: see lab/guest/__init__.py.
        :returns: the token that the guest's lines will have.
        """
        token = str(uuid.uuid4())
        path, _ = self.backing_file(volume_id)
        self.backings.write_line(path, f'{word} {token}')
        return token

    def probe(self, node: str, *args: str) -> Any:
        """Run probe.py on a node; return what it prints."""
        return json.loads(self.run(
            node, 'python3', '-I', '-S', str(_PROBE), *args))

    def run(self, node: str, *argv: str) -> str:
        """Run a command on a node that must succeed; return its output."""
        status, output = self._cloud.node_exec(node, argv)
        if status:
            raise NotSeen(f'{" ".join(argv)} on {node}: status {status}\n'
                          f'{output}')
        return output

    def backing_file(self, volume_id: str) -> tuple[str, int]:
        """Return path and size in bytes of a volume's backing.

        :raises NotSeen: when there is not exactly one.
        """
        found = [(path, f['size_bytes']) for path, f in
                 self.look().target['files'].items()
                 if volume_id in path.rpartition('/')[2]]
        if len(found) != 1:
            raise NotSeen(f'files of volume {volume_id}: {found}')
        return found[0]

    def attached(self, volume_id: str, size_bytes: int) -> str:
        """Prove an attachment on both nodes; return the proof.

        :raises NotSeen: when a node does not have exactly this one.
        """
        if self._cloud.options.natively:
            return self._attached_natively(volume_id)
        seen = self.look()
        mapped, disks = seen.mapped(volume_id), seen.disks(volume_id)
        if len(mapped) != 1:
            raise NotSeen(f'the target maps volume {volume_id} '
                          f'{len(mapped)} times: {mapped}')
        if not disks:
            raise NotSeen(
                f'no SCSI device of compute has the NAA id '
                f'{model.naa_id(volume_id)}: {seen.initiator["devices"]}')
        sizes = {d['size_bytes'] for d in disks}
        if sizes != {size_bytes}:
            raise NotSeen(f'{disks} should have {size_bytes} bytes')
        return (f'target: {mapped[0]}; host: {_paths(disks)}, VPD 0x83 naa.'
                f'{disks[0]["naa"]}, {len(seen.initiator["sessions"])} '
                'session(s)')

    def detached(self, volume_id: str) -> str:
        """Prove that neither node has a volume attached; return the proof.

        :raises NotSeen: when one has.
        """
        seen = self.look()
        if left := seen.mapped(volume_id) + seen.disks(volume_id):
            raise NotSeen(f'volume {volume_id} is detached, but: {left}')
        if self._cloud.options.natively:
            self._watched(volume_id, set())
        return 'target: not mapped; host: no device'

    def _attached_natively(self, volume_id: str) -> str:
        """Prove that the guest's QEMU has the image open, and nobody else."""
        seen = self.look()
        if found := seen.mapped(volume_id) + seen.disks(volume_id):
            raise NotSeen(f'volume {volume_id} should need no target and no '
                          f'device of the host: {found}')
        host = settings.ceph_address('compute')
        self._watched(volume_id, {host})
        return ('target: not mapped; host: no device; Ceph: opened by '
                f'{host} alone')

    def _watched(self, volume_id: str, wanted: set[str]) -> None:
        """Check which hosts have a volume's image open.

        :raises NotSeen: when it is not exactly these.
        """
        path, _ = self.backing_file(volume_id)
        found = self.backings.users(path)
        if found != wanted:
            raise NotSeen(f'{path} should be open on {sorted(wanted)}, but '
                          f'is on {sorted(found)}')

    def checksum(self, path: str, offset_mib: int, size_mib: int) -> str:
        """Return the SHA-256 of a part of a volume's backing."""
        return self.backings.checksum(path, offset_mib, size_mib)


def merged(shown: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what several nodes show as if it were one.

    :param shown: node -> its target.
    :raises NotSeen: when two of them serve one target.
    """
    found: dict[str, Any] = {}
    for name, target in shown.items():
        for kind, things in target.items():
            if isinstance(things, list):
                found[kind] = found.get(kind, []) + things
                continue
            had = found.setdefault(kind, {})
            if kind == 'targets':
                # A gateway that has let go of a target keeps an empty one.
                things = {k: t for k, t in things.items()
                          if k not in had or t['luns'] or t['acls']}
                if twice := sorted(k for k in had.keys() & things.keys()
                                   if had[k]['luns'] or had[k]['acls']):
                    raise NotSeen(f'{name} serves {twice}, and so does '
                                  f'another node: {", ".join(shown)}')
            had |= things
    return found


def _paths(disks: list[dict[str, Any]]) -> str:
    """Return the name of a disk, or of several and their multipath map.

    :raises NotSeen: when several disks are not paths of one map.
    """
    names = '+'.join(d['name'] for d in disks)
    if len(disks) == 1:
        return names
    maps = {holder for d in disks for holder in d['holders']}
    if len(maps) != 1 or not all(d['holders'] for d in disks):
        raise NotSeen(f'{names} are one volume, but not of one multipath '
                      f'map: {disks}')
    return f'{names} as {maps.pop()}'


def nothing_left(before: Seen, after: Seen) -> str:
    """Prove that nothing is left that was not there before.

    :raises NotSeen: naming what is left.
    """
    left = left_over(before, after)
    if found := {kind: sorted(what) for kind, what in left.items() if what}:
        raise NotSeen(f'left over: {found}')
    return ', '.join(f'0 {kind}' for kind in left)


def left_over(before: Seen, after: Seen) -> dict[str, set[str]]:
    """Return the objects that were not there before, for every kind."""
    had = before.inventory()
    return {kind: things - had[kind]
            for kind, things in after.inventory().items()}


def first_match(path: Path, *words: str) -> str | None:
    """Return the first line of a log that has all these words."""
    with path.open(errors='replace') as f:
        return next((line.strip() for line in f
                     if all(w in line for w in words)), None)
