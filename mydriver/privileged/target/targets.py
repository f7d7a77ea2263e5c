# SPDX-License-Identifier: Apache-2.0
"""Targets: their TPG and portals, removal, and the kernel's own directory."""

import contextlib
from pathlib import Path
import subprocess
from typing import Any
import warnings

import rtslib_fb
from rtslib_fb import utils

from mydriver import exception, model, waiting
from mydriver.privileged import values
from mydriver.privileged.target import (
    backstores,
    configfs,
    links,
    nodeacls,
)


def fabric() -> Any:
    """Return rtslib's iSCSI fabric, with the kernel's module loaded.

    :raises ConfigurationError: when the module cannot be loaded.
    """
    found = rtslib_fb.FabricModule('iscsi')
    try:
        found._check_self()  # creates its folder, which loads the module
    except (OSError, utils.RTSLibError) as e:
        raise exception.ConfigurationError(
            'Kernel target', 'module iscsi_target_mod cannot be loaded',
            'Run modprobe iscsi_target_mod, and name it in '
            '/etc/modules-load.d/.') from e
    return found


def nodeacl(target: str, initiator: str) -> rtslib_fb.NodeACL:
    """Return rtslib's object of a NodeACL that exists."""
    tpg = rtslib_fb.TPG(rtslib_fb.Target(fabric(), target, 'lookup'),
                        configfs.TPG, 'lookup')
    return rtslib_fb.NodeACL(tpg, initiator, 'lookup')


def ensure_portal(tpg: rtslib_fb.TPG, portal: model.Portal) -> str:
    """Make a TPG listen at a portal.

    :returns: why the kernel refuses; empty when it listens there.
    """
    try:
        rtslib_fb.NetworkPortal(tpg, portal.host, portal.port)
    except utils.RTSLibError as e:
        system = e.__cause__ or e.__context__
        return str(getattr(system, 'strerror', None) or e)
    return ''


def refuse_foreign_luns(target: str) -> None:
    """Raise ForeignObject for a target with a LUN that is not ours."""
    for lun in configfs.tpg(target).glob('lun/lun_*'):
        link = links.target_of(lun)
        store = link and link.resolve()
        if store and not values.is_backstore(store.name,
                                             backstores.serial(store)):
            raise exception.ForeignObject(
                f'Target {target}', f'its {lun.name} leads to {store}')


def remove_unused(target: str) -> bool:
    """Remove a target that has no LUNs, NodeACLs, or sessions.

    :returns: False when it has any, and was kept.
    """
    tpg = configfs.tpg(target)
    if tpg.is_dir():
        sessions = (tpg / 'dynamic_sessions').read_text().strip('\0\n ')
        if any((tpg / 'lun').iterdir()) or any(
                p.is_dir() for p in (tpg / 'acls').iterdir()) or sessions:
            return False
        if any(p != tpg and p.name.startswith('tpgt_')
               for p in tpg.parent.iterdir()):
            return False  # an administrator added a TPG
        if (tpg / 'enable').read_text().strip() == '1':
            (tpg / 'enable').write_text('0')
        for portal in list((tpg / 'np').iterdir()):
            portal.rmdir()
        tpg.rmdir()
    with contextlib.suppress(FileNotFoundError):
        tpg.parent.rmdir()
    return True


#: Processes that wait for the kernel to disable a target, by its name.
_disabling: dict[str, subprocess.Popen[bytes]] = {}


def disable(target: str, timeout_s: float) -> bool:
    """Let a target accept no logins, and end its sessions.

    The kernel waits until the devices have answered all commands in hand, and
    so does the process that asks it to. It is not this one, whose threads are
    needed for other verbs.

    :returns: whether that was done in time.
    :raises TargetError: when the kernel refuses.
    """
    tpg = configfs.tpg(target)
    asked = _disabling.get(target)
    if asked is not None and asked.poll() is not None:
        asked = None
    if _is_disabled(tpg):
        return True
    if asked is None:
        asked = _disabling[target] = subprocess.Popen(
            ['sh', '-c', 'echo 0 >"$0"', tpg / 'enable'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
    with contextlib.suppress(exception.WaitTimeout):
        waiting.wait_for(lambda: asked.poll() is not None,
                         f'{target} to be disabled', timeout_s)
    if asked.poll():
        raise exception.TargetError(
            f'disable {target}', 'see the kernel log')
    return _is_disabled(tpg)


def _is_disabled(tpg: Path) -> bool:
    try:
        return ((tpg / 'enable').read_text().strip() != '1' and not any(
            nodeacls.is_logged_in(p) for p in (tpg / 'acls').iterdir()
            if p.is_dir()))
    except FileNotFoundError:
        return not tpg.is_dir()


def ensure_database() -> None:
    """Create the directories that the kernel target writes to.

    :raises ConfigurationError: when they cannot be created.
    """
    try:
        _ensure_folder(Path(rtslib_fb.RTSRoot._preferred_dbroot), 0o755)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # it may differ by now
            database = Path(rtslib_fb.RTSRoot().dbroot)
        _ensure_folder(database, 0o755)
        _ensure_folder(database / 'pr', 0o700)
    except OSError as e:
        raise exception.ConfigurationError(
            'Kernel target', f'{e.filename} cannot be created: {e.strerror}',
            'The kernel keeps persistent reservations of guests there. Create '
            'it as root, mode 0755, and pr in it, mode 0700.') from e


def _ensure_folder(path: Path, mode: int) -> None:
    if not path.is_dir():
        path.mkdir(mode)
        path.chmod(mode)  # whatever the umask
