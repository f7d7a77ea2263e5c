# SPDX-License-Identifier: Apache-2.0
"""Whether a directory can hold a ``reflink`` store."""

from collections.abc import Callable
import errno
import os

from mydriver import exception
from mydriver.stores.reflink import files

OPTION = 'mydriver_store_path'

#: Errors of FICLONE where extents cannot be shared.
NO_REFLINK = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EISDIR,
              errno.ENOSYS, errno.EXDEV)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)

#: Makes the second open file share the extents of the first one.
Clone = Callable[[int, int], None]


def check(path: str, clone: Clone) -> None:
    """Try what the store needs: write, and share extents.

    Only files without a name are made, so that nothing remains.

    :param path: the directory.
    :param clone: shares extents, see :data:`Clone`.
    :raises ConfigurationError: with the problem and the remedy.
    :raises StoreError: when the filesystem is full.
    """
    if not os.path.isabs(path):
        raise _wrong(f'{path!r} is not an absolute path',
                     'Give the absolute path of a directory on XFS or btrfs.')
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError as e:
        raise _wrong(f'{path} does not exist',
                     'Mount an XFS or btrfs filesystem and create the '
                     f'directory for the user of cinder-volume{_me()}.'
                     ) from e
    except NotADirectoryError as e:
        raise _wrong(f'{path} is not a directory',
                     'Give the path of a directory on XFS or btrfs.') from e
    except OSError as e:
        raise _unusable(path, e) from e
    try:
        _probe(folder, clone)
    except OSError as e:
        if e.errno in NO_REFLINK:
            raise _wrong(
                f'{path} is on a filesystem that cannot share '
                f'extents ({e.strerror})', 'Use XFS made with reflink=1 '
                '(the default of mkfs.xfs) or btrfs, and check that it is '
                'mounted.') from e
        if e.errno in _NO_ROOM:
            raise exception.StoreError(
                f'create a file in {path}', str(e.strerror)) from e
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
    """Return the error for a directory that cannot be used."""
    if error.errno in _NOT_ALLOWED:
        return _wrong(
            f'{path} cannot be written ({error.strerror})',
            f'Give it to the user of cinder-volume{_me()}, with mode 0750, '
            'and mount it read-write.')
    return _wrong(f'{path} cannot be used ({error.strerror})',
                  'Look for errors of its filesystem in the kernel log.')


def _me() -> str:
    """Return the user that this process runs as, for a text.

    Nothing for root, who checks the directory for the service.
    """
    uid = os.geteuid()
    return f' (user id {uid})' if uid else ''
