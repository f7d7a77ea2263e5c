# SPDX-License-Identifier: Apache-2.0
"""The use cases: one suite for this host's target and that of gateways."""

import os
from typing import TYPE_CHECKING

from mydriver import exception, model
from mydriver.connection import iscsi
from mydriver.target import pool
from tests.fakes import connecting
from tests.fakes import exports as fakes
from tests.fakes.exports import ALICE, BOB, MIB, OURS

if TYPE_CHECKING:
    _Case = fakes.ServiceCase
else:
    _Case = object


class UseCases(_Case):
    """Mix it into a :class:`.fakes.exports.ServiceCase`."""

    def test_attach_and_detach(self) -> None:
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

    def test_stock_host_gets_stock_data(self) -> None:
        data = connecting.connect(self.service, self.exported(), ALICE)
        self.assertEqual([], [k for k in data if k.startswith('mydriver')])
        self.assertEqual('CHAP', data['auth_method'])

    def test_our_host_gets_identity_and_mutual_chap(self) -> None:
        volume_id = self.exported()
        data = connecting.connect(self.service, volume_id, OURS)
        parsed = iscsi.Connection.parse(data)
        self.assertEqual(model.naa_id(volume_id), parsed.wwn)
        target = parsed.paths[0].target
        assert parsed.chap is not None
        self.assertEqual(str(target), parsed.chap.mutual_username)
        self.assertTrue(self.target.is_mutual(
            target, model.Iqn(str(OURS['initiator']))))

    def test_attach_twice_is_the_same(self) -> None:
        volume_id = self.exported()
        self.assertEqual(
            connecting.connect(self.service, volume_id, ALICE),
            connecting.connect(self.service, volume_id, ALICE))
        self.assertEqual(1, len(self.seen()[1]))

    def test_export_stays_while_another_uses_it(self) -> None:
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        connecting.connect(self.service, volume_id, BOB)
        self.assertTrue(connecting.disconnect(self.service, volume_id, ALICE))
        self.assertFalse(self.service.remove_export(volume_id))
        self.assertEqual([(BOB['initiator'], 1, volume_id)], self.seen()[1])

    def test_no_connector_means_all(self) -> None:
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        connecting.connect(self.service, volume_id, BOB)
        self.assertFalse(self.service.terminate_connection(volume_id, None))
        self.assertEqual([], self.seen()[1])

    def test_wrong_connectors_change_nothing(self) -> None:
        volume_id = self.exported()
        before = self.seen(), self.journal.mappings()
        for connector in ({}, {'initiator': ''}, {'initiator': 'iqn.x'},
                          {'initiator': 'iqn.2026-11.a.b:under_score'}):
            with self.assertRaises(exception.ConnectorError):
                connecting.connect(self.service, volume_id, connector)
            self.assertEqual(before, (self.seen(), self.journal.mappings()))

    def test_unreachable_portals_roll_back(self) -> None:
        volume_id = self.exported()
        self.reachable = ()
        with self.assertRaises(exception.TargetNotDiscovered):
            connecting.connect(self.service, volume_id, ALICE)
        self.assertEqual(([volume_id], [], []), self.seen())
        self.assertEqual([], self.journal.mappings())
        self.reachable = self.portals
        data = connecting.connect(self.service, volume_id, ALICE)
        self.assertEqual(1, data['target_lun'])

    def test_unreachable_portals_keep_a_live_mapping(self) -> None:
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        self.reachable = ()
        with self.assertRaises(exception.TargetNotDiscovered):
            connecting.connect(self.service, volume_id, ALICE)
        self.assertEqual([(ALICE['initiator'], 1, volume_id)],
                         self.seen()[1])

    def test_unreachable_portals_leave_a_mapping_read_only(self) -> None:
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE, read_only=True)
        self.reachable = ()
        with self.assertRaises(exception.TargetNotDiscovered):
            connecting.connect(self.service, volume_id, ALICE)
        self.assertEqual([True], self.protected())
        self.assertEqual([True], [
            p.mapping.read_only for p in self.journal.mappings(volume_id)])

    def test_read_only_outlives_a_reboot(self) -> None:
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE, read_only=True)
        connecting.connect(self.service, volume_id, BOB)
        self.lose_kernel()
        self.restart()
        self.assertEqual([True, False], self.protected())

    def test_protect_twice_is_once_and_for_one_initiator(self) -> None:
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        connecting.connect(self.service, volume_id, BOB)
        for _ in range(2):
            self.service.protect(volume_id, model.Iqn(ALICE['initiator']))
            self.assertEqual([True, False], self.protected())

    def protected(self) -> list[bool]:
        """Return whether the mappings are read only, by initiator."""
        return [m.read_only for i in pool.pool(self.settings)
                if (seen := self.target.observe(i)) for m in seen.mappings]

    def test_only_answering_portals_are_returned(self) -> None:
        self.reachable = self.portals[1:]
        data = connecting.connect(self.service, self.exported(), ALICE)
        self.assertEqual(self.portals[1:],
                         iscsi.Connection.parse(data).portals)

    def test_failed_export_leaves_nothing(self) -> None:
        volume_id, device = self.volume()
        os.unlink(device.path)
        with self.assertRaises(exception.TargetError):
            self.service.create_export(volume_id)
        self.assertFalse(self.service.is_exported(volume_id))

    def test_resize(self) -> None:
        volume_id, device = self.volume()
        self.service.resize(volume_id, 2 * MIB)  # not exported: nothing
        self.service.create_export(volume_id)
        os.truncate(device.path, 2 * MIB)
        self.service.resize(volume_id, 2 * MIB)
        export = self.journal.export(volume_id)
        self.assertEqual(2 * MIB, export.device.size_bytes)
        seen = self.target.observe(export.target)
        assert seen is not None
        self.assertEqual([2 * MIB], [e.size_bytes for e in seen.exports])

    def test_reboot_brings_all_back(self) -> None:
        volume_id = self.exported()
        connecting.connect(self.service, volume_id, ALICE)
        other = self.exported()
        before = self.seen()
        self.lose_kernel()
        self.restart()
        self.assertEqual(before, self.seen())
        self.assertIn(other, before[0])

    def test_one_lost_file_does_not_keep_the_others_down(self) -> None:
        lost, device = self.volume()
        self.service.create_export(lost)
        good = self.exported()
        os.unlink(device.path)
        self.lose_kernel()
        self.restart()
        self.assertEqual([good], self.seen()[0])

    def test_settle_drops_what_cinder_does_not_know(self) -> None:
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

    def test_settle_drops_exports_that_nobody_uses(self) -> None:
        mapped, unused = self.exported(), self.exported()
        connecting.connect(self.service, mapped, ALICE)
        self.restart()
        self.assertIn(unused, self.seen()[0])
        self.assertEqual(0, self.service.reconciler.settle(
            lambda _v, initiator: initiator is not None))
        self.assertEqual([mapped], self.seen()[0])
        self.assertFalse(self.service.is_exported(unused))
