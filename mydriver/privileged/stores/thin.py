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

from collections.abc import Sequence
import fcntl
import os

from mydriver import exception, privileged
from mydriver.privileged import dm, grants, values
from mydriver.privileged.stores import freeze, lvm, names, owned, verb

COMMAND_TIMEOUT_S = lvm.COMMAND_TIMEOUT_S

#: BLKFLSBUF of include/uapi/linux/fs.h: write out and drop cached pages.
_BLKFLSBUF = 0x1261

_VG_FIELDS = ('vg_name', 'vg_size', 'vg_free', 'vg_extent_size',
              'vg_missing_pv_count')

# -- what there is

@privileged.target_context.entrypoint
@verb.serialised('look at a volume group')
def group(vg: str) -> dict[str, str] | None:
    """Return what LVM says of a volume group, sizes in bytes.

    :returns: ``vg_name``, ``vg_size``, ``vg_free``, ``vg_extent_size``; None
        where there is no such group.
    """
    names.pools(vg)
    rows = lvm.report(vg, 'vgs', 'vg', _VG_FIELDS, f'vg_name={vg}', anew=True)
    return rows[0] if rows else None


@privileged.target_context.entrypoint
@verb.serialised('list logical volumes')
def volumes(vg: str) -> list[dict[str, str]]:
    """Return what LVM says of our pools in a group and of what is in them.

    Sizes are in bytes.
    """
    pools = names.pools(vg)
    return [row for row in owned.rows(vg, f'vg_name={vg}')
            if pools & {row['lv_name'], row['pool_lv']}]


@privileged.target_context.entrypoint
@verb.translated('look at a thin pool')
def pool_status(vg: str, pool: str) -> tuple[str, str] | None:
    """Return the kernel's status and table of a pool, None if not active.

    Source: Documentation/admin-guide/device-mapper/thin-provisioning.rst.
    """
    name = dm.name_of(vg, names.pool(vg, pool))
    # The second is that of a pool that never had a volume.
    for device in (f'{name}-tpool', name):
        state, made = dm.status(device), dm.table(device)
        if state and made and state[0] == made[0] == 'thin-pool':
            return state[1], made[1]
    return None


@privileged.target_context.entrypoint
@verb.translated('look at a logical volume')
def mapped_sectors(vg: str, lv: str) -> int:
    """Return how many sectors of a volume have a place in the pool."""
    found = dm.status(owned.device(vg, lv))
    if found is None or found[0] != 'thin' or not found[1].split()[0].isdigit(
            ):
        raise exception.StoreError(
            f'look at {vg}/{lv}', f'its device says {found}')
    return int(found[1].split()[0])


# -- one command each

@privileged.target_context.entrypoint
@verb.serialised('create a thin pool')
def create_pool(vg: str, pool: str, data_bytes: int, metadata_bytes: int,
                chunk_kib: int) -> None:
    """Make a thin pool that zeroes and passes discards down.

    :raises RequestRefused: when the configuration names the pool, which is
        then somebody else's to make.
    """
    if not grants.pools_of(names.place(vg))[names.pool(vg, pool)].makes_pool:
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
@verb.serialised('create a logical volume')
def create(vg: str, pool: str, lv: str, size_bytes: int,
           request: str) -> None:
    """Make a thin volume, active.

    :param request: a tag of the caller's, another one for each volume.
    """
    _make(vg, lv, request, '--type', 'thin', '-V',
          f'{values.size_bytes(size_bytes)}b', '--thinpool',
          f'{vg}/{names.pool(vg, pool)}', '--name', names.volume(lv), '-Wn')


@privileged.target_context.entrypoint
@verb.serialised('copy a logical volume')
def copy(vg: str, source: str, lv: str, tags: Sequence[str],
         active: bool, request: str) -> None:
    """Make a thin snapshot: a writable volume that shares what it holds.

    :param request: a tag of the caller's, another one for each volume.
    """
    active = values.boolean(active, 'active')
    words = ('--snapshot', '--name', names.volume(lv),
             *names.options('--addtag', tags))
    _make(vg, lv, request, *words, owned.path(vg, source), active=active)


def _make(vg: str, lv: str, request: str, *args: str,
          active: bool = True) -> None:
    """Run ``lvcreate``, whose volume bears the request as a tag.

    A daemon that dies leaves its command running. When the same request comes
    again, the volume that it finds is the one that it asked for.
    """
    tag = names.options('--addtag', [request])
    try:
        lvm.run(vg, 'lvcreate', '-kn', '-ay' if active else '-an', *tag, *args)
    except exception.StoreError:
        found = owned.row(vg, lv)
        if (found is None or found['pool_lv'] not in names.pools(vg)
                or request not in found['lv_tags'].split(',')):
            raise
        if active:
            lvm.run(vg, 'lvchange', '-ay', '-K', f'{vg}/{lv}')


@privileged.target_context.entrypoint
@verb.serialised('extend a logical volume')
def extend(vg: str, lv: str, size_bytes: int) -> None:
    """Grow a volume, unless it has that size already."""
    size = values.size_bytes(size_bytes)
    path = owned.path(vg, lv)
    try:
        lvm.run(vg, 'lvextend', '-L', f'{size}b', path)
    except exception.StoreError:
        found = owned.row(vg, lv)
        if found is None or int(found['lv_size']) != size:
            raise


@privileged.target_context.entrypoint
@verb.serialised('remove logical volumes')
def remove(vg: str, pool: str, lvs: Sequence[str]) -> None:
    """Remove volumes of a pool; what is not there, or not in it, is left."""
    if wanted := names.volumes(lvs):
        lvm.run(vg, 'lvremove', '--force', '--select',
                owned.selected([names.pool(vg, pool)], wanted), vg)


@privileged.target_context.entrypoint
@verb.serialised('rename a logical volume')
def rename(vg: str, old: str, new: str) -> None:
    """Give a volume another name, in use or not, unless it has it already."""
    names.volume(new)
    pools = names.pools(vg)
    if owned.pool_of(vg, old) is None and owned.pool_of(vg, new) in pools:
        return
    owned.path(vg, old)
    try:
        lvm.run(vg, 'lvrename', vg, old, new)
    except exception.StoreError:
        if owned.row(vg, old) or owned.pool_of(vg, new) not in pools:
            raise


@privileged.target_context.entrypoint
@verb.serialised('take over a logical volume')
def adopt(vg: str, pool: str, foreign: str, lv: str, size_bytes: int) -> None:
    """Make a volume of the pool ours: extend it, then rename it.

    :param foreign: its name, which need not be one of ours.
    :raises StoreError: when it is not in the pool.
    """
    names.pool(vg, pool)
    names.volume(lv)
    size = values.size_bytes(size_bytes)
    name = names.place(foreign)
    found = owned.row(vg, name)
    if found is None:
        done = owned.row(vg, lv)
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
@verb.serialised('activate logical volumes')
def activate(vg: str, lvs: Sequence[str]) -> None:
    """Activate volumes, those too that are marked to be skipped."""
    pools, wanted = names.pools(vg), names.volumes(lvs)
    if wanted:
        lvm.run(vg, 'lvchange', '-ay', '-K', '--select',
                owned.selected(pools, wanted), vg)
    for lv in wanted:
        owned.device(vg, lv)


@privileged.target_context.entrypoint
@verb.serialised('activate a thin pool')
def activate_pool(vg: str, pool: str) -> None:
    """Activate a pool of which no volume may be active."""
    lvm.run(vg, 'lvchange', '-ay', f'{vg}/{names.pool(vg, pool)}', quiet=False)


@privileged.target_context.entrypoint
@verb.serialised('tag logical volumes')
def untag(vg: str, lvs: Sequence[str], tag: str) -> None:
    """Take a tag of ours from volumes."""
    pools, wanted = names.pools(vg), names.volumes(lvs)
    words = names.options('--deltag', [tag])
    if wanted:
        lvm.run(vg, 'lvchange', *words, '--select',
                owned.selected(pools, wanted), vg)


# -- without LVM

@privileged.target_context.entrypoint
@verb.translated('flush a logical volume')
def flush(vg: str, lv: str) -> None:
    """Write out what this host has cached of a volume, and forget it.

    The target goes past this host's cache, so what is kept would be old.
    """
    with owned.opened(vg, lv) as fd:
        os.fsync(fd)
        fcntl.ioctl(fd, _BLKFLSBUF, 0)


@privileged.target_context.entrypoint
@verb.translated('resume logical volumes')
def resume(vg: str, lvs: Sequence[str]) -> None:
    """Let suspended volumes go on."""
    for device in [owned.device(vg, lv) for lv in names.volumes(lvs)]:
        dm.resume(device)


@privileged.target_context.entrypoint
@verb.serialised('copy logical volumes together')
def copy_together(vg: str, pool: str, copies: Sequence[Sequence[str]]
                  ) -> float:
    """Let reserved snapshots hold what their sources hold at one moment.

    Their numbers in the pool are looked up here: with one of another volume
    the kernel would read that one, or put a copy in its place.

    :param copies: ``[source, snapshot]`` each; the snapshots bear the tag of
        what is unfinished and must not be active.
    :returns: how long the sources were suspended, in seconds.
    """
    names.pool(vg, pool)
    pairs = names.pairs(copies)
    found = {row['lv_name']: row for row in owned.rows(
        vg, owned.selected([pool], [lv for pair in pairs for lv in pair])
        )} if pairs else {}
    return freeze.copy_together(
        f'{dm.name_of(vg, pool)}-tpool',
        [(owned.device(vg, source), owned.thin_id(vg, pool, source),
          owned.reserved_id(vg, lv, found.get(lv))) for source, lv in pairs])
