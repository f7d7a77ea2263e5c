# SPDX-License-Identifier: Apache-2.0
"""Why the journal cannot be used, and the remedy: from sqlite's errors."""

from collections.abc import Iterator
import contextlib
import errno
import os
import shutil
import sqlite3

from oslo_utils import units

from mydriver import exception

#: With less room than this, an I/O error means that the file system is full.
_LITTLE_ROOM_BYTES = units.Mi

_READ_ONLY = ('Remount its filesystem for writing; the kernel log may say '
              'why it is read-only.')
_DISK = ('Check the kernel log for disk errors. The journal may be intact '
         'and was left in place.')
_BUG = 'Please report this, with the log.'


def of(path: str, error: Exception, *, is_whole: bool = True
       ) -> exception.JournalError:
    """Return our error for one of sqlite's, the system's or a value's.

    :param path: of the journal.
    :param error: what was raised; anything that is neither sqlite's nor the
        system's is due to an invalid value in the journal.
    :param is_whole: the journal has been checked, so that an error that says
        nothing about the file does not mean damage.
    """
    if isinstance(error, OSError):
        return _of_system(path, error)
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(path, error, is_whole)
    return exception.JournalDamaged(path, str(error).rstrip('.'))


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise the errors of sqlite and the system, and of values, as ours.

    :param path: of the journal.
    """
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as e:
        raise of(path, e) from e


def _of_system(path: str, error: OSError) -> exception.JournalError:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(path, reason)
    if error.errno in (errno.EACCES, errno.EPERM):
        return _forbidden(path, reason)
    if error.errno == errno.EROFS:
        return exception.JournalUnwritable(path, reason, _READ_ONLY)
    if error.errno == errno.ENOENT:
        return exception.JournalUnusable(
            path, reason, 'Check mydriver_state_path, and that its '
            'filesystem is mounted.')
    return exception.JournalUnusable(path, reason, _DISK)


def _of_sqlite(path: str, error: sqlite3.Error, is_whole: bool
               ) -> exception.JournalError:
    code = getattr(error, 'sqlite_errorcode', 0) & 0xff
    reason = str(error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
                sqlite3.SQLITE_FORMAT) or 'decode' in reason:
        return exception.JournalDamaged(path, reason)
    if code == sqlite3.SQLITE_FULL or (
            code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
            and _has_little_room(path)):
        return _full(path, reason)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return exception.JournalUnusable(
            path, reason, 'Another process has held its lock for too long; '
            f'fuser -v {path} shows which one.')
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
                sqlite3.SQLITE_READONLY):
        if _is_read_only(path):
            return exception.JournalUnwritable(path, reason, _READ_ONLY)
        return _forbidden(path, reason)
    if code == sqlite3.SQLITE_IOERR:
        return exception.JournalUnusable(path, reason, _DISK)
    if not is_whole:
        return exception.JournalDamaged(path, reason)
    return exception.JournalUnusable(path, reason, _BUG)


def _full(path: str, reason: str) -> exception.JournalError:
    return exception.JournalUnwritable(
        path, reason, f'Make room in {os.path.dirname(path)}. The journal '
        'itself is intact.')


def _forbidden(path: str, reason: str) -> exception.JournalError:
    return exception.JournalUnusable(
        path, reason, f'User id {os.geteuid()} may not use it: give '
        f'{os.path.dirname(path)} and all in it to the user that '
        'cinder-volume runs as.')


def _has_little_room(path: str) -> bool:
    try:
        return (shutil.disk_usage(os.path.dirname(path)).free
                < _LITTLE_ROOM_BYTES)
    except OSError:
        return False


def _is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(os.path.dirname(path)).f_flag & os.ST_RDONLY)
    except OSError:
        return False
