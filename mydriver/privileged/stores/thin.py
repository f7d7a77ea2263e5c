# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs for the volumes of an LVM thin pool.

A verb takes names and numbers and checks them again. It only touches pools
that root's configuration gives to a backend (:mod:`.grants`) and, in them,
logical volumes with names of ours, so that a caller who was tricked or taken
over cannot reach any other volume.

All verbs are idempotent. A verb runs one LVM command, and one or two more
when it finds its work done already. Device-mapper is used directly
(:mod:`.dm`) where LVM is not needed: for the state of a pool, the owner of an
active volume, and suspended devices.
"""

from collections.abc import Sequence

from mydriver import exception, privileged
from mydriver.privileged import blockdev, dm, grants, values
from mydriver.privileged.stores import freeze, lvm, names, owned, verb

COMMAND_TIMEOUT_S = lvm.COMMAND_TIMEOUT_S

_VG_FIELDS = ('vg_name', 'vg_size', 'vg_free', 'vg_extent_size',
              'vg_missing_pv_count')

# -- queries

@privileged.target_context.entrypoint
@verb.serialised('look at a volume group')
def group(vg: str) -> dict[str, str] | None:
    """Return what LVM reports of a volume group, sizes in bytes.

    :returns: ``vg_name``, ``vg_size``, ``vg_free``, ``vg_extent_size`` and
        ``vg_missing_pv_count``; None where there is no such group.
    """
    names.pools(vg)
    rows = lvm.report(vg, 'vgs', 'vg', _VG_FIELDS, f'vg_name={vg}', anew=True)
    return rows[0] if rows else None


@privileged.target_context.entrypoint
@verb.serialised('list logical volumes')
def volumes(vg: str) -> list[dict[str, str]]:
    """Return what LVM reports of our pools in a group and their volumes.

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
    # The second is the name of a pool that never had a volume.
    for device in (f'{name}-tpool', name):
        state, made = dm.status(device), dm.table(device)
        if state and made and state[0] == made[0] == 'thin-pool':
            return state[1], made[1]
    return None


@privileged.target_context.entrypoint
@verb.translated('look at a logical volume')
def mapped_sectors(vg: str, lv: str) -> int:
    """Return how many sectors of a volume are mapped to the pool."""
    found = dm.status(owned.device(vg, lv))
    if found is None or found[0] != 'thin' or not found[1].split()[0].isdigit(
            ):
        raise exception.StoreError(
            f'look at {vg}/{lv}', f'its device reports {found}')
    return int(found[1].split()[0])


# -- one LVM command each

@privileged.target_context.entrypoint
@verb.serialised('create a thin pool')
def create_pool(vg: str, pool: str, data_bytes: int, metadata_bytes: int,
                chunk_kib: int) -> None:
    """Create a thin pool that zeroes chunks and passes discards down.

    :raises RequestRefused: when the configuration names the pool: then the
        administrator creates it.
    """
    if not grants.pools_of(names.place(vg))[names.pool(vg, pool)].makes_pool:
        values.refuse(f'to create {vg}/{pool}',
                      'the configuration names it as an existing pool')
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
    """Create an active thin volume.

    :param request: a tag that the caller chooses, different for each volume.
    """
    _make(vg, lv, request, '--type', 'thin', '-V',
          f'{values.size_bytes(size_bytes)}b', '--thinpool',
          f'{vg}/{names.pool(vg, pool)}', '--name', names.volume(lv), '-Wn')


@privileged.target_context.entrypoint
@verb.serialised('copy a logical volume')
def copy(vg: str, source: str, lv: str, tags: Sequence[str],
         active: bool, request: str) -> None:
    """Create a thin snapshot: a writable volume that shares its data.

    :param request: a tag that the caller chooses, different for each volume.
    """
    active = values.boolean(active, 'active')
    words = ('--snapshot', '--name', names.volume(lv),
             *names.options('--addtag', tags))
    _make(vg, lv, request, *words, owned.path(vg, source), active=active)


def _make(vg: str, lv: str, request: str, *args: str,
          active: bool = True) -> None:
    """Run ``lvcreate`` for a volume that is tagged with the request.

    When the daemon dies, its LVM command goes on. The tag tells the repeated
    request that the volume it finds is its own.
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
    """Grow a volume, unless it has the size already."""
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
    """Remove volumes of a pool; names that are not in it are ignored."""
    if wanted := names.volumes(lvs):
        lvm.run(vg, 'lvremove', '--force', '--select',
                owned.selected([names.pool(vg, pool)], wanted), vg)


@privileged.target_context.entrypoint
@verb.serialised('rename a logical volume')
def rename(vg: str, old: str, new: str) -> None:
    """Rename a volume, which may be in use, unless it has the name."""
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
    """Extend and rename a volume of the pool that others made.

    :param foreign: its name, which need not be one of ours.
    :param lv: its new name.
    :raises StoreError: when it is not in the pool, or in use.
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
    """Activate volumes, also those with the activation skip flag."""
    pools, wanted = names.pools(vg), names.volumes(lvs)
    if wanted:
        lvm.run(vg, 'lvchange', '-ay', '-K', '--select',
                owned.selected(pools, wanted), vg)
    for lv in wanted:
        owned.device(vg, lv)


@privileged.target_context.entrypoint
@verb.serialised('activate a thin pool')
def activate_pool(vg: str, pool: str) -> None:
    """Activate a pool, whether or not it has active volumes."""
    lvm.run(vg, 'lvchange', '-ay', f'{vg}/{names.pool(vg, pool)}', quiet=False)


@privileged.target_context.entrypoint
@verb.serialised('tag logical volumes')
def untag(vg: str, lvs: Sequence[str], tag: str) -> None:
    """Remove a tag of ours from volumes."""
    pools, wanted = names.pools(vg), names.volumes(lvs)
    words = names.options('--deltag', [tag])
    if wanted:
        lvm.run(vg, 'lvchange', *words, '--select',
                owned.selected(pools, wanted), vg)


# -- without LVM

@privileged.target_context.entrypoint
@verb.translated('flush a logical volume')
def flush(vg: str, lv: str) -> None:
    """Write out what this host has cached of a volume, and drop the cache.

    The target bypasses the cache, which would become stale.
    """
    with owned.opened(vg, lv) as fd:
        blockdev.flush(fd)


@privileged.target_context.entrypoint
@verb.translated('resume logical volumes')
def resume(vg: str, lvs: Sequence[str]) -> None:
    """Resume suspended volumes."""
    for device in [owned.device(vg, lv) for lv in names.volumes(lvs)]:
        dm.resume(device)


@privileged.target_context.entrypoint
@verb.serialised('copy logical volumes together')
def copy_together(vg: str, pool: str, copies: Sequence[Sequence[str]]
                  ) -> float:
    """Give reserved snapshots the data of their sources at one moment.

    Their device ids are looked up here. With the id of another volume the
    kernel would copy that one, or overwrite it.

    :param copies: ``[source, snapshot]`` each; the snapshots have the tag of
        unfinished ones and are not active.
    :returns: for how long the sources were suspended, in seconds.
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
