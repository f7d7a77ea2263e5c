# SPDX-License-Identifier: Apache-2.0
"""The mark beside a journal: which one it is, and how many changes it had.

It is written after each commit, so it is never ahead of a database that is
whole: one that is behind its mark lost its last changes, or is an old copy.
Whoever writes the journal holds a shared lock on the mark.
"""

import fcntl
import os
from typing import Self
import zlib

from oslo_log import log as logging

from mydriver import exception

LOG = logging.getLogger(__name__)

#: What its name ends in, after the journal's.
END = '.mark'


class Mark:
    """The file of the mark, with a lock on it.

    Not sqlite's, so that it may be opened as often as one likes; flock's
    locks belong to the open file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def lock(cls, path: str, *, alone: bool = False) -> Self:
        """Open the mark of a journal, and lock it.

        :param alone: nobody else may have it.
        :raises JournalError: when somebody has it, or it was set aside at
            this very moment.
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
        """Remember what was committed."""
        text = f'{journal} {changes:020d} '.encode()
        try:
            os.pwrite(self._descriptor, text + b'%08x\n' % zlib.crc32(text),
                      0)
        except OSError as e:  # it stays behind, which does no harm
            LOG.warning('The mark of the journal cannot be written: %s', e)

    def close(self) -> None:
        """Let go of it; it does no harm to do it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read(path: str) -> tuple[str, int] | None:
    """Return which journal it was and how many changes it had at least.

    :returns: None where there is no mark, or none that can be read. Such a
        journal is not refused: it is whole but, perhaps, for its last changes.
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
