# SPDX-License-Identifier: Apache-2.0
"""A backend's state on disk: its folder, and the files that are in it.

The folder belongs to the user that cinder-volume runs as, and root goes there
too, at boot. So nothing here is reached through a link that this user made:
it could lead root anywhere.
"""

import errno
import os
import stat

from mydriver import exception

_OPTION = 'mydriver_state_path'

#: As many as the kernel follows (fs/namei.c, MAXSYMLINKS).
_MAX_LINKS = 40


def prepare(path: str, *, to_write: bool = True) -> None:
    """Make sure that a folder is there and that this user can work in it.

    :param path: absolute path; it and its parent are made with mode 0700.
    :param to_write: False when a read-only filesystem will do.
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
    """Return the user and the group that a folder belongs to.

    Links that root made are followed on the way to the folder; the folder
    itself must not be one. Where it belongs to root, nobody else may be able
    to put another in its place.

    :param path: absolute path.
    :raises OSError: when it is not there or cannot be reached.
    :raises ConfigurationError: when it is not to be trusted.
    """
    found, rest, links, replaced_by = os.open('/', _PATH), _split(path), 0, ''
    try:
        while rest:
            replaced_by = _replaced_by(found) or replaced_by
            part = rest.pop(0)
            opened = os.open(part, _PATH, dir_fd=found)
            status = os.fstat(opened)
            if not stat.S_ISLNK(status.st_mode):
                os.close(found)
                found = opened
                continue
            try:
                lead = os.readlink('', dir_fd=opened)
            finally:
                os.close(opened)
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if status.st_uid or not rest:
                raise exception.ConfigurationError(
                    _OPTION, f'{path}: {part} in it is a link to {lead}, '
                    f'made by user id {status.st_uid}',
                    'Name the folder that is meant in the option.')
            if lead.startswith('/'):
                os.close(found)
                found = os.open('/', _PATH)
            rest = _split(lead) + rest
        status = os.fstat(found)
    finally:
        os.close(found)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR),
                                 path)
    if status.st_uid == 0 and replaced_by:
        raise exception.ConfigurationError(
            _OPTION, f'{path} belongs to root, but {replaced_by} can put '
            'another folder in its place', 'Give it to the user that '
            'cinder-volume runs as, if that is not root, or name a folder '
            'in the option that root alone can replace.')
    return status.st_uid, status.st_gid


def read(path: str) -> tuple[bytes, int]:
    """Return what is in a file of the state, and its mode.

    :raises OSError: when it is not there, or is anything but a regular file
        of this user's: a link, a FIFO, another user's.
    """
    try:
        # O_NONBLOCK: not to wait for the other end of a FIFO.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                     | os.O_CLOEXEC)
    except OSError as e:
        if e.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, 'it is a link', path) from e
        raise
    with open(fd, 'rb') as f:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, 'it is no regular file', path)
        if status.st_uid != os.geteuid():
            raise PermissionError(
                errno.EPERM, f'it belongs to user id {status.st_uid}', path)
        return f.read(), stat.S_IMODE(status.st_mode)


_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def _split(path: str) -> list[str]:
    return [part for part in path.split('/') if part not in ('', '.')]


def _replaced_by(folder: int) -> str:
    """Say who, but for root, may rename what is in a folder, if anybody."""
    status = os.fstat(folder)
    if status.st_uid:
        return f'user id {status.st_uid}'
    if status.st_mode & stat.S_ISVTX:
        return ''
    if status.st_mode & 0o002:
        return 'anybody'
    if status.st_mode & 0o020 and status.st_gid:
        return f'group id {status.st_gid}'
    return ''
