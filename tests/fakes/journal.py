# SPDX-License-Identifier: Apache-2.0
"""A test case with a journal, and the schema of the first release."""

import itertools
from typing import Any
import unittest
import uuid

import fixtures

from mydriver import model
from mydriver.target.journal import base, sqlite

TARGET = model.Iqn('iqn.2010-10.org.openstack:t-0')
ALICE = model.Iqn('iqn.1993-08.org.debian:01:alice')
MIB = 1 << 20
IDS = itertools.count(1)

#: The tables of release 1.0, which had no seal.
FIRST_SCHEMA = """
CREATE TABLE target (
    iqn TEXT PRIMARY KEY) STRICT;
CREATE TABLE export (
    volume_id TEXT PRIMARY KEY,
    target TEXT NOT NULL REFERENCES target (iqn),
    tpg_lun INTEGER NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    UNIQUE (target, tpg_lun)) STRICT;
CREATE TABLE node (
    initiator TEXT NOT NULL,
    target TEXT NOT NULL REFERENCES target (iqn),
    mutual INTEGER NOT NULL,
    PRIMARY KEY (initiator, target)) STRICT;
CREATE TABLE mapping (
    volume_id TEXT NOT NULL REFERENCES export (volume_id),
    initiator TEXT NOT NULL,
    target TEXT NOT NULL,
    lun INTEGER NOT NULL,
    read_only INTEGER NOT NULL,
    run TEXT NOT NULL,
    PRIMARY KEY (volume_id, initiator),
    UNIQUE (initiator, target, lun),
    FOREIGN KEY (initiator, target) REFERENCES node (initiator, target))
    STRICT;
CREATE TABLE quarantine (
    initiator TEXT NOT NULL,
    target TEXT NOT NULL,
    lun INTEGER NOT NULL,
    volume_id TEXT NOT NULL,
    released_at INTEGER NOT NULL,
    PRIMARY KEY (initiator, target, lun)) STRICT;
"""


def add_export(to: base.Journal) -> model.Export:
    """Add an export to a journal; return it."""
    volume_id = str(uuid.UUID(int=next(IDS)))
    return to.add_export(volume_id, model.BackingDevice(
        'fileio', f'/store/volume-{volume_id}', MIB), TARGET)


class FileCase(unittest.TestCase):
    """A test with a path for a journal."""

    def setUp(self) -> None:
        super().setUp()
        temporary = fixtures.TempDir()
        temporary.setUp()
        self.addCleanup(temporary.cleanUp)
        self.folder = temporary.path
        self.path = temporary.join('journal.sqlite')

    def open(self, **options: Any) -> sqlite.SqliteJournal:
        """Open the journal until the test ends."""
        opened = sqlite.SqliteJournal(self.path, 'run', **options)
        self.addCleanup(opened.close)
        return opened
