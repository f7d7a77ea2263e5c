# SPDX-License-Identifier: Apache-2.0
"""The use cases, with a crash at every step."""

import contextlib
import dataclasses
import glob
import os
import sqlite3
import unittest
from unittest import mock
import uuid

from mydriver import exception, model
from mydriver.connection import iscsi
from mydriver.target import exports, pool, reconcile
from mydriver.target.journal import sqlite
from tests.contract import exports as contract
from tests.fakes import connecting
from tests.fakes import exports as fakes
from tests.fakes.exports import ALICE, BOB, OURS


class Crash(BaseException):
    """The process ends here."""


class ServiceTest(contract.UseCases, fakes.ServiceCase):
    """What each use case leaves."""

    def test_without_chap_there_is_none(self):
        self.service = exports.ExportService(
            self.settings, self.journal, self.target, None,
            self.target.name_prefix, self.devices, self.discover)
        data = connecting.connect(self.service, self.exported(), OURS)
        self.assertIsNone(iscsi.Connection.parse(data).chap)

    def test_lost_journal_is_rebuilt_from_the_kernel(self):
        volume_id = self.exported()
        data = connecting.connect(self.service, volume_id, OURS)
        before = self.seen()
        self.journal.close()
        for name in os.listdir(self.folder):
            if name.startswith('journal'):
                os.unlink(os.path.join(self.folder, name))
        self.restart()
        self.assertEqual(before, self.seen())
        self.assertEqual(data, connecting.connect(
            self.service, volume_id, OURS))

    def test_foreign_objects_are_untouched(self):
        theirs, device = self.volume()
        iqn = pool.pool(self.settings)[0]
        prefix, self.target.name_prefix = self.target.name_prefix, 'x-'
        placed = model.MappedExport(
            model.Mapping(theirs, model.Iqn(BOB['initiator']), 5),
            model.Export(theirs, device, iqn, 99))
        self.target.ensure_mapping(placed)
        self.target.name_prefix = prefix
        self.restart()
        self.service.reconciler.settle(lambda _v, _i: False)
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        connecting.disconnect(self.service, volume_id, ALICE)
        self.service.remove_export(volume_id)
        self.assertEqual(([theirs], [(BOB['initiator'], 5, theirs)],
                          [BOB['initiator']]), self.seen())
        self.assertEqual([], self.journal.exports())


class RestoreTest(fakes.ServiceCase):
    """What initiators see while the kernel's objects are made again."""

    def setUp(self):
        super().setUp()
        self.volumes = [self.exported() for _ in range(6)]
        for volume_id in self.volumes:
            for connector in (ALICE, BOB):
                connecting.connect(self.service, volume_id, connector)
        self.before = self.seen()
        self.heard = []

    def listen(self, _verb):
        self.heard += [t for t in self.target.names()
                       if self.target.listening(model.Iqn(t))]

    def served(self):
        return {t: self.target.listening(model.Iqn(t))
                for t in self.target.names()}

    def test_no_target_listens_before_all_luns_are_back(self):
        served = self.served()
        self.lose_kernel()
        self.target.on_change = self.listen
        self.restart()
        self.assertEqual([], self.heard)
        self.assertEqual(self.before, self.seen())
        self.assertEqual(served, self.served())

    def test_targets_do_not_wait_for_ever(self):
        served = self.served()
        self.lose_kernel()
        self.target.on_change = self.listen
        with (mock.patch.object(reconcile, 'CLOSED_S', -1),
              self.assertLogs(reconcile.LOG.logger, 'WARNING') as logs):
            self.restart()
        self.assertEqual(set(served), set(self.heard))
        self.assertIn('listen before all of their LUNs', logs.output[0])
        self.assertEqual(self.before, self.seen())
        self.assertEqual(served, self.served())

    def test_targets_that_serve_go_on(self):
        served = self.served()
        self.target.on_change = self.listen
        self.restart()
        self.assertEqual(set(served), set(self.heard))

    def test_a_crash_on_the_way_lets_nobody_in_early(self):
        served = self.served()
        self.lose_kernel()

        def crash(verb):
            self.listen(verb)
            if verb == 'after ensure_mapping':
                raise Crash

        self.target.on_change = crash
        self.assertRaises(Crash, self.restart)
        self.target.on_change = self.listen
        self.restart()
        self.assertEqual([], self.heard)
        self.assertEqual(self.before, self.seen())
        self.assertEqual(served, self.served())


class CrashTest(fakes.ServiceCase):
    """A crash at each step of an attach and of a detach."""

    def crash_at(self, step, action):
        """Run an action whose n-th step crashes, then a restart.

        :returns: False when the action has no such step.
        """
        left = [step]

        def on_change(_verb):
            left[0] -= 1
            if left[0] == 0:
                raise Crash

        self.target.on_change = on_change
        try:
            action()
            return False
        except Crash:
            return True
        finally:
            self.target.on_change = lambda _verb: None
            self.restart()

    def test_attach_after_a_crash_completes(self):
        for step in range(1, 20):
            volume_id, device = self.volume()

            def attach(volume_id=volume_id, device=device):
                self.service.create_export(volume_id)
                return connecting.connect(self.service, volume_id, ALICE)

            crashed = self.crash_at(step, attach)
            attach()
            self.assertIn((ALICE['initiator'], volume_id),
                          [(i, v) for i, _lun, v in self.seen()[1]])
            connecting.disconnect(self.service, volume_id, ALICE)
            self.service.remove_export(volume_id)
            self.assertEqual(([], [], []), self.seen())
            if not crashed:
                break
        self.assertGreaterEqual(step, 4)

    def test_rollback_after_a_crash_leaves_nothing(self):
        for step in range(1, 20):
            volume_id, device = self.volume()

            def attach(volume_id=volume_id, device=device):
                self.service.create_export(volume_id)
                return connecting.connect(self.service, volume_id, ALICE)

            crashed = self.crash_at(step, attach)
            self.service.reconciler.settle(lambda _v, _i: False)
            self.assertEqual(([], [], []), self.seen())
            self.assertEqual([], self.journal.exports())
            if not crashed:
                break
        self.assertGreaterEqual(step, 4)

    def test_detach_after_a_crash_completes(self):
        for step in range(1, 20):
            volume_id = self.exported()
            connecting.connect(self.service, volume_id, ALICE)

            def detach(volume_id=volume_id):
                connecting.disconnect(self.service, volume_id, ALICE)
                self.service.remove_export(volume_id)

            crashed = self.crash_at(step, detach)
            detach()
            self.assertEqual(([], [], []), self.seen())
            self.assertEqual([], self.journal.exports())
            if not crashed:
                break
        self.assertGreaterEqual(step, 4)


class DamagedJournalTest(fakes.ServiceCase):
    """A damaged journal is not trusted, and no mapping is lost."""

    def damage(self):
        """Damage the journal; return what is left of it."""
        self.journal.close()
        path = os.path.join(self.folder, 'journal.sqlite')
        size = os.path.getsize(path)
        with open(path, 'r+b') as f:
            f.seek(size // 3)
            f.write(b'?' * (size // 3))
        with open(path, 'rb') as f:
            return f.read()

    def test_is_set_aside_and_the_kernel_taken_over(self):
        mapped, exported = self.exported(), self.exported()
        connecting.connect(self.service, mapped, OURS)
        connecting.connect(self.service, mapped, BOB)
        before, left = self.seen(), self.damage()
        self.journal = sqlite.open_in(self.folder, 'new', replace_damaged=True)
        self.restart()
        self.assertEqual(before, self.seen())
        self.assertEqual({mapped, exported}, {
            e.volume_id for e in self.journal.exports()})
        self.assertEqual({OURS['initiator']: True, BOB['initiator']: False}, {
            str(p.mapping.initiator): p.kind.mutual
            for p in self.journal.mappings()})
        aside, = glob.glob(os.path.join(self.folder, '*.damaged-*Z'))
        with open(aside, 'rb') as f:
            self.assertEqual(left, f.read())
        # Cinder says what is to go, as always.
        self.assertEqual(0, self.service.reconciler.settle(
            lambda _v, _i: True))
        self.assertEqual(before[1], self.seen()[1])

    def test_released_luns_are_not_handed_out_again(self):
        volume_id = self.exported()
        for _ in range(3):
            connecting.connect(self.service, volume_id, ALICE)
            connecting.disconnect(self.service, volume_id, ALICE)
        connecting.connect(self.service, volume_id, ALICE)
        self.journal.close()
        with contextlib.closing(sqlite3.connect(self.journal.path)) as db:
            db.execute("UPDATE export SET path = '/another'")
            db.commit()
        self.journal = sqlite.open_in(self.folder, 'new', replace_damaged=True)
        self.restart()
        self.assertEqual([4], [lun for _i, lun, _v in self.seen()[1]])
        connecting.disconnect(self.service, volume_id, ALICE)
        connecting.connect(self.service, volume_id, ALICE)
        self.assertEqual([5], [lun for _i, lun, _v in self.seen()[1]])
        for _ in range(4):  # the numbers of both journals
            connecting.disconnect(self.service, volume_id, ALICE)

    def test_is_left_for_those_who_can_ask_cinder(self):
        connecting.connect(self.service, self.exported(), ALICE)
        before, left = self.seen(), self.damage()
        with self.assertRaises(exception.JournalDamaged) as caught:
            sqlite.open_in(self.folder, 'new', replace_damaged=False)
        self.assertIn('Start cinder-volume', str(caught.exception))
        with open(os.path.join(self.folder, 'journal.sqlite'), 'rb') as f:
            self.assertEqual(left, f.read())
        self.assertEqual(before, self.seen())


class PoolTest(unittest.TestCase):
    """Names of targets."""

    def settings(self, **changes):
        return pool.Settings(**{
            'backend': 'Fast_1', 'target_prefix': 'iqn.2010-10.org.os:',
            'portals': (model.Portal('127.0.0.1'),), 'chap': True,
            'state_path': '/nowhere', 'targets': 2, **changes})

    def test_names(self):
        self.assertEqual(
            ['iqn.2010-10.org.os:mydriver-store-1-fast-0',
             'iqn.2010-10.org.os:mydriver-store-1-fast-1'],
            [str(i) for i in pool.pool(self.settings(backend='fast'),
                                          'store-1')])

    def test_two_backends_never_have_the_same(self):
        hosts = ('a', 'a-b', 'a_b', 'A-b', 'a.b', 'b', '-', '\u30db',
                 '\u30b9', 'x' * 63)
        backends = ('c', 'b-c', 'b_c', 'B-C', 'b--c', '-b-c', 'c-', '_',
                    '\u30db', '\u30b9', 'C', 'x' * 200, 'x' * 201)
        names = [str(iqn) for host in hosts for backend in backends
                 for iqn in pool.pool(self.settings(backend=backend),
                                         host)]
        self.assertEqual(2 * len(hosts) * len(backends), len(set(names)))

    def test_names_in_use_stay(self):
        wanted = [model.Iqn('iqn.2010-10.org.os:mydriver-store-1-example-'
                            f'fast-1-{n}') for n in range(2)]
        for in_use in (wanted, wanted[:1]):
            self.assertEqual(wanted, pool.pool(
                self.settings(), 'Store_1.example', in_use))
        self.assertNotEqual(wanted, pool.pool(
            self.settings(), 'Store_1.example'))

    def test_names_that_another_backend_has_are_left_to_it(self):
        plain = pool.pool(self.settings(backend='fast'), 'store')
        self.assertTrue(set(plain).isdisjoint(pool.pool(
            self.settings(backend='fast'), 'store', taken=plain)))

    def of_gateways(self, fsid, pool_id, backend='fast'):
        portals = ((model.Portal('192.0.2.51'),), (model.Portal('192.0.2.52'),
                                                   ))
        return pool.pool(pool.of_cluster(self.settings(
            backend=backend, gateways=pool.Gateways(portals)), fsid, pool_id),
            'this-host-has-no-part-in-it')

    def test_names_of_gateways_are_those_of_their_cluster(self):
        one, two = ('3e5a6d2c-0000-4111-8222-333344445555',
                    '3E5A6D2C-0000-4111-8222-333344445556')
        names = [str(i) for fsid in (one, two) for number in (1, 2)
                 for backend in ('fast', 'Fast', 'f-ast')
                 for i in self.of_gateways(fsid, number, backend)]
        self.assertEqual(24, len(set(names)))
        for name in names:
            self.assertRegex(name, 'mydriver-ceph-3e5a6d2c-f-?ast-[0-9a-f]{8}'
                             '-[01]$')
            self.assertTrue(model.is_our_target(name))
        hosts = [str(i) for host in ('ceph-3e5a6d2c', 'ceph') for backend in (
            'fast', names[0].rpartition('fast-')[2][:-2],
            f'3e5a6d2c-fast-{names[0][-10:-2]}') for i in pool.pool(
            self.settings(backend=backend), host)]
        self.assertTrue(set(names).isdisjoint(hosts))

    def test_a_cluster_that_is_not_known_yet(self):
        with self.assertRaisesRegex(ValueError, 'not known yet'):
            pool.pool(self.settings(gateways=pool.Gateways(())))

    def test_missing_portals_are_those_of_their_targets(self):
        settings = self.settings(portals=tuple(
            model.Portal(f'192.0.2.5{n}') for n in range(3)))
        gateways = pool.Gateways((settings.portals[:2], settings.portals[2:]))
        settings = pool.of_cluster(dataclasses.replace(
            settings, gateways=gateways), str(uuid.uuid4()), 1)
        first, second = pool.pool(settings)
        serves = {first: {'192.0.2.50:3260', '192.0.2.51:3260'},
                  second: {'192.0.2.52:3260'}}
        self.assertEqual((), pool.missing_portals(
            settings, serves, serves.__getitem__))
        serves[first].remove('192.0.2.50:3260')
        self.assertEqual(('192.0.2.50:3260',), pool.missing_portals(
            settings, serves, serves.__getitem__))
        serves[second] = {'192.0.2.51:3260'}
        with self.assertRaisesRegex(
                exception.TargetDown,
                f'{second} at 192.0.2.52:3260. Check'):
            pool.missing_portals(settings, serves, serves.__getitem__)

    def test_wrong_prefix_is_named(self):
        with self.assertRaises(exception.ConfigurationError) as caught:
            pool.pool(self.settings(target_prefix='iqn.2026-11.lab:'))
        self.assertTrue(str(caught.exception).startswith('target_prefix: '))
