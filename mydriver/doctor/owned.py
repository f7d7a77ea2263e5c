# SPDX-License-Identifier: Apache-2.0
"""Correct owners and modes in a directory that belongs to another user.

That user may put links there, to have root change a file elsewhere. So no link
of others than root is followed, and a file with another name is left alone.
"""

import errno
import os
import stat

from mydriver import exception
from mydriver.privileged import grants


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
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise OSError(errno.EINVAL, 'it is a link, has another name, '
                              'or is not a regular file', name)
        os.chown(f'/proc/self/fd/{opened}', uid, gid)
    finally:
        os.close(opened)


def _open(folder: str) -> int:
    try:
        opened = grants.open_folder(folder)
    except exception.RequestRefused as e:
        raise OSError(errno.ELOOP, str(e), folder) from e
    if not stat.S_ISDIR(os.fstat(opened).st_mode):
        os.close(opened)
        raise NotADirectoryError(
            errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    return opened
