# SPDX-License-Identifier: Apache-2.0
"""The lease, the record and the fence of the gateways on a real Ceph."""

import datetime
import time
import uuid

import rados

from mydriver import exception
from mydriver.ceph import cluster, fence
from mydriver.target.gateways.ownership import RadosOwnership
from mydriver.target.gateways.record import Client
from tests.contract.ownership import OwnershipContract
from tests.functional.ceph import base


class GatewayCase(base.CephTestCase):
    """Two gateways' connections, as the user of the gateways."""

    def setUp(self):
        super().setUp()
        self.clusters = [self.connect() for _ in range(2)]

    def connect(self):
        """Return a connection that is closed after the test."""
        its = cluster.Cluster(cluster.Settings(
            base.VOLUMES, base.USER, str(self.conf)), timeout_s=10)
        self.addCleanup(its.close)
        return its


class TestOwnership(OwnershipContract, GatewayCase):
    """The suite that the fake passes too."""

    def setUp(self):
        super().setUp()
        self.target = f'iqn.2010-10.org.openstack:t-{uuid.uuid4()}'
        self.mine, self.other = (
            RadosOwnership(its, self.target, 'be') for its in self.clusters)
        self.pool = self.ceph.cluster.open_ioctx(base.VOLUMES)
        self.pool.set_namespace('be')
        self.addCleanup(self.pool.close)
        self.object = f'mydriver.owner.{self.target}'

    def wait(self, seconds):
        time.sleep(seconds)

    def store(self, text):
        with rados.WriteOpCtx() as op:
            self.pool.set_omap(op, ('record',), (text.encode(),))
            self.pool.operate_write_op(op, self.object)

    def lose(self):
        self.pool.remove_object(self.object)

    def test_another_connection_is_another_holder(self):
        self.own()
        again = RadosOwnership(self.connect(), self.target, 'be')
        self.assertFalse(again.renew('a', 60.0))
        self.assertFalse(again.acquire('a', 60.0))

    def test_record_that_is_no_text(self):
        self.own()
        with rados.WriteOpCtx() as op:
            self.pool.set_omap(op, ('record',), (b'\xff\x00',))
            self.pool.operate_write_op(op, self.object)
        with self.assertRaises(exception.OwnershipDamaged):
            self.mine.read()

    def test_backends_do_not_meet(self):
        self.own()
        elsewhere = RadosOwnership(self.clusters[1], self.target, 'be2')
        with self.assertRaises(exception.OwnershipDamaged):
            elsewhere.read()


class TestTimeout(GatewayCase):
    """How long a gateway waits for Ceph."""

    def test_it_is_the_connections_own(self):
        for name in ('rados_osd_op_timeout', 'rados_mon_op_timeout'):
            self.assertEqual(10.0, float(
                self.clusters[0].handle().conf_get(name)))


class TestFence(GatewayCase):
    """The blocklist, with the capabilities of ``profile rbd``."""

    def setUp(self):
        super().setUp()
        self.fence = fence.Fence(self.clusters[0])
        self.addCleanup(self.ceph.command, 'osd blocklist clear')

    def victim(self):
        """Return a client's connection, and its name in the blocklist."""
        its = self.connect()
        return its.pool(), Client.parse(its.handle().get_addrs().split(
            'v1:')[-1].split('v2:')[-1])

    def add(self, client, **more):
        """Enter a client in the blocklist as an administrator."""
        self.ceph.command('osd blocklist', blocklistop='add',
                          addr=str(client), **more)

    def test_fenced_client_writes_nothing(self):
        pool, client = self.victim()
        pool.write_full('mine', b'before')
        self.fence.fence([client])
        with self.assertRaises(rados.Error) as caught:
            pool.write_full('mine', b'after')
        self.assertEqual(108, abs(caught.exception.errno))  # ESHUTDOWN
        self.assertEqual(b'before', self.clusters[0].pool().read('mine'))

    def test_it_can_be_repeated(self):
        clients = [Client('10.9.9.9', n) for n in range(1, 21)]
        clients += [Client('2001:db8::1', 1)]
        self.fence.fence(clients)
        first = self.fence.read()
        self.fence.fence(clients)
        again = self.fence.read()
        self.assertEqual(first, again)
        self.assertEqual(set(clients), set(again.entries))
        years = datetime.timedelta(seconds=again.remaining_s(clients[0])).days
        self.assertEqual(3650, round(years, -1))

    def test_nobody_is_no_work(self):
        before = self.fence.read()
        self.fence.fence([])
        self.assertEqual(before, self.fence.read())

    def test_short_entry_is_no_fence(self):
        client = Client('10.9.9.8', 7)
        self.add(client, expire=3600.0)  # by default, as the kernel does it
        with self.assertRaises(exception.FenceTooShort) as caught:
            self.fence.fence([Client('10.9.9.8', 8), client])
        self.assertEqual(str(client), caught.exception.clients)
        # Ceph acknowledges a longer one, and keeps the short one.
        self.add(client, expire=float(fence.FENCE_S))
        with self.assertRaises(exception.FenceTooShort):
            self.fence.fence([client])
        self.assertLess(self.fence.read().remaining_s(client), 3700)
        self.ceph.command('osd blocklist', blocklistop='rm',
                          addr=str(client))
        self.fence.fence([client])

    def test_longer_entry_stays_when_a_lock_is_broken(self):
        client = Client('10.9.9.7', 7)
        self.fence.fence([client])
        before = self.fence.read().remaining_s(client)
        self.add(client)
        self.assertAlmostEqual(
            before, self.fence.read().remaining_s(client), delta=60)

    def test_whole_hosts_are_none_of_ours(self):
        self.ceph.command('osd blocklist', blocklistop='add',
                          addr='10.9.9.6')
        self.assertFalse(any(c.address == '10.9.9.6'
                             for c in self.fence.read().entries))
        client = Client('10.9.9.6', 7)
        self.assertIsNone(self.fence.read().remaining_s(client))
        self.fence.fence([client])
        self.assertIn(client, self.fence.read().entries)

    def test_lifting_needs_more_rights_and_no_mapping(self):
        client = Client('10.9.9.5', 7)
        self.fence.fence([client])
        with self.assertRaises(exception.NotFenced):
            self.fence.lift(client, {client})
        with self.assertRaises(exception.CephError) as caught:
            self.fence.lift(client, set())
        self.assertIn('access denied', str(caught.exception))
        self.assertIn(client, self.fence.read().entries)
