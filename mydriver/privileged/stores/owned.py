# SPDX-License-Identifier: Apache-2.0
"""Which logical volumes are in our pools, decided by LVM and device-mapper.

A name proves nothing: a volume of our names may be in another pool. Whether an
active volume is in one of ours, the kernel knows; LVM is asked about others.
"""

from collections.abc import Iterable, Iterator
import contextlib
import os
import stat

from mydriver import exception
from mydriver.privileged import dm
from mydriver.privileged.stores import lvm, names

_FIELDS = ('lv_name', 'lv_size', 'pool_lv', 'lv_active', 'lv_tags',
           'segtype', 'zero', 'discards', 'thin_id', 'lv_device_open',
           'lv_uuid')

#: Tag of a snapshot that a group's snapshot is still being made of.
_UNFINISHED = 'mydriver.unfinished'


def rows(vg: str, select: str) -> list[dict[str, str]]:
    """Return what LVM reports of logical volumes, sizes in bytes.

    :param select: LVM's selection criteria, lvmreport(7).
    """
    return lvm.report(vg, 'lvs', 'lv', _FIELDS, select)


def row(vg: str, lv: str) -> dict[str, str] | None:
    """Return what LVM reports of a volume, None where there is none."""
    found = rows(vg, f'vg_name={vg} && lv_name={lv}')
    return found[0] if found else None


def selected(pools: Iterable[str], lvs: Iterable[str]) -> str:
    """Return LVM's selection of volumes that are in certain pools."""
    places = ' || '.join(f'pool_lv={pool}' for pool in sorted(pools))
    wanted = ' || '.join(f'lv_name={lv}' for lv in lvs)
    return f'({places}) && ({wanted})'


def pool_of(vg: str, lv: str) -> str | None:
    """Return the pool that a volume is in, None where there is none."""
    names.volume(lv)
    names.pools(vg)
    if active := dm.volume(vg, lv):
        return active.pool
    found = row(vg, lv)
    return found['pool_lv'] if found else None


def path(vg: str, lv: str) -> str:
    """Return LVM's path of a volume, which is in one of our pools.

    :raises StoreError: when it is not.
    """
    pools = names.pools(vg)
    if pool_of(vg, lv) not in pools:
        raise exception.StoreError(
            f'use {vg}/{lv}', 'there is no such volume in '
            + ' or '.join(sorted(pools)))
    return f'{vg}/{lv}'


def device(vg: str, lv: str) -> str:
    """Return device-mapper's name of an active volume in one of our pools.

    :raises StoreError: when it is not active, or not there.
    """
    names.volume(lv)
    pools = names.pools(vg)
    active = dm.volume(vg, lv)
    if active is None or active.pool not in pools:
        raise exception.StoreError(
            f'use {vg}/{lv}', 'it is not an active volume of '
            + ' or '.join(sorted(pools)))
    return dm.name_of(vg, lv)


@contextlib.contextmanager
def opened(vg: str, lv: str) -> Iterator[int]:
    """Open the device of an active volume in one of our pools.

    The identity of the open device is compared: its link in ``/dev/mapper``
    is udev's.

    :raises StoreError: when it is not active, or the link leads elsewhere.
    """
    link = f'/dev/mapper/{device(vg, lv)}'
    fd = os.open(link, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        number = f'{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}'
        active = dm.volume(vg, lv)
        if (not stat.S_ISBLK(found.st_mode) or active is None
                or active.number != number):
            raise exception.StoreError(
                f'open {vg}/{lv}', f'{link} is another device')
        yield fd
    finally:
        os.close(fd)


def thin_id(vg: str, pool: str, lv: str) -> int:
    """Return the device id of an active volume in a pool.

    :raises StoreError: when it is not active, or not in that pool.
    """
    active = dm.volume(vg, lv)
    if active is None or active.pool != pool:
        raise exception.StoreError(
            f'copy {vg}/{lv}', f'it is not in pool {pool}')
    return active.thin_id


def reserved_id(vg: str, lv: str, found: dict[str, str] | None) -> int:
    """Return the device id of a snapshot that nobody can be using yet.

    :param found: what LVM reports of it.
    :raises StoreError: unless it is unfinished and not active.
    """
    if (found is None or found['segtype'] != 'thin'
            or _UNFINISHED not in found['lv_tags'].split(',')
            or found['lv_active'] == 'active'
            or dm.status(dm.name_of(vg, lv)) is not None):
        raise exception.StoreError(
            f'copy to {vg}/{lv}', 'it is not an unfinished snapshot')
    return int(found['thin_id'])
