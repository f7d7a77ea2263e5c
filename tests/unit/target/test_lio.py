# SPDX-License-Identifier: Apache-2.0
"""The in-memory target passes the contract; unknown objects are found."""

import unittest

import fixtures

from mydriver.target import kernel
from tests.contract import target as contract
from tests.fakes.target import MemoryTarget


class MemoryTargetCase(contract.TargetMaker, unittest.TestCase):
    """The fake, with one target."""

    def setUp(self):
        super().setUp()
        temporary = fixtures.TempDir()
        temporary.setUp()
        self.addCleanup(temporary.cleanUp)
        self.folder = temporary.path
        self.target = MemoryTarget('contract', contract.PORTALS, chap=True)
        self.target.ensure_pool([contract.IQN])

    def log_in(self, initiator):
        self.target.sessions.add((str(contract.IQN), str(initiator)))

    def log_out(self, initiator):
        self.target.sessions.remove((str(contract.IQN), str(initiator)))

    def password(self, initiator=contract.INITIATOR):
        return next(s and s.password for s in self.target.secrets(
            str(initiator)))


class MemoryTargetTest(contract.TargetContract, MemoryTargetCase):
    """The fake passes the same suite as LIO."""


class UnknownTest(MemoryTargetCase):
    """What is in the kernel and not in the journal."""

    def unknown(self, exports, placed):
        return kernel.unknown(self.seen(), self.target.name_prefix, exports,
                              placed)

    def test_all_known(self):
        placed = self.mapped(self.export())
        self.target.ensure_mapping(placed)
        self.assertEqual(([], []), self.unknown([placed.export], [placed]))

    def test_nothing_known(self):
        placed = self.mapped(self.export(5), lun=9, read_only=True)
        self.target.ensure_mapping(placed)
        self.assertEqual(
            ([placed.export], [(placed.export, placed.mapping)]),
            self.unknown([], []))

    def test_an_initiator_that_somebody_else_named(self):
        placed = self.mapped(self.export(5), lun=9)
        self.target.ensure_mapping(placed)
        acls = self.target.targets[str(contract.IQN)].acls
        acls['eui.02004567a425678d'] = acls[str(contract.INITIATOR)]
        with self.assertLogs('mydriver', 'WARNING') as logged:
            self.assertEqual(
                ([placed.export], [(placed.export, placed.mapping)]),
                self.unknown([], []))
        self.assertIn('eui.02004567a425678d', logged.output[0])

    def test_foreign_objects_are_not_ours(self):
        placed = self.mapped(self.export())
        ours, self.target.name_prefix = self.target.name_prefix, 'theirs-'
        self.target.ensure_mapping(placed)
        self.target.name_prefix = ours
        self.assertEqual(1, len(self.seen().mappings))
        self.assertEqual(([], []), self.unknown([], []))
