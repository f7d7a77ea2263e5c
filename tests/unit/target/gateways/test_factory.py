# SPDX-License-Identifier: Apache-2.0
"""What both ends of a backend with gateways are made of."""

import unittest
from unittest import mock

from mydriver import model
from mydriver.target import chap, exports, pool
from mydriver.target.gateways import factory, lease, remote
from mydriver.target.journal.rados import journal
from tests.fakes.devices import MemoryDevices
from tests.fakes.gateways.ownership import Clock, MemoryOwnership, Object
from tests.fakes.notify import FakeNotices
from tests.fakes.omap import FakeObjects

FSID = '5d0e6c62-2f4c-4d9f-9d3b-1b3a8d0b7f11'


def settings(addresses=('192.0.2.51', '192.0.2.52'), **changes):
    """Return the settings of a backend with one target for each address."""
    return pool.of_cluster(pool.Settings(
        'be', 'iqn.2010-10.org.openstack:', (), changes.pop('chap', False),
        '/nonexistent', gateways=pool.Gateways(
            tuple((model.Portal(a),) for a in addresses), **changes),
        targets=len(addresses)), FSID, 1)


class TimingTest(unittest.TestCase):
    """The times that follow from the option."""

    def test_each_valid_lease(self):
        for seconds in range(4, 61):
            found = factory.timing(settings(lease_s=seconds))
            self.assertEqual(seconds, found.duration_s)
            # Two renewals may be lost before the lease is.
            self.assertGreaterEqual(
                found.duration_s - found.margin_s, 3 * found.renew_s)
            self.assertLessEqual(found.renew_s, 1.0)

    def test_the_default(self):
        self.assertEqual(lease.Timing(6.0, 1.5, 1.0),
                         factory.timing(settings(lease_s=6)))


class ServiceTest(unittest.TestCase):
    """cinder-volume's end."""

    def setUp(self):
        super().setUp()
        self.objects, self.records = FakeObjects(), {}
        for module, name, value in (
                (journal, 'objects_of', lambda *_: self.objects),
                (factory.notify, 'RadosNotices',
                 lambda *_, **__: FakeNotices()),
                (factory.ownership, 'RadosOwnership', self.ownership_of)):
            self.enterContext(mock.patch.object(module, name, value))

    def ownership_of(self, _connection, target, namespace):
        self.assertEqual('mydriver.be', namespace)
        return MemoryOwnership(target, self.records.setdefault(
            target, Object(Clock())))

    def build(self, wanted):
        return factory.build_service(
            wanted, mock.sentinel.connection, MemoryDevices(),
            MemoryDevices())

    def test_it_waits_for_gateways(self):
        wanted = settings()
        service = self.build(wanted)
        self.assertIsInstance(service, exports.ExportService)
        self.assertIsInstance(service._target, remote.RemoteTarget)
        self.assertEqual(set(pool.pool(wanted)),
                         set(service._journal.targets()))
        self.assertEqual(2, len(service._target.check()))
        self.assertIn('No gateway serves target', service._target.check()[0])

    def test_a_new_target_has_a_record_and_a_lost_one_stays_lost(self):
        wanted = settings(('192.0.2.51',))
        self.build(wanted)
        first, = pool.pool(wanted)
        self.assertIsNotNone(self.records[str(first)].stored)
        # Without it, nobody knows whom to fence.
        self.records[str(first)].stored = None
        more = settings()
        self.build(more)
        self.assertIsNone(self.records[str(first)].stored)
        self.assertEqual(
            {str(t) for t in pool.pool(more)},
            {str(first)} | {t for t, r in self.records.items() if r.stored})

    def test_keys_are_those_of_all_hosts(self):
        wanted = settings(chap=True)
        self.assertIsNotNone(self.build(wanted)._kinds._keys)
        self.assertIsNotNone(self.objects.read('mydriver.chap', ['current']))
        # Mappings may depend on them after CHAP was turned off.
        self.assertIsInstance(self.build(settings())._kinds._keys,
                              chap.KeyRing)
