# SPDX-License-Identifier: Apache-2.0
"""An agent whose steps fail, and what it does about that."""

import contextlib
import threading
import unittest
from unittest import mock
import uuid

import fixtures

from mydriver import exception, model
from mydriver.target import pool
from mydriver.target.gateways import (
    agent,
    applier,
    connections,
    hands,
    lease,
)
from mydriver.target.gateways.record import OwnershipRecord
from mydriver.target.journal.rados import journal, targets
from mydriver.waiting import wait_for
from tests.fakes.floating import MemoryAddresses
from tests.fakes.gateways.images import MemoryCeph, MemoryImages
from tests.fakes.gateways.ownership import MemoryOwnership, Object
from tests.fakes.notify import FakeNotices
from tests.fakes.omap import FakeObjects
from tests.fakes.target import MemoryTarget

ADDRESS = '192.0.2.100'
SETTINGS = pool.of_cluster(pool.Settings(
    'be', 'iqn.2010-10.org.openstack:', (), False, '/nonexistent',
    gateways=pool.Gateways(((model.Portal(ADDRESS),),)), targets=1),
    '5d0e6c62-2f4c-4d9f-9d3b-1b3a8d0b7f11', 1)
TIMING = lease.Timing(3.0, 1.0, 0.3)
LONG_S = 20
LOGGER = 'mydriver.target.gateways.agent'
GIB = 1 << 30


class RealClock:
    """The time of the lease in memory is the real one."""

    @property
    def now_s(self):
        return lease.now_s()


class AgentTest(unittest.TestCase):
    """One gateway, one target, one exported volume."""

    def setUp(self):
        super().setUp()
        folder = self.useFixture(fixtures.TempDir()).path
        self.iqn, = pool.pool(SETTINGS)
        self.ceph = MemoryCeph(folder)
        self.object = Object(RealClock())
        self.journal = journal.RadosJournal(
            FakeObjects(), 'be', targets.Run('gw1', 'run'), FakeNotices())
        self.journal.create()
        self.journal.add_targets([self.iqn])
        self.volume = self.export()
        self.target = MemoryTarget('be', (), portals_of=SETTINGS.portals_of)
        self.network = MemoryAddresses(lease.now_s)
        self.images = MemoryImages(self.ceph, '192.0.2.1')
        self.ownership = MemoryOwnership(str(self.iqn), self.object)
        self.ownership.create()
        self.hands = hands.Hands(
            self.ownership, self.ceph, self.images, applier.Applier(
                self.iqn, self.journal, self.target, self.images,
                lambda _mapped: None, self.target.name_prefix),
            [ADDRESS], self.network, TIMING, connections.Connections(()))
        self.agent = agent.Agent(
            self.iqn, 'gw1', uuid.uuid4().hex, self.hands, self.ownership,
            TIMING, self.journal)
        for name, value in (('ATTEMPT_S', 0.02), ('RETRY_S', 0.02),
                            ('LOOK_S', 0.05)):
            self.enterContext(mock.patch.object(agent, name, value))

    def useFixture(self, fixture):
        fixture.setUp()
        self.addCleanup(fixture.cleanUp)
        return fixture

    def export(self):
        """Create a volume that is to be exported."""
        volume_id = str(uuid.uuid4())
        self.ceph.create(volume_id, GIB)
        self.journal.add_export(volume_id, self.ceph.device(volume_id),
                                self.iqn)
        return volume_id

    def start(self):
        self.addCleanup(self.end)
        self.agent.start()
        self.agent.want(True)

    def end(self):
        self.object.is_away = False
        self.assertTrue(self.agent.stop(LONG_S))

    def serving(self, is_so=True):
        wait_for(lambda: self.agent.seen().is_serving is is_so,
                 'it to serve' if is_so else 'it to let go', LONG_S)

    def failing(self, owner, name, times, error):
        """Let a method fail some times; return the event of the last one."""
        real, left, done = getattr(owner, name), [times], threading.Event()

        def fail(*args, **kwargs):
            if left[0]:
                left[0] -= 1
                if not left[0]:
                    done.set()
                raise error
            return real(*args, **kwargs)

        self.enterContext(mock.patch.object(owner, name, fail))
        return done

    def nothing_is_left(self):
        self.assertEqual(frozenset(), frozenset(self.network.held()))
        self.assertEqual({}, self.images.mapped())
        seen = self.target.observe(self.iqn)
        self.assertFalse(seen and seen.exports)

    def its_record(self):
        return OwnershipRecord.parse(str(self.iqn), self.object.stored)

    # -- tests

    def test_it_serves_and_lets_go(self):
        self.start()
        self.serving()
        self.assertEqual([self.volume], [
            e.serial for e in self.target.observe(self.iqn).exports])
        self.assertEqual(self.images.client(), self.agent.client())
        self.agent.want(False)
        self.serving(False)
        wait_for(lambda: self.agent.client() is None, 'it to end', LONG_S)
        self.nothing_is_left()
        self.assertEqual(1, self.its_record().epoch)
        self.assertEqual((), self.its_record().fence)

    def test_a_step_that_fails_ends_the_attempt(self):
        error = exception.StoreError('start a client', 'no memory')
        failed = self.failing(self.images, 'connect', 2, error)
        with self.assertLogs(LOGGER, 'WARNING') as logged:
            self.start()
            self.serving()
        self.assertTrue(failed.is_set())
        self.assertIn("cannot start a client of the kernel's", ''.join(
            logged.output))
        self.assertIn('no memory', ''.join(logged.output))

    def test_a_step_of_letting_go_is_repeated(self):
        self.start()
        self.serving()
        failed = self.failing(self.network, 'drop', 3, exception.TargetError(
            'drop an address', 'busy'))
        self.agent.want(False)
        self.assertTrue(failed.wait(LONG_S))
        wait_for(lambda: not self.network.held(), 'it to go', LONG_S)
        wait_for(lambda: self.agent.client() is None, 'it to end', LONG_S)
        self.nothing_is_left()

    def test_what_is_no_error_of_ours_does_not_end_the_thread(self):
        failed = self.failing(self.images, 'connect', 1, KeyError('defect'))
        with self.assertLogs(LOGGER, 'ERROR') as logged:
            self.start()
            self.serving()
        self.assertTrue(failed.is_set())
        self.assertIn('take_steps failed', logged.output[0])

    def test_a_change_that_takes_long_is_not_waited_for(self):
        self.enterContext(mock.patch.object(hands, '_TURN_S', 0.05))
        held = contextlib.ExitStack()
        held.enter_context(self.hands._turn)
        with held, self.assertLogs(LOGGER, 'WARNING') as logged:
            self.start()
            wait_for(lambda: any('the change that is being applied' in line
                                 for line in logged.output),
                     'it to give up', LONG_S)
            self.assertEqual(frozenset(), frozenset(self.network.held()))
        self.serving()

    def test_another_owner_in_the_journal(self):
        self.start()
        self.serving()
        with self.assertLogs(LOGGER, 'ERROR') as logged:
            self.journal.begin(self.iqn, 'gw2', 77)
            self.export()
            self.serving(False)
        self.assertIn('gw2', ''.join(logged.output))
        wait_for(lambda: not self.network.held(), 'it to be silent', LONG_S)
        self.assertEqual(('gw2', 77), (
            self.journal.applied(self.iqn).owner,
            self.journal.applied(self.iqn).epoch))

    def test_a_damaged_record_is_nobody_to_take_over_from(self):
        its = self.object.stored
        self.object.stored = its[:-1]
        with self.assertLogs(LOGGER, 'WARNING') as logged:
            self.start()
            wait_for(lambda: len(logged.output) > 2, 'attempts', LONG_S)
        self.assertIn('read the record', ''.join(logged.output))
        self.assertEqual(its[:-1], self.object.stored)
        self.assertEqual({}, self.ceph.locks)
        self.assertFalse(self.agent.seen().is_serving)
        self.object.stored = its
        self.serving()

    def test_a_damaged_journal_is_served_on(self):
        self.start()
        self.serving()
        error = exception.JournalUnusable('its object', 'damaged', 'See.')
        before = self.target.observe(self.iqn)
        failed = self.failing(self.journal, 'changes_since', 5, error)
        self.assertTrue(failed.wait(LONG_S))
        self.assertTrue(self.agent.seen().is_serving)
        self.assertEqual(before, self.target.observe(self.iqn))

    def test_ceph_is_away(self):
        self.start()
        self.serving()
        self.object.is_away = True
        until = lease.now_s() + TIMING.duration_s
        self.serving(False)
        wait_for(lambda: not self.network.held(), 'it to be silent', LONG_S)
        self.assertLess(lease.now_s(), until)
        self.object.is_away = False
        self.serving()
        self.assertGreater(self.agent.seen().epoch, 1)

    def test_a_lease_that_was_taken_away(self):
        self.start()
        self.serving()
        self.object.holder = (9, 'another')
        self.object.until_s = lease.now_s() + 1.0
        self.serving(False)
        wait_for(lambda: not self.network.held(), 'it to be silent', LONG_S)
        self.assertEqual((9, 'another'), self.object.holder)
        self.serving()

    def test_a_fenced_client_is_not_written_off_as_released(self):
        self.start()
        self.serving()
        lost = self.agent.client()
        self.ceph.fence([lost])
        self.agent.fenced()
        wait_for(lambda: self.agent.seen().epoch > 1, 'it to begin anew',
                 LONG_S)
        self.serving()
        self.assertNotEqual(lost, self.agent.client())
        self.assertIn(lost, self.its_record().fence)

    def test_a_device_that_stays_open_is_unmapped_by_force(self):
        self.start()
        self.serving()
        before = self.agent.client()
        self.images.opened.add(self.volume)
        self.agent.want(False)
        wait_for(lambda: self.agent.client() is None, 'it to end', LONG_S)
        self.nothing_is_left()
        # Its writes may still be on their way.
        self.agent.want(True)
        self.serving()
        self.assertIn(before, self.ceph.blocklist)
