# SPDX-License-Identifier: Apache-2.0
"""Files in an open folder: made whole, named durably, renamed in one step."""

from collections.abc import Iterator
import contextlib
import ctypes
import errno
import fcntl
import os
import stat

from mydriver.stores import base, names, refusals

MODE = 0o600

#: Begins the name of a file that is about to replace another.
_UNFINISHED = '.mydriver-'

#: RENAME_NOREPLACE of include/uapi/linux/fs.h.
_NOREPLACE = 1

_LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def unnamed(folder: int) -> Iterator[int]:
    """Open a new file in the folder that has no name yet."""
    fd = os.open('.', os.O_TMPFILE | os.O_RDWR, MODE, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def publish(fd: int, folder: int, name: str) -> None:
    """Give a finished file its name, durably; never over another's.

    ``src_dir_fd`` is of no use for an absolute path, but makes Python call
    linkat(2) with AT_SYMLINK_FOLLOW, as open(2) has it for O_TMPFILE.
    """
    os.fsync(fd)
    try:
        os.link(f'/proc/self/fd/{fd}', name, src_dir_fd=folder,
                dst_dir_fd=folder, follow_symlinks=True)
    except FileExistsError as e:
        refusals.refuse_taken(name, e)
    os.fsync(folder)


def stat_of(folder: int, name: str) -> os.stat_result | None:
    """Return what is under the name itself, None where there is nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def replace(fd: int, folder: int, name: str) -> None:
    """Give a finished file the name of another one, which goes, durably.

    linkat(2) does not replace, so it takes two steps, and the name between
    them outlives a crash; see :func:`drop_unfinished`. The lock tells that it
    is none.
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

    The file that was to be replaced is there until the very last step. Where
    it is not, something else has happened, and what is left may be all that
    there is of its contents: it stays.

    :returns: what stays, and why. It is not logged here: this runs in native
        threads, where eventlet's locks must not be waited for.
    """
    kept: list[str] = []
    for name in os.listdir(folder):
        replaced = name.removeprefix(_UNFINISHED)
        if replaced == name or not names.is_name(replaced):
            continue
        if stat_of(folder, replaced) is None:
            kept.append(
                f'{name}, what a revert was about to put in the place of '
                f'{replaced}, which is missing. Rename it to that when it is '
                'wanted, or remove it')
            continue
        try:
            _drop(folder, name)
        except OSError as e:
            kept.append(f'{name}, which cannot be removed: {e.strerror}')
    return tuple(kept)


def _drop(folder: int, name: str) -> None:
    # Gone or locked: another process is about to finish it.
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

    So does what a failed :func:`replace` left of it: it would be in doubt.
    """
    for each in (_UNFINISHED + name, name):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each, dir_fd=folder)
    os.fsync(folder)


def ours(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    """Return the regular files that are named like ours.

    A link or a folder of such a name is none of them: whoever put it there
    has taken the name, and nothing else.
    """
    for name in os.listdir(folder):
        found = stat_of(folder, name) if names.is_name(name) else None
        if found is not None and stat.S_ISREG(found.st_mode):
            yield name, found


def rename(folder: int, old: str, new: str) -> None:
    """Rename a file, durably; never over another's name.

    :raises FileNotFoundError: when there is none.
    :raises StoreError: when something has the new name.
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
    """Return a file that could be taken over.

    :returns: None where there is no regular file that others may put there.
    """
    if not names.is_foreign_name(name):
        return None
    found = stat_of(folder, name)
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    return base.Foreign(name, found.st_size, problem_of(found))


def problem_of(found: os.stat_result) -> str | None:
    """Say why a regular file cannot be taken over, None when it can."""
    if found.st_nlink != 1:
        return 'it has more than one name (hard links)'
    if found.st_uid != os.geteuid():
        return (f'it belongs to user id {found.st_uid}, cinder-volume is '
                f'user id {os.geteuid()}')
    if not found.st_size:
        return 'it is empty'
    return None
