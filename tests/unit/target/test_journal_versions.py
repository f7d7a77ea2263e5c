# SPDX-License-Identifier: Apache-2.0
"""A journal of version 1 is upgraded in place, completely or not at all."""

from concurrent import futures
import os
import sqlite3
import unittest

import fixtures

from mydriver import model
from mydriver.target.journal import sqlite

ALICE = model.Iqn('iqn.1993-08.org.debian:01:alice')
TARGET = model.Iqn('iqn.2010-10.org.openstack:mydriver-h-be-0')
VOLUME = '00000000-0000-0000-0000-000000000001'

VERSION_1 = f"""
CREATE TABLE target (iqn TEXT PRIMARY KEY) STRICT;
CREATE TABLE export (
    volume_id TEXT PRIMARY KEY,
    target TEXT NOT NULL REFERENCES target (iqn),
    tpg_lun INTEGER NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, UNIQUE (target, tpg_lun)) STRICT;
CREATE TABLE node (
    initiator TEXT NOT NULL,
    target TEXT NOT NULL REFERENCES target (iqn),
    mutual INTEGER NOT NULL, PRIMARY KEY (initiator, target)) STRICT;
CREATE TABLE mapping (
    volume_id TEXT NOT NULL REFERENCES export (volume_id),
    initiator TEXT NOT NULL, target TEXT NOT NULL, lun INTEGER NOT NULL,
    read_only INTEGER NOT NULL, run TEXT NOT NULL,
    PRIMARY KEY (volume_id, initiator), UNIQUE (initiator, target, lun),
    FOREIGN KEY (initiator, target) REFERENCES node (initiator, target))
    STRICT;
CREATE TABLE quarantine (
    initiator TEXT NOT NULL, target TEXT NOT NULL, lun INTEGER NOT NULL,
    volume_id TEXT NOT NULL, released_at INTEGER NOT NULL,
    PRIMARY KEY (initiator, target, lun)) STRICT;
INSERT INTO target VALUES ('{TARGET}');
INSERT INTO export VALUES ('{VOLUME}', '{TARGET}', 7, 'fileio', '/x', 512);
INSERT INTO node VALUES ('{ALICE}', '{TARGET}', 1);
INSERT INTO mapping VALUES ('{VOLUME}', '{ALICE}', '{TARGET}', 9, 1, 'run');
PRAGMA user_version = 1;
"""


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
