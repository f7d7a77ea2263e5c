# SPDX-License-Identifier: Apache-2.0
"""Named verbs over the volumes of an LVM thin pool.

Each takes names and numbers, checks them again, and touches nothing but the
pool it is told of and logical volumes that are named like ours: a request
that a caller was tricked into cannot reach another volume.

One LVM command a verb, and one or two more where it is told again to do what
it has done: all of them can be repeated. What LVM is not needed for, the
pool's state and the suspension of devices, goes to device-mapper directly
(:mod:`dm`).
"""

from collections.abc import Sequence
import fcntl
import functools
import json
import os
import re
import subprocess
from typing import Any

from mydriver import exception, privileged
from mydriver.privileged import dm, freeze, verbs

#: A command that takes longer is told to end, never killed: it may have
#: devices suspended.
COMMAND_TIMEOUT_S = 240.0

_UUID = '[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}'
#: Logical volumes of ours. LVM keeps names that begin with "snapshot" to
#: itself, and a volume that is being reverted has a name of its own.
_LV = re.compile(rf'(?:volume|_snapshot|_revert)-{_UUID}\Z')
#: Names of groups and pools (lvm(8), VALID NAMES).
_PLACE = re.compile(r'[A-Za-z0-9_+.][A-Za-z0-9_+.-]*\Z')
_TAG = re.compile(r'mydriver\.[a-z0-9.=]+\Z')

# The groups' own copies of the metadata are enough: a file in /etc/lvm for
# each snapshot is not wanted. A full pool gives an error at once: a command
# that waits for a minute makes initiators abort and drop the session.
_CONFIG = ('backup/backup=0 backup/archive=0 global/notify_dbus=0 '
           'activation/error_when_full=1')
#: Leaves it to the host's dmeventd to watch the pool.
_QUIET = ' activation/monitoring=0'

_ENVIRONMENT = {'LC_ALL': 'C', 'LVM_SUPPRESS_FD_WARNINGS': '1',
                'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'}

#: How LVM says that the kernel module dm-thin-pool cannot be loaded.
_NO_KERNEL = ('not detected in your kernel', 'support missing from kernel')

#: BLKFLSBUF of include/uapi/linux/fs.h: write out and forget cached pages.
_BLKFLSBUF = 0x1261

_LV_FIELDS = ('lv_name', 'lv_size', 'pool_lv', 'lv_active', 'lv_tags',
              'segtype', 'zero', 'discards', 'thin_id', 'lv_device_open',
              'lv_uuid')
_VG_FIELDS = ('vg_name', 'vg_size', 'vg_free', 'vg_extent_size',
              'vg_missing_pv_count')

_verb = functools.partial(verbs.telling, error=exception.StoreError)


# -- what there is

@privileged.target_context.entrypoint
@_verb('look at a volume group')
def group(vg: str) -> dict[str, str] | None:
    """Return what LVM says of a volume group, sizes in bytes.

    :returns: ``vg_name``, ``vg_size``, ``vg_free``, ``vg_extent_size``; None
        where there is no such group.
    """
    rows = _report('vgs', 'vg', _VG_FIELDS, f'vg_name={_place(vg)}')
    return rows[0] if rows else None


@privileged.target_context.entrypoint
@_verb('list logical volumes')
def volumes(vg: str) -> list[dict[str, str]]:
    """Return what LVM says of the volumes of a group, sizes in bytes."""
    return _report('lvs', 'lv', _LV_FIELDS, f'vg_name={_place(vg)}')


@privileged.target_context.entrypoint
@_verb('look at a thin pool')
def pool_status(vg: str, pool: str) -> tuple[str, str] | None:
    """Return the kernel's status and table of a pool, None if not active.

    Source: Documentation/admin-guide/device-mapper/thin-provisioning.rst.
    """
    name = _dm_name(vg, _place(pool))
    # The second is that of a pool that never had a volume.
    for device in (f'{name}-tpool', name):
        state, made = dm.status(device), dm.table(device)
        if state and made and state[0] == made[0] == 'thin-pool':
            return state[1], made[1]
    return None


@privileged.target_context.entrypoint
@_verb('look at a logical volume')
def mapped_sectors(vg: str, lv: str) -> int:
    """Return how many sectors of a volume have a place in the pool."""
    found = dm.status(_dm_name(vg, _lv(lv)))
    if found is None or found[0] != 'thin' or not found[1].split()[0].isdigit(
            ):
        raise exception.StoreError(
            f'look at {vg}/{lv}', f'its device says {found}')
    return int(found[1].split()[0])


# -- one command each

@privileged.target_context.entrypoint
@_verb('create a thin pool')
def create_pool(vg: str, pool: str, data_bytes: int, metadata_bytes: int,
                chunk_kib: int) -> None:
    """Make a thin pool that zeroes and passes discards down."""
    _lvm('lvcreate', '--type', 'thin-pool', '-L', f'{int(data_bytes)}b',
         '--poolmetadatasize', f'{int(metadata_bytes)}b',
         '--chunksize', f'{int(chunk_kib)}k', '--zero', 'y',
         '--discards', 'passdown', '--poolmetadataspare', 'y',
         '--name', _place(pool), _place(vg), quiet=False)


@privileged.target_context.entrypoint
@_verb('create a logical volume')
def create(vg: str, pool: str, lv: str, size_bytes: int,
           request: str) -> None:
    """Make a thin volume, active.

    :param request: a tag of the caller's, another one for each volume.
    """
    _make(vg, lv, request, '--type', 'thin', '-V', f'{int(size_bytes)}b',
          '--thinpool', f'{_place(vg)}/{_place(pool)}', '--name', _lv(lv),
          '-Wn')


@privileged.target_context.entrypoint
@_verb('copy a logical volume')
def copy(vg: str, source: str, lv: str, tags: Sequence[str],
         active: bool, request: str) -> None:
    """Make a thin snapshot: a writable volume that shares what it holds.

    :param request: a tag of the caller's, another one for each volume.
    """
    _make(vg, lv, request, '--snapshot', '--name', _lv(lv),
          *_options('--addtag', tags), f'{_place(vg)}/{_lv(source)}',
          active=active)


def _make(vg: str, lv: str, request: str, *args: str,
          active: bool = True) -> None:
    """Run ``lvcreate``, whose volume bears the request as a tag.

    A daemon that dies leaves its command running. When the same request comes
    again, the volume that it finds is the one that it asked for.
    """
    tag = _options('--addtag', [request])
    try:
        _lvm('lvcreate', '-kn', '-ay' if active else '-an', *tag, *args)
    except exception.StoreError:
        found = _look(vg, lv)
        if found is None or request not in found['lv_tags'].split(','):
            raise
        if active:
            _lvm('lvchange', '-ay', '-K', f'{vg}/{lv}')


@privileged.target_context.entrypoint
@_verb('extend a logical volume')
def extend(vg: str, lv: str, size_bytes: int) -> None:
    """Grow a volume, unless it has that size already."""
    path = f'{_place(vg)}/{_lv(lv)}'
    try:
        _lvm('lvextend', '-L', f'{int(size_bytes)}b', path)
    except exception.StoreError:
        found = _look(vg, lv)
        if found is None or int(found['lv_size']) != int(size_bytes):
            raise


@privileged.target_context.entrypoint
@_verb('remove logical volumes')
def remove(vg: str, pool: str, lvs: Sequence[str]) -> None:
    """Remove volumes of a pool; what is not there, or not in it, is left."""
    names = ' || '.join(f'lv_name={_lv(lv)}' for lv in lvs)
    _lvm('lvremove', '--force', '--select',
         f'pool_lv={_place(pool)} && ({names})', _place(vg))


@privileged.target_context.entrypoint
@_verb('rename a logical volume')
def rename(vg: str, old: str, new: str) -> None:
    """Give a volume another name, in use or not, unless it has it already."""
    names = _place(vg), _lv(old), _lv(new)
    try:
        _lvm('lvrename', *names)
    except exception.StoreError:
        if _look(vg, old) or not _look(vg, new):
            raise


@privileged.target_context.entrypoint
@_verb('take over a logical volume')
def adopt(vg: str, pool: str, foreign: str, lv: str, size_bytes: int) -> None:
    """Make a volume of the pool ours: extend it, then rename it.

    :param foreign: its name, which need not be one of ours.
    :raises StoreError: when it is not in the pool.
    """
    _lv(lv)
    found = _look(vg, foreign)
    if found is None and _look(vg, lv):
        return
    if found is None or found['pool_lv'] != _place(pool):
        raise exception.StoreError(
            f'take over {foreign}', f'it is not in {vg}/{pool}')
    if int(found['lv_size']) < int(size_bytes):
        _lvm('lvextend', '-L', f'{int(size_bytes)}b', f'{vg}/{foreign}')
    _lvm('lvrename', vg, foreign, lv)


@privileged.target_context.entrypoint
@_verb('activate logical volumes')
def activate(vg: str, lvs: Sequence[str]) -> None:
    """Activate volumes, those too that are marked to be skipped."""
    _lvm('lvchange', '-ay', '-K', *(f'{_place(vg)}/{_lv(lv)}' for lv in lvs))


@privileged.target_context.entrypoint
@_verb('activate a thin pool')
def activate_pool(vg: str, pool: str) -> None:
    """Activate a pool of which no volume may be active."""
    _lvm('lvchange', '-ay', f'{_place(vg)}/{_place(pool)}', quiet=False)


@privileged.target_context.entrypoint
@_verb('tag logical volumes')
def untag(vg: str, lvs: Sequence[str], tag: str) -> None:
    """Take a tag of ours from volumes."""
    _lvm('lvchange', *_options('--deltag', [tag]),
         *(f'{_place(vg)}/{_lv(lv)}' for lv in lvs))


# -- without LVM

@privileged.target_context.entrypoint
@_verb('flush a logical volume')
def flush(vg: str, lv: str) -> None:
    """Write out what this host has cached of a volume, and forget it.

    The target goes past this host's cache, so what is kept would be old.
    """
    fd = os.open(f'/dev/{_place(vg)}/{_lv(lv)}', os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
        fcntl.ioctl(fd, _BLKFLSBUF, 0)
    finally:
        os.close(fd)


@privileged.target_context.entrypoint
@_verb('resume logical volumes')
def resume(vg: str, lvs: Sequence[str]) -> None:
    """Let suspended volumes go on."""
    for lv in lvs:
        dm.resume(_dm_name(vg, _lv(lv)))


@privileged.target_context.entrypoint
@_verb('copy logical volumes together')
def copy_together(vg: str, pool: str,
                  copies: Sequence[Sequence[Any]]) -> float:
    """Let reserved snapshots hold what their sources hold at one moment.

    :param copies: ``[source, its thin id, id of its snapshot]`` each; the
        snapshots must not be active.
    :returns: how long the sources were suspended, in seconds.
    """
    return freeze.copy_together(
        f'{_dm_name(vg, _place(pool))}-tpool',
        [(_dm_name(vg, _lv(source)), int(source_id), int(copy_id))
         for source, source_id, copy_id in copies])


# -- what the verbs are made of

def _place(name: str) -> str:
    if not _PLACE.match(name) or name in ('.', '..'):
        raise exception.StoreError(
            f'use {name!r}', 'it cannot name a volume group or pool')
    return name


def _lv(name: str) -> str:
    if not _LV.match(name):
        raise exception.StoreError(
            f'use the logical volume {name!r}', 'it is not named like ours')
    return name


def _options(option: str, tags: Sequence[str]) -> list[str]:
    for tag in tags:
        if not _TAG.match(tag):
            raise exception.StoreError(f'use tag {tag!r}', 'it is not ours')
    return [word for tag in tags for word in (option, tag)]


def _dm_name(vg: str, lv: str) -> str:
    """Return device-mapper's name (lvm2, libdm, dm_build_dm_name)."""
    return f'{_place(vg).replace("-", "--")}-{lv.replace("-", "--")}'


def _look(vg: str, lv: str) -> dict[str, str] | None:
    """Return what LVM says of a volume, None where there is none."""
    rows = _report('lvs', 'lv', _LV_FIELDS,
                   f'vg_name={_place(vg)} && lv_name={_place(lv)}')
    return rows[0] if rows else None


def _report(command: str, part: str, fields: Sequence[str],
            select: str) -> list[dict[str, str]]:
    out = _lvm(command, '--reportformat', 'json', '--units', 'b',
               '--nosuffix', '--options', ','.join(fields),
               '--select', select)
    rows: list[dict[str, str]] = json.loads(out)['report'][0][part]
    return rows


def _lvm(command: str, *args: str, quiet: bool = True) -> str:
    """Run one of LVM's commands; return what it printed.

    :raises StoreError: when it fails, with what it said.
    :raises ConfigurationError: when LVM is not installed.
    """
    config = _CONFIG + (_QUIET if quiet else '')
    argv = ['lvm', command, '--config', config,
            *(() if command in ('vgs', 'lvs') else ('--yes',)), *args]
    try:
        process = subprocess.Popen(  # argv is ours but for checked names
            argv, env=_ENVIRONMENT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True)
    except FileNotFoundError as e:
        raise exception.ConfigurationError(
            'mydriver_store', 'lvmthin needs LVM, which is not installed',
            'Install lvm2 and thin-provisioning-tools.') from e
    try:
        out, err = process.communicate(timeout=COMMAND_TIMEOUT_S)
    except subprocess.TimeoutExpired as e:
        process.terminate()  # LVM ends when it has nothing suspended
        raise exception.StoreError(
            f'run {command}', f'it takes longer than {COMMAND_TIMEOUT_S:.0f} '
            's; see the kernel log for hung tasks') from e
    if process.returncode:
        if any(text in err for text in _NO_KERNEL):
            raise exception.ConfigurationError(
                'mydriver_store', 'lvmthin needs thin provisioning, which '
                'this kernel does not have', 'Run modprobe dm-thin-pool, and '
                'name it in /etc/modules-load.d/.')
        raise exception.StoreError(f'run {command}', _said(err))
    return out


def _said(err: str) -> str:
    """Return what LVM complains of, without its general warnings."""
    lines = [line.strip().rstrip('.') for line in err.splitlines()]
    return '; '.join(line for line in lines if line and not
                     line.startswith('WARNING')) or 'it does not say why'
