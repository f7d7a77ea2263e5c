# SPDX-License-Identifier: Apache-2.0
"""Open a directory without being led elsewhere by another user's link."""

from collections.abc import Callable
import errno
import os
import stat

#: As many links as the kernel follows (fs/namei.c, MAXSYMLINKS).
MAX_LINKS = 40

_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

#: Takes a link's name in the path, its status, where it leads, and whether
#: it is the last part of the path; raises an error to refuse it.
OnLink = Callable[[str, os.stat_result, str, bool], None]


def open_folder(path: str, on_link: OnLink,
                on_step: Callable[[int], None] | None = None,
                root: str = '/') -> int:
    """Open a directory step by step, asking about each link on the way.

    :param path: absolute path, without ``..`` if there is another root.
    :param on_link: called for each link, before it is followed.
    :param on_step: called with the descriptor of each directory on the way,
        before a name is looked up in it.
    :param root: the directory that the path, and absolute links, begin at.
        ``on_link`` has to refuse links with ``..`` if it is not ``/``.
    :returns: a descriptor (O_PATH); the caller closes it. It may be one of
        another file than a directory.
    :raises OSError: when it cannot be reached.
    """
    found, rest, links = _open_root(root), _split(path), 0
    try:
        while rest:
            if on_step is not None:
                on_step(found)
            part = rest.pop(0)
            opened = os.open(part, _FLAGS, dir_fd=found)
            status = os.fstat(opened)
            if not stat.S_ISLNK(status.st_mode):
                os.close(found)
                found = opened
                continue
            try:
                to = os.readlink('', dir_fd=opened)
            finally:
                os.close(opened)
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            on_link(part, status, to, not rest)
            if to.startswith('/'):
                os.close(found)
                found = _open_root(root)
            rest = _split(to) + rest
    except BaseException:
        os.close(found)
        raise
    return found


def _open_root(path: str) -> int:
    """Open where paths begin; the operator may have given a link to it."""
    return os.open(path, _FLAGS & ~os.O_NOFOLLOW)


def _split(path: str) -> list[str]:
    return [part for part in path.split('/') if part not in ('', '.')]
