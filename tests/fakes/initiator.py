# SPDX-License-Identifier: Apache-2.0
"""A fake compute host with its sysfs in a directory, and its storage."""

import dataclasses
import errno
import itertools
import os
from pathlib import Path
import shutil
import string
import threading
from typing import Self

from mydriver import exception, model, vpd
from mydriver.connection import iscsi
from mydriver.initiator import sysfs
from mydriver.initiator.sysfs import ScsiDevice, Session

TARGET = model.Iqn('iqn.2010-10.org.openstack:pool-0')
PORTALS = (model.Portal('192.0.2.1'), model.Portal('192.0.2.2'))
VOLUME = '9480dfc5-bffe-464e-9658-22036e7a43fc'
OTHER = '11111111-2222-3333-4444-555555555555'
MIB = 1 << 20


def page83(naa: str) -> bytes:
    """Return a page 0x83 as LIO makes it: volume, vendor, target port."""
    designators = b''
    for code_set, kind, body in (
            (1, 0x03, bytes.fromhex(naa)), (2, 0x01, b'LIO-ORG disk'),
            (1, 0x94, b'\0\0\0\1'), (1, 0x93, b'\x50' * 8)):
        designators += bytes((code_set, kind, 0, len(body))) + body
    return b'\0\x83' + len(designators).to_bytes(2, 'big') + designators


@dataclasses.dataclass
class Lun:
    """What the storage has mapped at a LUN."""

    naa: str
    size_bytes: int = 16 * MIB

    @classmethod
    def of(cls, volume_id: str, size_bytes: int = 16 * MIB) -> Self:
        """Return the LUN of a volume."""
        return cls(model.naa_id(volume_id), size_bytes)


class FakeHost:
    """An :class:`.verbs.Verbs` and its sysfs, below ``root``.

    :ivar luns: what the storage has mapped, by LUN, at each target that has
        no entry in ``luns_at``.
    :ivar luns_at: the same for one target each, by its IQN.
    :ivar down: portals that take no connection.
    :ivar silent: portals that take one and then say nothing.
    :ivar waited_s: how long such were waited for, by portal.
    :ivar refuse: text with which the target refuses logins, or empty.
    :ivar chap: credentials that the target asks for; None takes any.
    :ivar records: node records, with the CHAP credentials in them.
    :ivar unflushed: disks that fail to write out.
    :ivar multipathd: whether it runs.
    :ivar picky: whether it takes claimed volumes only, and on request.
    :ivar disk_names: names for the disks to come.
    :ivar busy: NAA ids of maps that are open.
    :ivar speechless: LUNs whose devices cannot be asked what they are, and how
        many more times.
    :ivar probing: disks that the kernel shows, but cannot be opened yet, and
        how many more attempts will fail. Each new disk begins with
        ``probe_attempts``.
    :ivar exclusive: disks that somebody has for himself.
    :ivar late: disks that multipathd takes in only when it is asked.
    :ivar blacklisted: disks that it never takes in.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.luns: dict[int, Lun] = {}
        self.luns_at: dict[str, dict[int, Lun]] = {}
        self.down: set[model.Portal] = set()
        self.silent: set[model.Portal] = set()
        self.waited_s: list[tuple[model.Portal, float]] = []
        self.refuse = ''
        self.chap: model.ChapCredentials | None = None
        self.records: dict[tuple[str, model.Portal],
                           model.ChapCredentials | None] = {}
        self.flushed: list[str] = []
        self.unflushed: set[str] = set()
        self.multipathd = False
        self.picky = False
        self.claimed: set[str] = set()
        self.busy: set[str] = set()
        self.speechless: dict[int, int] = {}
        self.probing: dict[str, int] = {}
        self.probe_attempts = 1
        self.exclusive: set[str] = set()
        self.late: set[str] = set()
        self.blacklisted: set[str] = set()
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self.disk_names = (f'sd{a}' for a in string.ascii_lowercase)
        for folder in ('class/iscsi_session', 'class/iscsi_connection',
                       'class/block', 'block', 'bus/scsi/devices',
                       'devices/platform'):
            (root / folder).mkdir(parents=True)

    # What tests look at

    def connection(self, volume_id: str = VOLUME, lun: int = 1,
                   portals: tuple[model.Portal, ...] = PORTALS,
                   size_bytes: int = 16 * MIB) -> iscsi.Connection:
        """Map a volume and return how to reach it."""
        self.luns[lun] = Lun.of(volume_id, size_bytes)
        return iscsi.Connection(
            volume_id, iscsi.paths(TARGET, portals, lun),
            wwn=model.naa_id(volume_id))

    def names(self, folder: str) -> list[str]:
        """Return the names in a directory of sysfs."""
        return sorted(p.name for p in (self.root / folder).iterdir())

    @property
    def left(self) -> dict[str, list[str]]:
        """All that an attach may leave, without what is empty."""
        found = {
            'sessions': self.names('class/iscsi_session'),
            'devices': self.names('bus/scsi/devices'),
            'disks': self.names('block'),
            'records': [str(p) for _, p in self.records],
            'claims': sorted(self.claimed),
        }
        return {k: v for k, v in found.items() if v}

    def write(self, path: str, value: str | bytes) -> None:
        """Write a file of sysfs."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, str):
            file.write_text(value + '\n')
        else:
            file.write_bytes(value)

    def set_state(self, state: str) -> None:
        """Put every session into a state."""
        for name in self.names('class/iscsi_session'):
            self.write(f'class/iscsi_session/{name}/state', state)

    # Sessions

    def reach(self, portal: model.Portal, timeout_s: float) -> None:
        """See Verbs."""
        if portal in self.down:
            raise ConnectionRefusedError(111, 'Connection refused')
        if portal in self.silent:
            self.waited_s.append((portal, timeout_s))
            raise TimeoutError('no answer in time')

    def login(self, target: str, portal: model.Portal,
              chap: model.ChapCredentials | None, timeout_s: float) -> None:
        """See Verbs."""
        if self.refuse:
            raise exception.LoginError(target, str(portal), self.refuse)
        if portal in self.down | self.silent:
            raise exception.LoginError(target, str(portal), 'no connection')
        if self.chap and chap != self.chap:
            raise exception.LoginError(target, str(portal),
                                       '24 - authorization failure')
        with self._lock:
            self.records[target, portal] = chap
            if not self._has_session(target, portal):
                self.add_session(target, portal)

    def _has_session(self, target: str, portal: model.Portal) -> bool:
        """Tell whether there is a session with a target at a portal."""
        return sysfs.Sysfs(self.root).session(target, portal) is not None

    def add_session(self, target: str, portal: model.Portal) -> None:
        """Make a session in sysfs."""
        sid = next(self._numbers)
        real = self.root / f'devices/platform/host{sid}/session{sid}'
        (real / f'target{sid}:0:0').mkdir(parents=True)
        connection = f'class/iscsi_connection/connection{sid}:0'
        self.write(f'{connection}/persistent_address', portal.address)
        self.write(f'{connection}/persistent_port', str(portal.port))
        session = f'class/iscsi_session/session{sid}'
        self.write(f'{session}/target_id', '0')
        self.write(f'{session}/state', 'LOGGED_IN')
        (self.root / session / 'device').symlink_to(real)
        # The last: with it the session counts.
        self.write(f'{session}/targetname', target)

    def logout(self, session: Session) -> None:
        """See Verbs."""
        folder = self.root / f'class/iscsi_session/session{session.sid}'
        what = f'log out of session {session.sid}'
        with self._lock:
            if not folder.exists():
                return
            found = (folder / 'targetname').read_text().strip()
            if found != session.target:
                raise exception.InitiatorError(what, f'it is with {found}')
            if list(self.root.glob(f'bus/scsi/devices/{session.host}:*')):
                raise exception.InitiatorError(what, 'it still has devices')
            self.drop_session(session)

    def drop_session(self, session: Session) -> None:
        """End a session, devices and all, as somebody else may."""
        with self._lock:
            for device in list((self.root / 'bus/scsi/devices').glob(
                    f'{session.host}:*')):
                self._remove(device.name)
            shutil.rmtree(
                self.root / f'class/iscsi_session/session{session.sid}')
            shutil.rmtree(self.root / 'class/iscsi_connection'
                          / f'connection{session.sid}:0')
            shutil.rmtree(
                self.root / f'devices/platform/host{session.host}')

    def forget(self, target: str, portal: model.Portal) -> None:
        """See Verbs."""
        self.records.pop((target, portal), None)

    # Devices

    def scan(self, session: Session, lun: int) -> None:
        """See Verbs."""
        with self._lock:
            if not (self.root / 'class/iscsi_session'
                    / f'session{session.sid}').exists():
                raise exception.InitiatorError(
                    f'use SCSI host {session.host}', 'it has no session')
            hctl = f'{session.host}:0:0:{lun}'
            link = self.root / 'bus/scsi/devices' / hctl
            mapped = self._mapped(session.sid, lun)
            if not mapped or link.is_symlink():
                return
            name = next(self.disk_names)
            below = (f'devices/platform/host{session.host}/'
                     f'session{session.sid}/target{session.host}:0:0/{hctl}')
            self.write(f'{below}/vpd_pg83', page83(mapped.naa))
            (self.root / below / 'block' / name).mkdir(parents=True)
            link.symlink_to(self.root / below)
            self._disk(name, mapped.size_bytes)
            self.probing[name] = self.probe_attempts
            if (self.multipathd and not self.picky
                    and name not in self.late | self.blacklisted):
                self._add_to_map(name, mapped)

    def _disk(self, name: str, size_bytes: int) -> None:
        self.write(f'block/{name}/size', str(size_bytes // 512))
        link = self.root / 'class/block' / name
        if not link.is_symlink():
            link.symlink_to(self.root / 'block' / name)

    def _mapped(self, sid: int, lun: int) -> Lun | None:
        """Return what the target of a session has mapped at a LUN.

        A SCSI host has the number of its session here.
        """
        file = self.root / f'class/iscsi_session/session{sid}/targetname'
        if not file.exists():
            return None
        target = file.read_text().strip()
        return self.luns_at.get(target, self.luns).get(lun)

    def _mapped_to(self, device: ScsiDevice) -> Lun | None:
        return self._mapped(device.hctl[0], device.lun)

    def _folder(self, device: ScsiDevice) -> Path:
        return (self.root / 'bus/scsi/devices'
                / ':'.join(str(n) for n in device.hctl))

    def _open(self, name: str) -> None:
        """Do as the kernel does until bdev_add.

        :raises OSError: if the disk cannot be opened yet.
        """
        if self.probing.get(name):
            self.probing[name] -= 1
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO),
                          f'/dev/{name}')

    def _ask(self, device: ScsiDevice) -> None:
        """Open a device to ask it.

        :raises NoAnswer: if it cannot be opened yet.
        """
        block = self._folder(device) / 'block'
        for name in os.listdir(block) if block.exists() else ():
            try:
                self._open(name)
            except OSError as e:
                raise exception.NoAnswer(f'ask {device}', str(e)) from e

    def read_naa(self, device: ScsiDevice) -> str:
        """See Verbs."""
        self._ask(device)
        if self.speechless.get(device.lun, 0):
            self.speechless[device.lun] -= 1
            raise exception.NoAnswer(f'ask {device}', 'no node in /dev')
        mapped = self._mapped_to(device)
        return mapped.naa if mapped and self._folder(device).exists() else ''

    def rescan(self, device: ScsiDevice, naa: str) -> None:
        """See Verbs."""
        mapped = self._mapped_to(device)
        if not self._folder(device).exists():
            raise exception.InitiatorError('rescan a device',
                                           f'{device} is not there')
        self._ask(device)
        if mapped is None or mapped.naa != naa:
            raise exception.WrongDevice(
                str(device), naa, mapped.naa if mapped else 'nothing')
        self._disk(device.name or '', mapped.size_bytes)
        (self._folder(device) / 'vpd_pg83').write_bytes(page83(mapped.naa))

    def delete(self, device: ScsiDevice, naa: str) -> None:
        """See Verbs."""
        if self._folder(device).exists():
            self._expect(device, naa)
            if device.name in self.exclusive:
                raise exception.InitiatorError(
                    f'remove {device.name}', 'it is claimed')
            self._remove(self._folder(device).name)

    def _expect(self, device: ScsiDevice, naa: str) -> None:
        """Refuse a device that the kernel knows as another volume."""
        found = sysfs.Sysfs(self.root).remembered_naa(device)
        if found != naa:
            raise exception.WrongDevice(str(device), naa, found)

    def _remove(self, hctl: str) -> None:
        with self._lock:
            link = self.root / 'bus/scsi/devices' / hctl
            for block in (link / 'block').iterdir():
                shutil.rmtree(self.root / 'block' / block.name)
                (self.root / 'class/block' / block.name).unlink()
                for slave in self.root.glob(f'block/dm-*/slaves/{block.name}'):
                    slave.rmdir()
                    self._drop_map_without_paths(slave.parent)
            shutil.rmtree(link.resolve())
            link.unlink()

    def is_claimed(self, device: ScsiDevice, naa: str) -> bool:
        """See Verbs."""
        if not self._folder(device).exists():
            return False
        self._expect(device, naa)
        return device.name in self.exclusive

    def flush(self, name: str) -> None:
        """See Verbs."""
        if not (self.root / 'class/block' / name).exists():
            raise exception.InitiatorError(f'flush {name}',
                                           'there is no such disk')
        try:
            self._open(name)
        except OSError as e:
            raise exception.InitiatorError('flush a device', str(e)) from e
        if name in self.unflushed:
            raise exception.InitiatorError(f'flush {name}', 'I/O error')
        self.flushed.append(name)

    # Multipath

    def hold(self, name: str, holder: str, dm_name: str) -> None:
        """Put another device-mapper device onto a device."""
        self.write(f'block/{holder}/dm/uuid', f'LVM-{holder}')
        self.write(f'block/{holder}/dm/name', dm_name)
        self._disk(holder, MIB)
        (self.root / 'block' / name / 'holders' / holder).mkdir(parents=True)

    def _add_to_map(self, name: str, mapped: Lun) -> None:
        """Do as multipathd does: no path of another size than the map's."""
        dm = next((p.parent.parent.name for p in self.root.glob(
            'block/dm-*/dm/uuid')
            if p.read_text().strip() == vpd.map_uuid(mapped.naa)), None)
        size_bytes = 512 * int(
            (self.root / 'block' / name / 'size').read_text())
        if not dm:
            dm = f'dm-{len(list(self.root.glob("block/dm-*")))}'
            self.write(f'block/{dm}/dm/uuid', vpd.map_uuid(mapped.naa))
            self.write(f'block/{dm}/dm/suspended', '0')
            self._disk(dm, size_bytes)
        elif size_bytes != 512 * int(
                (self.root / 'block' / dm / 'size').read_text()):
            return
        (self.root / 'block' / dm / 'slaves' / name).mkdir(
            parents=True, exist_ok=True)

    def _drop_map_without_paths(self, slaves: Path) -> None:
        """Do as multipathd does, unless the map is open."""
        naa = (slaves.parent / 'dm/uuid').read_text().strip().removeprefix(
            vpd.map_uuid(''))
        if not list(slaves.iterdir()) and naa not in self.busy:
            self.multipath_remove_map(naa, False)

    def multipath_paths(self) -> set[str] | None:
        """See Verbs."""
        if not self.multipathd:
            return None
        return {p.name for p in self.root.glob('block/sd*')}

    def multipath_claim(self, naa: str) -> None:
        """See Verbs."""
        self.claimed.add(naa)

    def multipath_unclaim(self, naa: str) -> None:
        """See Verbs."""
        self.claimed.discard(naa)

    def multipath_add_path(self, name: str) -> str:
        """See Verbs."""
        if name in self.blacklisted:
            return 'blacklisted'
        for link in self.root.glob(f'bus/scsi/devices/*/block/{name}'):
            host, _, _, lun = link.parent.parent.name.split(':')
            mapped = self._mapped(int(host), int(lun))
            if self.multipathd and mapped and mapped.naa in self.claimed:
                self._add_to_map(name, mapped)
        return 'ok'

    def multipath_del_path(self, name: str) -> None:
        """See Verbs."""

    def multipath_remove_map(self, naa: str, force: bool) -> None:
        """See Verbs."""
        for uuid in list(self.root.glob('block/dm-*/dm/uuid')):
            if uuid.read_text().strip() == vpd.map_uuid(naa):
                dm = uuid.parent.parent
                if naa in self.busy:
                    raise exception.InitiatorError(
                        f'remove {dm.name}', 'map in use')
                shutil.rmtree(dm)
                (self.root / 'class/block' / dm.name).unlink()

    def multipath_resize_map(self, naa: str) -> None:
        """See Verbs."""
        for uuid in self.root.glob('block/dm-*/dm/uuid'):
            if uuid.read_text().strip() == vpd.map_uuid(naa):
                dm = uuid.parent.parent
                slave = next((dm / 'slaves').iterdir()).name
                self._disk(dm.name, 512 * int(
                    (self.root / 'block' / slave / 'size').read_text()))
                return
        raise exception.InitiatorError(
            f'resize the multipath map of {naa}', 'there is none')
