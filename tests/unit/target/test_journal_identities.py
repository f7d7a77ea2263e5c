# SPDX-License-Identifier: Apache-2.0
"""A journal is read again if it may have changed, and only then."""

import os
from pathlib import Path
import time
import unittest
from unittest import mock

import fixtures

from mydriver import exception, model
from mydriver.target.journal import identities, mark, sqlite

TARGETS = [model.Iqn(f'iqn.2026-11.org.example:{n}') for n in range(3)]


class IdentitiesTest(unittest.TestCase):
    """A journal that a service has open."""

    def setUp(self):
        super().setUp()
        temporary = fixtures.TempDir()
        temporary.setUp()
        self.addCleanup(temporary.cleanUp)
        self.path = temporary.join('journal.sqlite')
        self.journal = sqlite.SqliteJournal(self.path, 'now')
        self.addCleanup(self.journal.close)
        self.journal.add_targets(TARGETS[:1])
        self.reader = identities.Identities(self.path)
        self.opened = self.enterContext(mock.patch.object(
            sqlite, 'SqliteJournal', wraps=sqlite.SqliteJournal))

    def files(self):
        return [Path(self.path + end) for end in ('', '-wal', mark.END)
                if os.path.exists(self.path + end)]

    def settle(self):
        """Make all changes so far ten seconds old."""
        for path in self.files():
            changed_s = path.stat().st_mtime - 10
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
        """Also the mark, which is written once all can read a commit."""
        self.settle()
        self.expect(1, True)
        self.assertEqual(3, len(self.files()))
        for path in self.files():
            with self.subTest(path=path.name):
                changed_s = path.stat().st_mtime - 1
                os.utime(path, (changed_s, changed_s))
                self.expect(1, True)
                self.expect(1, False)

    def test_a_change_in_the_future(self):
        """Clocks go back; nothing is known of what changes until then."""
        self.settle()
        later_s = time.time() + 3600
        os.utime(self.path, (later_s, later_s))
        self.expect(1, True)
        self.expect(1, True)

    def test_another_journal_of_the_same_age_and_size(self):
        self.settle()
        self.expect(1, True)
        kept = [(path, path.stat().st_mtime_ns) for path in self.files()]
        self.journal.add_targets(TARGETS[:2])
        for path, mtime_ns in kept:
            copy = path.with_name(f'{path.name}.copy')
            copy.write_bytes(path.read_bytes())
            os.utime(copy, ns=(mtime_ns, mtime_ns))
            copy.replace(path)
        self.expect(2, True)

    def test_damage_is_noticed(self):
        self.settle()
        self.expect(1, True)
        self.journal.close()
        self.reader.read()
        content = bytearray(Path(self.path).read_bytes())
        at = content.index(str(TARGETS[0]).encode())
        content[at + 8:at + 12] = b'2025'
        Path(self.path).write_bytes(content)
        for _ in range(2):
            with self.assertRaises(exception.JournalDamaged):
                self.reader.read()

    def test_no_journal(self):
        reader = identities.Identities(f'{self.path}.none')
        with self.assertRaises(exception.JournalError):
            reader.read()
