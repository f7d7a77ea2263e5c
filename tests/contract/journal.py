# SPDX-License-Identifier: Apache-2.0
"""The contract of journals: one suite for all implementations."""

from collections.abc import Callable
import dataclasses
import itertools
import threading
from typing import TYPE_CHECKING, Any
import unittest
import uuid

from mydriver import exception, model
from mydriver.target.journal import base, luns

TARGET = model.Iqn('iqn.2010-10.org.openstack:mydriver-h-b-0')
OTHER = model.Iqn('iqn.2010-10.org.openstack:mydriver-h-b-1')
ALICE = model.Iqn('iqn.1993-08.org.debian:01:alice')
BOB = model.Iqn('iqn.1993-08.org.debian:01:bob')
PORTAL = '192.0.2.1:3260'

if TYPE_CHECKING:
    _Case = unittest.TestCase
else:
    _Case = object


class JournalCase(_Case):
    """Mix it into a TestCase that sets ``journal``, an empty one.

    :ivar now: seconds since the epoch, by the journal's clock; at first 1000.
    """

    journal: base.Journal
    now: float
    #: Takes the id of a run; returns another journal of the same content.
    reopen: Callable[[str], base.Journal]

    def export(self, target: model.Iqn = TARGET, **changes: Any
               ) -> model.Export:
        """Add an export of a new volume."""
        device = model.BackingDevice('fileio', f'/x/{uuid.uuid4()}', 1 << 20)
        return self.journal.add_export(
            str(uuid.uuid4()), dataclasses.replace(device, **changes), target)

    def map(self, export: model.Export, initiator: model.Iqn = ALICE, *,
            read_only: bool = False, mutual: bool = False,
            kind: model.NodeKind | None = None) -> model.MappedExport:
        """Add a mapping."""
        return self.journal.add_mapping(
            export.volume_id, initiator, read_only=read_only, mutual=mutual,
            kind=kind)


class JournalContract(JournalCase):
    """What every journal does."""

    def setUp(self) -> None:
        super().setUp()
        self.journal.add_targets([TARGET, OTHER])

    # -- targets

    def test_targets_of_earlier_runs_stay(self) -> None:
        another = model.Iqn(f'{TARGET}2')
        self.assertEqual([TARGET, another, OTHER],
                         self.journal.add_targets([another]))
        self.journal = self.reopen('run-2')
        self.assertEqual([TARGET, another, OTHER],
                         self.journal.add_targets([TARGET]))
        self.assertEqual([TARGET, another, OTHER], self.journal.targets())

    def test_target_in_use_is_not_removed(self) -> None:
        export = self.export()
        self.assertFalse(self.journal.remove_target(TARGET))
        self.map(export)
        self.assertFalse(self.journal.remove_target(TARGET))
        self.assertTrue(self.journal.remove_target(OTHER))
        self.assertFalse(self.journal.remove_target(OTHER))
        self.assertEqual([TARGET], self.journal.targets())
        self.assertEqual([TARGET, OTHER], self.journal.add_targets([OTHER]))
        self.assertEqual(0, self.export(OTHER).lun)

    # -- exports

    def test_export_twice_keeps_its_lun(self) -> None:
        first, second = self.export(), self.export()
        self.assertEqual([0, 1], [first.lun, second.lun])
        self.assertEqual(second, self.journal.add_export(
            second.volume_id, second.device, TARGET))
        self.assertEqual([first, second], self.journal.exports())

    def test_export_stays_on_its_target(self) -> None:
        first = self.export()
        self.assertEqual(first, self.journal.add_export(
            first.volume_id, first.device, OTHER))
        self.journal = self.reopen('run-2')
        self.assertEqual(first, self.journal.add_export(
            first.volume_id, first.device, OTHER))
        self.assertEqual(first, self.journal.export(first.volume_id))
        self.assertEqual([first], self.journal.exports())

    def test_exports_in_order_of_target_and_lun(self) -> None:
        made = [self.export(t) for t in (OTHER, TARGET, OTHER, TARGET)]
        self.assertEqual([made[n] for n in (1, 3, 0, 2)],
                         self.journal.exports())

    def test_export_takes_over_the_device(self) -> None:
        export = self.export()
        device = dataclasses.replace(export.device, size_bytes=2 << 20)
        self.journal.add_export(export.volume_id, device, TARGET)
        self.assertEqual(device, self.journal.export(
            export.volume_id).device)

    def test_tpg_lun_of_a_removed_export_is_free(self) -> None:
        made = [self.export() for _ in range(4)]
        self.journal.remove_export(made[1].volume_id)
        self.assertEqual(1, self.export().lun)
        self.assertEqual(4, self.export().lun)

    def test_tpg_luns_are_given_out_from_the_lowest(self) -> None:
        made = [self.export() for _ in range(5)]
        for lun in (4, 2, 0, 3):
            self.journal.remove_export(made[lun].volume_id)
        self.assertEqual([0, 2, 3, 4, 5],
                         [self.export().lun for _ in range(5)])

    def test_unknown_export(self) -> None:
        unknown = str(uuid.uuid4())
        with self.assertRaises(exception.ExportNotFound):
            self.journal.export(unknown)
        with self.assertRaises(exception.ExportNotFound):
            self.journal.add_mapping(unknown, ALICE, read_only=False,
                                     mutual=False)
        self.assertEqual([], self.journal.mappings(unknown))
        self.journal.remove_export(unknown)
        self.journal.remove_mapping(unknown, ALICE)
        self.journal.doom(unknown, ALICE)
        self.assertEqual([], self.journal.exports())

    def test_mapped_export_stays(self) -> None:
        export = self.export()
        self.map(export)
        with self.assertRaises(exception.TargetInUse) as caught:
            self.journal.remove_export(export.volume_id)
        self.assertIn(str(ALICE), str(caught.exception))
        self.assertEqual([export], self.journal.exports())

    # -- LUNs of initiators

    def test_luns_are_per_initiator_and_target_and_rise(self) -> None:
        made = [self.export() for _ in range(3)]
        self.assertEqual([1, 2, 3], [self.map(e).mapping.lun for e in made])
        self.assertEqual([1, 2, 3], [self.map(e, BOB).mapping.lun
                                     for e in made])
        self.assertEqual(1, self.map(self.export(OTHER)).mapping.lun)

    def test_released_lun_is_not_used_again(self) -> None:
        export = self.export()
        for expected in (1, 2, 3):
            self.assertEqual(expected, self.map(export).mapping.lun)
            self.journal.remove_mapping(export.volume_id, ALICE)
        self.assertEqual(1, self.map(export, BOB).mapping.lun)

    def test_quarantine_survives_a_restart(self) -> None:
        export = self.export()
        self.map(export)
        self.journal.remove_mapping(export.volume_id, ALICE)
        self.journal.remove_export(export.volume_id)
        self.journal = self.reopen('run-2')
        self.assertEqual(2, self.map(self.export()).mapping.lun)

    def test_quarantine_survives_the_target(self) -> None:
        export = self.export()
        self.map(export)
        self.journal.remove_mapping(export.volume_id, ALICE)
        self.journal.remove_export(export.volume_id)
        self.assertTrue(self.journal.remove_target(TARGET))
        self.journal.add_targets([TARGET])
        self.assertEqual(2, self.map(self.export()).mapping.lun)

    def test_rolled_back_lun_is_used_again(self) -> None:
        first, second = self.export(), self.export()
        self.map(first)
        for _ in range(2):
            self.assertEqual(2, self.map(second).mapping.lun)
            self.journal.remove_mapping(second.volume_id, ALICE,
                                        quarantine=False)
        self.assertEqual([first.volume_id], [
            m.mapping.volume_id for m in self.journal.mappings()])

    def use_up(self, export: model.Export, but: int = 0) -> None:
        """Adopt the last LUN of ALICE, and release it."""
        last = luns.LAST_LUN - but
        self.assertTrue(self.journal.adopt_mapping(
            export, model.Mapping(export.volume_id, ALICE, last), False))
        self.journal.remove_mapping(export.volume_id, ALICE)

    def test_oldest_lun_comes_back_after_the_quarantine(self) -> None:
        first, second = self.export(), self.export()
        self.now = 800
        self.assertTrue(self.journal.adopt_mapping(
            first, model.Mapping(first.volume_id, ALICE, 7), False))
        self.journal.remove_mapping(first.volume_id, ALICE)
        self.now = 900
        self.use_up(first)
        with self.assertRaises(exception.LunsExhausted):
            self.map(first)
        self.assertEqual([], self.journal.mappings())
        self.assertEqual([], self.journal.nodes())
        self.now = 800 + luns.QUARANTINE_S
        self.assertEqual(7, self.map(first).mapping.lun)
        with self.assertRaises(exception.LunsExhausted):
            self.map(second)
        self.now = 900 + luns.QUARANTINE_S
        self.assertEqual(luns.LAST_LUN, self.map(second).mapping.lun)
        self.assertEqual(1, self.map(second, BOB).mapping.lun)

    def test_last_lun_is_given_out(self) -> None:
        self.use_up(self.export(), but=1)
        self.assertEqual(luns.LAST_LUN, self.map(self.export()).mapping.lun)
        with self.assertRaises(exception.LunsExhausted):
            self.map(self.export())

    # -- mappings

    def test_mapping_twice_is_one(self) -> None:
        export = self.export()
        first = self.map(export)
        second = self.map(export, read_only=True)
        self.assertTrue(first.created)
        self.assertFalse(second.created)
        self.assertEqual(first.mapping.lun, second.mapping.lun)
        placed, = self.journal.mappings(export.volume_id)
        self.assertTrue(placed.mapping.read_only)
        self.assertEqual(dataclasses.replace(second, created=False), placed)

    def test_mappings_of_one_volume_and_of_all(self) -> None:
        made = sorted((self.export(t) for t in (TARGET, OTHER, TARGET)),
                      key=lambda e: e.volume_id)
        for export in made:
            for initiator in (BOB, ALICE):
                self.map(export, initiator)
        pairs = [(e.volume_id, i) for e in made for i in (ALICE, BOB)]
        self.assertCountEqual(pairs, [
            (m.mapping.volume_id, m.mapping.initiator)
            for m in self.journal.mappings()])
        for export in made:
            found = self.journal.mappings(export.volume_id)
            self.assertEqual([ALICE, BOB],
                             [m.mapping.initiator for m in found])
            self.assertEqual({export}, {m.export for m in found})

    def test_a_mapping_that_is_writable_may_be_kept_so(self) -> None:
        export = self.export()
        for read_only, keep_writable, expected in (
                (True, True, True), (True, True, True), (False, True, False),
                (True, True, False), (True, False, True)):
            self.journal.add_mapping(
                export.volume_id, ALICE, read_only=read_only, mutual=False,
                keep_writable=keep_writable)
            placed, = self.journal.mappings(export.volume_id)
            self.assertIs(expected, placed.mapping.read_only)

    def test_doomed_mapping_stays_until_it_is_removed(self) -> None:
        export = self.export()
        self.map(export)
        for _ in range(2):
            self.journal.doom(export.volume_id, ALICE)
            placed, = self.journal.mappings()
            self.assertTrue(placed.doomed)
        self.journal.remove_mapping(export.volume_id, ALICE,
                                    quarantine=False)
        self.assertEqual([], self.journal.mappings())
        self.assertEqual(1, self.map(export).mapping.lun)

    def test_doomed_mapping_is_revived_as_a_new_one(self) -> None:
        export = self.export()
        self.map(export)
        self.journal.doom(export.volume_id, ALICE)
        revived = self.journal.add_mapping(
            export.volume_id, ALICE, read_only=True, mutual=False,
            keep_writable=True)
        self.assertTrue(revived.created)
        self.assertTrue(revived.mapping.read_only)
        self.assertEqual(1, revived.mapping.lun)
        placed, = self.journal.mappings()
        self.assertFalse(placed.doomed)

    def test_each_attach_is_another_version(self) -> None:
        export = self.export()
        versions = [self.map(export).version]
        self.assertEqual(versions, [m.version for m in
                                    self.journal.mappings()])
        for _ in range(2):  # it is only confirmed, then revived
            versions.append(self.map(export).version)
            self.journal.doom(export.volume_id, ALICE)
        self.journal.remove_mapping(export.volume_id, ALICE)
        versions.append(self.map(export).version)
        self.assertEqual(4, len(set(versions)))
        self.assertNotIn('', versions)
        told = self.journal.mappings(export.volume_id)[0]
        self.assertEqual(versions[-1], told.version)

    def test_an_adopted_mapping_has_a_version_of_its_own(self) -> None:
        export = self.export()
        told = self.map(export)
        self.journal.remove_mapping(export.volume_id, ALICE)
        self.assertTrue(self.journal.adopt_mapping(
            export, told.mapping, False))
        with self.assertRaises(exception.Overtaken):
            self.journal.remove_mapping(export.volume_id, ALICE,
                                        version=told.version)
        with self.assertRaises(exception.Overtaken):
            self.journal.remove_mapping(export.volume_id, ALICE, version='')

    def test_only_the_version_that_was_read_is_changed(self) -> None:
        export = self.export()
        read, other = self.map(export), self.map(export, BOB)
        now = self.map(export)
        before = self.journal.mappings()
        volume_id = export.volume_id
        for change in (
                lambda: self.journal.doom(volume_id, ALICE,
                                          version=read.version),
                lambda: self.journal.remove_mapping(
                    volume_id, ALICE, version=read.version),
                lambda: self.journal.remove_mapping(
                    volume_id, ALICE, version=other.version),
                lambda: self.journal.add_mapping(
                    volume_id, ALICE, read_only=True, mutual=False,
                    version=read.version)):
            with self.assertRaises(exception.Overtaken) as caught:
                change()
            for word in (volume_id, str(ALICE), 'attached there again'):
                self.assertIn(word, str(caught.exception))
            self.assertEqual(before, self.journal.mappings())
            self.assertEqual([now.version, other.version], [
                m.version for m in self.journal.mappings()])
        now = self.journal.add_mapping(
            volume_id, ALICE, read_only=True, mutual=False,
            version=now.version)
        self.assertTrue(now.mapping.read_only)
        self.journal.doom(volume_id, ALICE, version=now.version)
        self.journal.remove_mapping(volume_id, ALICE, version=now.version)
        self.assertEqual([BOB], [m.mapping.initiator
                                 for m in self.journal.mappings()])

    def test_what_is_gone_has_no_version(self) -> None:
        export = self.export()
        read = self.map(export)
        self.journal.remove_mapping(export.volume_id, ALICE)
        self.journal.doom(export.volume_id, ALICE, version=read.version)
        self.journal.remove_mapping(export.volume_id, ALICE,
                                    version=read.version)
        with self.assertRaises(exception.Overtaken):
            self.journal.add_mapping(
                export.volume_id, ALICE, read_only=True, mutual=False,
                version=read.version)
        self.assertEqual([], self.journal.mappings())

    def test_mappings_of_earlier_runs(self) -> None:
        first, second = self.export(), self.export()
        self.map(first)
        self.map(second)
        self.assertEqual([], self.journal.earlier_mappings())
        self.journal = self.reopen('run-2')
        self.assertEqual(2, len(self.journal.earlier_mappings()))
        self.map(first)
        self.assertEqual([second.volume_id], [
            p.mapping.volume_id for p in self.journal.earlier_mappings()])

    # -- adoption

    def test_adopted_mapping_is_of_an_earlier_run(self) -> None:
        export = model.Export(
            str(uuid.uuid4()),
            model.BackingDevice('fileio', '/x/y', 1 << 20), TARGET, 5)
        mapping = model.Mapping(export.volume_id, ALICE, 9)
        self.assertTrue(self.journal.adopt_export(export))
        self.assertTrue(self.journal.adopt_mapping(export, mapping, True))
        placed, = self.journal.earlier_mappings()
        self.assertEqual((mapping, export, True),
                         (placed.mapping, placed.export, placed.kind.mutual))
        self.assertEqual(10, self.map(self.export()).mapping.lun)
        self.assertEqual(3, len({self.export().lun, self.export().lun, 5}))

    def test_adopted_lun_leaves_the_quarantine(self) -> None:
        export = self.export()
        self.map(export)
        self.journal.remove_mapping(export.volume_id, ALICE)
        self.map(self.export())
        self.assertTrue(self.journal.adopt_mapping(
            export, model.Mapping(export.volume_id, ALICE, 1), False))
        self.assertEqual({1, 2}, {m.mapping.lun
                                  for m in self.journal.mappings()})

    def test_adoption_never_overrides(self) -> None:
        export, mapped = self.export(), self.export()
        self.map(mapped)
        other = dataclasses.replace(export, lun=77)
        self.assertFalse(self.journal.adopt_export(other))
        self.assertFalse(self.journal.adopt_export(
            dataclasses.replace(export, target=OTHER)))
        self.assertFalse(self.journal.adopt_export(dataclasses.replace(
            export, volume_id=str(uuid.uuid4()))))
        self.assertFalse(self.journal.adopt_export(dataclasses.replace(
            export, volume_id='unlike a UUID', lun=78)))
        for refused in (
                (other, model.Mapping(export.volume_id, ALICE, 9)),
                (export, model.Mapping(export.volume_id, ALICE, 1)),
                (mapped, model.Mapping(mapped.volume_id, ALICE, 9))):
            self.assertFalse(self.journal.adopt_mapping(*refused, False))
        self.assertFalse(self.journal.adopt_mapping(
            other, model.Mapping(export.volume_id, BOB, 9), False))
        self.assertEqual([export, mapped], self.journal.exports())
        self.assertEqual(1, len(self.journal.mappings()))
        self.assertEqual([ALICE],
                         [n.initiator for n in self.journal.nodes()])

    # -- NodeACLs

    def test_kind_of_chap_stays_with_the_acl(self) -> None:
        first, second = self.export(), self.export()
        self.assertTrue(self.map(first, mutual=True).kind.mutual)
        self.assertTrue(self.map(second, mutual=False).kind.mutual)
        self.journal.remove_mapping(first.volume_id, ALICE)
        self.journal.remove_mapping(second.volume_id, ALICE)
        self.assertEqual([], self.journal.nodes())
        self.assertFalse(self.map(first, mutual=False).kind.mutual)

    def test_only_portals_are_added_to_a_kind(self) -> None:
        kind = model.NodeKind(True, False, 'a' * 16, frozenset([PORTAL]))
        self.map(self.export(), kind=kind)
        found = self.map(self.export(), kind=model.NodeKind(
            False, False, 'b' * 16, frozenset(['[2001:db8::1]:3261']))).kind
        self.assertEqual(dataclasses.replace(kind, portals=frozenset(
            [PORTAL, '[2001:db8::1]:3261'])), found)
        self.assertEqual([model.Node(ALICE, TARGET, found)],
                         self.journal.nodes())

    def test_kind_is_set(self) -> None:
        self.map(self.export())
        self.map(self.export(OTHER), BOB)
        self.map(self.export(), BOB)
        for kind in (model.NodeKind(False, False, '', frozenset([PORTAL])),
                     model.NodeKind(True, True, 'c' * 16, frozenset())):
            self.journal.set_kind(model.Node(ALICE, TARGET, kind))
            # One that does not exist, or not at that target.
            self.journal.set_kind(model.Node(ALICE, OTHER, kind))
            self.assertEqual(
                [model.Node(ALICE, TARGET, kind),
                 model.Node(BOB, TARGET, model.NodeKind()),
                 model.Node(BOB, OTHER, model.NodeKind())],
                self.journal.nodes())

    # -- threads

    def test_of_many_threads_no_two_get_the_same_lun(self) -> None:
        made = [self.export() for _ in range(8)]
        found: list[int] = []
        used = itertools.count()

        def work(export: model.Export) -> None:
            for n in range(3):
                self.map(self.export(), model.Iqn(
                    f'iqn.1993-08.org.debian:01:h{next(used)}'))
                found.append(self.map(export).mapping.lun)
                if n < 2:
                    self.journal.remove_mapping(export.volume_id, ALICE)

        threads = [threading.Thread(target=work, args=(e,)) for e in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(list(range(1, 25)), sorted(found))
        self.assertEqual(list(range(32)),
                         sorted(e.lun for e in self.journal.exports()))
