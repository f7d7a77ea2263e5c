# SPDX-License-Identifier: Apache-2.0
"""The file or logical volume that a backstore serves.

Its path follows from the grant of the backend and the id of the volume. The
caller names it too, and is refused when it names another one.
"""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import os
import stat
from typing import Any

from mydriver import exception
from mydriver.privileged import dm, grants, values

#: Prefix of a backstore's alias, which records the file it has open.
IDENTITY = 'mydriver:'


@dataclasses.dataclass(frozen=True, slots=True)
class Backing:
    """A volume's file or block device.

    :param path: its path.
    :param open_path: leads to that very file, whatever is at ``path`` by now.
    :param identity: different for each file.
    """

    path: str
    open_path: str
    identity: str


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
    path = (os.path.join(grant.place, name) if export['kind'] == 'fileio'
            else f'/dev/{grant.place}/{name}')
    if not isinstance(export['path'], str) or os.path.normpath(
            export['path']) != os.path.normpath(path):
        values.refuse(f'to export {values.shown(export["path"])}',
                      f'volume {export["volume_id"]} is {path}')
    if export['kind'] == 'iblock':
        _check_volume(grant, name, path)
        yield Backing(path, path, '')
        return
    folder = grants.open_folder(grant.place)
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
