# SPDX-License-Identifier: Apache-2.0
"""The journal: its contents, the LUNs it assigns, and crashes."""

import dataclasses
import os
import sqlite3
import stat
import threading
import unittest
import uuid

import fixtures

from mydriver import exception, model
from mydriver.target.journal import luns, sqlite

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

    def test_targets_of_earlier_runs_stay(self):
        other = model.Iqn('iqn.2010-10.org.openstack:t-1')
        self.assertEqual([TARGET, other], self.journal.add_targets([other]))
        self.assertEqual([TARGET, other], self.journal.add_targets([TARGET]))

    def test_export_twice_keeps_its_lun(self):
        first, second = self.export(), self.export()
        self.assertEqual([0, 1], [first.lun, second.lun])
        self.assertEqual(second, self.journal.add_export(
            second.volume_id, second.device, TARGET))
        self.assertEqual([first, second], self.journal.exports())

    def test_export_takes_over_the_device(self):
        export = self.export()
        device = dataclasses.replace(export.device, size_bytes=2 << 20)
        self.journal.add_export(export.volume_id, device, TARGET)
        self.assertEqual(device, self.journal.export(
            export.volume_id).device)

    def test_tpg_lun_of_a_removed_export_is_free(self):
        luns = [self.export() for _ in range(4)]
        self.journal.remove_export(luns[1].volume_id)
        self.assertEqual(1, self.export().lun)
        self.assertEqual(4, self.export().lun)

    def test_unknown_export(self):
        self.assertRaises(exception.ExportNotFound, self.journal.export, 'x')
        self.assertRaises(exception.ExportNotFound, self.journal.add_mapping,
                          'x', ALICE, read_only=False, mutual=False)

    def test_mapped_export_stays(self):
        export = self.export()
        self.map(export)
        with self.assertRaises(exception.TargetInUse) as caught:
            self.journal.remove_export(export.volume_id)
        self.assertIn(str(ALICE), str(caught.exception))
        self.assertEqual([export], self.journal.exports())

    def test_luns_are_per_initiator_and_rise(self):
        exports = [self.export() for _ in range(3)]
        self.assertEqual([1, 2, 3], [self.map(e).mapping.lun
                                     for e in exports])
        self.assertEqual([1, 2, 3], [self.map(e, BOB).mapping.lun
                                     for e in exports])

    def test_mapping_twice_is_one(self):
        export = self.export()
        first, second = self.map(export), self.map(export, read_only=True)
        self.assertTrue(first.created)
        self.assertFalse(second.created)
        self.assertEqual(first.mapping.lun, second.mapping.lun)
        placed, = self.journal.mappings(export.volume_id)
        self.assertTrue(placed.mapping.read_only)

    def test_a_mapping_that_is_writable_may_be_kept_so(self):
        export = self.export()
        for read_only, keep_writable, expected in (
                (True, True, True), (True, True, True), (False, True, False),
                (True, True, False), (True, False, True)):
            self.journal.add_mapping(
                export.volume_id, ALICE, read_only=read_only, mutual=False,
                keep_writable=keep_writable)
            placed, = self.journal.mappings(export.volume_id)
            self.assertIs(expected, placed.mapping.read_only)

    def test_released_lun_is_not_used_again(self):
        export = self.export()
        for expected in (1, 2, 3):
            self.assertEqual(expected, self.map(export).mapping.lun)
            self.journal.remove_mapping(export.volume_id, ALICE)

    def test_quarantine_survives_a_restart(self):
        export = self.export()
        self.map(export)
        self.journal.remove_mapping(export.volume_id, ALICE)
        self.journal.close()
        self.journal = self.open('run-2')
        self.assertEqual(2, self.map(export).mapping.lun)

    def test_rolled_back_lun_leaves_no_trace(self):
        export = self.export()
        before = self.content()
        self.map(export, mutual=True)
        self.journal.remove_mapping(export.volume_id, ALICE,
                                    quarantine=False)
        self.assertEqual(before, self.content())

    def content(self) -> list[str]:
        with sqlite3.connect(self.path) as db:
            return [line for line in db.iterdump() if '"seal"' not in line]

    def test_oldest_lun_comes_back_after_the_quarantine(self):
        export = self.export()
        with sqlite3.connect(self.path) as db:
            db.execute('INSERT INTO quarantine VALUES (?, ?, ?, ?, ?)',
                       (str(ALICE), str(TARGET), luns.LAST_LUN, 'x', 900))
            db.execute('INSERT INTO quarantine VALUES (?, ?, ?, ?, ?)',
                       (str(ALICE), str(TARGET), 7, 'x', 800))
        with self.assertRaises(exception.LunsExhausted):
            self.map(export)
        self.assertEqual([], self.journal.mappings())
        self.now = 800 + luns.QUARANTINE_S
        self.assertEqual(7, self.map(export).mapping.lun)
        with self.assertRaises(exception.LunsExhausted):
            self.map(self.export())
        self.now = 900 + luns.QUARANTINE_S
        self.assertEqual(luns.LAST_LUN,
                         self.map(self.export()).mapping.lun)

    def test_kind_of_chap_stays_with_the_acl(self):
        first, second = self.export(), self.export()
        self.assertTrue(self.map(first, mutual=True).kind.mutual)
        self.assertTrue(self.map(second, mutual=False).kind.mutual)
        self.journal.remove_mapping(first.volume_id, ALICE)
        self.journal.remove_mapping(second.volume_id, ALICE)
        self.assertFalse(self.map(first, mutual=False).kind.mutual)

    def test_mappings_of_earlier_runs(self):
        first, second = self.export(), self.export()
        self.map(first)
        self.map(second)
        self.assertEqual([], self.journal.earlier_mappings())
        self.journal = self.open('run-2')
        self.assertEqual(2, len(self.journal.earlier_mappings()))
        self.map(first)
        self.assertEqual([second.volume_id], [
            p.mapping.volume_id for p in self.journal.earlier_mappings()])

    def test_adopted_mapping_is_of_an_earlier_run(self):
        export = model.Export(
            str(uuid.uuid4()),
            model.BackingDevice('fileio', '/x/y', 1 << 20), TARGET, 5)
        mapping = model.Mapping(export.volume_id, ALICE, 9)
        self.assertTrue(self.journal.adopt_export(export))
        self.assertTrue(self.journal.adopt_mapping(export, mapping, True))
        placed, = self.journal.earlier_mappings()
        self.assertEqual((mapping, export, True),
                         (placed.mapping, placed.export, placed.kind.mutual))
        self.assertEqual(10, self.map(self.export()).mapping.lun)

    def test_adoption_never_overrides(self):
        export = self.export()
        other = dataclasses.replace(export, lun=77)
        self.assertFalse(self.journal.adopt_export(other))
        self.assertFalse(self.journal.adopt_mapping(
            other, model.Mapping(export.volume_id, ALICE, 9), False))
        self.assertEqual([export], self.journal.exports())
        self.assertEqual([], self.journal.mappings())

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
