# SPDX-License-Identifier: Apache-2.0
"""What a journal contains, for those who ask every few seconds.

A journal is verified whenever it is opened, and that takes most of the time.
As long as none of its files has changed, neither have the answers.
"""

import os
import time

from mydriver.target.journal import mark, sqlite

#: How long ago the last change must be, ns: a file system may give two changes
#: the same time, and a commit can be read a moment after the log has it.
_SETTLED_NS = 2 * 10 ** 9

_Seen = tuple[tuple[int, ...], ...]


class Identities:
    """What identifies the objects in a journal, kept until it changes.

    :param path: of the database.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: _Seen = ()
        self._found: dict[str, set[tuple[str | int, ...]]] = {}

    def read(self) -> dict[str, set[tuple[str | int, ...]]]:
        """Return them as :meth:`.mappings.Mappings.identities` does.

        :raises JournalDamaged: when the journal is damaged.
        :raises JournalError: when it cannot be read.
        """
        seen = self._look()
        if not seen or seen != self._seen:
            journal = sqlite.SqliteJournal(self._path, 'identities',
                                           read_only=True)
            try:
                self._found, self._seen = journal.identities(), seen
            finally:
                journal.close()
        return self._found

    def _look(self) -> _Seen:
        """Return what changes with the contents.

        :returns: nothing while it does not tell two contents apart.
        """
        now = time.time_ns()
        # The log has a commit first, then all can read it, then it is marked.
        seen: list[tuple[int, ...]] = []
        for end in ('', '-wal', mark.END):
            try:
                found = os.stat(self._path + end)
            except FileNotFoundError:
                seen.append(())
                continue
            except OSError:
                return ()
            if now - found.st_mtime_ns < _SETTLED_NS:
                return ()
            # Without its ctime, which sqlite changes whenever root opens it.
            seen.append((found.st_dev, found.st_ino, found.st_size,
                         found.st_mtime_ns))
        return tuple(seen)
