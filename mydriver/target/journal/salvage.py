# SPDX-License-Identifier: Apache-2.0
"""Set aside a damaged journal, or copy an unwritable one to memory."""

import atexit
import contextlib
import os
import shutil
import tempfile
import time

from mydriver.target.journal import errors, mark

#: What belongs to a database, and is useless or harmful without it.
BESIDE = ('-wal', '-shm', '-journal', mark.END)
#: A file system in memory, available early at boot.
_MEMORY = '/dev/shm'  # noqa: S108, mkdtemp creates a directory there


def set_aside(path: str) -> str:
    """Rename a damaged journal and the files that belong to it.

    :returns: the database's new path.
    :raises JournalError: while another process writes to it.
    """
    with errors.translated(path):
        lock = mark.Mark.lock(path, alone=True)
        try:
            return _set_aside(path)
        finally:
            lock.close()


def copy_to_memory(path: str) -> str:
    """Copy a journal to a file system in memory, until this process ends.

    Call it only while this process does not have the journal open: closing
    the copied file would drop sqlite's locks. If another process writes
    meanwhile, the checks of the copy find it damaged.

    :returns: the path of the copy.
    :raises JournalError: when it cannot be copied.
    """
    with errors.translated(path):
        folder = tempfile.mkdtemp(prefix='mydriver-', dir=_MEMORY)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        copy = os.path.join(folder, os.path.basename(path))
        for end in ('', '-wal', mark.END):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path + end, copy + end)
        return copy


def flush(folder: str) -> None:
    """Flush a directory, so that renamed and linked files survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_aside(path: str) -> str:
    stamp = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
    aside, number = f'{path}.damaged-{stamp}', 0
    while any(os.path.lexists(aside + end) for end in ('', *BESIDE)):
        number += 1
        aside = f'{path}.damaged-{stamp}-{number}'
    for end in ('', *BESIDE):  # the database first: see file._create
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + end, aside + end)
    flush(os.path.dirname(path))
    return aside
