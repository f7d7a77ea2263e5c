# SPDX-License-Identifier: Apache-2.0
"""The journal in Ceph, on objects in memory."""

import errno
import itertools
import re
import time
import unittest
import uuid

from mydriver import exception, model
from mydriver.target.journal.rados import errors, keys, targets
from mydriver.target.journal.rados import journal as journals
from tests.contract import journal as contract
from tests.contract import shared_journal as shared_contract
from tests.contract.journal import OTHER, TARGET
from tests.fakes import notify, omap


class Case(unittest.TestCase):
    """A journal of objects in memory."""

    now = 1000.0

    def setUp(self):
        self.objects = omap.FakeObjects()
        self.notices = notify.FakeNotices()
        self.journal = self.reopen('run-1')
        self.journal.create()
        super().setUp()

    def reopen(self, run, service='host-1'):
        return journals.RadosJournal(
            self.objects, 'cluster', targets.Run(service, run), self.notices,
            lambda: self.now)


class RadosJournalTest(contract.JournalContract, Case):
    """What every journal does."""


class SharedJournalTest(shared_contract.SharedJournalContract, Case):
    """What gateways and several services need."""

    def spoil(self, target):
        stored = self.objects.content[keys.target_object(target)]
        key = next(k for k in stored if k.startswith(keys.MAPPINGS))
        stored[key] = stored[key][:-2]

    def lose(self, target):
        del self.objects.content[keys.target_object(target)]


class DamageTest(Case):
    """A changed or missing value is an error that names it."""

    def setUp(self):
        super().setUp()
        self.journal.add_targets([TARGET, OTHER])
        exports = [self.add(n) for n in range(4)]
        for export in exports[:3]:
            for initiator in (contract.ALICE, contract.BOB):
                self.journal.add_mapping(export.volume_id, initiator,
                                         read_only=False, mutual=False)
        self.journal.remove_mapping(exports[1].volume_id, contract.BOB)
        self.journal.remove_export(exports[3].volume_id)
        self.name = keys.target_object(TARGET)
        self.content = self.objects.content[self.name]

    def add(self, number):
        return self.journal.add_export(
            str(uuid.UUID(int=number)), model.BackingDevice(
                'iblock', f'/dev/rbd/{number}', 1 << 20), TARGET)

    def read(self):
        """Read everything as a service that has just started."""
        journal = self.reopen('run-2')
        return (journal.targets(), journal.exports(), journal.mappings(),
                journal.nodes(), journal.snapshot(TARGET))

    def test_any_change_of_any_key_is_noticed(self):
        whole = self.read()
        noticed = 0
        for key, text in sorted(self.content.items()):
            digit = re.sub('[0-9]', lambda m: str((int(m[0]) + 1) % 10), text,
                           count=1)
            for damaged in (None, '', digit, text + ' ', text[:-1],
                            text.replace('true', 'false'), '{}', 'null',
                            text.replace(':', ': ', 1), '[' * 9999):
                if damaged == text:
                    continue
                changed = {**self.content, key: damaged}
                if damaged is None:
                    del changed[key]
                self.objects.content[self.name] = changed
                try:
                    self.assertEqual(whole, self.read(), (key, damaged))
                except exception.SharedJournalDamaged as e:
                    self.assertIn(self.name, str(e))
                    noticed += 1
                else:  # what is not read here is checked when it is
                    self.assertRegex(
                        key, '^(free|tpg-lun|lun|quarantine|log|version)/')
        self.assertGreater(noticed, 100)

    def test_additional_keys_are_noticed(self):
        for key in (keys.EXPORTS + 'x', keys.NODES + 'iqn.2000-01.a.b:c',
                    keys.export(str(uuid.UUID(int=77)))):
            self.objects.content[self.name] = {
                **self.content, key: self.content[keys.export(
                    str(uuid.UUID(int=0)))]}
            with self.assertRaises(exception.SharedJournalDamaged):
                self.read()

    def test_damaged_index_is_named_when_it_is_used(self):
        for key, value in ((keys.tpg_lun(3), '{}'), ('free/x', '{}')):
            self.objects.content[self.name] = {**self.content, key: value}
            with self.assertRaises(exception.SharedJournalDamaged) as caught:
                self.add(9)
            self.assertIn(key, str(caught.exception))

    def test_lun_in_use_is_not_given_out(self):
        """Should the counter be wrong, the index of LUNs is not."""
        self.content[keys.lun(contract.ALICE, 4)] = self.content[
            keys.lun(contract.ALICE, 3)]
        with self.assertRaises(exception.SharedJournalDamaged) as caught:
            self.journal.add_mapping(self.add(9).volume_id, contract.ALICE,
                                     read_only=False, mutual=False)
        self.assertIn(keys.lun(contract.ALICE, 4), str(caught.exception))

    def test_lost_counter_is_noticed(self):
        del self.content[keys.counter(contract.ALICE)]
        with self.assertRaises(exception.SharedJournalDamaged) as caught:
            self.journal.add_mapping(self.add(9).volume_id, contract.ALICE,
                                     read_only=False, mutual=False)
        self.assertIn(keys.counter(contract.ALICE), str(caught.exception))

    def test_missing_object_is_never_an_empty_journal(self):
        del self.objects.content[self.name]
        for read in (self.read, lambda: self.add(9),
                     lambda: self.journal.snapshot(TARGET),
                     lambda: self.journal.generation(TARGET),
                     lambda: self.journal.export(str(uuid.UUID(int=0)))):
            with self.assertRaises(exception.SharedJournalDamaged) as caught:
                read()
            self.assertIn(f'{self.name} is damaged: it does not exist',
                          str(caught.exception))
        self.journal.add_targets([TARGET, OTHER])  # known: not made again
        self.assertNotIn(self.name, self.objects.content)

    def test_replaced_object_is_not_the_one_on_record(self):
        self.objects.content[self.name] = self.objects.content[
            keys.target_object(OTHER)]
        with self.assertRaises(exception.SharedJournalDamaged) as caught:
            self.read()
        self.assertIn('not the object', str(caught.exception))

    def test_old_copy_of_an_object(self):
        old = dict(self.content)
        self.add(9)
        self.journal.begin(TARGET, 'gw1', 1)
        self.journal.acknowledge(TARGET, 'gw1', 1,
                                 self.journal.generation(TARGET), {})
        applied = self.objects.content[self.name][keys.APPLIED]
        self.objects.content[self.name] = {**old, keys.APPLIED: applied}
        for read in (self.journal.snapshot, self.journal.applied,
                     lambda target: self.journal.changes_since(target, 1)):
            with self.assertRaises(exception.SharedJournalDamaged) as caught:
                read(TARGET)
            self.assertIn('old copy', str(caught.exception))

    def test_lost_registry(self):
        """Nothing is forgotten of the targets that are configured."""
        whole = self.read()
        del self.objects.content[keys.REGISTRY]
        with self.assertRaises(exception.JournalUnusable) as caught:
            self.read()
        self.assertIn('Start cinder-volume', str(caught.exception))
        journal = self.reopen('run-2')
        journal.create()
        self.assertEqual([], journal.targets())
        with self.assertLogs('mydriver', 'ERROR') as logged:
            journal.add_targets([TARGET, OTHER])
        self.assertIn('with 3 exports', '\n'.join(logged.output))
        after = self.read()
        self.assertEqual(whole[:4], after[:4])
        self.assertEqual(whole[4].volumes, after[4].volumes)

    def test_registry_of_another_service(self):
        with self.assertRaises(exception.ConfigurationError) as caught:
            journals.open_in(self.objects, 'another', targets.Run('h', 'r'),
                             self.notices, create=True)
        self.assertIn('another', str(caught.exception))
        self.assertIn('cluster', str(caught.exception))

    def test_damaged_registry(self):
        whole = dict(self.objects.content[keys.REGISTRY])
        for key, text in whole.items():
            for damaged in ('', '{}', text.replace('"', "'"), text + '\n'):
                self.objects.content[keys.REGISTRY] = {**whole, key: damaged}
                with self.assertRaises(exception.SharedJournalDamaged
                                       ) as caught:
                    self.journal.targets()
                self.assertIn(key, str(caught.exception))
        self.objects.content[keys.REGISTRY] = {
            **whole, f'{keys.TARGETS}IQN.x': whole[keys.target(TARGET)]}
        with self.assertRaises(exception.SharedJournalDamaged):
            self.journal.targets()

    def test_osd_that_returns_less_than_it_is_asked_for(self):
        whole = self.read()
        self.objects.most_keys = 2
        self.assertEqual(whole, self.read())


class RaceTest(Case):
    """Other writers come in between."""

    def setUp(self):
        super().setUp()
        self.journal.add_targets([TARGET, OTHER])
        self.other = self.reopen('run-1', 'host-2')

    def add(self, journal, target=TARGET, volume_id=None):
        return journal.add_export(
            volume_id or str(uuid.uuid4()),
            model.BackingDevice('iblock', '/dev/rbd/0', 1 << 20), target)

    def test_a_writer_that_was_faster_is_taken_into_account(self):
        self.objects.before_write = lambda: self.add(self.other)
        self.assertEqual(1, self.add(self.journal).lun)
        self.assertEqual(2, len(self.journal.exports()))

    def test_a_process_that_stood_still_tries_again(self):
        """As one that was stopped, while another one made a change."""
        self.journal._store._wait_s = 0.01

        def stand_still():
            self.add(self.other)
            time.sleep(0.02)

        self.objects.before_write = stand_still
        self.assertEqual(1, self.add(self.journal).lun)

    def test_patience_ends(self):
        export = self.add(self.journal)
        self.journal._store._wait_s = 0.05

        def interfere():
            self.other.add_mapping(export.volume_id, contract.BOB,
                                   read_only=False, mutual=False)
            self.now += 1
            self.objects.before_write = interfere

        # Its own writes come through here, too: one at a time.
        def once():
            self.objects.before_write = None
            interfere()

        self.objects.before_write = once
        with self.assertRaises(exception.WaitTimeout) as caught:
            self.journal.add_mapping(export.volume_id, contract.ALICE,
                                     read_only=False, mutual=False)
        self.assertIn(keys.target_object(TARGET), str(caught.exception))

    def test_two_claims_on_two_targets(self):
        volume_id = str(uuid.uuid4())
        found = []

        def claim():
            # Before ours is written, theirs is complete.
            found.append(self.add(self.other, OTHER, volume_id))

        self.objects.before_write = claim
        mine = self.add(self.journal, TARGET, volume_id)
        self.assertEqual(OTHER, mine.target)
        self.assertEqual(found, [mine])
        self.assertEqual([mine], self.journal.exports())

    def test_crash_after_a_claim(self):
        """It is doomed: no owner applies it, and it is in nobody's way."""
        volume_id = str(uuid.uuid4())
        self.objects.fail_after = 1
        with self.assertRaises(exception.JournalUnusable):
            self.add(self.journal, TARGET, volume_id)
        self.assertTrue(self.journal.snapshot(TARGET).volumes[0].doomed)
        self.objects.fail_after = None
        found = self.add(self.other, OTHER, volume_id)
        self.assertEqual(found, self.add(
            self.reopen('run-2'), TARGET, volume_id))
        self.assertEqual([found], self.journal.exports())


class CostTest(Case):
    """The number of operations does not depend on the number of exports."""

    def test_attach_and_detach(self):
        self.journal.add_targets([TARGET, OTHER])
        found = []
        for number in (10, 500):
            while len(self.journal._hints) < number:
                self.attach()
            before = self.objects.operations
            volume_id = self.attach()
            attach = self.objects.operations - before
            self.journal.mappings(volume_id)
            self.journal.doom_mapping(volume_id, contract.ALICE)
            self.journal.begin(TARGET, 'gw', 1)
            self.journal.acknowledge(TARGET, 'gw', 1,
                                     self.journal.generation(TARGET), {})
            self.journal.remove_mapping(volume_id, contract.ALICE)
            self.journal.changes_since(
                TARGET, self.journal.generation(TARGET) - 2)
            found.append((attach, self.objects.operations - before))
        self.assertEqual(found[0], found[1])
        # Claim, look elsewhere, make valid, map: reads and changes.
        self.assertLessEqual(found[0][0], 8)

    def attach(self):
        volume_id = str(uuid.uuid4())
        self.journal.add_export(volume_id, model.BackingDevice(
            'iblock', '/dev/rbd/0', 1 << 20), TARGET)
        self.journal.add_mapping(volume_id, contract.ALICE, read_only=False,
                                 mutual=False)
        return volume_id


class NamesTest(unittest.TestCase):
    """Backends of one pool have namespaces of their own."""

    def test_namespaces_differ(self):
        names = {keys.namespace(b) for b in ('ssd_fast', 'ssd-fast', 'SSD',
                                             'ssd', 'ssd.1', 'ssd/1', 'ß')}
        self.assertEqual(7, len(names))

    def test_names_that_cannot_be(self):
        for backend in ('', 'a\0b', 'a\nb', 'x' * 200, '☃' * 80):
            with self.assertRaises(exception.ConfigurationError):
                keys.namespace(backend)


class ErrorsTest(Case):
    """What Ceph says becomes an error of the journal, with the remedy."""

    def test_reasons(self):
        for number, kind, remedy in (
                (errno.ESHUTDOWN, exception.JournalUnusable, 'blocklist'),
                (errno.EPERM, exception.JournalUnusable, 'capabilities'),
                (errno.ETIMEDOUT, exception.JournalUnusable, 'ceph -s'),
                (errno.ENOSPC, exception.JournalUnwritable, 'quota'),
                (errno.EIO, exception.JournalUnusable, 'ceph -s')):
            with self.assertRaises(kind) as caught, errors.translated('p/n/o'):
                try:
                    raise OSError(number, 'x')
                except OSError as e:
                    raise exception.CephError('read', 'x') from e
            self.assertIn(remedy, str(caught.exception))
            self.assertIn('p/n/o', str(caught.exception))


class CrashTest(Case):
    """A service ends after any of its changes; the next one goes on."""

    volume_id = str(uuid.UUID(int=1))
    device = model.BackingDevice('iblock', '/dev/rbd/1', 1 << 20)

    def steps(self, journal):
        """Make a target, attach, detach; as a service does it."""
        journal.create()
        journal.add_targets([TARGET, OTHER])
        journal.add_export(self.volume_id, self.device, TARGET)
        journal.add_mapping(self.volume_id, contract.ALICE, read_only=False,
                            mutual=False)
        self.apply(journal)
        journal.doom_mapping(self.volume_id, contract.ALICE)
        self.apply(journal)
        journal.remove_mapping(self.volume_id, contract.ALICE)
        journal.doom_export(self.volume_id)
        self.apply(journal)
        journal.remove_export(self.volume_id)
        journal.remove_target(OTHER)

    def apply(self, journal):
        journal.begin(TARGET, 'gw', 1)
        journal.acknowledge(TARGET, 'gw', 1, journal.generation(TARGET), {})

    def test_after_each_change(self):
        for number in itertools.count(1):
            self.objects = omap.FakeObjects()
            self.objects.fail_after = number
            try:
                self.steps(self.reopen('run-1'))
            except exception.JournalUnusable:
                self.objects.fail_after = None
            else:
                break
            journal = self.reopen('run-2')
            journal.create()
            journal.add_targets([TARGET, OTHER])
            # All is whole, and what is left can be finished by anybody.
            for target in journal.targets():
                journal.snapshot(target)
            for mapped in journal.mappings():
                self.assertEqual(journal.earlier_mappings(), [mapped])
                journal.doom_mapping(self.volume_id, contract.ALICE)
                self.apply(journal)
                journal.remove_mapping(self.volume_id, contract.ALICE)
            self.steps(journal)
            self.assertEqual([], journal.exports())
            self.assertEqual([TARGET], journal.targets())
        self.assertGreater(number, 15)
