# SPDX-License-Identifier: Apache-2.0
"""The mark of a journal: a file with its id and the number of its changes.

It is written after each commit, so it is never ahead of an intact database:
one that is behind its mark lost its last changes, or is an old copy. Every
process that writes to the journal holds a shared lock on the mark.
"""

import fcntl
import os
from typing import Self
import zlib

from oslo_log import log as logging

from mydriver import exception

LOG = logging.getLogger(__name__)

#: Appended to the journal's name.
END = '.mark'


class Mark:
    """The open file of the mark, with a lock on it.

    Unlike the database it may be opened and closed at any time: flock's locks
    belong to the open file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def lock(cls, path: str, *, alone: bool = False) -> Self:
        """Open the mark of a journal, and lock it.

        :param alone: lock it exclusively.
        :raises JournalError: when another process holds a lock, or has just
            set the journal aside.
        """
        mark = cls(os.open(path + END, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            fcntl.flock(mark._descriptor, fcntl.LOCK_NB | (
                fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
            if not os.path.samestat(os.fstat(mark._descriptor),
                                    os.stat(path + END)):
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError) as e:
            mark.close()
            raise exception.JournalUnusable(
                path, 'another process is using it', 'Stop it; fuser -v '
                f'{path}{END} shows which one it is.') from e
        except BaseException:
            mark.close()
            raise
        return mark

    def write(self, journal: str, changes: int) -> None:
        """Record what was committed."""
        text = f'{journal} {changes:020d} '.encode()
        try:
            os.pwrite(self._descriptor, text + b'%08x\n' % zlib.crc32(text),
                      0)
        except OSError as e:  # it falls behind, which does no harm
            LOG.warning('The mark of the journal cannot be written: %s', e)

    def clear(self) -> None:
        """Record nothing any more, as without a mark."""
        os.ftruncate(self._descriptor, 0)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file and release the lock; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read(path: str) -> tuple[str, int] | None:
    """Return the id of the journal and the least number of its changes.

    :returns: None when there is no readable mark. Such a journal is not
        refused: at most its last changes are missing.
    """
    try:
        with open(path + END, 'rb') as f:
            text = f.read(100)
    except FileNotFoundError:
        text = b''
    try:
        journal, changes, checksum = text.decode().split()
        if zlib.crc32(text[:text.rindex(b' ') + 1]) != int(checksum, 16):
            raise ValueError(text)
        return journal, int(changes)
    except ValueError:
        return None
