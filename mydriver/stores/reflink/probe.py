# SPDX-License-Identifier: Apache-2.0
"""Whether a folder can keep the files of the ``reflink`` store."""

from collections.abc import Callable
import errno
import os

from mydriver import exception
from mydriver.stores.reflink import files

OPTION = 'mydriver_store_path'

#: What FICLONE fails with where extents cannot be shared.
NO_REFLINK = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EISDIR,
              errno.ENOSYS, errno.EXDEV)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)

#: Makes the second open file share the contents of the first one.
Clone = Callable[[int, int], None]


def check(path: str, clone: Clone) -> None:
    """Try for real what the store needs: write, and share extents.

    :param path: the folder.
    :param clone: how contents are shared.
    :raises ConfigurationError: with what is wrong and the remedy.
    :raises StoreError: when it is full.
    """
    if not os.path.isabs(path):
        raise _wrong(f'{path!r} is not an absolute path',
                     'Give the full path of a folder on XFS or btrfs.')
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError as e:
        raise _wrong(f'{path} does not exist',
                     'Mount an XFS or btrfs filesystem and create the '
                     f'folder for the user of cinder-volume{_me()}.'
                     ) from e
    except NotADirectoryError as e:
        raise _wrong(f'{path} is not a folder',
                     'Give the path of a folder on XFS or btrfs.') from e
    except OSError as e:
        raise _unusable(path, e) from e
    try:
        _probe(folder, clone)
    except OSError as e:
        if e.errno in NO_REFLINK:
            raise _wrong(
                f'{path} is on a filesystem that cannot share '
                f'extents ({e.strerror})', 'Use XFS made with reflink=1 '
                '(the default of mkfs.xfs) or btrfs, and see that it is '
                'mounted.') from e
        if e.errno in _NO_ROOM:
            raise exception.StoreError(
                f'make a file in {path}', str(e.strerror)) from e
        raise _unusable(path, e) from e
    finally:
        os.close(folder)


def _probe(folder: int, clone: Clone) -> None:
    """Share extents between two files without a name."""
    with files.unnamed(folder) as source, files.unnamed(folder) as target:
        os.ftruncate(source, 4096)
        clone(source, target)


def _wrong(problem: str, remedy: str) -> exception.ConfigurationError:
    return exception.ConfigurationError(OPTION, problem, remedy)


def _unusable(path: str, error: OSError) -> exception.ConfigurationError:
    """Say why the folder cannot be used."""
    if error.errno in _NOT_ALLOWED:
        return _wrong(
            f'{path} cannot be written ({error.strerror})',
            f'Give it to the user of cinder-volume{_me()}, with mode 0750, '
            'and mount it read-write.')
    return _wrong(f'{path} cannot be used ({error.strerror})',
                  'See the kernel log about its filesystem.')


def _me() -> str:
    """Name the user that this process is."""
    return f' (user id {os.geteuid()})'
