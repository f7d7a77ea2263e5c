# SPDX-License-Identifier: Apache-2.0
"""Correct owners and modes in a directory that belongs to another user.

That user may put links there, to have root change a file elsewhere. So no link
of others than root is followed, and a file with another name is left alone.
"""

import errno
import os
from pathlib import Path
import shlex
import stat

from mydriver import exception
from mydriver.privileged import owners

#: The command that obeys no name of other users.
FIX = 'mydriver doctor storage --fix'


def chmod(folder: str, mode: int) -> None:
    """Set the mode of a directory.

    :raises OSError: when it is a link, or cannot be changed.
    """
    opened = _open(folder)
    try:
        os.chmod(f'/proc/self/fd/{opened}', mode)
    finally:
        os.close(opened)


def chown(folder: str, name: str | None, uid: int, gid: int) -> None:
    """Set the owner of a directory, or of a file in it.

    :param name: of the file; None for the directory itself.
    :raises OSError: when it is a link or has another name, or cannot be
        changed.
    """
    opened = _open(folder)
    try:
        if name is not None:
            found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC,
                            dir_fd=opened)
            os.close(opened)
            opened = found
            status = os.fstat(opened)
            if not is_plain(status):
                raise OSError(errno.EINVAL, 'it is a link, has another name, '
                              'or is not a regular file', name)
        os.chown(f'/proc/self/fd/{opened}', uid, gid)
    finally:
        os.close(opened)


def is_plain(status: os.stat_result) -> bool:
    """Tell whether a file is a regular one with one name."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def inside(folder: Path, command: str, otherwise: str = FIX) -> str:
    """Return what runs a command in a directory, if no link leads there.

    The shell stays in the directory that it has entered, whatever takes the
    place of it.

    :param command: for the shell; it names files by ``./NAME``.
    :param otherwise: what to run if there is a link of others on the way; the
        default refuses to follow it, and says so.
    """
    try:
        os.close(_open(str(folder)))
    except OSError:
        return otherwise
    path = shlex.quote(os.path.realpath(folder))
    return f'(cd {path} && [ "$(pwd -P)" = {path} ] && {command})'


def open_to_read(folder: str, name: str) -> int:
    """Open a regular file in a directory.

    :returns: a descriptor, which the caller closes.
    :raises OSError: when it is not there, is a link or something else.
    """
    opened = _open(folder)
    try:
        # O_NONBLOCK: do not wait for the other end of a FIFO.
        found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                        | os.O_CLOEXEC, dir_fd=opened)
    finally:
        os.close(opened)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise OSError(errno.EINVAL, 'it is not a regular file', name)
    return found


def _open(folder: str) -> int:
    try:
        opened = owners.open_folder(folder)
    except exception.RequestRefused as e:
        raise OSError(errno.ELOOP, str(e), folder) from e
    if not stat.S_ISDIR(os.fstat(opened).st_mode):
        os.close(opened)
        raise NotADirectoryError(
            errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    return opened
