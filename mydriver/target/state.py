# SPDX-License-Identifier: Apache-2.0
"""A backend's state on disk: its directory, and the files in it.

The directory belongs to the user that cinder-volume runs as, but root uses it
at boot. So no link of that user is followed: it could lead root anywhere.
"""

import errno
import os
import stat

from mydriver import exception, folders

_OPTION = 'mydriver_state_path'


def prepare(path: str, *, to_write: bool = True) -> None:
    """Create a backend's directory if necessary; check that it can be used.

    :param path: absolute path; it and its parent are created with mode 0700.
    :param to_write: False when a read-only file system is good enough.
    :raises ConfigurationError: when it cannot be used.
    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.makedirs(path, mode=0o700, exist_ok=True)
        owner(path)
        if not os.access(path, os.W_OK | os.X_OK if to_write else os.X_OK):
            raise PermissionError(None, 'it cannot be written')
    except OSError as e:
        raise exception.ConfigurationError(
            _OPTION, f'{path}: {e.strerror}', 'Give it to the user that '
            f'cinder-volume runs as, user id {os.geteuid()}.') from e


def owner(path: str) -> tuple[int, int]:
    """Return the user and the group that a directory belongs to.

    Root's links are followed on the way to the directory; the directory itself
    must not be one. When it belongs to root, nobody else may be able to
    replace it.

    :param path: absolute path.
    :raises OSError: when it does not exist or cannot be reached.
    :raises ConfigurationError: when it cannot be trusted.
    """
    replaced_by = ''

    def note_owner(folder: int) -> None:
        nonlocal replaced_by
        replaced_by = _replaced_by(folder) or replaced_by

    def refuse(part: str, found: os.stat_result, to: str, is_last: bool
               ) -> None:
        if found.st_uid or is_last:
            raise exception.ConfigurationError(
                _OPTION, f'{path}: {part} in it is a link to {to}, made by '
                f'user id {found.st_uid}',
                'Name the directory that it leads to in the option.')

    folder = folders.open_folder(path, refuse, note_owner)
    try:
        status = os.fstat(folder)
    finally:
        os.close(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR),
                                 path)
    if status.st_uid == 0 and replaced_by:
        raise exception.ConfigurationError(
            _OPTION, f'{path} belongs to root, but {replaced_by} can replace '
            'it', 'Give it to the user that cinder-volume runs as, if that is '
            'not root, or name a directory in the option that only root can '
            'replace.')
    return status.st_uid, status.st_gid


def read(path: str) -> tuple[bytes, int]:
    """Return the contents of a file of the state, and its mode.

    :raises OSError: when it does not exist, or is not a regular file of this
        user: a link, a FIFO, another user's file.
    """
    try:
        # O_NONBLOCK: do not wait for the other end of a FIFO.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                     | os.O_CLOEXEC)
    except OSError as e:
        if e.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, 'it is a link', path) from e
        raise
    with open(fd, 'rb') as f:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, 'it is not a regular file', path)
        if status.st_uid != os.geteuid():
            raise PermissionError(
                errno.EPERM, f'it belongs to user id {status.st_uid}', path)
        return f.read(), stat.S_IMODE(status.st_mode)


def _replaced_by(folder: int) -> str:
    """Return who except root may rename what is in a directory, or nothing."""
    status = os.fstat(folder)
    if status.st_uid:
        return f'user id {status.st_uid}'
    if status.st_mode & stat.S_ISVTX:
        return ''
    if status.st_mode & 0o002:
        return 'any user'
    if status.st_mode & 0o020 and status.st_gid:
        return f'group id {status.st_gid}'
    return ''
