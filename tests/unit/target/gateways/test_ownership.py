# SPDX-License-Identifier: Apache-2.0
"""The lease and the record: the fake, and what the real one encodes."""

import unittest

from mydriver import exception
from mydriver.ceph import cluster
from mydriver.target.gateways import ownership
from tests.contract.ownership import LONG_S, OwnershipContract
from tests.fakes.gateways.ownership import Clock, MemoryOwnership, Object


class MemoryOwnershipTest(OwnershipContract, unittest.TestCase):
    """The fake."""

    def setUp(self):
        super().setUp()
        self.clock = Clock()
        self.object = Object(self.clock)
        self.mine = MemoryOwnership('t', self.object, 1)
        self.other = MemoryOwnership('t', self.object, 2)

    def wait(self, seconds):
        self.clock.wait(seconds)

    def store(self, text):
        self.object.stored = text

    def lose(self):
        self.object.stored = self.object.holder = None

    def test_away(self):
        self.own()
        self.object.is_away = True
        for call in (self.mine.create, self.mine.read,
                     lambda: self.mine.acquire('b', LONG_S),
                     lambda: self.mine.renew('a', LONG_S),
                     lambda: self.mine.release('a')):
            with self.assertRaises(exception.CephError):
                call()
        self.object.is_away = False
        self.assertTrue(self.mine.renew('a', LONG_S))


class EncodingTest(unittest.TestCase):
    """Arguments of Ceph's class ``lock``."""

    def test_lock(self):
        self.assertEqual(
            b'\x01\x01\x21\x00\x00\x00'
            b'\x05\x00\x00\x00owner\x01\x02\x00\x00\x00gw'
            b'\x00\x00\x00\x00\x00\x00\x00\x00'
            b'\x02\x00\x00\x00\x00\x65\xcd\x1d\x02',
            ownership._lock('gw', 2.5, ownership._MUST_RENEW))

    def test_nothing_is_asked_of_a_missing_ceph(self):
        its = ownership.RadosOwnership(cluster.Cluster(cluster.Settings(
            'volumes', conf='/nonexistent')), 't')
        with self.assertRaises(exception.ConfigurationError):
            its.read()
