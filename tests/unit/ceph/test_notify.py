# SPDX-License-Identifier: Apache-2.0
"""Notices within a process pass the contract of those through Ceph."""

import tempfile
import unittest

from mydriver.ceph import bells
from tests.contract import notify as contract
from tests.fakes import notify as fakes


class FakeNoticesTest(contract.NotifyContract, unittest.TestCase):
    """In memory."""

    def setUp(self):
        super().setUp()
        self.notices = self.others = fakes.FakeNotices()

    def make(self, name):
        """Objects need not exist."""


class BellTest(unittest.TestCase):
    """A bell without anything behind it."""

    def test_without_a_watch_it_is_worth_looking_soon(self):
        bell = bells.Bell(lambda: False)
        self.addCleanup(bell.close)
        for _ in range(3):
            self.assertFalse(bell.wait(60))

    def test_late_callback(self):
        """A bell that is rung when it is closed rings no other file."""
        closed = bells.Bell()
        closed.close()
        with tempfile.TemporaryFile() as file:
            self.assertNotEqual(closed.fileno(), file.fileno())
            closed.ring()
            self.assertEqual(b'', file.read())
        following = bells.Bell()
        self.addCleanup(following.close)
        self.assertEqual(closed.fileno(), following.fileno())
        self.assertTrue(following.wait(0))
        self.assertFalse(following.wait(0))
