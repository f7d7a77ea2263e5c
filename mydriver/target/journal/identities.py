# SPDX-License-Identifier: Apache-2.0
"""What a journal contains, for those who ask every few seconds.

A journal is verified whenever it is opened, and that takes most of the time.
As long as none of its files has changed, neither have the answers.
"""

import os
import time

from mydriver.target.journal import mark, sqlite

#: How long ago the last change must be, ns: a file system may give two changes
#: the same time.
_SETTLED_NS = 2 * 10 ** 9

#: How long an answer is kept, s. Damage of a disk changes no time of a file.
_KEPT_S = 300

_Seen = tuple[tuple[int, ...], ...]


class Identities:
    """What identifies the objects in a journal, kept until it changes.

    :param path: of the database.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: _Seen = ()
        self._until_s = 0.0
        self._found: dict[str, set[tuple[str | int, ...]]] = {}

    def read(self) -> dict[str, set[tuple[str | int, ...]]]:
        """Return them as :meth:`.mappings.Mappings.identities` does.

        :raises JournalDamaged: when the journal is damaged.
        :raises JournalError: when it cannot be read.
        """
        seen, now_s = self._look(), time.monotonic()
        if not seen or seen != self._seen or now_s >= self._until_s:
            self._seen = ()
            journal = sqlite.SqliteJournal(self._path, 'identities',
                                           read_only=True)
            try:
                self._found = journal.identities()
            finally:
                journal.close()
            self._seen, self._until_s = seen, now_s + _KEPT_S
        return self._found

    def _look(self) -> _Seen:
        """Return what changes with the contents.

        :returns: empty while two different contents could look the same.
        """
        now = time.time_ns()
        database, log, marked = (self._stat(end)
                                 for end in ('', '-wal', mark.END))
        if not database:
            return ()
        changed = [found.st_mtime_ns for found in (database, log, marked)
                   if found]
        if now - max(changed) < _SETTLED_NS:
            return ()
        # A commit is in the log before anybody can read it, perhaps long
        # before, and it is marked afterwards, unless the process ends between.
        if log and log.st_size and not (
                marked and marked.st_mtime_ns >= log.st_mtime_ns):
            return ()
        # Without the ctime: sqlite changes it whenever root opens the log.
        return tuple((found.st_dev, found.st_ino, found.st_size,
                      found.st_mtime_ns) if found else ()
                     for found in (database, log, marked))

    def _stat(self, end: str) -> os.stat_result | None:
        try:
            return os.stat(self._path + end)
        except OSError:
            return None
