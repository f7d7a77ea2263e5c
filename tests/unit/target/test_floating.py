# SPDX-License-Identifier: Apache-2.0
"""The floating addresses in memory."""

import unittest

from tests.contract import floating as contract
from tests.fakes.floating import MemoryAddresses


class MemoryTest(contract.FloatingContract, unittest.TestCase):
    """The fake passes the suite of the kernel's addresses."""

    floating = ('192.0.2.51', '2001:db8::51')
    foreign = '192.0.2.52'

    def setUp(self):
        super().setUp()
        self.time = 1000.0
        self.addresses = MemoryAddresses(self.now, {self.foreign})

    def now(self):
        return self.time

    def wait(self, seconds):
        self.time += seconds
