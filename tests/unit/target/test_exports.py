# SPDX-License-Identifier: Apache-2.0
"""The use cases, with a crash at every step."""

import contextlib
import glob
import os
import sqlite3
import unittest

from mydriver import exception, model
from mydriver.connection import iscsi
from mydriver.target import exports, pool
from mydriver.target.journal import sqlite
from tests.fakes import connecting
from tests.fakes import exports as fakes
from tests.fakes.exports import ALICE, BOB, MIB, OURS


class Crash(BaseException):
    """The process ends here."""


class ServiceTest(fakes.ServiceCase):
    """What each use case leaves."""

    def test_attach_and_detach(self):
        volume_id = self.exported()
        data = connecting.connect(self.service, volume_id, ALICE)
        self.assertEqual(([volume_id],
                          [(ALICE['initiator'], 1, volume_id)],
                          [ALICE['initiator']]), self.seen())
        parsed = iscsi.Connection.parse(data)
        self.assertEqual(
            (volume_id, self.portals, 1),
            (parsed.volume_id, parsed.portals, parsed.paths[0].lun))
        self.assertFalse(connecting.disconnect(self.service, volume_id, ALICE))
        self.assertTrue(self.service.remove_export(volume_id))
        self.assertEqual(([], [], []), self.seen())
        self.assertEqual([], self.journal.exports())

    def test_stock_host_gets_stock_data(self):
        data = connecting.connect(self.service, self.exported(), ALICE)
        self.assertEqual([], [k for k in data if k.startswith('mydriver')])
        self.assertEqual('CHAP', data['auth_method'])

    def test_our_host_gets_identity_and_mutual_chap(self):
        volume_id = self.exported()
        data = connecting.connect(self.service, volume_id, OURS)
        parsed = iscsi.Connection.parse(data)
        self.assertEqual(model.naa_id(volume_id), parsed.wwn)
        target = parsed.paths[0].target
        self.assertEqual(str(target), parsed.chap.mutual_username)
        self.assertTrue(self.target.is_mutual(
            target, model.Iqn(OURS['initiator'])))

    def test_without_chap_there_is_none(self):
        self.service = exports.ExportService(
            self.settings, self.journal, self.target, None,
            self.target.name_prefix, self.devices, self.discover)
        data = connecting.connect(self.service, self.exported(), OURS)
        self.assertIsNone(iscsi.Connection.parse(data).chap)

    def test_attach_twice_is_the_same(self):
        volume_id = self.exported()
        self.assertEqual(
            connecting.connect(self.service, volume_id, ALICE),
            connecting.connect(self.service, volume_id, ALICE))
        self.assertEqual(1, len(self.seen()[1]))

    def test_export_stays_while_another_uses_it(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        connecting.connect(self.service, volume_id, BOB)
        self.assertTrue(connecting.disconnect(self.service, volume_id, ALICE))
        self.assertFalse(self.service.remove_export(volume_id))
        self.assertEqual([(BOB['initiator'], 1, volume_id)], self.seen()[1])

    def test_no_connector_means_all(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        connecting.connect(self.service, volume_id, BOB)
        self.assertFalse(self.service.terminate_connection(volume_id, None))
        self.assertEqual([], self.seen()[1])

    def test_wrong_connectors_change_nothing(self):
        volume_id = self.exported()
        before = self.seen(), self.journal.mappings()
        for connector in ({}, {'initiator': ''}, {'initiator': 'iqn.x'},
                          {'initiator': 'iqn.2026-11.a.b:under_score'}):
            with self.assertRaises(exception.ConnectorError):
                connecting.connect(self.service, volume_id, connector)
            self.assertEqual(before, (self.seen(), self.journal.mappings()))

    def test_unreachable_portals_roll_back(self):
        volume_id = self.exported()
        self.reachable = ()
        with self.assertRaises(exception.TargetNotDiscovered):
            connecting.connect(self.service, volume_id, ALICE)
        self.assertEqual(([volume_id], [], []), self.seen())
        self.assertEqual([], self.journal.mappings())
        self.reachable = self.portals
        data = connecting.connect(self.service, volume_id, ALICE)
        self.assertEqual(1, data['target_lun'])

    def test_unreachable_portals_keep_a_live_mapping(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        self.reachable = ()
        with self.assertRaises(exception.TargetNotDiscovered):
            connecting.connect(self.service, volume_id, ALICE)
        self.assertEqual([(ALICE['initiator'], 1, volume_id)],
                         self.seen()[1])

    def test_unreachable_portals_leave_a_mapping_read_only(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE, read_only=True)
        self.reachable = ()
        with self.assertRaises(exception.TargetNotDiscovered):
            connecting.connect(self.service, volume_id, ALICE)
        self.assertEqual([True], self.protected())
        self.assertEqual([True], [
            p.mapping.read_only for p in self.journal.mappings(volume_id)])

    def test_read_only_outlives_a_reboot(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE, read_only=True)
        connecting.connect(self.service, volume_id, BOB)
        self.target.targets.clear()
        self.restart()
        self.assertEqual([True, False], self.protected())

    def test_protect_twice_is_once_and_for_one_initiator(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        connecting.connect(self.service, volume_id, BOB)
        for _ in range(2):
            self.service.protect(volume_id, model.Iqn(ALICE['initiator']))
            self.assertEqual([True, False], self.protected())

    def protected(self):
        """Return whether the mappings are read only, by initiator."""
        return [m.read_only for i in pool.pool(self.settings)
                for m in self.target.observe(i).mappings]

    def test_only_answering_portals_are_returned(self):
        self.reachable = self.portals[1:]
        data = connecting.connect(self.service, self.exported(), ALICE)
        self.assertEqual(self.portals[1:],
                         iscsi.Connection.parse(data).portals)

    def test_failed_export_leaves_nothing(self):
        volume_id, device = self.volume()
        os.unlink(device.path)
        with self.assertRaises(exception.TargetError):
            self.service.create_export(volume_id)
        self.assertFalse(self.service.is_exported(volume_id))

    def test_resize(self):
        volume_id, device = self.volume()
        self.service.resize(volume_id, 2 * MIB)  # not exported: nothing
        self.service.create_export(volume_id)
        os.truncate(device.path, 2 * MIB)
        self.service.resize(volume_id, 2 * MIB)
        export = self.journal.export(volume_id)
        self.assertEqual(2 * MIB, export.device.size_bytes)
        seen = self.target.observe(export.target)
        self.assertEqual([2 * MIB], [e.size_bytes for e in seen.exports])

    def test_reboot_brings_all_back(self):
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        other = self.exported()
        before = self.seen()
        self.target.targets.clear()
        self.restart()
        self.assertEqual(before, self.seen())
        self.assertIn(other, before[0])

    def test_one_lost_file_does_not_keep_the_others_down(self):
        lost, device = self.volume()
        self.service.create_export(lost)
        good = self.exported()
        os.unlink(device.path)
        self.target.targets.clear()
        self.restart()
        self.assertEqual([good], self.seen()[0])

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

    def test_settle_drops_what_cinder_does_not_know(self):
        known, stale = self.exported(), self.exported()
        connecting.connect(self.service, known, ALICE)
        connecting.connect(self.service, stale, BOB)
        self.restart()
        current = self.exported()
        connecting.connect(self.service, current, BOB)
        self.assertEqual(1, self.service.reconciler.settle(
            lambda volume_id, initiator: (volume_id, str(initiator)) == (
                known, ALICE['initiator'])))
        self.assertEqual(sorted([known, current]), self.seen()[0])
        self.assertEqual(
            {(ALICE['initiator'], known), (BOB['initiator'], current)},
            {(initiator, v) for initiator, _lun, v in self.seen()[1]})

    def test_settle_drops_exports_that_nobody_uses(self):
        mapped, unused = self.exported(), self.exported()
        connecting.connect(self.service, mapped, ALICE)
        self.restart()
        self.assertIn(unused, self.seen()[0])
        self.assertEqual(0, self.service.reconciler.settle(
            lambda _v, initiator: initiator is not None))
        self.assertEqual([mapped], self.seen()[0])
        self.assertFalse(self.service.is_exported(unused))

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

    def test_wrong_prefix_is_named(self):
        with self.assertRaises(exception.ConfigurationError) as caught:
            pool.pool(self.settings(target_prefix='iqn.2026-11.lab:'))
        self.assertTrue(str(caught.exception).startswith('target_prefix: '))
