# SPDX-License-Identifier: Apache-2.0
"""What the kernel counts: sessions, and the I/O of exports.

All of it is world-readable; only CHAP secrets are not, and they are not read
here. Counters start at zero when the kernel creates their object.

LIO counts data in whole MiB (drivers/target/target_core_stat.c), except per
session (drivers/target/iscsi/iscsi_target_stat.c). The block layer counts
sectors (Documentation/block/stat.rst), but only block devices, and it also
counts what this host itself does with the device.
"""

from collections.abc import Iterator
import dataclasses
import os
from pathlib import Path
import re

from mydriver import model
from mydriver.target import configfs, sessions

_MIB = 1 << 20
_SECTOR_BYTES = 512
#: The most that an attribute of configfs or sysfs can contain, bytes.
_PAGE = 4096

_DEVICE = re.compile(r'\bMajor: (\d+) Minor: (\d+)')

#: The name that this driver gives the link in a LUN's directory.
_LINK = 'mydriver'


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
    :param disk: None for fileio, and when the device has gone.
    """

    volume_id: str
    target: str
    lun: int
    io: Io
    disk: Disk | None


@dataclasses.dataclass(frozen=True, slots=True)
class SeenSession:
    """An initiator that is logged in at a target.

    :param target: name of the target.
    :param initiator: name of its NodeACL.
    :param session: the newest of its sessions.
    :param luns: how many LUNs are mapped to it.
    :param io: of that session, exact.
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
    :param devices: the block devices by number in sysfs.
    """

    def __init__(self, root: Path = configfs.ROOT,
                 devices: Path = configfs.DEVICES) -> None:
        self._root = root
        self._devices = str(devices)

    def observe(self, target: model.Iqn) -> configfs.SeenTarget | None:
        """Return the objects of a target, None when it is not here."""
        return configfs.target(target, self._root)

    def is_here(self, target: model.Iqn) -> bool:
        """Tell whether this host has a target."""
        return self._tpg(target).is_dir()

    def sessions(self, target: model.Iqn) -> Iterator[SeenSession]:
        """Yield the initiators that are logged in at a target."""
        acls = f'{self._tpg(target)}/acls'
        for initiator in _names(acls):
            acl = f'{acls}/{initiator}'
            found = sessions.parse(_read(f'{acl}/info'))
            if found is None:
                continue
            counted = f'{acl}/fabric_statistics/iscsi_sess_stats'
            yield SeenSession(
                str(target), initiator, found,
                sum(name.startswith('lun_') for name in _names(acl)),
                Io(_number(f'{counted}/cmd_pdus'),
                   _number(f'{counted}/txdata_octs'),
                   _number(f'{counted}/rxdata_octs')))

    def logins(self, target: model.Iqn) -> Logins:
        """Return what a target has counted."""
        counted = f'{self._tpg(target).parent}/fabric_statistics'
        errors = {kind: count for kind, name in (
            ('digest', 'digest_errors'), ('timeout', 'cxn_errors'),
            ('format', 'format_errors')) if (count := _number(
                f'{counted}/iscsi_sess_err/{name}')) is not None}
        return Logins(_number(f'{counted}/iscsi_instance/sessions'),
                      _number(f'{counted}/iscsi_login_stats/accepts'),
                      _number(f'{counted}/iscsi_tgt_attr/login_fails'),
                      errors)

    def exports(self, target: model.Iqn, name_prefix: str
                ) -> Iterator[ExportIo]:
        """Yield the LUNs of a target that lead to a backend's backstores.

        :param name_prefix: of the backstores' names, before the volume's id.
        """
        luns = f'{self._tpg(target)}/lun'
        for name in _names(luns):
            lun = f'{luns}/{name}'
            store = _linked(lun)
            if store is None or not (
                    its_name := os.path.basename(store)).startswith(
                        name_prefix):
                continue
            counted = f'{lun}/statistics/scsi_tgt_port'
            yield ExportIo(
                its_name.removeprefix(name_prefix), str(target),
                int(name.removeprefix('lun_')),
                Io(_number(f'{counted}/in_cmds'),
                   _mebibytes(f'{counted}/read_mbytes'),
                   _mebibytes(f'{counted}/write_mbytes')),
                self._disk(store))

    def mapped(self, target: model.Iqn, initiator: str, lun: int) -> Io:
        """Return the counters of a mapped LUN, for all of its sessions."""
        counted = (f'{self._tpg(target)}/acls/{initiator}/lun_{lun}'
                   '/statistics/scsi_auth_intr')
        return Io(_number(f'{counted}/num_cmds'),
                  _mebibytes(f'{counted}/read_mbytes'),
                  _mebibytes(f'{counted}/write_mbytes'))

    def _tpg(self, target: model.Iqn) -> Path:
        return self._root / 'iscsi' / str(target) / 'tpgt_1'

    def _disk(self, store: str) -> Disk | None:
        """Return the counters of the device of a backstore."""
        if not os.path.basename(os.path.dirname(store)).startswith('iblock_'):
            return None
        device = _DEVICE.search(_read(f'{store}/info'))
        if device is None:
            return None
        words = _read(f'{self._devices}/{device[1]}:{device[2]}/stat').split()
        if len(words) < 9:
            return None
        return Disk(int(words[2]) * _SECTOR_BYTES,
                    int(words[6]) * _SECTOR_BYTES, int(words[8]))


#: Those of this host.
HOST = Statistics()


def _linked(lun: str) -> str | None:
    """Return the backstore that a LUN leads to, None when it has gone."""
    for name in (_LINK, *_names(lun)):
        try:
            to = os.readlink(f'{lun}/{name}')
        except OSError:  # not a link, or no more
            continue
        return os.path.normpath(os.path.join(lun, to))
    return None


def _names(folder: str) -> list[str]:
    """Return the names in a directory, sorted; none when it has gone."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _mebibytes(path: str) -> int | None:
    """Return a number of MiB in bytes."""
    found = _number(path)
    return None if found is None else found * _MIB


def _number(path: str) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _read(path: str) -> str:
    """Return the text of an attribute; empty when it cannot be read."""
    # Path.read_text takes ten times as long, and there are thousands.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _PAGE).decode(errors='surrogateescape')
        finally:
            os.close(fd)
    except OSError:
        return ''
