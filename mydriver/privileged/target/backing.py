# SPDX-License-Identifier: Apache-2.0
"""The file, logical volume or image that a backstore serves.

Its path follows from the grant of the backend and the id of the volume. The
caller names it too, and is refused when it names another one.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import os
import stat
from typing import Any

from mydriver import exception
from mydriver.privileged import cephconf, dm, grants, krbd, owners, values

#: Prefix of a backstore's alias, which records the file it has open.
IDENTITY = 'mydriver:'


@dataclasses.dataclass(frozen=True, slots=True)
class Backing:
    """A volume's file or block device.

    :param path: its path.
    :param open_path: leads to that very file, whatever is at ``path`` by now.
    :param identity: different for each file or device; empty when nothing
        tells it.
    :param check: to be called once the path has been opened; raises
        TargetError when it may have led elsewhere.
    """

    path: str
    open_path: str
    identity: str
    check: Callable[[], None] = lambda: None


@contextlib.contextmanager
def opened(export: Mapping[str, Any]) -> Iterator[Backing]:
    """Open the backing of a volume and keep it open for the block.

    :param export: checked, except for ``path``, which the caller chose.
    :raises RequestRefused: when ``path`` is not the volume's own.
    :raises TargetError: when the backing does not exist or is too small.
    """
    grant = grants.of_backend(values.backend_of(export['name']),
                              export['kind'])
    name = f'volume-{export["volume_id"]}'
    image = _image(grant, name) if grant.ceph_conf else None
    if image:
        path = image.link
    elif export['kind'] == 'fileio':
        path = os.path.join(grant.place, name)
    else:
        path = f'/dev/{grant.place}/{name}'
    said = export['path']
    if image and isinstance(said, str) and krbd.is_node(said):
        path = said
    if not isinstance(said, str) or os.path.normpath(
            said) != os.path.normpath(path):
        values.refuse(f'to export {values.shown(said)}',
                      f'volume {export["volume_id"]} is {path}')
    if image:
        yield _mapped(image, path)
        return
    if export['kind'] == 'iblock':
        _check_volume(grant, name, path)
        yield Backing(path, path, '')
        return
    folder = owners.open_folder(grant.place)
    try:
        with _file(folder, name, path, export['size_bytes']) as found:
            yield found
    finally:
        os.close(folder)


@contextlib.contextmanager
def _file(folder: int, name: str, path: str, size_bytes: int
          ) -> Iterator[Backing]:
    """Yield a regular file that only the store's owner can have put there.

    It is opened with O_PATH, which has no side effects on any kind of file.
    """
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC,
                 dir_fd=folder)
    try:
        found, owner = os.fstat(fd), os.fstat(folder).st_uid
        problem = None
        if not stat.S_ISREG(found.st_mode):
            problem = 'it is not a regular file'
        elif found.st_nlink != 1:
            problem = f'it has {found.st_nlink} names (hard links)'
        elif found.st_uid != owner:
            problem = (f'it belongs to user id {found.st_uid}, its directory '
                       f'to {owner}')
        elif found.st_size < size_bytes:
            problem = f'it has fewer than {size_bytes} bytes'
        if problem:
            raise exception.TargetError(f'export {path}', problem)
        yield Backing(path, f'/proc/self/fd/{fd}',
                      f'{IDENTITY}{found.st_dev:x}:{found.st_ino:x}')
    finally:
        os.close(fd)


def _image(grant: grants.Grant, name: str) -> krbd.Image:
    """Return a volume's image in the granted pool of Ceph."""
    owners.check_owner(grant.ceph_conf)
    conf = cephconf.CephConf(grant.ceph_conf, grant.ceph_user)
    return krbd.Image(conf.fsid(), grant.place, name)


def _mapped(image: krbd.Image, path: str) -> Backing:
    """Return the device at a path, which is an image that is mapped here.

    Only root maps images and makes names in /dev. The number of a device is
    used again when it is free. But if the very device is still there once the
    path has been opened, it was there all the time.
    """
    found = _mapping(image, path)

    def check() -> None:
        if _mapping(image, path).device_id != found.device_id:
            raise exception.TargetError(
                f'export {path}', 'it was unmapped meanwhile')

    return Backing(path, path, f'{IDENTITY}{found.device_id:x}', check)


def _mapping(image: krbd.Image, path: str) -> krbd.Mapping:
    """Return the mapping of an image whose device is at a path.

    :param path: udev's link, or the kernel's own device node.
    :raises TargetError: when there is none.
    """
    found = krbd.of_node(path) if krbd.is_node(path) else krbd.find(image)
    if found is None or found.image != image or not found.is_at(path):
        raise exception.TargetError(
            f'export {path}', f'it is not image {image.pool}/{image.name} of '
            f'cluster {image.fsid}, mapped on this host')
    return found


def _check_volume(grant: grants.Grant, name: str, path: str) -> None:
    """Check that a device is a thin volume of the granted pool.

    Only root creates names in /dev and device-mapper devices.
    """
    found = os.stat(path)
    if not stat.S_ISBLK(found.st_mode):
        raise exception.TargetError(f'export {path}',
                                    'it is not a block device')
    device = dm.volume(grant.place, name)
    if device is None or device.pool != grant.pool:
        raise exception.TargetError(
            f'export {path}',
            f'it is not a volume of {grant.place}/{grant.pool}')
    if device.number != f'{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}':
        raise exception.TargetError(f'export {path}', 'it is another device')
