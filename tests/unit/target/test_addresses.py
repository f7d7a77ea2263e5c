# SPDX-License-Identifier: Apache-2.0
"""Which addresses this host has."""

import unittest

from mydriver import model
from mydriver.target import addresses


class AbsentTest(unittest.TestCase):
    """Loopback is always there, and has a broadcast address."""

    def test_own_addresses(self):
        self.assertIsNone(addresses.absent(model.Portal('127.0.0.1')))
        self.assertIsNone(addresses.absent(model.Portal('127.0.0.2', 99)))

    def test_those_of_others(self):
        # RFC 5737 and RFC 3849: nobody has them.
        for address in ('192.0.2.1', '2001:db8::1'):
            self.assertTrue(addresses.absent(model.Portal(address)))

    def test_the_broadcast_address_of_a_subnet(self):
        self.assertEqual(
            'it is a broadcast address',
            addresses.absent(model.Portal('127.255.255.255')))
