# SPDX-License-Identifier: Apache-2.0
"""Bytes of a journal that changed on the disk: all rows, or a JournalError."""

import os
import shutil

import hypothesis
from hypothesis import strategies

from mydriver import exception, model
from mydriver.target.journal import sqlite
from tests.fakes import journal
from tests.fakes.journal import ALICE, TARGET

BOB = model.Iqn('iqn.1993-08.org.debian:01:bob')

#: Where in a file, as a part of its length: files are not of one length.
PLACES = strategies.floats(0, 1, exclude_max=True)
DAMAGE = strategies.lists(strategies.one_of(
    strategies.tuples(strategies.just('flip'), PLACES,
                      strategies.integers(1, 255)),
    strategies.tuples(strategies.just('zero'), PLACES,
                      strategies.integers(1, 8192)),
    strategies.tuples(strategies.just('cut'), PLACES, strategies.just(0))),
    min_size=1, max_size=3)


def damage(data, kind, place, value):
    """Return bytes of which some changed, as one element of DAMAGE says."""
    at = int(place * len(data))
    if kind == 'cut':
        return data[:at]
    changed = bytearray(data)
    if kind == 'zero':
        changed[at:at + value] = bytes(len(changed[at:at + value]))
    elif changed:
        changed[at] ^= value
    return bytes(changed)


class FuzzTest(journal.FileCase):
    """Changed bytes never go unnoticed."""

    def setUp(self):
        super().setUp()
        whole = self.open()
        whole.add_targets([TARGET])
        exports = [journal.add_export(whole) for _ in range(12)]
        for export in exports:
            for initiator in (ALICE, BOB):
                whole.add_mapping(export.volume_id, initiator,
                                  read_only=False, mutual=False)
        for export in exports[:3]:
            whole.remove_mapping(export.volume_id, BOB)
        self.rows = self.read(whole)
        self.with_wal = self.keep('with-wal')
        whole.close()
        self.without_wal = self.keep('without-wal')

    def keep(self, name):
        """Copy the journal's files; return where they are."""
        copy = os.path.join(self.folder, name)
        os.mkdir(copy)
        for entry in os.listdir(self.folder):
            if entry.startswith('journal.sqlite'):
                shutil.copy(os.path.join(self.folder, entry), copy)
        return copy

    @staticmethod
    def read(of):
        return of.add_targets([]), of.exports(), of.mappings()

    def try_one(self, folder, name, changes):
        """Open a damaged copy: all that was in it, or the one error."""
        tried = os.path.join(self.folder, 'tried')
        shutil.copytree(folder, tried)
        try:
            path = os.path.join(tried, name)
            with open(path, 'rb') as f:
                data = f.read()
            for change in changes:
                data = damage(data, *change)
            with open(path, 'wb') as f:
                f.write(data)
            try:
                opened = sqlite.SqliteJournal(
                    os.path.join(tried, 'journal.sqlite'), 'other')
            except exception.JournalError:
                return
            try:
                self.assertEqual(self.rows, self.read(opened))
            finally:
                opened.close()
        finally:
            shutil.rmtree(tried)

    @hypothesis.given(DAMAGE)
    @hypothesis.settings(derandomize=True, database=None, deadline=None,
                         max_examples=80)
    def test_database(self, changes):
        self.try_one(self.without_wal, 'journal.sqlite', changes)

    @hypothesis.given(DAMAGE)
    @hypothesis.settings(derandomize=True, database=None, deadline=None,
                         max_examples=50)
    def test_database_beside_its_log(self, changes):
        self.try_one(self.with_wal, 'journal.sqlite', changes)

    @hypothesis.given(DAMAGE)
    @hypothesis.settings(derandomize=True, database=None, deadline=None,
                         max_examples=50)
    def test_log(self, changes):
        self.try_one(self.with_wal, 'journal.sqlite-wal', changes)
