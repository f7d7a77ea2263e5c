# SPDX-License-Identifier: Apache-2.0
"""cinder-volume, whose target a gateway serves."""

import contextlib
import dataclasses
from unittest import mock

from mydriver import exception, model
from mydriver.target import exports, recorded
from mydriver.target.gateways import remote
from mydriver.target.journal.rados import journal
from tests.contract import exports as contract
from tests.fakes import connecting
from tests.fakes.exports import ALICE, BOB, MIB, OURS
from tests.fakes.gateways import serving


class RemoteUseCasesTest(contract.UseCases, serving.GatewayCase):
    """What each use case leaves on the gateway."""


class SilentOwnerTest(serving.GatewayCase):
    """The owner of the target does not answer."""

    timeout_s = 0.5

    def setUp(self):
        self.waited_s = 0.0
        real = journal.RadosJournal.wait_applied

        def wait(its, target, generation, timeout_s):
            try:
                return real(its, target, generation, timeout_s)
            except exception.WaitTimeout:
                self.waited_s += timeout_s
                raise

        self.enterContext(mock.patch.object(
            journal.RadosJournal, 'wait_applied', wait))
        super().setUp()

    def attached(self, number):
        """Return volumes that are attached."""
        made = [self.exported() for _ in range(number)]
        for volume_id in made:
            connecting.connect(self.service, volume_id, ALICE)
        return made

    def fall_silent(self):
        """Stop the owner, and record something that it does not see."""
        self.owner.stop()
        volume_id, device = self.volume()
        self.journal.add_export(volume_id, device, self.iqn)

    def test_start_does_not_wait_for_each_volume(self):
        made = self.attached(12)
        self.fall_silent()
        with self.assertLogs('mydriver', 'ERROR') as logged:
            self.restart()
        self.assertEqual(self.timeout_s, self.waited_s)
        self.assertIn('mydriver gateway list', logged.output[0])
        # What they wait for is on record, and what is served stays.
        self.assertLessEqual(set(made), {
            e.volume_id for e in self.service.all()})
        self.assertLessEqual(set(made), set(self.seen()[0]))

    def test_settle_removes_nothing_from_the_record(self):
        made = self.attached(5)
        self.restart()
        self.fall_silent()
        self.service.reconciler.settle(lambda _volume, _initiator: False)
        self.assertEqual(self.timeout_s, self.waited_s)
        self.assertEqual(5, len(self.journal.mappings()))
        self.assertLessEqual(set(made), set(self.seen()[0]))
        # The owner is back, and does what it was told.
        self.owner = serving.Owner(self, 2)
        self.owner.start()
        self.service.reconciler.settle(lambda _volume, _initiator: False)
        self.assertEqual(([], [], []), self.seen())

    def test_an_owner_that_has_done_all_is_not_waited_for(self):
        self.attached(3)
        self.owner.stop()
        self.restart()
        self.assertEqual(0.0, self.waited_s)

    def test_it_is_waited_for_again_after_a_sign_of_life(self):
        self.fall_silent()
        volume_id, _device = self.volume()
        for _ in range(2):
            with self.assertRaises(exception.TargetError):
                self.service.create_export(volume_id)
        self.assertEqual(frozenset(),
                         self.service._target.listening(self.iqn))
        self.owner = serving.Owner(self, 2)
        self.owner.start()
        self.service.create_export(volume_id)
        self.assertEqual({str(p) for p in self.portals},
                         self.service._target.listening(self.iqn))

    def test_a_failed_detach_can_be_repeated(self):
        volume_id, = self.attached(1)
        self.owner.stop()
        with self.assertRaises(exception.TargetError):
            connecting.disconnect(self.service, volume_id, ALICE)
        self.assertEqual(1, len(self.seen()[1]))
        self.owner = serving.Owner(self, 2)
        self.owner.start()
        connecting.disconnect(self.service, volume_id, ALICE)
        self.assertEqual([], self.seen()[1])


class ClusterTest(serving.GatewayCase):
    """Another service attaches while this one starts."""

    def other(self):
        """Return the other service of the cluster."""
        its = self.journal_of('cinder-2', 'run')
        made = exports.ExportService(
            self.settings, its, remote.RemoteTarget(
                its, self.settings.portals_of, self.timeout_s), self.keys,
            self.target.name_prefix, self.devices, self.discover)
        # The locks of one process are not those of another.
        made._changes._backend = 'other'
        return made

    def settled(self, meanwhile):
        """Settle what nobody has; let another service work before.

        :param meanwhile: is called before the first lock is got.
        """
        todo = [meanwhile]

        @contextlib.contextmanager
        def exclusively(volume_id):
            if todo:
                todo.pop()(volume_id)
            yield

        self.service.reconciler.settle(lambda _volume, _initiator: False,
                                       exclusively=exclusively)

    def test_a_leftover_that_is_attached_again_stays(self):
        volume_id, other = self.exported(), self.other()
        connecting.connect(self.service, volume_id, ALICE)
        self.restart()
        self.settled(lambda v: connecting.connect(other, v, ALICE))
        self.assertEqual([volume_id], [v for _i, _lun, v in self.seen()[1]])
        self.settled(lambda _volume: None)  # it is another service's now
        self.assertEqual([volume_id], [v for _i, _lun, v in self.seen()[1]])

    def test_one_that_is_attached_while_cinder_is_asked_stays(self):
        volume_id, other = self.exported(), self.other()
        connecting.connect(self.service, volume_id, ALICE)
        self.restart()
        asked = []

        def is_live(_volume, _initiator):
            asked.append(_initiator)
            if len(asked) == 2:  # with the lock, which is lost then
                connecting.connect(other, volume_id, ALICE)
            return False

        with self.assertLogs('mydriver', 'ERROR') as logged:
            self.service.reconciler.settle(is_live)
        self.assertIn('attached there again', logged.output[0])
        self.assertEqual([volume_id], [v for _i, _lun, v in self.seen()[1]])

    def test_a_failed_attach_takes_back_only_its_own_mapping(self):
        volume_id, other = self.exported(), self.other()
        self.reachable = ()
        real = self.discover
        self.service._discover = lambda *args: (
            setattr(self, 'reachable', self.portals),
            connecting.connect(other, volume_id, ALICE),
            setattr(self, 'reachable', ()), real(*args))
        with (self.assertLogs('mydriver', 'ERROR') as logged,
              self.assertRaises(exception.TargetNotDiscovered)):
            connecting.connect(self.service, volume_id, ALICE)
        self.assertIn('attached there again', logged.output[0])
        self.assertEqual([volume_id], [v for _i, _lun, v in self.seen()[1]])
        self.assertEqual([False], [m.doomed for m in
                                   self.journal.mappings()])

    def test_a_leftover_that_nobody_attaches_goes(self):
        connecting.connect(self.service, self.exported(), ALICE)
        self.restart()
        self.settled(lambda _volume: None)
        self.assertEqual([], self.seen()[1])

    def test_an_export_that_gets_a_mapping_stays(self):
        volume_id, other = self.exported(), self.other()
        self.restart()
        self.settled(lambda v: connecting.connect(other, v, ALICE))
        self.assertEqual([volume_id], self.seen()[0])
        self.assertEqual(1, len(self.seen()[1]))

    def test_what_is_missing(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        found, = self.journal.mappings()
        one = recorded.Recorded(found.mapping, self.iqn, None, self.portals)
        two = dataclasses.replace(one, mapping=dataclasses.replace(
            found.mapping, initiator=model.Iqn(BOB['initiator'])))
        self.assertEqual([two], self.service.reconciler.missing([one, two]))


class RemoteTargetTest(serving.GatewayCase):
    """The parts of the target that are answered from the journal."""

    @property
    def remote(self):
        return self.service._target

    def test_what_only_gateways_do(self):
        volume_id = self.exported()
        before = self.seen()
        self.assertIsNone(self.remote.observe(self.iqn))
        self.assertEqual([], self.remote.names())
        self.assertTrue(self.remote.disable(self.iqn))
        self.assertFalse(self.remote.drop_target(self.iqn))
        self.remote.ensure_pool([self.iqn])
        self.assertEqual(before, self.seen())
        self.assertEqual([volume_id], before[0])

    def test_mutual_chap_is_that_of_the_journal(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, OURS)
        connecting.connect(self.service, volume_id, BOB)
        self.assertTrue(self.remote.is_mutual(
            self.iqn, model.Iqn(OURS['initiator'])))
        self.assertFalse(self.remote.is_mutual(
            self.iqn, model.Iqn(BOB['initiator'])))
        with self.assertRaises(exception.TargetError):
            self.remote.is_mutual(self.iqn, model.Iqn('iqn.2026-11.org.x:y'))

    def test_each_call_twice(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        mapped, = self.journal.mappings(volume_id)
        before = self.seen()
        for _ in range(2):
            self.remote.ensure_export(mapped.export)
            self.remote.ensure_mapping(mapped)
            self.remote.resize(mapped.export)
            self.assertEqual(before, self.seen())
        for _ in range(2):
            self.remote.drop_mapping(mapped)
            self.assertEqual([], self.seen()[1])
        self.journal.remove_mapping(volume_id, mapped.mapping.initiator)
        for _ in range(2):
            self.remote.drop_export(mapped.export)
            self.assertEqual([], self.seen()[0])

    def test_an_export_that_is_mapped_is_not_dropped(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        before = self.seen()
        with self.assertRaises(exception.TargetError):
            self.remote.drop_export(self.journal.export(volume_id))
        self.assertEqual(before, self.seen())


class LocalUseTest(serving.GatewayCase):
    """cinder-volume uses volumes on its own host."""

    def setUp(self):
        super().setUp()
        self.local = type(self.devices)()
        self.service._changes._local_devices = self.local
        self.service._changes._is_shared = False

    def volume(self):
        volume_id, device = super().volume()
        self.local.known[volume_id] = device
        return volume_id, device

    def test_its_device_is_its_own(self):
        volume_id = self.exported()
        with self.service.local_device(volume_id) as device:
            self.assertEqual(MIB, device.size_bytes)
            self.assertEqual({volume_id}, self.local.up)
        # The gateway has another one, so that this one can go.
        self.assertEqual(set(), self.local.up)
        self.assertEqual([volume_id], self.seen()[0])

    def test_several_users_share_it(self):
        volume_id = self.exported()
        with self.service.local_device(volume_id):
            with self.service.local_device(volume_id):
                pass
            self.assertEqual({volume_id}, self.local.up)
            self.service.remove_export(volume_id)
            self.assertEqual({volume_id}, self.local.up)
        self.assertEqual(set(), self.local.up)
