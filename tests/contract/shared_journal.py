# SPDX-License-Identifier: Apache-2.0
"""The contract of journals that gateways and several services share."""

from collections.abc import Callable, Mapping
import threading
from typing import Any
import uuid

from mydriver import exception, model
from mydriver.target.journal import luns, shared
from mydriver.target.journal.rados import mappings
from tests.contract import journal
from tests.contract.journal import ALICE, BOB, OTHER, TARGET

KIND = model.NodeKind(True, False, 'a' * 16, frozenset(['192.0.2.1:3260']))


class SharedJournalContract(journal.JournalCase):
    """Mix it into a TestCase that sets ``journal``, an empty one."""

    journal: shared.SharedJournal
    #: Takes the id of a run, and the service ("host-1" unless it is given).
    reopen: Callable[..., shared.SharedJournal]
    #: Damages a record of a target.
    spoil: Callable[[model.Iqn], None]
    #: Removes the object of a target.
    lose: Callable[[model.Iqn], None]

    def setUp(self) -> None:
        super().setUp()
        self.journal.add_targets([TARGET, OTHER])

    def apply(self, faults: Mapping[str, str] | None = None) -> None:
        """Acknowledge all changes, as the owner ``gw1``."""
        self.journal.begin(TARGET, 'gw1', 1)
        self.journal.acknowledge(TARGET, 'gw1', 1, self.journal.generation(
            TARGET), faults or {})

    # -- generations

    def test_each_change_is_one_generation_of_its_target(self) -> None:
        other = self.journal.generation(OTHER)
        export = self.export()
        before = self.journal.generation(TARGET)
        self.map(export, kind=KIND)
        self.journal.doom(export.volume_id, ALICE)
        self.journal.remove_mapping(export.volume_id, ALICE)
        self.journal.remove_export(export.volume_id)
        self.assertEqual(before + 4, self.journal.generation(TARGET))
        self.assertEqual(other, self.journal.generation(OTHER))

    def test_what_changes_nothing_is_no_generation(self) -> None:
        export = self.export()
        self.map(export, kind=KIND)
        self.journal.doom_mapping(export.volume_id, ALICE)
        before = self.journal.generation(TARGET)
        self.journal.add_targets([TARGET])
        self.journal.add_export(export.volume_id, export.device, TARGET)
        self.journal.doom_mapping(export.volume_id, ALICE)
        self.journal.remove_mapping(export.volume_id, BOB)
        self.journal.set_kind(model.Node(ALICE, TARGET, KIND))
        self.assertEqual(before, self.journal.generation(TARGET))

    # -- what owners read

    def test_snapshot(self) -> None:
        made = sorted((self.export() for _ in range(3)),
                      key=lambda e: e.volume_id)
        self.export(OTHER)
        first = self.map(made[0], kind=KIND)
        self.map(made[0], BOB, kind=KIND)
        self.map(made[1])
        self.journal.doom_mapping(made[0].volume_id, BOB)
        self.journal.doom_export(made[2].volume_id)
        state = self.journal.snapshot(TARGET)
        self.assertEqual(
            (TARGET, self.journal.generation(TARGET), True),
            (state.target, state.generation, state.whole))
        self.assertEqual(made, [w.export for w in state.volumes])
        self.assertEqual([False, False, True],
                         [w.doomed for w in state.volumes])
        self.assertEqual(
            [(ALICE, False), (BOB, True)],
            [(m.mapping.initiator, m.doomed)
             for m in state.volumes[0].mappings])
        self.assertEqual(first.kind, state.volumes[0].mappings[0].kind)
        self.assertEqual((), state.volumes[2].mappings)

    def test_snapshot_of_many(self) -> None:
        made = [self.export() for _ in range(60)]
        initiators = [model.Iqn(f'iqn.1993-08.org.debian:01:h{n}')
                      for n in range(18)]
        for export in made:
            for initiator in initiators:
                self.map(export, initiator)
        state = self.journal.snapshot(TARGET)
        self.assertEqual(60 * 18, sum(len(w.mappings)
                                      for w in state.volumes))
        self.assertCountEqual(made, [w.export for w in state.volumes])

    def test_changes_since(self) -> None:
        first, second, third = (self.export() for _ in range(3))
        self.map(first, kind=KIND)
        start = self.journal.generation(TARGET)
        self.assertEqual(
            shared.State(TARGET, start, (), whole=False),
            self.journal.changes_since(TARGET, start))
        mapped = self.map(second, kind=KIND)
        self.journal.doom_export(third.volume_id)
        state = self.journal.changes_since(TARGET, start)
        self.assertFalse(state.whole)
        self.assertEqual(start + 2, state.generation)
        self.assertEqual(
            {second.volume_id: (second, False, (ALICE,)),
             third.volume_id: (third, True, ())},
            {w.volume_id: (w.export, w.doomed,
                           tuple(m.mapping.initiator for m in w.mappings))
             for w in state.volumes})
        self.assertEqual(mapped.kind, next(
            m.kind for w in state.volumes for m in w.mappings))

    def test_what_was_removed_is_among_the_changes(self) -> None:
        export = self.export()
        start = self.journal.generation(TARGET)
        self.journal.remove_export(export.volume_id)
        self.assertEqual(
            (shared.Wanted(export.volume_id, None),),
            self.journal.changes_since(TARGET, start).volumes)

    def test_a_change_of_a_kind_concerns_all(self) -> None:
        self.export()
        self.map(self.export())
        start = self.journal.generation(TARGET)
        self.journal.set_kind(model.Node(ALICE, TARGET, KIND))
        state = self.journal.changes_since(TARGET, start)
        self.assertTrue(state.whole)
        self.assertEqual(self.journal.snapshot(TARGET), state)

    def test_changes_that_are_not_known_any_more(self) -> None:
        export = self.export()
        start = self.journal.generation(TARGET)
        for n in range(257):
            self.map(export, read_only=bool(n % 2))
        self.assertTrue(self.journal.changes_since(TARGET, start).whole)
        state = self.journal.changes_since(TARGET, start + 1)
        self.assertFalse(state.whole)
        self.assertEqual(start + 257, state.generation)
        self.assertTrue(self.journal.changes_since(TARGET, 0).whole)
        self.assertTrue(
            self.journal.changes_since(TARGET, start + 9999).whole)

    # -- owners

    def test_nothing_is_applied_at_first(self) -> None:
        self.assertEqual(shared.Applied('', 0, 0),
                         self.journal.applied(TARGET))

    def test_acknowledgement(self) -> None:
        self.export()
        generation = self.journal.generation(TARGET)
        self.journal.begin(TARGET, 'gw1', 3)
        self.assertEqual(shared.Applied('gw1', 3, 0),
                         self.journal.applied(TARGET))
        self.journal.acknowledge(TARGET, 'gw1', 3, generation, {})
        self.assertEqual(shared.Applied('gw1', 3, generation),
                         self.reopen('run-2').applied(TARGET))
        self.assertEqual(generation, self.journal.generation(TARGET))
        self.assertEqual('', self.journal.applied(OTHER).owner)

    def test_an_earlier_owner_acknowledges_nothing(self) -> None:
        self.export()
        self.journal.begin(TARGET, 'gw1', 1)
        self.journal.acknowledge(TARGET, 'gw1', 1, 1, {})
        self.journal.begin(TARGET, 'gw2', 2)
        self.assertEqual(shared.Applied('gw2', 2, 0),
                         self.journal.applied(TARGET))
        for owner, epoch in (('gw1', 1), ('gw1', 2), ('gw2', 1)):
            with self.assertRaises(exception.OwnerChanged) as caught:
                self.journal.acknowledge(TARGET, owner, epoch, 1, {})
            self.assertIn('gw2', str(caught.exception))
            with self.assertRaises(exception.OwnerChanged):
                self.journal.begin(TARGET, owner, epoch)
        with self.assertRaises(exception.OwnerChanged):
            self.journal.acknowledge(TARGET, 'gw2', 3, 1, {})
        self.journal.begin(TARGET, 'gw2', 2)
        self.assertEqual(shared.Applied('gw2', 2, 0),
                         self.journal.applied(TARGET))

    def test_faults_last_until_the_next_acknowledgement(self) -> None:
        first, second = self.export(), self.export()
        self.apply({first.volume_id: 'no such image',
                    second.volume_id: 'x' * 10000})
        self.assertEqual('no such image',
                         self.journal.fault(TARGET, first.volume_id))
        self.assertLess(len(self.journal.fault(TARGET, second.volume_id)),
                        1000)
        self.apply({second.volume_id: 'still'})
        self.assertEqual('', self.journal.fault(TARGET, first.volume_id))
        self.assertEqual('still',
                         self.journal.fault(TARGET, second.volume_id))
        self.journal.begin(TARGET, 'gw2', 2)
        self.assertEqual('', self.journal.fault(TARGET, second.volume_id))

    def test_waiting_for_an_acknowledgement(self) -> None:
        self.export()
        owner = self.reopen('run-2')
        generation = self.journal.generation(TARGET)

        def own() -> None:
            owner.begin(TARGET, 'gw1', 1)
            with owner.listen(TARGET) as bell:
                seen = 0
                while seen < generation + 1:
                    seen = owner.changes_since(TARGET, seen).generation
                    owner.acknowledge(TARGET, 'gw1', 1, seen, {})
                    bell.wait(5)

        thread = threading.Thread(target=own)
        thread.start()
        self.assertEqual(
            shared.Applied('gw1', 1, generation),
            self.journal.wait_applied(TARGET, generation, 5))
        self.export()
        self.assertLessEqual(generation + 1, self.journal.wait_applied(
            TARGET, generation + 1, 5).generation)
        self.map(self.export(), kind=KIND)
        thread.join()

    def test_waiting_in_vain(self) -> None:
        self.export()
        with self.assertRaises(exception.WaitTimeout) as caught:
            self.journal.wait_applied(TARGET, 1, 0.1)
        self.assertIn('any gateway', str(caught.exception))
        self.journal.begin(TARGET, 'gw1', 1)
        self.journal.acknowledge(TARGET, 'gw1', 1, 1, {})
        with self.assertRaises(exception.WaitTimeout) as caught:
            self.journal.wait_applied(TARGET, 9, 0.1)
        self.assertIn('gw1', str(caught.exception))
        self.assertIn('come to 1', str(caught.exception))

    # -- removals

    def test_doomed_mapping_is_removed_once_acknowledged(self) -> None:
        export = self.export()
        self.map(export)
        self.apply()
        generation = self.journal.doom_mapping(export.volume_id, ALICE)
        self.assertEqual(self.journal.generation(TARGET), generation)
        with self.assertRaises(exception.TargetError) as caught:
            self.journal.remove_mapping(export.volume_id, ALICE)
        self.assertIn('gw1', str(caught.exception))
        self.assertTrue(self.journal.mappings()[0].doomed)
        self.assertEqual(generation, self.journal.doom_mapping(
            export.volume_id, ALICE))
        self.apply()
        self.journal.remove_mapping(export.volume_id, ALICE)
        self.assertEqual([], self.journal.mappings())
        self.assertEqual(2, self.map(export).mapping.lun)

    def test_what_another_service_requested_again_is_not_doomed(self) -> None:
        export = self.export()
        read = self.map(export)
        other = self.reopen('run-1', 'host-2')
        now = other.add_mapping(export.volume_id, ALICE, read_only=False,
                                mutual=False)
        self.assertNotEqual(read.version, now.version)
        for found in (self.journal.mappings(), other.mappings(
                export.volume_id), self.reopen(
                'run-3', 'host-2').earlier_mappings()):
            self.assertEqual([now.version], [m.version for m in found])
        with self.assertRaises(exception.Overtaken):
            self.journal.doom_mapping(export.volume_id, ALICE,
                                      version=read.version)
        self.assertFalse(self.journal.mappings()[0].doomed)
        self.assertNotEqual(0, self.journal.doom_mapping(
            export.volume_id, ALICE, version=now.version))
        self.assertTrue(self.journal.mappings()[0].doomed)
        other.add_mapping(export.volume_id, ALICE, read_only=False,
                          mutual=False)
        self.apply()
        with self.assertRaises(exception.Overtaken):
            self.journal.remove_mapping(export.volume_id, ALICE,
                                        version=now.version)
        self.assertFalse(self.journal.mappings()[0].doomed)

    def test_doomed_export_is_removed_once_acknowledged(self) -> None:
        export = self.export()
        self.map(export)
        with self.assertRaises(exception.TargetInUse):
            self.journal.doom_export(export.volume_id)
        self.journal.remove_mapping(export.volume_id, ALICE)
        generation = self.journal.doom_export(export.volume_id)
        with self.assertRaises(exception.TargetError):
            self.journal.remove_export(export.volume_id)
        self.assertEqual([export], self.journal.exports())
        self.assertEqual(generation,
                         self.journal.doom_export(export.volume_id))
        self.apply()
        self.journal.remove_export(export.volume_id)
        self.assertEqual([], self.journal.exports())

    def test_unknown_things_are_not_doomed(self) -> None:
        unknown = str(uuid.uuid4())
        self.assertEqual(0, self.journal.doom_export(unknown))
        self.assertEqual(0, self.journal.doom_mapping(unknown, ALICE))
        self.assertEqual(0, self.journal.doom_mapping(
            self.export().volume_id, ALICE))

    def test_what_was_requested_again_is_not_removed(self) -> None:
        export = self.export()
        self.map(export)
        self.journal.doom_mapping(export.volume_id, ALICE)
        other = self.reopen('run-1', 'host-2')
        other.add_mapping(export.volume_id, ALICE, read_only=False,
                          mutual=False)
        self.apply()
        with self.assertRaises(exception.TargetError) as caught:
            self.journal.remove_mapping(export.volume_id, ALICE)
        self.assertIn('requested again', str(caught.exception))
        self.assertFalse(self.journal.mappings()[0].doomed)
        self.journal.remove_mapping(export.volume_id, ALICE)
        self.journal.doom_export(export.volume_id)
        other.add_export(export.volume_id, export.device, OTHER)
        self.apply()
        with self.assertRaises(exception.TargetError):
            self.journal.remove_export(export.volume_id)
        self.assertFalse(self.journal.snapshot(TARGET).volumes[0].doomed)

    def test_nothing_is_mapped_of_a_doomed_export(self) -> None:
        export = self.export()
        self.journal.doom_export(export.volume_id)
        with self.assertRaises(exception.ExportNotFound):
            self.map(export)
        self.assertEqual(export, self.journal.add_export(
            export.volume_id, export.device, TARGET))
        self.assertEqual(1, self.map(export).mapping.lun)

    def test_lun_that_a_host_was_told_is_held_back_by_anyone(self) -> None:
        """A detach that a crash interrupted is finished without quarantine.

        Whoever finds the doomed mapping takes it for one of a failed attach.
        """
        export = self.export()
        self.map(export)
        self.journal.doom_mapping(export.volume_id, ALICE)
        self.journal = self.reopen('run-2')
        self.journal.doom_mapping(export.volume_id, ALICE)
        self.apply()
        self.journal.remove_mapping(export.volume_id, ALICE,
                                    quarantine=False)
        self.assertEqual(2, self.map(export).mapping.lun)
        self.journal.doom_mapping(export.volume_id, ALICE)
        self.journal = self.reopen('run-3')
        self.map(export)
        self.journal.remove_mapping(export.volume_id, ALICE,
                                    quarantine=False)
        self.assertEqual(3, self.map(export).mapping.lun)

    def test_lun_that_no_host_was_told_is_not_held_back(self) -> None:
        export = self.export()
        for _ in range(2):
            self.assertEqual(1, self.map(export).mapping.lun)
            self.journal.doom_mapping(export.volume_id, ALICE)
            self.apply()
            self.journal.remove_mapping(export.volume_id, ALICE,
                                        quarantine=False)

    # -- several services

    def test_earlier_mappings_with_two_services(self) -> None:
        export, later = self.export(), self.export()
        other = self.reopen('run-1', 'host-2')
        other.add_mapping(export.volume_id, ALICE, read_only=False,
                          mutual=False)
        self.map(later)
        self.assertEqual([], self.journal.earlier_mappings())
        self.now += mappings.UNDER_WAY_S + 1
        self.assertEqual([export.volume_id], [
            m.mapping.volume_id for m in self.journal.earlier_mappings()])
        self.assertEqual([later.volume_id], [
            m.mapping.volume_id for m in other.earlier_mappings()])
        again = self.reopen('run-2', 'host-1')
        self.assertCountEqual([export.volume_id, later.volume_id], [
            m.mapping.volume_id for m in again.earlier_mappings()])

    def test_a_restart_makes_own_mappings_earlier_at_once(self) -> None:
        self.map(self.export())
        self.assertEqual(1, len(self.reopen('run-2').earlier_mappings()))
        self.assertEqual([], self.reopen(
            'run-2', 'host-2').earlier_mappings())

    def test_two_services_at_once(self) -> None:
        """No LUN is given out twice, and no change is lost."""
        both = [self.journal, self.reopen('run-1', 'host-2')]
        made: list[list[tuple[int, int]]] = [[], []]

        def work(number: int) -> None:
            journal = both[number]
            for n in range(15):
                volume_id = str(uuid.uuid4())
                export = journal.add_export(volume_id, model.BackingDevice(
                    'iblock', f'/dev/rbd/{number}-{n}', 1 << 20), TARGET)
                lun = journal.add_mapping(volume_id, ALICE, read_only=False,
                                          mutual=False).mapping.lun
                made[number].append((export.lun, lun))
                if n % 3 == 0:
                    journal.remove_mapping(volume_id, ALICE)

        threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        every = made[0] + made[1]
        self.assertEqual(set(range(30)), {tpg_lun for tpg_lun, _ in every})
        self.assertEqual(set(range(luns.FIRST_LUN, 31)),
                         {lun for _, lun in every})
        state = self.journal.snapshot(TARGET)
        self.assertEqual(30, len(state.volumes))
        self.assertEqual(20, sum(len(w.mappings) for w in state.volumes))

    def test_one_volume_is_never_on_two_targets(self) -> None:
        both = [self.journal, self.reopen('run-1', 'host-2')]
        device = model.BackingDevice('iblock', '/dev/rbd/x', 1 << 20)
        for _ in range(10):
            volume_id = str(uuid.uuid4())
            found: list[Any] = [None, None]
            barrier = threading.Barrier(2)

            def work(number: int, volume_id: str = volume_id,
                     found: list[Any] = found,
                     barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                found[number] = both[number].add_export(
                    volume_id, device, (TARGET, OTHER)[number])

            threads = [threading.Thread(target=work, args=(n,))
                       for n in (0, 1)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(found[0], found[1])
            self.assertEqual(1, [e.volume_id for e in
                                 self.journal.exports()].count(volume_id))

    # -- damage

    def test_a_damaged_target_is_replaced(self) -> None:
        kept = self.export(OTHER)
        first, second = self.export(), self.export()
        self.map(first)
        told = self.map(second).mapping
        self.journal.remove_mapping(first.volume_id, ALICE)
        self.map(first, BOB)
        self.apply()
        before = self.journal.generation(TARGET)
        self.spoil(TARGET)
        with self.assertRaises(exception.SharedJournalDamaged):
            self.journal.snapshot(TARGET)
        with self.assertLogs('mydriver', 'ERROR'):
            aside = self.journal.set_aside(TARGET)
        self.assertIn(str(TARGET), aside)
        self.assertEqual([kept], self.journal.exports())
        self.assertEqual(shared.Applied('gw1', 1, 0),
                         self.journal.applied(TARGET))
        self.assertTrue(self.journal.changes_since(TARGET, before).whole)
        self.assertLess(before, self.journal.generation(TARGET))
        # What Cinder has is made again, with the same LUN; others are new.
        again = self.journal.add_export(second.volume_id, second.device,
                                        TARGET)
        self.assertTrue(self.journal.adopt_mapping(again, told, False))
        self.assertEqual(3, self.map(self.export()).mapping.lun)
        self.assertEqual(2, self.map(self.export(), BOB).mapping.lun)
        self.assertEqual(4, len(self.reopen('run-2').exports()))

    def test_a_lost_target_is_replaced(self) -> None:
        self.map(self.export())
        self.lose(TARGET)
        with self.assertRaises(exception.SharedJournalDamaged):
            self.journal.exports()
        with self.assertLogs('mydriver', 'ERROR'):
            self.journal.set_aside(TARGET)
        self.assertEqual([], self.journal.exports())
        self.assertEqual(0, self.export().lun)
        with self.assertRaises(exception.JournalUnusable):
            self.journal.set_aside(model.Iqn(f'{TARGET}9'))
