# SPDX-License-Identifier: Apache-2.0
"""The journal of the local stores: its file, and who comes next."""

import os
import sqlite3
import stat
import threading
import unittest
import uuid

import fixtures

from mydriver import exception, model
from mydriver.target.journal import sqlite

TARGET = model.Iqn('iqn.2010-10.org.openstack:t-0')
ALICE = model.Iqn('iqn.1993-08.org.debian:01:alice')
BOB = model.Iqn('iqn.1993-08.org.debian:01:bob')


class JournalTest(unittest.TestCase):
    """One journal in a temporary directory."""

    def setUp(self):
        super().setUp()
        temporary = fixtures.TempDir()
        temporary.setUp()
        self.addCleanup(temporary.cleanUp)
        self.path = temporary.join('journal.sqlite')
        self.now = 1000.0
        self.journal = self.open('run-1')
        self.journal.add_targets([TARGET])

    def open(self, run: str) -> sqlite.SqliteJournal:
        opened = sqlite.SqliteJournal(self.path, run, lambda: self.now)
        self.addCleanup(opened.close)
        return opened

    def export(self) -> model.Export:
        device = model.BackingDevice('fileio', f'/x/{uuid.uuid4()}', 1 << 20)
        return self.journal.add_export(str(uuid.uuid4()), device, TARGET)

    def map(self, export, initiator=ALICE, read_only=False, mutual=False):
        return self.journal.add_mapping(export.volume_id, initiator,
                                        read_only=read_only, mutual=mutual)

    def test_file_is_private(self):
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.path).st_mode))

    def test_rolled_back_lun_leaves_no_trace(self):
        export = self.export()
        before = self.content()
        self.map(export, mutual=True)
        self.journal.remove_mapping(export.volume_id, ALICE,
                                    quarantine=False)
        self.assertEqual(before, self.content())

    def test_identities_are_those_of_the_objects(self):
        for n, initiator in enumerate((ALICE, BOB, ALICE)):
            export = self.export()
            self.map(export, initiator, read_only=bool(n))
        self.export()
        found = self.journal.mappings()
        self.assertEqual(3, len(found))
        self.assertEqual({
            'targets': {(str(TARGET),)},
            'exports': {(str(e.target), e.lun, e.volume_id)
                        for e in self.journal.exports()},
            'mappings': {(str(p.export.target), str(p.mapping.initiator),
                          p.mapping.lun, p.export.lun, p.mapping.read_only)
                         for p in found},
        }, self.journal.identities())

    def content(self) -> list[str]:
        with sqlite3.connect(self.path) as db:
            return [line for line in db.iterdump() if '"seal"' not in line]

    def test_nobody_is_overtaken_without_end(self):
        self.journal._turns._patience_s = 0  # in turns from the beginning
        export, threads, each = self.export(), 32, 40
        done, overtaken = [], []

        def work(initiator):
            for _ in range(each):
                asked = len(done)
                self.map(export, initiator)
                done.append(initiator)
                overtaken.append(len(done) - asked)

        running = [threading.Thread(target=work, args=(model.Iqn(
            f'iqn.1993-08.org.debian:01:h{n}'),)) for n in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        self.assertEqual(each * threads, len(done))
        # A call comes twice, to read and to write, and lets everybody by each
        # time; and some more while it does not run.
        self.assertLess(max(overtaken), 4 * threads)

    def test_within_a_transaction_its_own_changes_are_seen(self):
        with self.journal._transaction() as db:
            db.execute('INSERT INTO target VALUES (?)',
                       ('iqn.2010-10.org.x:y',))
            self.assertEqual(2, len(self.journal.targets()))

    def test_damaged_file_is_named(self):
        path = self.path + '.bad'
        with open(path, 'w') as f:
            f.write('not a database, but long enough to look at' * 100)
        with self.assertRaises(exception.JournalError) as caught:
            sqlite.SqliteJournal(path, 'run')
        self.assertIn(path, str(caught.exception))

    def test_newer_version_is_refused(self):
        with sqlite3.connect(self.path) as db:
            db.execute('PRAGMA user_version = 99')
        with self.assertRaises(exception.JournalError) as caught:
            self.open('run-2')
        self.assertIn('version is 99', str(caught.exception))
        self.assertNotIsInstance(caught.exception, exception.JournalDamaged)
