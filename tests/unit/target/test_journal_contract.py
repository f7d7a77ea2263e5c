# SPDX-License-Identifier: Apache-2.0
"""The journals of the local stores pass the contract of journals."""

import unittest

import fixtures

from mydriver.target.journal import sqlite
from tests.contract import journal as contract


class SqliteJournalTest(contract.JournalContract, unittest.TestCase):
    """A database in a temporary directory."""

    now = 1000.0

    def setUp(self):
        temporary = fixtures.TempDir()
        temporary.setUp()
        self.addCleanup(temporary.cleanUp)
        self.path = temporary.join('journal.sqlite')
        self.journal = self.reopen('run-1')
        super().setUp()

    def reopen(self, run):
        opened = sqlite.SqliteJournal(self.path, run, lambda: self.now)
        self.addCleanup(opened.close)
        return opened
