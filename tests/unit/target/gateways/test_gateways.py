# SPDX-License-Identifier: Apache-2.0
"""Gateways and cinder-volume on one journal: attach, takeover, drain."""

import threading
import time
import unittest
from unittest import mock
import uuid

import fixtures
from oslo_concurrency import lockutils

from mydriver import exception, model
from mydriver.target import exports, pool
from mydriver.target.gateways import (
    agent,
    applier,
    connections,
    gateway,
    hands,
    lease,
    members,
    remote,
    witnesses,
)
from mydriver.target.journal.rados import journal, targets
from mydriver.waiting import wait_for
from tests.fakes.floating import MemoryAddresses
from tests.fakes.gateways.images import MemoryCeph, MemoryImages
from tests.fakes.gateways.ownership import MemoryOwnership, Object
from tests.fakes.notify import FakeNotices
from tests.fakes.omap import FakeObjects
from tests.fakes.target import MemoryTarget

GIB = 1 << 30
ALICE = model.Iqn('iqn.1993-08.org.debian:01:alice')
FSID = '5d0e6c62-2f4c-4d9f-9d3b-1b3a8d0b7f11'
SETTINGS = pool.of_cluster(pool.Settings(
    'be', 'iqn.2010-10.org.openstack:', (), False, '/nonexistent',
    gateways=pool.Gateways(((model.Portal('192.0.2.100'),),
                            (model.Portal('192.0.2.101'),))),
    targets=2), FSID, 1)
TIMING = lease.Timing(3.0, 0.8, 0.3)
LONG_S = 10


class RealClock:
    """The time of the leases in memory is the real one."""

    @property
    def now_s(self):
        return lease.now_s()


class Host:
    """A host that runs a gateway of the backend."""

    def __init__(self, cloud, number):
        self.name = f'gw{number}'
        self.address = f'192.0.2.{number}'
        self.cloud = cloud
        self.target = MemoryTarget('be', (), portals_of=SETTINGS.portals_of)
        self.network = MemoryAddresses(lease.now_s)
        self.connections = connections.Connections(
            p for some in SETTINGS.gateways.portals for p in some)
        self.witnesses = witnesses.Witnesses(
            [model.Portal('192.0.2.254')], lambda _: self.is_reached)
        self.is_reached = True
        self.end = threading.Event()
        self.gateway = None
        self.thread = None

    def start(self):
        run = uuid.uuid4().hex
        objects = self.cloud.objects
        its_journal = journal.RadosJournal(
            objects, 'cloud', targets.Run(self.name, run),
            self.cloud.notices)

        def agent_of(iqn):
            images = MemoryImages(self.cloud.ceph, self.address)
            ownership = MemoryOwnership(
                str(iqn), self.cloud.owners[iqn], int(self.name[2:]))
            its_applier = applier.Applier(
                iqn, its_journal, self.target, images, lambda _mapped: None,
                self.target.name_prefix)
            return agent.Agent(
                iqn, self.name, run, hands.Hands(
                    ownership, self.cloud.ceph, images, its_applier,
                    [p.address for p in SETTINGS.portals_of(iqn)],
                    self.network, TIMING, self.connections),
                ownership, TIMING, its_journal)

        self.gateway = gateway.Gateway(
            self.name, run, gateway.Registry(objects),
            [agent_of(iqn) for iqn in its_journal.targets()],
            lambda known: [agent_of(iqn) for iqn in its_journal.targets()
                           if iqn not in known],
            lambda: self.cloud.ceph.blocklist, self.connections,
            self.witnesses)
        self.thread = threading.Thread(
            target=self.gateway.run, args=(self.end,), daemon=True)
        self.thread.start()

    def stop(self):
        self.end.set()
        self.thread.join(LONG_S)

    def crash(self):
        """End the process without letting it do anything more."""
        for one in self.gateway._agents.values():
            one._end.set()
            one._wake.set()
        self.gateway.leave = lambda: None
        self.end.set()
        self.thread.join(LONG_S)
        for one in self.gateway._agents.values():
            for thread in one._threads:
                thread.join(LONG_S)

    def serves(self):
        return {str(t) for t, one in self.gateway._agents.items()
                if one.seen().is_serving}


class GatewaysTest(unittest.TestCase):
    """Attach, detach, takeover, drain."""

    def setUp(self):
        super().setUp()
        folder = self.folder()
        lockutils.set_defaults(folder)
        self.enterContext(mock.patch.object(members, 'SETTLED_S', 1.0))
        self.objects, self.notices = FakeObjects(), FakeNotices()
        self.ceph = MemoryCeph(folder)
        self.pool = pool.pool(SETTINGS)
        self.owners = {iqn: Object(RealClock()) for iqn in self.pool}
        for iqn in self.pool:
            MemoryOwnership(str(iqn), self.owners[iqn]).create()
        self.journal = journal.RadosJournal(
            self.objects, 'cloud', targets.Run('cinder', 'run-1'),
            self.notices)
        self.journal.create()
        self.journal.add_targets(self.pool)
        self.service = exports.ExportService(
            SETTINGS, self.journal, remote.RemoteTarget(
                self.journal, SETTINGS.portals_of, LONG_S),
            None, 'mydriver-be-', self, self.discover)
        self.hosts = [Host(self, n) for n in (1, 2)]

    def folder(self):
        folder = fixtures.TempDir()
        folder.setUp()
        self.addCleanup(folder.cleanUp)
        return folder.path

    # -- the store's devices, and discovery, for the service

    def bring_up(self, volume_id):
        return self.ceph.device(volume_id)

    def let_down(self, volume_id):
        """Do nothing."""

    def discover(self, target, initiator, portals, timeout_s):
        for host in self.hosts:
            seen = host.target.observe(target)
            if seen and str(initiator) in seen.acls and all(
                    p.address in host.network.held() for p in portals):
                return tuple(portals)
        raise exception.TargetNotDiscovered(
            str(target), str(initiator), 'Nobody answers.')

    # -- helpers

    def start(self, *hosts):
        for host in hosts:
            host.start()
            self.addCleanup(host.stop)

    def served(self, *hosts):
        """Wait until each target is served by one of some hosts."""
        wait_for(lambda: sorted(
            t for h in hosts for t in h.serves()) == sorted(
                map(str, self.pool)), 'all targets to be served', LONG_S)

    def volume(self):
        volume_id = str(uuid.uuid4())
        self.ceph.create(volume_id, GIB)
        return volume_id

    def attached(self):
        volume_id = self.volume()
        self.service.create_export(volume_id)
        self.service.initialize_connection(volume_id, ALICE)
        return volume_id

    def exports_of(self, host):
        return {e.serial for t in self.pool
                if (seen := host.target.observe(t)) for e in seen.exports}

    # -- tests

    def test_attach_and_detach(self):
        self.start(*self.hosts)
        wait_for(lambda: [len(h.serves()) for h in self.hosts] == [1, 1],
                 'each to get its share', LONG_S)
        volume_id = self.volume()
        self.service.create_export(volume_id)
        reached = self.service.initialize_connection(volume_id, ALICE)
        target = reached.mapped.export.target
        self.assertEqual(SETTINGS.portals_of(target), reached.portals)
        owner, = (h for h in self.hosts if volume_id in self.exports_of(h))
        self.assertIn(str(target), owner.serves())
        self.assertEqual(1, len(owner.target.observe(target).mappings))
        self.assertFalse(self.service.terminate_connection(volume_id, ALICE))
        self.assertEqual((), tuple(owner.target.observe(target).mappings))
        self.assertTrue(self.service.remove_export(volume_id))
        self.assertEqual(set(), self.exports_of(owner))
        self.assertEqual({}, self.ceph.locks)
        self.assertEqual([], self.service.all())

    def test_targets_that_the_journal_gets_later(self):
        """As where a gateway starts while cinder-volume makes the journal."""
        self.enterContext(mock.patch.object(gateway, 'TARGETS_S', 0.5))
        self.objects = FakeObjects()
        its = journal.RadosJournal(
            self.objects, 'cloud', targets.Run('cinder', 'run-2'),
            self.notices)
        its.create()
        self.start(*self.hosts)
        registry = gateway.Registry(self.objects)
        wait_for(lambda: len(registry.all()) == 2, 'both to start', LONG_S)
        its.add_targets(self.pool[:1])
        wait_for(lambda: [s for h in self.hosts for s in h.serves()]
                 == [str(self.pool[0])], 'the first target', LONG_S)
        its.add_targets(self.pool)
        self.served(*self.hosts)

    def test_takeover_of_a_dead_gateway(self):
        first, second = self.hosts
        self.start(first)
        self.served(first)
        volumes = {self.attached() for _ in range(4)}
        # All volumes may be on one of the two targets.
        lost = {a.client() for a in first.gateway._agents.values()}
        self.start(second)
        first.crash()
        self.served(second)
        self.assertEqual(volumes, self.exports_of(second))
        self.assertLessEqual(lost, self.ceph.blocklist)
        self.assertTrue(set(self.ceph.locks.values()).isdisjoint(lost))
        # The other one comes back with what it had, and cleans up first.
        first.end = threading.Event()
        self.start(first)
        wait_for(lambda: not self.exports_of(first) & self.exports_of(second)
                 and first.serves(), 'it to get its share again',
                 LONG_S + 10)
        self.served(*self.hosts)
        self.assertEqual(volumes, self.exports_of(first)
                         | self.exports_of(second))
        self.assertEqual(lost, self.ceph.blocklist)

    def test_planned_move_needs_no_fence(self):
        first, second = self.hosts
        self.start(*self.hosts)
        self.served(*self.hosts)
        volumes = {self.attached() for _ in range(4)}
        gateway.Registry(self.objects).drain('gw1', True)
        self.served(second)
        self.assertEqual(set(), first.serves())
        self.assertEqual(volumes, self.exports_of(second))
        self.assertEqual(set(), self.exports_of(first))
        self.assertEqual(set(), self.ceph.blocklist)
        self.assertEqual({}, first.network.held())

    def test_one_that_is_not_able_to_serve_gets_nothing_again(self):
        self.enterContext(mock.patch.object(gateway, 'ORPHANED_S', 1.0))
        first, second = self.hosts
        self.start(first)
        self.served(first)
        volumes = {self.attached() for _ in range(4)}
        second.network.hold = mock.Mock(side_effect=exception.TargetError(
            'hold an address', 'no interface has its subnet'))
        self.start(second)
        wait_for(lambda: len(first.serves()) == 1, 'it to hand one over',
                 LONG_S)
        self.served(first)
        # It is not handed over again.
        until = time.monotonic() + 4
        while time.monotonic() < until:
            self.assertEqual(2, len(first.serves()))
            time.sleep(0.05)
        self.assertEqual(volumes, self.exports_of(first))

    def test_a_gateway_that_initiators_have_lost_hands_over(self):
        for name in ('PROBE_S', 'REACHED_S'):
            self.enterContext(mock.patch.object(witnesses, name, 0.3))
        first, second = self.hosts
        self.start(*self.hosts)
        self.served(*self.hosts)
        volumes = {self.attached() for _ in range(4)}
        first.is_reached = False
        self.served(second)
        self.assertEqual(volumes, self.exports_of(second))
        self.assertEqual(set(), self.ceph.blocklist)
        # When no gateway reaches them, they are to blame.
        second.is_reached = False
        wait_for(lambda: all(
            m.is_cut_off for m in gateway.Registry(self.objects).all()),
            'both to say so', LONG_S)
        first.is_reached = second.is_reached = True
        wait_for(lambda: [len(h.serves()) for h in self.hosts] == [1, 1],
                 'each to get its share again', LONG_S + 10)
        # It has served what it was handed, so it gets it a second time, also
        # when that was not just now.
        time.sleep(5 * gateway.BEAT_S)
        first.is_reached = False
        self.served(second)
        first.is_reached = True
        wait_for(lambda: [len(h.serves()) for h in self.hosts] == [1, 1],
                 'each to get its share once more', LONG_S + 10)
        self.assertEqual(set(), self.ceph.blocklist)

    def test_initiators_are_prompted_after_a_takeover(self):
        first, second = self.hosts
        peer = model.Portal('192.0.2.12', 43234)
        first.connections.here = lambda: {
            a: (str(peer),) for a in first.network.held()}
        self.start(first)
        self.served(first)
        self.start(second)
        wait_for(lambda: [
            m for m in gateway.Registry(self.objects).all()
            if m.name == 'gw1' and len(m.peers) == 2],
            'it to tell its connections', LONG_S)
        first.crash()
        self.served(second)
        wait_for(lambda: len(second.network.prompted) >= 4,
                 'the peers to be prompted', LONG_S)
        self.assertEqual(
            {(p, peer) for some in SETTINGS.gateways.portals for p in some},
            set(second.network.prompted))

    def test_an_end_in_order_leaves_nothing(self):
        self.start(self.hosts[0])
        self.served(self.hosts[0])
        self.attached()
        self.hosts[0].stop()
        self.assertEqual({}, self.ceph.locks)
        self.assertEqual(set(), self.exports_of(self.hosts[0]))
        self.assertEqual({}, self.hosts[0].network.held())

    def test_what_cannot_be_mapped_is_told(self):
        self.start(self.hosts[0])
        self.served(self.hosts[0])
        good = self.attached()
        bad = self.volume()
        holder = MemoryImages(self.ceph, '192.0.2.77')
        holder.connect()
        holder.map(bad)
        with self.assertRaises(exception.TargetError) as caught:
            self.service.create_export(bad)
        self.assertIn('192.0.2.77', str(caught.exception))
        self.assertEqual({good}, self.exports_of(self.hosts[0]))
        self.assertEqual([good], [e.volume_id for e in self.service.all()])

    def test_without_a_gateway(self):
        volume_id = self.volume()
        self.service._target._timeout_s = 0.3
        with self.assertRaises(exception.TargetError) as caught:
            self.service.create_export(volume_id)
        self.assertIn('any gateway to apply change', str(caught.exception))
        self.assertIn('mydriver gateway list', str(caught.exception))
