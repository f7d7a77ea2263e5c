# SPDX-License-Identifier: Apache-2.0
"""A journal of version 1 is upgraded in place, completely or not at all."""

from concurrent import futures
import os
from pathlib import Path
import shutil
import sqlite3
import unittest

import fixtures

from mydriver import exception, model
from mydriver.target.journal import file, sqlite
from tests.fakes.old_journal import ALICE, TARGET, VERSION_1, VOLUME


class VersionTest(unittest.TestCase):
    """A file as an earlier release left it."""

    def setUp(self):
        super().setUp()
        temporary = fixtures.TempDir()
        temporary.setUp()
        self.addCleanup(temporary.cleanUp)
        self.path = temporary.join('journal.sqlite')
        self.write(VERSION_1)

    def write(self, script):
        db = sqlite3.connect(self.path)
        db.executescript(script)
        db.close()

    def read(self):
        opened = sqlite.SqliteJournal(self.path, 'now')
        self.addCleanup(opened.close)
        return opened

    def dump(self):
        db = sqlite3.connect(self.path)
        self.addCleanup(db.close)
        return (db.execute('PRAGMA user_version').fetchone()[0],
                list(db.iterdump()))

    def test_all_is_kept(self):
        for _ in range(2):
            placed, = self.read().mappings()
            self.assertEqual(
                (model.Mapping(VOLUME, ALICE, 9, True), 7, True, False),
                (placed.mapping, placed.export.lun, placed.kind.mutual,
                 placed.doomed))
            self.assertEqual(model.NodeKind(None, True), placed.kind)

    def test_commands_that_only_read_say_who_upgrades_it(self):
        before = self.dump()
        with self.assertRaises(exception.JournalUnusable) as caught:
            sqlite.SqliteJournal(self.path, 'show', read_only=True)
        for part in ('its version is 1', 'this release reads version 2',
                     'Start cinder-volume', 'mydriver restore'):
            self.assertIn(part, str(caught.exception))
        self.assertEqual(before, self.dump())

    def test_it_is_as_a_new_one(self):
        old = self.read()
        old.doom(VOLUME, ALICE)
        old.add_targets([model.Iqn(f'{TARGET}1')])
        new = sqlite.SqliteJournal(f'{self.path}.new', 'now')
        self.addCleanup(new.close)
        columns = [[(r['name'], r['type'], r['notnull']) for r in db._rows(
            f'PRAGMA table_info({table})')] for table in (
                'node', 'mapping', 'export') for db in (old, new)]
        self.assertEqual(columns[::2], columns[1::2])

    def test_two_processes_at_a_time(self):
        with futures.ThreadPoolExecutor(8) as pool:
            opened = list(pool.map(lambda _: self.read(), range(8)))
        self.assertEqual([1] * 8, [len(j.mappings()) for j in opened])

    def test_a_failure_leaves_version_1(self):
        self.write('ALTER TABLE mapping ADD COLUMN doomed INTEGER NOT NULL '
                   'DEFAULT 0')
        before = self.dump()
        self.assertEqual(1, before[0])
        with self.assertRaisesRegex(Exception, 'duplicate column'):
            self.read()
        self.assertEqual(before, self.dump())
        self.assertTrue(os.path.exists(self.path))


class BackTest(unittest.TestCase):
    """The way back to a release that only knows version 1."""

    def setUp(self):
        super().setUp()
        temporary = fixtures.TempDir()
        temporary.setUp()
        self.addCleanup(temporary.cleanUp)
        self.folder = Path(temporary.path)
        self.state = self.folder / 'state'
        self.state.mkdir()
        self.path = str(self.state / 'journal.sqlite')
        db = sqlite3.connect(self.path)
        db.executescript(VERSION_1)
        db.close()

    def earlier(self, opening):
        """Open it as the earlier release does; return its mappings."""
        opened = opening(self.path, file.Schema(1, lambda *_: None))
        rows = opened.db.execute(
            'SELECT volume_id, initiator, lun FROM mapping').fetchall()
        opened.close()
        return [tuple(row) for row in rows]

    def upgrade(self):
        """Start this release, which removes what version 1 has recorded."""
        journal = sqlite.SqliteJournal(self.path, 'new')
        journal.remove_mapping(VOLUME, ALICE, quarantine=True)
        journal.close()

    def contents(self):
        return {p.name: p.read_bytes() for p in self.state.iterdir()}

    def test_the_earlier_release_refuses_it_and_changes_nothing(self):
        self.upgrade()
        before = self.contents()
        for opening in (file.open_to_write, file.open_to_read):
            with self.assertRaises(exception.JournalUnusable) as caught:
                self.earlier(opening)
            self.assertIn('its version is 2, this release knows version 1',
                          str(caught.exception))
        self.assertEqual(before['journal.sqlite'],
                         self.contents()['journal.sqlite'])
        again = sqlite.SqliteJournal(self.path, 'again', read_only=True)
        self.addCleanup(again.close)
        self.assertEqual([], again.mappings())

    def test_a_copy_can_be_put_back(self):
        shutil.copytree(self.state, self.folder / 'copy')
        self.upgrade()
        shutil.rmtree(self.state)
        shutil.copytree(self.folder / 'copy', self.state)
        self.assertEqual([(VOLUME, str(ALICE), 9)],
                         self.earlier(file.open_to_write))
