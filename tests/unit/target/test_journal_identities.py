# SPDX-License-Identifier: Apache-2.0
"""A journal is read again if it may have changed, and only then."""

import os
from pathlib import Path
import shutil
import time
from unittest import mock

from mydriver import exception, model
from mydriver.target.journal import identities, mark, sqlite
from tests.fakes import journal

TARGETS = [model.Iqn(f'iqn.2026-11.org.example:{n}') for n in range(3)]


class IdentitiesTest(journal.FileCase):
    """A journal that a service has open."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()
        self.journal.add_targets(TARGETS[:1])
        self.reader = identities.Identities(self.path)
        self.opened = self.enterContext(mock.patch.object(
            sqlite, 'SqliteJournal', wraps=sqlite.SqliteJournal))

    def files(self):
        return [Path(self.path + end) for end in ('', '-wal', mark.END)
                if os.path.exists(self.path + end)]

    def settle(self, age_s=2.5):
        """Give all changes so far the same age."""
        changed_s = time.time() - age_s
        for path in self.files():
            os.utime(path, (changed_s, changed_s))

    def targets(self):
        """Return the targets, and whether the journal was opened for them."""
        self.opened.reset_mock()
        return [iqn for iqn, in sorted(self.reader.read()['targets'])
                ], self.opened.called

    def expect(self, count, opened):
        self.assertEqual(([str(t) for t in TARGETS[:count]], opened),
                         self.targets())

    def test_nothing_has_changed(self):
        self.settle()
        self.expect(1, True)
        self.expect(1, False)

    def test_what_has_just_changed_is_read_again(self):
        """Two changes can have the same time."""
        self.expect(1, True)
        self.expect(1, True)

    def test_a_change(self):
        self.settle()
        self.expect(1, True)
        self.journal.add_targets(TARGETS[:2])
        self.expect(2, True)
        self.settle()
        self.expect(2, True)
        self.expect(2, False)

    def test_each_file_counts(self):
        self.assertEqual(3, len(self.files()))
        for end, more_s in (('', -1), ('-wal', -1), (mark.END, 1)):
            with self.subTest(end):
                self.settle(10)
                self.expect(1, True)
                changed_s = os.stat(self.path + end).st_mtime + more_s
                os.utime(self.path + end, (changed_s, changed_s))
                self.expect(1, True)
                self.expect(1, False)

    def test_a_commit_without_its_mark(self):
        """It was not yet to be seen when the log had got it."""
        self.settle()
        changed_s = os.stat(self.path).st_mtime - 1
        os.utime(self.path + mark.END, (changed_s, changed_s))
        self.expect(1, True)
        self.expect(1, True)
        os.unlink(self.path + mark.END)
        self.expect(1, True)
        self.expect(1, True)

    def test_a_journal_that_nobody_has_open(self):
        self.journal.close()
        self.expect(1, True)
        self.settle()
        self.expect(1, True)
        self.expect(1, False)
        os.unlink(self.path + mark.END)
        self.expect(1, True)
        self.expect(1, False)

    def test_an_answer_grows_old(self):
        self.settle()
        self.expect(1, True)
        for later_s, opened in ((299, False), (301, True)):
            with mock.patch.object(time, 'monotonic', return_value=(
                    time.monotonic() + later_s)):
                self.expect(1, opened)

    def test_a_change_in_the_future(self):
        """Clocks go back; nothing is known of what changes until then."""
        self.settle()
        later_s = time.time() + 3600
        os.utime(self.path, (later_s, later_s))
        self.expect(1, True)
        self.expect(1, True)

    def test_another_file_of_the_same_age_and_size(self):
        self.settle()
        self.expect(1, True)
        for path in self.files():
            copy = path.with_name(f'{path.name}.copy')
            shutil.copy2(path, copy)
            copy.replace(path)
            self.expect(1, True)
            self.expect(1, False)

    def test_another_size(self):
        self.settle()
        self.expect(1, True)
        path = Path(self.path + mark.END)
        changed_ns = path.stat().st_mtime_ns
        with path.open('ab') as f:
            f.write(b'\n')
        os.utime(path, ns=(changed_ns, changed_ns))
        self.expect(1, True)

    def test_damage_is_noticed(self):
        """Each time, not only when the file has just changed."""
        self.journal.close()
        self.reader.read()
        self.settle()
        self.expect(1, True)
        self.expect(1, False)
        content = bytearray(Path(self.path).read_bytes())
        at = content.index(str(TARGETS[0]).encode())
        content[at + 8:at + 12] = b'2025'
        Path(self.path).write_bytes(content)
        self.settle(20)
        for _ in range(2):
            with self.assertRaises(exception.JournalDamaged):
                self.reader.read()

    def test_no_journal(self):
        self.settle()
        self.expect(1, True)
        self.journal.close()
        for path in self.files():
            path.unlink()
        for _ in range(2):
            with self.assertRaises(exception.JournalError):
                self.reader.read()
