# SPDX-License-Identifier: Apache-2.0
"""Named verbs over the kernel target; the only importer of rtslib_fb.

Each verb is idempotent, takes and returns primitives only, and makes what it
is told exactly so: what exists is compared with what is asked for. Objects
that have our place and are not ours are left alone, with an error.

No text of a caller's becomes a path before it has been checked as the name
that it is (:mod:`values`), and what is exported is the caller's volume in the
place that root's configuration gives to the backend (:mod:`backing`).

rtslib makes the objects and knows the configfs layout. Three of its calls
walk over all objects of a target, which would make an attach slower with
every volume, so these steps are done here: linking a mapped LUN, removing a
LUN, removing a storage object. rtslib's name cache is never asked: each
backstore has an index of its own, far above those that rtslib hands out.
"""

from collections.abc import Callable, Iterable
import contextlib
import functools
from pathlib import Path
import threading
from typing import Any
import uuid
import warnings

import rtslib_fb
from rtslib_fb import utils

from mydriver import exception, model, privileged
from mydriver.privileged import grants, values, verbs
from mydriver.privileged.target import backing, links, requests

#: rtslib hands out backstore indexes below this (rtslib_fb.tcm._Backstore).
_FIRST_INDEX = 1 << 20
_TPG = 1

_UUID_LENGTH = 36
_KINDS = {'fileio': rtslib_fb.FileIOStorageObject,
          'iblock': rtslib_fb.BlockStorageObject}

# One writer at a time: the daemon has a pool of threads, and the kernel's
# and rtslib's checks are not atomic with what follows them.
_lock = threading.Lock()

# NodeACLs that lost their last LUN while their initiator was logged in.
_emptied: set[Path] = set()


def _verb(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Serialise a verb and turn rtslib's and the kernel's errors into ours.

    :param what: what the verb does, for the error's text.
    """
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @verbs.translating_os_errors(what, exception.TargetError)
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                grants.current()  # whoever may not write them may not call
                with _lock:
                    return function(*args, **kwargs)
            except utils.RTSLibError as e:
                raise exception.TargetError(what, str(e)) from e
        return wrapper
    return decorate


# -- targets

@privileged.target_context.entrypoint
@_verb('set up a target')
def ensure_target(iqn: str, portals: list[list[Any]],
                  attributes: dict[str, int]) -> list[list[str]]:
    """Make a target with one TPG, its portals and attributes; enable it.

    Portals that are there and not asked for are left: removing one under
    load can hang the kernel.

    :param iqn: name of the target.
    :param portals: ``[address, port]`` each, IPv6 in brackets.
    :param attributes: TPG attributes and their values.
    :returns: the portals that the kernel refused, and why; the address may
        be another program's, or of a family that the host does not speak.
    :raises TargetError: when the kernel refuses, all portals for example.
    """
    name = values.target(iqn)
    listening = requests.portals(portals)
    settings = requests.attributes(attributes)
    _refuse_foreign_luns(name)
    tpg = rtslib_fb.TPG(rtslib_fb.Target(_fabric(), name), _TPG)
    for attribute, value in settings.items():
        _set_attribute(tpg, attribute, value)
    refused = [[str(portal), reason] for portal in listening
               if (reason := _ensure_portal(tpg, portal))]
    if refused and not any(Path(tpg.path, 'np').iterdir()):
        raise exception.TargetError(f'let {name} listen', ', '.join(
            f'{portal}: {reason}' for portal, reason in refused))
    _drop_idle_acls((Path(tpg.path) / 'acls').iterdir())
    if not tpg.enable:
        tpg.enable = True
    return refused


@privileged.target_context.entrypoint
@_verb('make the folder of persistent reservations')
def ensure_database() -> None:
    """Make the folders that the kernel's target writes to.

    rtslib wants /etc/target and tells the kernel to use it, as long as there
    is no backstore; the kernel makes neither it nor the folder below it, and
    fails guests' persistent reservations (drivers/target/target_core_pr.c).

    :raises ConfigurationError: when they cannot be made.
    """
    try:
        _ensure_folder(Path(rtslib_fb.RTSRoot._preferred_dbroot), 0o755)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # that it is another's by now
            database = Path(rtslib_fb.RTSRoot().dbroot)
        _ensure_folder(database, 0o755)
        _ensure_folder(database / 'pr', 0o700)
    except OSError as e:
        raise exception.ConfigurationError(
            'Kernel target', f'{e.filename} cannot be made: {e.strerror}',
            'The kernel keeps persistent reservations of guests there. Make '
            'it as root, mode 0755, and pr in it, mode 0700.') from e


@privileged.target_context.entrypoint
@_verb('remove an unused target')
def drop_target(iqn: str) -> bool:
    """Remove a target of our naming that nobody can be using.

    Without LUNs and NodeACLs there is no session to it, and removing its
    portals hangs nothing. The kernel refuses by itself to remove a TPG that
    got a LUN or a NodeACL meanwhile.

    :param iqn: name of the target.
    :returns: False when it has LUNs, NodeACLs or sessions, and stays.
    :raises RequestRefused: when its name is not one of ours.
    :raises TargetError: when the kernel refuses.
    """
    tpg = _tpg_path(values.target(iqn))
    if tpg.is_dir():
        sessions = (tpg / 'dynamic_sessions').read_text().strip('\0\n ')
        if any((tpg / 'lun').iterdir()) or any(
                p.is_dir() for p in (tpg / 'acls').iterdir()) or sessions:
            return False
        if any(p != tpg and p.name.startswith('tpgt_')
               for p in tpg.parent.iterdir()):
            return False  # somebody added a TPG of their own
        if (tpg / 'enable').read_text().strip() == '1':
            (tpg / 'enable').write_text('0')
        for portal in list((tpg / 'np').iterdir()):
            portal.rmdir()
        tpg.rmdir()
    with contextlib.suppress(FileNotFoundError):
        tpg.parent.rmdir()
    return True


# -- exports

@privileged.target_context.entrypoint
@_verb('export a volume')
def ensure_export(export: dict[str, Any]) -> None:
    """Make the backstore of a volume and its LUN in the TPG.

    :param export: ``target`` (IQN), ``lun`` (in the TPG), ``name`` of the
        backstore, ``volume_id`` (unit serial), ``kind``, ``path``,
        ``size_bytes``.
    :raises ForeignObject: when the LUN or the name is taken by another.
    :raises TargetError: when the kernel refuses.
    """
    _ensure_export(export)


@privileged.target_context.entrypoint
@_verb('withdraw a volume')
def drop_export(export: dict[str, Any]) -> None:
    """Remove the LUN and the backstore of a volume, if they are there.

    The kernel refuses while the LUN is mapped.

    :param export: ``target``, ``lun``, ``name``, ``volume_id``, ``kind``.
    :raises TargetError: when the kernel refuses.
    """
    placed = requests.placed(export)
    storage_object = _storage_object_path(placed)
    _refuse_foreign_serial(storage_object, placed['volume_id'])
    lun = _lun_path(placed)
    link = links.target_of(lun)
    if link is None or link.resolve() == storage_object.resolve():
        links.refuse_if_mapped(lun)
        links.remove(lun)
    _remove_storage_object(storage_object)


@privileged.target_context.entrypoint
@_verb('resize a volume')
def resize(export: dict[str, Any]) -> None:
    """Tell a live fileio backstore the size of its grown file.

    iblock reads the size from the device and needs nothing. Source:
    drivers/target/target_core_file.c, fd_set_configfs_dev_params.

    :param export: as for :func:`ensure_export`.
    :raises TargetError: when the kernel refuses.
    """
    wanted = requests.wanted(export)
    path = _storage_object_path(wanted)
    if wanted['kind'] == 'fileio' and _is_enabled(path):
        with backing.opened(wanted) as found:
            _check_same(path, wanted, found)


# -- mappings

@privileged.target_context.entrypoint
@_verb('map a volume to an initiator')
def ensure_mapping(export: dict[str, Any], mapping: dict[str, Any],
                   chap: dict[str, str] | None) -> None:
    """Make the export, the NodeACL and the mapped LUN: all of an attach.

    Nothing is written to an object before all are seen to be ours.

    :param export: as for :func:`ensure_export`.
    :param mapping: ``initiator`` (IQN), ``lun``, ``read_only``, and
        ``authentication``: 1 the NodeACL asks for CHAP, 0 it does not,
        -1 it does as the TPG does.
    :param chap: ``username``, ``password``, ``mutual_username``,
        ``mutual_password`` (both empty without mutual CHAP); None leaves
        CHAP as it is.
    :raises ForeignObject: when a LUN is taken by another object, or the
        NodeACL has LUNs of another backend.
    :raises TargetError: when the kernel refuses.
    """
    export, mapping = requests.wanted(export), requests.mapping(mapping)
    chap = requests.chap(chap)
    tpg_lun = _lun_path(export)
    lun = (_acl_path(export['target'], mapping['initiator'])
           / f'lun_{mapping["lun"]}')
    what = f'Mapped LUN {mapping["lun"]} of {mapping["initiator"]}'
    links.refuse_foreign(tpg_lun, _storage_object_path(export),
                         f'LUN {export["lun"]} of {export["target"]}')
    links.refuse_foreign(lun, tpg_lun, what)
    _refuse_foreign_acl(lun.parent, export['name'].removesuffix(
        export['volume_id']))
    tpg = _ensure_export(export)
    _drop_idle_acls(_emptied)
    acl = rtslib_fb.NodeACL(tpg, mapping['initiator'])
    if chap is not None:
        _ensure_chap(acl, chap)
    _ensure_authentication(Path(acl.path), mapping['authentication'])
    links.ensure(lun, tpg_lun, what)
    protect, wanted = lun / 'write_protect', str(int(mapping['read_only']))
    if protect.read_text().strip() != wanted:
        protect.write_text(wanted)


@privileged.target_context.entrypoint
@_verb('unmap a volume from an initiator')
def drop_mapping(export: dict[str, Any], initiator: str, lun: int) -> None:
    """Remove a mapped LUN, and the NodeACL with the last of them.

    While the initiator is logged in, an empty NodeACL stays: its commands
    fail at once then, as to a LUN that is not there. Without a NodeACL the
    kernel ends the session, which can never log in again, and its commands
    wait for the initiator's ``replacement_timeout``, 120 s by default
    (drivers/target/target_core_tpg.c, core_tpg_del_initiator_node_acl). The
    next call that finds it idle removes it.

    :param export: ``target`` and ``lun`` that the mapping must lead to.
    :param initiator: whose mapping.
    :param lun: the LUN that the initiator sees.
    :raises TargetError: when the kernel refuses.
    """
    placed = requests.placed(export)
    acl = _acl_path(placed['target'], initiator)
    mapped = acl / f'lun_{requests.lun(lun)}'
    link = links.target_of(mapped)
    tpg_lun = _lun_path(placed)
    leads_to = links.target_of(tpg_lun)
    if leads_to is not None and leads_to.resolve() != _storage_object_path(
            placed).resolve():
        raise exception.ForeignObject(
            f'LUN {placed["lun"]} of {placed["target"]}',
            f'it leads to {leads_to.resolve()}')
    if link is None or link.resolve() == tpg_lun.resolve():
        links.remove(mapped)
    _drop_idle_acls([acl, *_emptied])


@privileged.target_context.entrypoint
@_verb('read a NodeACL')
def is_mutual(target: str, initiator: str) -> bool:
    """Tell whether a NodeACL makes the target prove itself (mutual CHAP).

    :param target: name of the target.
    :param initiator: whose NodeACL; it must exist.
    :raises TargetError: when the kernel refuses.
    """
    auth = _acl_path(values.target(target), initiator) / 'auth'
    return (auth / 'authenticate_target').read_text().strip() == '1'


# -- what the verbs are made of

def _drop_idle_acls(acls: Iterable[Path]) -> None:
    """Remove the NodeACLs that have neither a LUN nor a session."""
    for acl in list(acls):
        if not acl.is_dir() or any(acl.glob('lun_*')):
            _emptied.discard(acl)
        elif _is_logged_in(acl):
            _emptied.add(acl)
        else:
            _emptied.discard(acl)
            with contextlib.suppress(FileNotFoundError):
                acl.rmdir()


def _is_logged_in(acl: Path) -> bool:
    """Tell whether an initiator has a session with the target.

    Source: drivers/target/iscsi/iscsi_target_configfs.c,
    lio_target_nacl_info_show.
    """
    info = (acl / 'info').read_text()
    return not info.startswith('No active iSCSI Session')


def _configfs() -> Path:
    # A function, so that tests can put a tree of their own there.
    return Path(rtslib_fb.RTSRoot.configfs_dir)


def _fabric() -> Any:
    fabric = rtslib_fb.FabricModule('iscsi')
    try:
        fabric._check_self()  # makes its folder, which loads the module
    except (OSError, utils.RTSLibError) as e:
        raise exception.ConfigurationError(
            'Kernel target', 'module iscsi_target_mod cannot be loaded',
            'Run modprobe iscsi_target_mod, and name it in '
            '/etc/modules-load.d/.') from e
    return fabric


def _ensure_portal(tpg: rtslib_fb.TPG, portal: model.Portal) -> str:
    """Let a TPG listen at a portal; return why it cannot, if so."""
    try:
        rtslib_fb.NetworkPortal(tpg, portal.host, portal.port)
    except utils.RTSLibError as e:
        system = e.__cause__ or e.__context__
        return str(getattr(system, 'strerror', None) or e)
    return ''


def _ensure_folder(path: Path, mode: int) -> None:
    if not path.is_dir():
        path.mkdir(mode)
        path.chmod(mode)  # whatever the umask


def _tpg_path(target: str) -> Path:
    return _configfs() / 'iscsi' / target / f'tpgt_{_TPG}'


def _lun_path(placed: dict[str, Any]) -> Path:
    return _tpg_path(placed['target']) / 'lun' / f'lun_{placed["lun"]}'


def _acl_path(target: str, initiator: object) -> Path:
    return _tpg_path(target) / 'acls' / values.iqn(initiator, 'an initiator')


def _index(volume_id: str) -> int:
    """Return the index of a volume's backstore, always the same one."""
    return _FIRST_INDEX + (uuid.UUID(volume_id).int >> 97)


def _storage_object_path(export: dict[str, Any]) -> Path:
    index = _index(export['volume_id'])
    return Path(_configfs(), 'core', f'{export["kind"]}_{index}',
                export['name'])


def _set_attribute(node: Any, name: str, value: int) -> None:
    if node.get_attribute(name) != str(value):
        node.set_attribute(name, value)


def _ensure_export(export: dict[str, Any]) -> rtslib_fb.TPG:
    export = requests.wanted(export)
    target = rtslib_fb.Target(_fabric(), export['target'], 'lookup')
    tpg = rtslib_fb.TPG(target, _TPG, 'lookup')
    links.refuse_foreign(
        _lun_path(export), _storage_object_path(export),
        f'LUN {export["lun"]} of {target.wwn}')
    with backing.opened(export) as found:
        storage_object = _ensure_storage_object(export, found)
    links.ensure(Path(tpg.path) / 'lun' / f'lun_{export["lun"]}',
                 storage_object, f'LUN {export["lun"]} of {target.wwn}')
    return tpg


def _ensure_storage_object(export: dict[str, Any],
                           found: backing.Backing) -> Path:
    path = _storage_object_path(export)
    if path.is_dir() and not _is_enabled(path):
        _remove_storage_object(path)  # a crash came between its two steps
    if path.is_dir():
        _check_same(path, export, found)
    else:
        _create_storage_object(path, export, found)
    node = _KINDS[export['kind']](export['name'],
                                  index=_index(export['volume_id']))
    # UNMAP on; EXTENDED COPY off, since it goes past LUN masking
    # (drivers/target/target_core_xcopy.c finds devices by NAA id alone).
    for name, value in (('emulate_tpu', 1), ('emulate_tpws', 1),
                        ('emulate_3pc', 0)):
        _set_attribute(node, name, value)
    return path


def _create_storage_object(path: Path, export: dict[str, Any],
                           found: backing.Backing) -> None:
    """Make a backstore of what is open already.

    rtslib has the kernel open a path, which may be another file's by then.
    The kernel opens the file when the backstore is enabled, in the process
    that enables it (drivers/target/target_core_file.c, fd_configure_device),
    so that it can be told of a descriptor.
    """
    if export['kind'] == 'iblock':
        rtslib_fb.BlockStorageObject(
            export['name'], dev=found.path, wwn=export['volume_id'],
            index=_index(export['volume_id']))
        return
    path.mkdir(parents=True)
    try:
        # A guest's flush reaches fsync: drivers/target/target_core_file.c,
        # fd_execute_sync_cache.
        _write(path, 'control', f'fd_dev_name={found.open_path},'
               f'fd_dev_size={export["size_bytes"]}')
        _write(path, 'attrib/emulate_write_cache', '1')
        _write(path, 'control', 'fd_buffered_io=1')
        _write(path, 'udev_path', found.path)
        _write(path, 'alias', found.identity)
        _write(path, 'enable', '1')
        made = rtslib_fb.FileIOStorageObject(
            export['name'], index=_index(export['volume_id']))
        made.wwn = export['volume_id']
        made._config_pr_aptpl()  # persistent reservations of before a boot
    except BaseException:
        _remove_storage_object(path)
        raise


def _write(path: Path, attribute: str, value: str) -> None:
    (path / attribute).write_text(value)


def _check_same(path: Path, export: dict[str, Any],
                found: backing.Backing) -> None:
    """Compare a backstore with what it shall be; a size is brought up."""
    serial = _serial(path)
    device = (path / 'udev_path').read_text().strip()
    if serial != export['volume_id'] or device != found.path:
        raise exception.ForeignObject(
            f'Backstore {path}', f'it has serial {serial} and '
            f'device {device}')
    if export['kind'] == 'fileio':
        known = (path / 'alias').read_text().strip()
        if known.startswith(backing.IDENTITY) and known != found.identity:
            raise exception.ForeignObject(
                f'Backstore {path}', f'it has another file open than the one '
                f'that is {device} now')
        info = (path / 'info').read_text().split()
        if int(info[info.index('Size:') + 1]) != export['size_bytes']:
            _write(path, 'control', f'fd_dev_size={export["size_bytes"]}')


def _serial(path: Path) -> str:
    text = (path / 'wwn/vpd_unit_serial').read_text()
    return text.partition(':')[2].strip()


def _is_enabled(path: Path) -> bool:
    try:
        return (path / 'enable').read_text().strip() == '1'
    except FileNotFoundError:
        return False


def _remove_storage_object(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.rmdir()
    with contextlib.suppress(OSError):  # not empty: it is another's, too
        path.parent.rmdir()


def _ensure_chap(acl: rtslib_fb.NodeACL, chap: dict[str, str]) -> None:
    for attribute, key in (('chap_userid', 'username'),
                           ('chap_password', 'password'),
                           ('chap_mutual_userid', 'mutual_username'),
                           ('chap_mutual_password', 'mutual_password')):
        if getattr(acl, attribute) != chap[key]:
            setattr(acl, attribute, chap[key])


def _ensure_authentication(acl: Path, wanted: int) -> None:
    """Have a NodeACL ask for CHAP by itself, where the kernel can (6.0)."""
    path = acl / 'attrib/authentication'
    if path.exists() and path.read_text().strip() != str(wanted):
        path.write_text(str(wanted))


def _refuse_foreign_acl(acl: Path, prefix: str) -> None:
    """See that no other backend has mapped anything at a NodeACL.

    One LUN of a backend tells whose it is, since each was checked when it was
    mapped. To look at all would make an attach slower with every volume.

    :param prefix: how the names of the backend's own backstores begin.
    """
    for mapped in acl.glob('lun_*'):
        link = links.target_of(mapped)
        store = link and links.target_of(link.resolve())
        name = store.resolve().name if store else ''
        # Others than ours are an administrator's, who will know why.
        if not name.startswith('mydriver-'):
            continue
        if name[:-_UUID_LENGTH] != prefix:
            raise exception.ForeignObject(
                f'NodeACL {acl.name} of {acl.parents[2].name}',
                f'{mapped.name} leads to {name}')
        return


# -- whose it is

def _refuse_foreign_luns(target: str) -> None:
    """Refuse a target that serves what is not ours, whatever its name."""
    for lun in _tpg_path(target).glob('lun/lun_*'):
        link = links.target_of(lun)
        store = link and link.resolve()
        if store and not values.is_backstore(store.name, _serial(store)):
            raise exception.ForeignObject(
                f'Target {target}', f'its {lun.name} leads to {store}')


def _refuse_foreign_serial(path: Path, volume_id: str) -> None:
    """Refuse a backstore that has our place and another's serial."""
    if _is_enabled(path) and _serial(path) != volume_id:
        raise exception.ForeignObject(
            f'Backstore {path}', f'it has serial {_serial(path)}')
