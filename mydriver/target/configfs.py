# SPDX-License-Identifier: Apache-2.0
"""The objects of the kernel target, read without privileges.

Layout: Documentation/target/tcm_mod_builder.rst and
drivers/target/iscsi/iscsi_target_configfs.c. Secrets are not readable here.

What is not there, or goes during the read, is left out. What is there and
cannot be read is an error: that it is missing would be a wrong answer.
"""

import dataclasses
import errno
import os
from pathlib import Path
import re

from mydriver import exception, model

#: The target's directory in configfs.
ROOT = Path('/sys/kernel/config/target')
_TPG = 'tpgt_1'
_DEVICES = Path('/sys/dev/block')

#: An object that does not exist, or whose last reference has gone: attributes
#: of a LUN without device answer ENODEV (drivers/target/target_core_stat.c).
_GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENODEV))


@dataclasses.dataclass(frozen=True, slots=True)
class SeenExport:
    """A LUN of a TPG and the backstore that it leads to.

    :param lun: LUN number in the TPG.
    :param name: name of the backstore.
    :param kind: ``fileio``, ``iblock`` or another plugin of LIO.
    :param serial: unit serial of the backstore.
    :param path: the file or block device behind it.
    :param size_bytes: its size as the target has it; 0 when the plugin does
        not show it.
    """

    lun: int
    name: str
    kind: str
    serial: str
    path: str
    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class SeenMapping:
    """A mapped LUN of a NodeACL.

    :param initiator: name of the NodeACL.
    :param lun: the LUN that the initiator sees.
    :param tpg_lun: the LUN of the TPG that it leads to.
    :param read_only: write-protected.
    """

    initiator: str
    lun: int
    tpg_lun: int
    read_only: bool


@dataclasses.dataclass(frozen=True, slots=True)
class SeenTarget:
    """One target's TPG 1.

    :param iqn: name of the target.
    :param enabled: it accepts logins.
    :param portals: the portals that it listens at, ``ADDRESS:PORT``.
    :param exports: its LUNs.
    :param acls: the initiators that have a NodeACL, with or without LUNs.
    :param mappings: their mapped LUNs.
    :param authenticated: those of the initiators that must log in by CHAP.
    """

    iqn: str
    enabled: bool
    portals: frozenset[str]
    exports: tuple[SeenExport, ...]
    acls: frozenset[str]
    mappings: tuple[SeenMapping, ...]
    authenticated: frozenset[str] = frozenset()


def names(root: Path = ROOT) -> list[str]:
    """Return the names of all iSCSI targets with a TPG 1, ours or not.

    :raises TargetError: when they cannot be read.
    """
    fabric = root / 'iscsi'
    return [name for name in _subdirectories(fabric)
            if name.startswith('iqn.') and exists(fabric / name / _TPG)
            ] if exists(fabric) else []


def target(iqn: model.Iqn, root: Path = ROOT) -> SeenTarget | None:
    """Return the objects of a target, None when there is no target.

    Other backends may change theirs meanwhile; objects that vanish during
    the read are left out.

    :raises TargetError: when something of it cannot be read.
    """
    tpg = root / 'iscsi' / str(iqn) / _TPG
    if not exists(tpg):
        return None
    found = _target(iqn, tpg)
    return found if exists(tpg) else None


def _target(iqn: model.Iqn, tpg: Path) -> SeenTarget:
    exports = tuple(e for name in _subdirectories(tpg / 'lun')
                    if (e := _export(tpg / 'lun' / name)))
    acls = [tpg / 'acls' / name for name in _subdirectories(tpg / 'acls')]
    mappings = tuple(
        m for acl in acls for name in _subdirectories(acl)
        if name.startswith('lun_') and (m := _mapping(acl.name, acl / name)))
    return SeenTarget(
        str(iqn), _read(tpg / 'enable') == '1',
        frozenset(_subdirectories(tpg / 'np')), exports,
        frozenset(p.name for p in acls), mappings,
        frozenset(p.name for p in acls if _must_authenticate(tpg, p)))


def _must_authenticate(tpg: Path, acl: Path) -> bool:
    """Tell whether a NodeACL asks for CHAP, by itself or through its TPG.

    drivers/target/iscsi/iscsi_target_nego.c, iscsi_conn_auth_required; kernels
    before 6.0 only consult the TPG.
    """
    own = _read(acl / 'attrib/authentication')
    if own in ('', '-1'):
        own = _read(tpg / 'attrib/authentication')
    return own == '1'


def is_bound(iqn: model.Iqn, root: Path = ROOT) -> bool:
    """Tell whether NodeACLs use the CHAP setting of their TPG.

    On kernels before 6.0 they do, since they have no setting of their own.
    """
    acls = root / 'iscsi' / str(iqn) / _TPG / 'acls'
    return any(not exists(acls / name / 'attrib/authentication')
               for name in _subdirectories(acls))


def listening(iqn: model.Iqn, root: Path = ROOT) -> frozenset[str]:
    """Return the portals at which a target accepts logins, ``ADDRESS:PORT``.

    The number of reads does not depend on the number of LUNs.
    """
    tpg = root / 'iscsi' / str(iqn) / _TPG
    if _read(tpg / 'enable') != '1':
        return frozenset()
    return frozenset(_subdirectories(tpg / 'np'))


def database(root: Path = ROOT) -> str:
    """Return the directory in which the kernel target stores its files.

    Persistent reservations are in ``pr`` below it
    (drivers/target/target_core_pr.c, __core_scsi3_write_aptpl_to_file).

    :returns: an absolute path; empty when the target is not loaded.
    """
    return _read(root / 'dbroot')


def discovery_chap(root: Path = ROOT) -> Path | None:
    """Return the attribute that makes discovery ask for CHAP, if it is set.

    It applies to all targets of the host, whatever their own settings.
    """
    path = root / 'iscsi/discovery_auth/enforce_discovery_auth'
    return path if _read(path) == '1' else None


def backstores(prefix: str, root: Path = ROOT) -> list[tuple[str, str, str]]:
    """Return the backstores whose name begins with ``prefix``.

    :returns: kind, name, and unit serial (empty while not set up) of each.
    """
    return [(hba.rpartition('_')[0], name, _serial(root / 'core' / hba / name))
            for hba in _subdirectories(root / 'core') if '_' in hba
            for name in _subdirectories(root / 'core' / hba)
            if name.startswith(prefix)]


def _export(folder: Path) -> SeenExport | None:
    store = _leads_to(folder)
    if store is None:
        return None
    return SeenExport(_number(folder), store.name,
                      store.parent.name.rpartition('_')[0],
                      _serial(store), _read(store / 'udev_path'),
                      _size(store))


def _mapping(initiator: str, folder: Path) -> SeenMapping | None:
    lun = _leads_to(folder)
    if lun is None:
        return None
    return SeenMapping(initiator, _number(folder), _number(lun),
                       _read(folder / 'write_protect') == '1')


def _leads_to(folder: Path) -> Path | None:
    """Return where the link in a LUN's directory leads; None if it has gone.

    The link is read once: it may go at any time.

    :raises TargetError: when it cannot be read.
    """
    for name in _subdirectories(folder):
        if to := _read_link(folder / name):
            return Path(os.path.normpath(folder / to))
    return None


def _number(folder: Path) -> int:
    return int(folder.name.removeprefix('lun_'))


def _serial(store: Path) -> str:
    return _read(store / 'wwn/vpd_unit_serial').partition(':')[2].strip()


def _size(store: Path) -> int:
    info = _read(store / 'info')
    if match := re.search(r'\bSize: (\d+)', info):
        return int(match[1])
    # iblock shows its device, and has the size of that.
    if match := re.search(r'\bMajor: (\d+) Minor: (\d+)', info):
        sectors = _read(_DEVICES / f'{match[1]}:{match[2]}' / 'size')
        return int(sectors or 0) * 512
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors='surrogateescape').strip()
    except OSError as e:
        refuse_unreadable(path, e)
        return ''


def _subdirectories(folder: Path) -> list[str]:
    """Return the names in a directory, without those of attributes."""
    try:
        return sorted(e.name for e in os.scandir(folder)
                      if e.is_symlink() or e.is_dir())
    except OSError as e:
        refuse_unreadable(folder, e)
        return []


def _read_link(path: Path) -> str:
    """Return where a link leads; empty if it is none, or has gone."""
    try:
        return os.readlink(path)
    except OSError as e:
        refuse_unreadable_link(path, e)
        return ''


def exists(path: str | Path) -> bool:
    """Tell whether an object or an attribute exists.

    That the whole kernel target is missing only says so where configfs is
    mounted: without it, the kernel may serve whatever it likes.

    :raises TargetError: when that cannot be told.
    """
    try:
        os.stat(path)
    except OSError as e:
        refuse_unreadable(path, e)
        if str(path).startswith(f'{ROOT}/') and not os.path.ismount(
                ROOT.parent):
            raise exception.TargetError(
                f'show {path}', f'configfs is not mounted at {ROOT.parent}'
                ) from e
        return False
    return True


def refuse_unreadable(path: str | Path, error: OSError) -> None:
    """Raise TargetError unless an error means that an object is not there."""
    if error.errno not in _GONE:
        raise exception.TargetError(
            f'show {path}', f'{error.strerror} (user id {os.geteuid()})'
            ) from error


def refuse_unreadable_link(path: str | Path, error: OSError) -> None:
    """Do the same for readlink, where a path that is no link is no error."""
    if error.errno != errno.EINVAL:
        refuse_unreadable(path, error)
