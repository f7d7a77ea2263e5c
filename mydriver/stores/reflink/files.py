# SPDX-License-Identifier: Apache-2.0
"""Files in an open directory: published when complete, renamed atomically."""

from collections.abc import Iterator
import contextlib
import ctypes
import errno
import fcntl
import os
import stat

from mydriver.stores import base, names, refusals

MODE = 0o600

#: Prefix of the name of a file that is about to replace another.
_UNFINISHED = '.mydriver-'

#: RENAME_NOREPLACE of include/uapi/linux/fs.h.
_NOREPLACE = 1

_LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def unnamed(folder: int) -> Iterator[int]:
    """Open a new file in the directory that has no name yet."""
    fd = os.open('.', os.O_TMPFILE | os.O_RDWR, MODE, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def publish(fd: int, folder: int, name: str) -> None:
    """Give a complete file its name, durably; never replace another file.

    ``src_dir_fd`` does nothing for an absolute path, except that it makes
    Python call linkat(2) with AT_SYMLINK_FOLLOW; see O_TMPFILE in open(2).

    :raises StoreError: when the name is taken.
    """
    os.fsync(fd)
    try:
        os.link(f'/proc/self/fd/{fd}', name, src_dir_fd=folder,
                dst_dir_fd=folder, follow_symlinks=True)
    except FileExistsError as e:
        refusals.refuse_taken(name, e)
    os.fsync(folder)


def stat_of(folder: int, name: str) -> os.stat_result | None:
    """Return the status of a name in the directory, None if unused."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def replace(fd: int, folder: int, name: str) -> None:
    """Replace a named file by a complete one, durably.

    linkat(2) does not replace, so the file gets an intermediate name first. A
    crash leaves it behind; the lock tells :func:`drop_unfinished` that there
    was none.
    """
    os.fsync(fd)
    fcntl.flock(fd, fcntl.LOCK_EX)
    between = _UNFINISHED + name
    with contextlib.suppress(FileNotFoundError):
        os.unlink(between, dir_fd=folder)
    os.link(f'/proc/self/fd/{fd}', between, src_dir_fd=folder,
            dst_dir_fd=folder, follow_symlinks=True)
    os.rename(between, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def drop_unfinished(folder: int) -> tuple[str, ...]:
    """Remove what a crash left in the middle of :func:`replace`.

    The file to be replaced exists until the last step. If it is missing,
    something else has happened, and the intermediate file may be the only
    copy of the data: it is kept.

    :returns: what is kept, and why. Nothing is logged, since this runs in
        native threads, which must not wait for eventlet's locks.
    """
    kept: list[str] = []
    for name in os.listdir(folder):
        replaced = name.removeprefix(_UNFINISHED)
        if replaced == name or not names.is_name(replaced):
            continue
        if stat_of(folder, replaced) is None:
            kept.append(
                f'{name}, which was to replace {replaced} in a revert, but '
                f'{replaced} is missing. Rename the file to that if you need '
                'it, or remove it')
            continue
        try:
            _drop(folder, name)
        except OSError as e:
            kept.append(f'{name}, which cannot be removed: {e.strerror}')
    return tuple(kept)


def _drop(folder: int, name: str) -> None:
    # Missing or locked: another process is about to complete it.
    with contextlib.suppress(FileNotFoundError, BlockingIOError):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK,
                     dir_fd=folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name, dir_fd=folder)
        finally:
            os.close(fd)


def remove(folder: int, name: str) -> None:
    """Remove a file, durably; it is fine when there is none.

    What a failed :func:`replace` left of it is removed as well; otherwise
    :func:`drop_unfinished` would keep it.
    """
    for each in (_UNFINISHED + name, name):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each, dir_fd=folder)
    os.fsync(folder)


def ours(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    """Return the regular files with names of backings.

    A link or directory of such a name occupies the name but is no backing.
    """
    for name in os.listdir(folder):
        found = stat_of(folder, name) if names.is_name(name) else None
        if found is not None and stat.S_ISREG(found.st_mode):
            yield name, found


def rename(folder: int, old: str, new: str) -> None:
    """Rename a file, durably; never replace another file.

    :raises FileNotFoundError: when there is no such file.
    :raises StoreError: when the new name is taken.
    """
    # Python has no renameat2(2).
    if _LIBC.renameat2(folder, os.fsencode(old), folder, os.fsencode(new),
                       _NOREPLACE):
        number = ctypes.get_errno()
        if number == errno.EEXIST:
            refusals.refuse_taken(new)
        raise OSError(number, os.strerror(number), old)
    os.fsync(folder)


def foreign(folder: int, name: str) -> base.Foreign | None:
    """Return a file that others made.

    :returns: None when it is no regular file, or has no such name.
    """
    if not names.is_foreign_name(name):
        return None
    found = stat_of(folder, name)
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    return base.Foreign(name, found.st_size, problem_of(found))


def problem_of(found: os.stat_result) -> str | None:
    """Return why a regular file cannot be adopted, None when it can."""
    if found.st_nlink != 1:
        return 'it has more than one name (hard links)'
    if found.st_uid != os.geteuid():
        return (f'it belongs to user id {found.st_uid}, but cinder-volume '
                f'runs as user id {os.geteuid()}')
    if not found.st_size:
        return 'it is empty'
    return None
