# SPDX-License-Identifier: Apache-2.0
"""Named verbs over the volumes of an LVM thin pool.

Each takes names and numbers, checks them again, and touches nothing but
pools that root's configuration gives to a backend (:mod:`grants`) and, in
them, logical volumes that are named like ours: a request that a caller was
tricked into cannot reach another volume.

One LVM command a verb, and one or two more where it is told again to do what
it has done: all of them can be repeated. What LVM is not needed for, the
pool's state, whose an active volume is, and the suspension of devices, goes to
device-mapper directly (:mod:`dm`).
"""

from collections.abc import Callable, Iterable, Sequence
import functools
import os
import re
import stat
import threading
from typing import Any

from mydriver import exception, privileged
from mydriver.privileged import blockdev, dm, grants, values, verbs
from mydriver.privileged.stores import freeze, lvm

COMMAND_TIMEOUT_S = lvm.COMMAND_TIMEOUT_S

_UUID = '[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}'
#: Logical volumes of ours. LVM keeps names that begin with "snapshot" to
#: itself, and a volume that is being reverted has a name of its own.
_LV = re.compile(rf'(?:volume|_snapshot|_revert)-{_UUID}\Z')
#: Names of groups, pools and foreign volumes (lvm(8), VALID NAMES).
_PLACE = re.compile(r'[A-Za-z0-9_+.][A-Za-z0-9_+.-]*\Z')
_TAG = re.compile(r'mydriver\.[a-z0-9.=]+\Z')
#: Of a volume that a group's snapshot is being made of.
_UNFINISHED = 'mydriver.unfinished'

_LV_FIELDS = ('lv_name', 'lv_size', 'pool_lv', 'lv_active', 'lv_tags',
              'segtype', 'zero', 'discards', 'thin_id', 'lv_device_open',
              'lv_uuid')
_VG_FIELDS = ('vg_name', 'vg_size', 'vg_free', 'vg_extent_size',
              'vg_missing_pv_count')

_told = functools.partial(verbs.translating_os_errors,
                          error=exception.StoreError)

# One change at a time: what a verb has seen of a volume still holds when it
# acts. LVM's lock of the group would do it one command at a time anyway.
_lock = threading.Lock()


def _verb(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Serialise a verb that uses LVM, and tell its errors as ours."""
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @_told(what)
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with _lock:
                return function(*args, **kwargs)
        return wrapper
    return decorate


# -- what there is

@privileged.target_context.entrypoint
@_verb('look at a volume group')
def group(vg: str) -> dict[str, str] | None:
    """Return what LVM says of a volume group, sizes in bytes.

    :returns: ``vg_name``, ``vg_size``, ``vg_free``, ``vg_extent_size``; None
        where there is no such group.
    """
    _pools(vg)
    rows = lvm.report(vg, 'vgs', 'vg', _VG_FIELDS, f'vg_name={vg}', anew=True)
    return rows[0] if rows else None


@privileged.target_context.entrypoint
@_verb('list logical volumes')
def volumes(vg: str) -> list[dict[str, str]]:
    """Return what LVM says of our pools in a group and of what is in them.

    Sizes are in bytes.
    """
    pools = _pools(vg)
    return [row for row in _rows(vg, f'vg_name={vg}')
            if pools & {row['lv_name'], row['pool_lv']}]


@privileged.target_context.entrypoint
@_told('look at a thin pool')
def pool_status(vg: str, pool: str) -> tuple[str, str] | None:
    """Return the kernel's status and table of a pool, None if not active.

    Source: Documentation/admin-guide/device-mapper/thin-provisioning.rst.
    """
    name = dm.name_of(vg, _pool(vg, pool))
    # The second is that of a pool that never had a volume.
    for device in (f'{name}-tpool', name):
        state, made = dm.status(device), dm.table(device)
        if state and made and state[0] == made[0] == 'thin-pool':
            return state[1], made[1]
    return None


@privileged.target_context.entrypoint
@_told('look at a logical volume')
def mapped_sectors(vg: str, lv: str) -> int:
    """Return how many sectors of a volume have a place in the pool."""
    found = dm.status(_device(vg, lv))
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
    """Make a thin pool that zeroes and passes discards down.

    :raises RequestRefused: when the configuration names the pool, which is
        then somebody else's to make.
    """
    if not grants.pools_of(_place(vg))[_pool(vg, pool)].makes_pool:
        values.refuse(f'to make {vg}/{pool}',
                      'the configuration says that it is there')
    data = values.size_bytes(data_bytes)
    metadata = values.size_bytes(metadata_bytes)
    chunk = values.integer(chunk_kib, 'a chunk', 64, 1 << 20)
    lvm.run(vg, 'lvcreate', '--type', 'thin-pool', '-L', f'{data}b',
            '--poolmetadatasize', f'{metadata}b', '--chunksize', f'{chunk}k',
            '--zero', 'y', '--discards', 'passdown',
            '--poolmetadataspare', 'y', '--name', pool, vg, quiet=False)


@privileged.target_context.entrypoint
@_verb('create a logical volume')
def create(vg: str, pool: str, lv: str, size_bytes: int,
           request: str) -> None:
    """Make a thin volume, active.

    :param request: a tag of the caller's, another one for each volume.
    """
    _make(vg, lv, request, '--type', 'thin', '-V',
          f'{values.size_bytes(size_bytes)}b', '--thinpool',
          f'{vg}/{_pool(vg, pool)}', '--name', _lv(lv), '-Wn')


@privileged.target_context.entrypoint
@_verb('copy a logical volume')
def copy(vg: str, source: str, lv: str, tags: Sequence[str],
         active: bool, request: str) -> None:
    """Make a thin snapshot: a writable volume that shares what it holds.

    :param request: a tag of the caller's, another one for each volume.
    """
    active = values.boolean(active, 'active')
    words = ('--snapshot', '--name', _lv(lv), *_options('--addtag', tags))
    _make(vg, lv, request, *words, _ours(vg, source), active=active)


def _make(vg: str, lv: str, request: str, *args: str,
          active: bool = True) -> None:
    """Run ``lvcreate``, whose volume bears the request as a tag.

    A daemon that dies leaves its command running. When the same request comes
    again, the volume that it finds is the one that it asked for.
    """
    tag = _options('--addtag', [request])
    try:
        lvm.run(vg, 'lvcreate', '-kn', '-ay' if active else '-an', *tag, *args)
    except exception.StoreError:
        found = _look(vg, lv)
        if (found is None or found['pool_lv'] not in _pools(vg)
                or request not in found['lv_tags'].split(',')):
            raise
        if active:
            lvm.run(vg, 'lvchange', '-ay', '-K', f'{vg}/{lv}')


@privileged.target_context.entrypoint
@_verb('extend a logical volume')
def extend(vg: str, lv: str, size_bytes: int) -> None:
    """Grow a volume, unless it has that size already."""
    size = values.size_bytes(size_bytes)
    path = _ours(vg, lv)
    try:
        lvm.run(vg, 'lvextend', '-L', f'{size}b', path)
    except exception.StoreError:
        found = _look(vg, lv)
        if found is None or int(found['lv_size']) != size:
            raise


@privileged.target_context.entrypoint
@_verb('remove logical volumes')
def remove(vg: str, pool: str, lvs: Sequence[str]) -> None:
    """Remove volumes of a pool; what is not there, or not in it, is left."""
    if names := _lvs(lvs):
        lvm.run(vg, 'lvremove', '--force', '--select',
                _selected([_pool(vg, pool)], names), vg)


@privileged.target_context.entrypoint
@_verb('rename a logical volume')
def rename(vg: str, old: str, new: str) -> None:
    """Give a volume another name, in use or not, unless it has it already."""
    _lv(new)
    if _pool_of(vg, old) is None and _pool_of(vg, new) in _pools(vg):
        return
    _ours(vg, old)
    try:
        lvm.run(vg, 'lvrename', vg, old, new)
    except exception.StoreError:
        if _look(vg, old) or _pool_of(vg, new) not in _pools(vg):
            raise


@privileged.target_context.entrypoint
@_verb('take over a logical volume')
def adopt(vg: str, pool: str, foreign: str, lv: str, size_bytes: int) -> None:
    """Make a volume of the pool ours: extend it, then rename it.

    :param foreign: its name, which need not be one of ours.
    :raises StoreError: when it is not in the pool.
    """
    _pool(vg, pool)
    _lv(lv)
    size = values.size_bytes(size_bytes)
    name = _place(foreign)
    found = _look(vg, name)
    if found is None:
        done = _look(vg, lv)
        if done and done['pool_lv'] == pool:
            return
    if (found is None or found['pool_lv'] != pool
            or found['segtype'] != 'thin'):
        raise exception.StoreError(
            f'take over {name}', f'it is not in {vg}/{pool}')
    if found['lv_device_open'] == 'open':
        raise exception.StoreError(
            f'take over {name}', 'it is in use on this host')
    if int(found['lv_size']) < size:
        lvm.run(vg, 'lvextend', '-L', f'{size}b', f'{vg}/{name}')
    lvm.run(vg, 'lvrename', vg, name, lv)


@privileged.target_context.entrypoint
@_verb('activate logical volumes')
def activate(vg: str, lvs: Sequence[str]) -> None:
    """Activate volumes, those too that are marked to be skipped."""
    pools, names = _pools(vg), _lvs(lvs)
    if names:
        lvm.run(vg, 'lvchange', '-ay', '-K', '--select',
                _selected(pools, names), vg)
    for lv in names:
        _device(vg, lv)


@privileged.target_context.entrypoint
@_verb('activate a thin pool')
def activate_pool(vg: str, pool: str) -> None:
    """Activate a pool of which no volume may be active."""
    lvm.run(vg, 'lvchange', '-ay', f'{vg}/{_pool(vg, pool)}', quiet=False)


@privileged.target_context.entrypoint
@_verb('tag logical volumes')
def untag(vg: str, lvs: Sequence[str], tag: str) -> None:
    """Take a tag of ours from volumes."""
    pools, names = _pools(vg), _lvs(lvs)
    words = _options('--deltag', [tag])
    if names:
        lvm.run(vg, 'lvchange', *words, '--select', _selected(pools, names),
                vg)


# -- without LVM

@privileged.target_context.entrypoint
@_told('flush a logical volume')
def flush(vg: str, lv: str) -> None:
    """Write out what this host has cached of a volume, and forget it.

    The target goes past this host's cache, so what is kept would be old.
    """
    device = f'/dev/mapper/{_device(vg, lv)}'
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        number = f'{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}'
        volume = dm.volume(vg, lv)
        if (not stat.S_ISBLK(found.st_mode) or volume is None
                or volume.number != number):
            raise exception.StoreError(
                f'flush {vg}/{lv}', f'{device} is another device')
        blockdev.flush(fd)
    finally:
        os.close(fd)


@privileged.target_context.entrypoint
@_told('resume logical volumes')
def resume(vg: str, lvs: Sequence[str]) -> None:
    """Let suspended volumes go on."""
    for device in [_device(vg, lv) for lv in _lvs(lvs)]:
        dm.resume(device)


@privileged.target_context.entrypoint
@_verb('copy logical volumes together')
def copy_together(vg: str, pool: str, copies: Sequence[Sequence[str]]
                  ) -> float:
    """Let reserved snapshots hold what their sources hold at one moment.

    Their numbers in the pool are looked up here: with one of another volume
    the kernel would read that one, or put a copy in its place.

    :param copies: ``[source, snapshot]`` each; the snapshots bear the tag of
        what is unfinished and must not be active.
    :returns: how long the sources were suspended, in seconds.
    """
    _pool(vg, pool)
    pairs = [_lvs(values.items(pair, 'a copy', 2))
             for pair in values.items(copies, 'copies')]
    names = [lv for pair in pairs for lv in pair]
    if len(names) != 2 * len(pairs) or len(set(names)) != len(names):
        values.refuse('to copy volumes together', 'each copy needs a source '
                      'and a name, and each volume can be there once')
    there = {row['lv_name']: row for row in _rows(
        vg, _selected([pool], names))} if names else {}
    return freeze.copy_together(
        f'{dm.name_of(vg, pool)}-tpool',
        [(_device(vg, source), _thin_id(vg, pool, source),
          _reserved(vg, lv, there.get(lv))) for source, lv in pairs])


def _thin_id(vg: str, pool: str, lv: str) -> int:
    found = dm.volume(vg, lv)
    if found is None or found.pool != pool:
        raise exception.StoreError(
            f'copy {vg}/{lv}', f'it is not in pool {pool}')
    return found.thin_id


def _reserved(vg: str, lv: str, row: dict[str, str] | None) -> int:
    """Return the number of a snapshot that nobody can be using yet."""
    if (row is None or row['segtype'] != 'thin'
            or _UNFINISHED not in row['lv_tags'].split(',')
            or row['lv_active'] == 'active'
            or dm.status(dm.name_of(vg, lv)) is not None):
        raise exception.StoreError(
            f'copy to {vg}/{lv}', 'it is not a snapshot that waits for it')
    return int(row['thin_id'])


# -- what callers name

def _place(name: str) -> str:
    if (not isinstance(name, str) or not _PLACE.match(name)
            or name in ('.', '..') or len(name) > 127):
        raise exception.StoreError(
            f'use {values.shown(name)}',
            'it cannot name a volume group, pool or volume')
    return name


def _pools(vg: str) -> frozenset[str]:
    """Return the pools that backends of ours have in a group."""
    return frozenset(grants.pools_of(_place(vg)))


def _pool(vg: str, pool: str) -> str:
    _place(vg)
    if _place(pool) not in _pools(vg):
        values.refuse(f'to use {vg}/{pool}',
                      'the configuration gives it to no backend')
    return pool


def _lv(name: str) -> str:
    if not isinstance(name, str) or not _LV.match(name):
        raise exception.StoreError(
            f'use the logical volume {values.shown(name)}',
            'it is not named like ours')
    return name


def _lvs(names: Sequence[str]) -> list[str]:
    return [_lv(lv) for lv in values.items(names, 'logical volumes')]


def _options(option: str, tags: Sequence[str]) -> list[str]:
    for tag in values.items(tags, 'tags', 16):
        if (not isinstance(tag, str) or len(tag) > 127
                or not _TAG.match(tag)):
            raise exception.StoreError(
                f'use tag {values.shown(tag)}', 'it is not ours')
    return [word for tag in tags for word in (option, tag)]


# -- whose they are

def _device(vg: str, lv: str) -> str:
    """Return device-mapper's name of an active volume of our pools."""
    _lv(lv)
    pools = _pools(vg)
    found = dm.volume(vg, lv)
    if found is None or found.pool not in pools:
        raise exception.StoreError(
            f'use {vg}/{lv}', 'it is not an active volume of '
            + ' or '.join(sorted(pools)))
    return dm.name_of(vg, lv)


def _pool_of(vg: str, lv: str) -> str | None:
    """Return the pool that a volume is in, None where there is none."""
    _lv(lv)
    _pools(vg)
    if found := dm.volume(vg, lv):
        return found.pool
    row = _look(vg, lv)
    return row['pool_lv'] if row else None


def _ours(vg: str, lv: str) -> str:
    """Return LVM's path of a volume, which is in one of our pools."""
    if _pool_of(vg, lv) not in _pools(vg):
        raise exception.StoreError(
            f'use {vg}/{lv}', 'there is no such volume in '
            + ' or '.join(sorted(_pools(vg))))
    return f'{vg}/{lv}'


def _selected(pools: Iterable[str], lvs: Iterable[str]) -> str:
    """Return LVM's selection of volumes of pools."""
    places = ' || '.join(f'pool_lv={pool}' for pool in sorted(pools))
    names = ' || '.join(f'lv_name={lv}' for lv in lvs)
    return f'({places}) && ({names})'


def _look(vg: str, lv: str) -> dict[str, str] | None:
    """Return what LVM says of a volume, None where there is none."""
    rows = _rows(vg, f'vg_name={vg} && lv_name={lv}')
    return rows[0] if rows else None


def _rows(vg: str, select: str) -> list[dict[str, str]]:
    return lvm.report(vg, 'lvs', 'lv', _LV_FIELDS, select)
