# SPDX-License-Identifier: Apache-2.0
"""What the kernel counts: sessions, and the I/O of exports.

All of it is world-readable; only CHAP secrets are not, and they are not read
here. Counters start at zero when the kernel creates their object.

LIO counts data in whole MiB (drivers/target/target_core_stat.c). Its exact
counters of a session are not used: they leave out immediate data, that is most
small writes (drivers/target/iscsi/iscsi_target.c, iscsit_setup_scsi_cmd), and
all sessions of an initiator but the newest one. The block layer counts
sectors (Documentation/admin-guide/iostats.rst), but only of block devices, and
it also counts what this host itself does with the device.

What is there and cannot be read raises :exc:`.TargetError`: neither zero nor
nothing would be the truth.
"""

from collections.abc import Iterable, Iterator
import dataclasses
import os
from pathlib import Path

from mydriver import model
from mydriver.target import configfs, directory, luns, outline, sessions

_MIB = 1 << 20
_SECTOR_BYTES = 512


@dataclasses.dataclass(frozen=True, slots=True)
class Io:
    """Counters; None for one that the kernel does not have.

    :param commands: SCSI commands, including those without data.
    :param read_bytes: data that initiators have read.
    :param written_bytes: data that they have written.
    """

    commands: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """Counters of the block layer for the device behind an export.

    :param read_bytes: by anybody on this host.
    :param written_bytes: by anybody on this host.
    :param in_flight: requests that were issued and are not complete.
    """

    read_bytes: int
    written_bytes: int
    in_flight: int


@dataclasses.dataclass(frozen=True, slots=True)
class ExportIo:
    """A LUN of a target.

    :param volume_id: from the name of its backstore.
    :param target: name of the target.
    :param lun: its number in the TPG.
    :param io: of all initiators, in whole MiB.
    :param device: the numbers of its block device, as text; None for fileio.
    :param disk: None for fileio, and when the device has gone.
    """

    volume_id: str
    target: str
    lun: int
    io: Io
    device: tuple[bytes, bytes] | None
    disk: Disk | None


@dataclasses.dataclass(frozen=True, slots=True)
class SeenSession:
    """An initiator that is logged in at a target.

    :param target: name of the target.
    :param initiator: name of its NodeACL.
    :param session: the newest of its sessions.
    :param luns: how many LUNs are mapped to it.
    :param io: of all its mapped LUNs, since they were mapped.
    """

    target: str
    initiator: str
    session: sessions.Session
    luns: int
    io: Io


@dataclasses.dataclass(frozen=True, slots=True)
class Logins:
    """What a target has counted; None for what the kernel does not have.

    :param sessions: sessions right now, including those that
        :class:`SeenSession` leaves out.
    :param accepted: successful logins.
    :param failed: logins that were refused, for any reason.
    :param errors: sessions that failed, by reason: ``digest``, ``timeout``,
        ``format``.
    """

    sessions: int | None
    accepted: int | None
    failed: int | None
    errors: dict[str, int]


class Statistics:
    """Reads them.

    :param root: the target's directory in configfs.
    :param disks: the block layer's counters of all devices (proc(5)).
    """

    def __init__(self, root: Path = configfs.ROOT,
                 disks: Path = Path('/proc/diskstats')) -> None:
        self._root = root
        self._disks_path = disks
        self._luns = luns.Luns()

    def observe(self, target: model.Iqn) -> configfs.SeenTarget | None:
        """Return what identifies the objects of a target.

        :returns: None when it is not here.
        """
        return outline.target(target, self._root, self._luns)

    def is_here(self, target: model.Iqn) -> bool:
        """Tell whether this host has a target."""
        return configfs.exists(self._tpg(target))

    def sessions(self, target: model.Iqn) -> Iterator[SeenSession]:
        """Yield the initiators that are logged in at a target."""
        with directory.opened(f'{self._tpg(target)}/acls') as acls:
            for initiator in acls.names():
                found = sessions.parse(acls.read(
                    f'{initiator}/info', directory.PAGE_BYTES).decode(
                        errors='surrogateescape'))
                if found is None:
                    continue
                luns = [name for name in acls.names(initiator)
                        if name.startswith('lun_')]
                yield SeenSession(
                    str(target), initiator, found, len(luns),
                    _sum(_mapped(acls, f'{initiator}/{lun}') for lun in luns))

    def logins(self, target: model.Iqn) -> Logins:
        """Return what a target has counted."""
        with directory.opened(f'{os.path.dirname(self._tpg(target))}/'
                              'fabric_statistics') as counted:
            errors = {kind: count for kind, name in (
                ('digest', 'digest_errors'), ('timeout', 'cxn_errors'),
                ('format', 'format_errors')) if (count := _number(
                    counted, f'iscsi_sess_err/{name}')) is not None}
            return Logins(_number(counted, 'iscsi_instance/sessions'),
                          _number(counted, 'iscsi_login_stats/accepts'),
                          _number(counted, 'iscsi_tgt_attr/login_fails'),
                          errors)

    def exports(self, targets: Iterable[model.Iqn], name_prefix: str
                ) -> Iterator[ExportIo]:
        """Yield the LUNs of targets that lead to a backend's backstores.

        :param name_prefix: of the backstores' names, before the volume's id.
        """
        disks = self._disks()
        for target in targets:
            with (directory.opened(self._tpg(target)) as tpg,
                  directory.opened(f'{self._root}/core') as core):
                for lun in self._luns.read(tpg, core):
                    name = lun.export.name
                    if name.startswith(name_prefix):
                        yield ExportIo(
                            name[len(name_prefix):], str(target),
                            lun.export.lun,
                            _counted(tpg, f'lun/{lun.folder}'), lun.device,
                            disks.get(lun.device))

    def mapped(self, target: model.Iqn, initiator: str, lun: int) -> Io:
        """Return the counters of a mapped LUN, for all of its sessions."""
        with directory.opened(
                f'{self._tpg(target)}/acls/{initiator}') as acl:
            return _mapped(acl, f'lun_{lun}')

    def _tpg(self, target: model.Iqn) -> str:
        return f'{self._root}/iscsi/{target}/tpgt_1'

    def _disks(self) -> dict[tuple[bytes, bytes] | None, Disk]:
        """Return the counters of all block devices, by number."""
        try:
            lines = self._disks_path.read_bytes().splitlines()
        except OSError as e:
            configfs.refuse_unreadable(self._disks_path, e)
            return {}
        return {(words[0], words[1]): Disk(
            int(words[5]) * _SECTOR_BYTES, int(words[9]) * _SECTOR_BYTES,
            int(words[11]))
            for words in map(bytes.split, lines) if len(words) > 11}


def by_volume(found: Iterable[ExportIo]) -> dict[str, ExportIo]:
    """Return LUNs by volume; those that lead to the same one are added up.

    The first one stands for their target, number and device.
    """
    volumes: dict[str, ExportIo] = {}
    for seen in found:
        its = volumes.setdefault(seen.volume_id, seen)
        if its is not seen:
            volumes[seen.volume_id] = dataclasses.replace(
                its, io=_sum([its.io, seen.io]),
                device=its.device or seen.device, disk=its.disk or seen.disk)
    return volumes


#: Those of this host.
HOST = Statistics()


def _counted(tpg: directory.Directory, lun: str) -> Io:
    counted = f'{lun}/statistics/scsi_tgt_port'
    return Io(_number(tpg, f'{counted}/in_cmds'),
              _mebibytes(tpg, f'{counted}/read_mbytes'),
              _mebibytes(tpg, f'{counted}/write_mbytes'))


def _mapped(acl: directory.Directory, lun: str) -> Io:
    counted = f'{lun}/statistics/scsi_auth_intr'
    return Io(_number(acl, f'{counted}/num_cmds'),
              _mebibytes(acl, f'{counted}/read_mbytes'),
              _mebibytes(acl, f'{counted}/write_mbytes'))


def _sum(some: Iterable[Io]) -> Io:
    """Add counters up; a sum with an unknown one is unknown."""
    def total(counts: Iterable[int | None]) -> int | None:
        known = list(counts)
        return None if None in known else sum(filter(None, known))

    found = list(some)
    return Io(total(io.commands for io in found),
              total(io.read_bytes for io in found),
              total(io.written_bytes for io in found))


def _mebibytes(folder: directory.Directory, name: str) -> int | None:
    """Return a number of MiB in bytes."""
    found = _number(folder, name)
    return None if found is None else found * _MIB


def _number(folder: directory.Directory, name: str) -> int | None:
    text = folder.read(name).strip()
    return int(text) if text.isdigit() else None
