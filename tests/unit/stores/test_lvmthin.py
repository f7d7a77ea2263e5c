# SPDX-License-Identifier: Apache-2.0
"""The lvmthin store on a thin pool in memory.

Tests that need LVM and device-mapper are in tests/functional.
"""

import contextlib
import dataclasses
import unittest
from unittest import mock

import ddt
from oslo_utils import units

from mydriver import exception, stores
from mydriver.privileged import grants
from mydriver.privileged.stores import thin
from mydriver.stores import base
from mydriver.stores.lvmthin import names, pool, room, setup, status
from mydriver.stores.lvmthin import store as lvmthin
from tests.contract import store as contract
from tests.fakes import filesystem
from tests.fakes import thinpool as fake

GIB = units.Gi
MIB = units.Mi

REQUEST = 'mydriver.request=0123456789ab'


class LvmThinContractTest(contract.StoreContract, unittest.TestCase):
    """The contract, with files instead of logical volumes."""

    def make_store(self) -> base.VolumeStore:
        """Return a store in memory."""
        self.pool = fake.FakePool(filesystem.folder(self))
        store = self.reopen()
        store.prepare()
        return store

    def reopen(self) -> base.VolumeStore:
        """Return a store on the same pool."""
        return lvmthin.LvmThinStore('vg', self.pool)

    def make_foreign(self, name: str, size_bytes: int,
                     data: bytes = b'') -> None:
        """Put a volume into the pool."""
        self.pool.add(name, size_bytes)
        if data:
            contract.write(self.pool.device(name)[0], data)

    def make_odd(self, name: str) -> None:
        """Make a volume that is not active."""
        self.store.create(name, MIB)
        self.pool.change(name, active=False)

    @contextlib.contextmanager
    def away(self):
        """Make the group disappear."""
        self.pool.has_group = False
        yield
        self.pool.has_group = True


@ddt.ddt
class LvmThinTest(unittest.TestCase):
    """What is specific to this store."""

    def setUp(self):
        super().setUp()
        self.pool = fake.FakePool(filesystem.folder(self))
        self.store = lvmthin.LvmThinStore('vg', self.pool)
        self.store.prepare()

    def problem(self, call=None):
        """Return the text of the configuration error that a call raises."""
        with self.assertRaises(exception.ConfigurationError) as caught:
            (call or self.store.check)()
        self.assertEqual('mydriver_store_path', caught.exception.option)
        self.assertTrue(caught.exception.remedy)
        return str(caught.exception)

    def fill(self, **changes):
        """Change the pool's state."""
        self.pool.state = dataclasses.replace(self.pool.state, **changes)

    def made(self, data=b''):
        """Return the name of a new volume."""
        name = contract.volume()
        self.store.create(name, MIB)
        if data:
            contract.write(self.store.device(name).path, data)
        return name

    # Setting up

    def test_the_option_names_a_group_or_a_pool(self):
        self.assertEqual('vg/mydriver', stores.build('lvmthin', 'vg').location)
        self.assertEqual('vg/p', stores.build('lvmthin', 'vg/p').location)

    def test_a_missing_group_is_named(self):
        self.pool.has_group = False
        self.assertIn('no volume group vg', self.problem())
        self.assertIn('no volume group vg', self.problem(self.store.prepare))

    def test_a_missing_pool_is_made_for_a_bare_group_only(self):
        del self.pool.found['mydriver']
        named = lvmthin.LvmThinStore('vg/mydriver', self.pool)
        for call in (named.prepare, named.check):
            self.assertIn('no thin pool vg/mydriver.', self.problem(call))
        with self.assertRaisesRegex(exception.NotYetMade,
                                    'no thin pool vg/mydriver yet'):
            self.store.check()
        self.store.prepare()
        self.store.prepare()
        self.store.check()

    def test_a_group_without_room_for_a_pool(self):
        del self.pool.found['mydriver']
        self.pool.room = pool.Group(GIB, GIB, 4 * MIB)
        for call in (self.store.prepare, self.store.check):
            self.assertIn('no room', self.problem(call))

    @ddt.data(
        ({'kind': 'linear'}, 'not a thin pool'),
        ({'zero': False}, 'does not zero'),
        ({'discards': 'nopassdown'}, 'discards nopassdown'))
    @ddt.unpack
    def test_an_unsuitable_pool_is_refused(self, changes, text):
        self.pool.change('mydriver', **changes)
        self.assertIn(text, self.problem())

    def test_extents_that_do_not_divide_a_gib(self):
        self.pool.room = pool.Group(GIB, GIB, 3 * MIB)
        self.assertIn('extents of 3145728 bytes', self.problem())

    @ddt.data((2 * GIB, 64, 16 * MIB), (200 * GIB, 64, 400 * MIB),
              (20 << 40, 256, 10240 * MIB))
    @ddt.unpack
    def test_the_plan_of_a_pool(self, free_bytes, chunk_kib, metadata_bytes):
        data, metadata, chunk = setup.plan(free_bytes)
        self.assertEqual((chunk_kib, metadata_bytes), (chunk, metadata))
        self.assertLess(data + 3 * metadata, free_bytes)
        self.assertGreater(data, free_bytes * 0.9)
        self.assertGreater(metadata, data // (chunk * 1024) * 64)
        self.assertLess(metadata, 16 * GIB)

    # Bringing up and recovery

    def test_a_pool_may_have_no_device_for_a_while(self):
        self.pool.away = 3
        name = self.made()
        self.pool.away = 3
        self.assertTrue(self.store.capacity().total_bytes)
        self.assertTrue(self.store.exists(name))

    def test_a_busy_daemon_is_not_an_inactive_pool(self):
        busy = exception.WaitTimeout("LVM's commands", 600.0)
        with mock.patch.object(self.pool, 'status', side_effect=busy), \
                self.assertRaisesRegex(exception.WaitTimeout, 'LVM'):
            self.store.capacity()

    def test_volumes_are_activated_again(self):
        name = self.made()
        self.pool.change(name, active=False)
        self.pool.is_active = False
        with self.assertRaisesRegex(exception.StoreError, 'not active'):
            self.store.device(name)
        with mock.patch.object(room, 'ABSENCE_S', 0.01), \
                self.assertRaisesRegex(exception.StoreError, 'not active'):
            self.store.capacity()
        self.store.prepare()
        self.store.check()
        self.assertEqual(MIB, self.store.device(name).size_bytes)

    def test_one_volume_that_cannot_be_activated(self):
        names = [self.made() for _ in range(3)]
        for name in names:
            self.pool.change(name, active=False)
        self.pool.broken.add(names[1])
        self.pool.suspended.add(names[2])
        with mock.patch.object(setup, 'PATIENCE_S', 0), \
                self.assertLogs(setup.__name__, 'ERROR') as logs:
            self.store.prepare()
        self.assertIn(names[1], logs.output[0])
        self.assertNotIn(names[0], logs.output[0])
        self.store.check()
        self.assertEqual(set(), self.pool.suspended)
        for name in (names[0], names[2]):
            self.assertEqual(MIB, self.store.device(name).size_bytes)
        with self.assertRaisesRegex(exception.StoreError, 'not active'):
            self.store.device(names[1])

    def test_suspended_volumes_are_resumed(self):
        self.pool.suspended.add(self.made())
        with mock.patch.object(setup, 'PATIENCE_S', 0.01):
            self.store.prepare()
        self.assertEqual(set(), self.pool.suspended)

    def test_a_crash_at_any_step_leaves_all_or_nothing(self):
        source = self.made(b'source')
        kept = contract.snapshot()
        self.store.snapshot(source, kept)
        other = self.made()
        group = [(source, contract.snapshot()), (other, contract.snapshot())]
        big = contract.volume()
        for call, news in (
                (lambda: self.store.clone(source, big, 2 * MIB), {big}),
                (lambda: self.store.snapshot_group(group),
                 {name for _source, name in group})):
            before = set(self.store.names())
            for step in range(20):
                self.pool.fails_in = step
                # After a crash nobody cleans up.
                with mock.patch.object(self.pool, 'remove',
                                       side_effect=exception.StoreError(
                                           'run lvm', 'crashed')):
                    try:
                        call()
                    except exception.StoreError:
                        done = False
                    else:
                        done = True
                self.pool.fails_in = None
                self.store.recover()
                self.store.prepare()
                names = set(self.store.names())
                if done:
                    self.assertEqual(before | news, names)
                    break
                self.assertLessEqual(names - before, news)
                for name in names - before:
                    self.store.delete(name)
            else:
                self.fail('it never succeeded')

    def test_an_interrupted_revert_is_finished_or_undone(self):
        name, kept = self.made(b'before'), contract.snapshot()
        self.store.snapshot(name, kept)
        self.store.extend(name, 2 * MIB)
        for step in range(20):
            contract.write(self.store.device(name).path, b'after!')
            self.pool.fails_in = step
            try:
                self.store.revert(name, kept)
            except exception.StoreError:
                done = False
            else:
                done = True
            self.pool.fails_in = None
            self.store.recover()
            self.assertEqual({name, kept}, set(self.store.names()))
            self.assertIn(contract.read(self.store.device(name).path, 6),
                          (b'before', b'after!'))
            self.assertEqual(2 * MIB, self.store.device(name).size_bytes)
            if done:
                break
        else:
            self.fail('it never succeeded')

    def test_an_interrupted_revert_can_be_repeated(self):
        name, kept = self.made(b'before'), contract.snapshot()
        self.store.snapshot(name, kept)
        for step in range(5):
            contract.write(self.store.device(name).path, b'after!')
            self.pool.fails_in = step
            with contextlib.suppress(exception.StoreError):
                self.store.revert(name, kept)
            self.pool.fails_in = None
            self.store.revert(name, kept)
            self.assertEqual(b'before', contract.read(
                self.store.device(name).path, 6))
        self.assertEqual({name, kept}, set(self.store.names()))

    def test_questions_change_nothing(self):
        name, kept = self.made(b'kept'), contract.volume()
        self.pool.add(kept, MIB, tags=frozenset(['mydriver.unfinished']))
        self.pool.suspended.add(name)
        before = dict(self.pool.found)
        self.pool.fails_in = 0
        self.assertFalse(self.store.is_known)
        self.store.check()
        self.assertEqual((name,), self.store.names())
        self.assertEqual((), self.store.foreign())
        self.assertTrue(self.store.exists(name))
        self.assertEqual(0, self.store.extents(name))
        self.assertEqual(512, self.store.block_bytes())
        self.assertTrue(self.store.capacity().total_bytes)
        self.store.device(name)
        self.assertEqual(before, self.pool.found)
        self.assertFalse(self.store.is_known)

    # In doubt

    def test_a_missing_pool_is_not_created_again(self):
        self.made(b'kept')
        self.store.recover()
        gone = self.pool.found.pop('mydriver')
        for call in (self.store.prepare, self.store.check):
            self.assertIn(gone.uuid, self.problem(call))
        self.assertNotIn('mydriver', self.pool.found)
        self.pool.make(10 * GIB, 16 * MIB, 64)
        self.assertIn(gone.uuid, self.problem(self.store.prepare))
        self.pool.found['mydriver'] = gone
        self.store.prepare()
        self.store.check()

    def test_the_only_copy_of_a_revert_is_kept(self):
        # A volume is never removed before its copy is complete, so something
        # else has happened that only the operator knows.
        name = contract.volume()
        spare = names.spare_name(name)
        self.pool.add(spare, MIB, tags=frozenset([f'mydriver.size={2 * MIB}']))
        kept = self.store.recover()
        self.assertIn(spare, self.pool.found)
        self.assertIn(spare, ' '.join(kept or ()))

    def test_nothing_is_finished_while_disks_are_missing(self):
        name, other = contract.volume(), contract.volume()
        spare = names.spare_name(name)
        self.pool.add(spare, MIB)
        self.pool.add(other, MIB, tags=frozenset(['mydriver.unfinished']))
        self.pool.room = dataclasses.replace(self.pool.room, missing_disks=1)
        self.assertEqual(2, len(self.store.recover() or ()))
        self.assertLessEqual({spare, other}, set(self.pool.found))
        self.pool.room = dataclasses.replace(self.pool.room, missing_disks=0)
        self.assertEqual((), self.store.recover())
        self.assertEqual((name,), self.store.names())

    def test_a_volume_in_use_is_not_removed_as_incomplete(self):
        # As after a volume was shrunk by hand.
        name = contract.volume()
        self.pool.add(name, MIB, open=True,
                      tags=frozenset([f'mydriver.size={2 * MIB}']))
        self.assertIn(name, ' '.join(self.store.recover() or ()))
        self.assertIn(name, self.pool.found)

    def test_recovery_goes_on_when_a_volume_cannot_be_removed(self):
        name = contract.volume()
        self.pool.add(name, MIB, tags=frozenset(['mydriver.unfinished']))
        self.pool.fails_in = 0
        self.assertIn(name, ' '.join(self.store.recover() or ()))
        self.assertEqual((), self.store.names())

    def test_names_and_tags_of_others_are_left_alone(self):
        for lv in ('_revert-', '_revert-backup'):
            self.pool.add(lv, MIB)
        name = contract.volume()
        self.pool.add(name, MIB, tags=frozenset(['mydriver.size=large']))
        self.assertEqual((), self.store.recover() or ())
        self.assertEqual((name,), self.store.names())
        self.assertLessEqual({'_revert-', '_revert-backup'},
                             set(self.pool.found))

    def test_a_deleted_volume_does_not_come_back(self):
        name, kept = self.made(b'before'), contract.snapshot()
        self.store.snapshot(name, kept)
        for step in range(1, 3):
            self.pool.fails_in = step
            with self.assertRaises(exception.StoreError):
                self.store.revert(name, kept)
            self.pool.fails_in = None
            if self.store.exists(name):
                break
        self.assertIn(names.spare_name(name), self.pool.found)
        self.store.delete(name)
        self.store.recover()
        self.assertEqual((kept,), self.store.names())

    # A full pool

    @ddt.data(('data', 'data_used_bytes', 95 * GIB, '-L +SIZE'),
              ('metadata', 'metadata_used_bytes', 820 * MIB,
               '--poolmetadatasize'))
    @ddt.unpack
    def test_nothing_new_is_made_in_a_nearly_full_pool(self, part, field,
                                                       used, remedy):
        name, kept = self.made(), contract.snapshot()
        self.store.snapshot(name, kept)
        before = self.store.names()
        self.fill(**{field: used})
        for call in (lambda: self.store.create(contract.volume(), MIB),
                     lambda: self.store.snapshot(name, contract.snapshot()),
                     lambda: self.store.clone(name, contract.volume(), MIB),
                     lambda: self.store.revert(name, kept),
                     lambda: self.store.snapshot_group(
                         [(name, contract.snapshot())]),
                     lambda: self.store.extend(name, 2 * MIB)):
            with self.assertRaises(exception.PoolFull) as caught:
                call()
            self.assertEqual(part, caught.exception.part)
            self.assertIn(f'The {part} of thin pool vg/mydriver',
                          str(caught.exception))
            self.assertIn(remedy, str(caught.exception))
        self.assertEqual(before, self.store.names())
        self.store.delete(name)

    def test_without_room_for_metadata_nothing_is_free(self):
        self.fill(metadata_used_bytes=820 * MIB)
        self.assertEqual(0, self.store.capacity().free_bytes)
        self.fill(metadata_used_bytes=0, data_used_bytes=97 * GIB)
        room = self.store.capacity()
        self.assertEqual(room.total_bytes - 97 * GIB, room.free_bytes)

    def test_a_pool_in_trouble_is_down(self):
        self.fill(trouble='its metadata is read-only')
        for call in (self.store.check, self.store.capacity):
            with self.assertRaisesRegex(exception.StoreError, 'read-only'):
                call()


@ddt.ddt
class StatusTest(unittest.TestCase):
    """Parsing the state that the kernel reports."""

    TABLE = '254:0 254:1 128 0 1 error_if_no_space'

    @ddt.data(
        ('rw', '-', ''), ('out_of_data_space', '-', 'no room for data'),
        ('ro', '-', 'read-only'), ('ro', 'needs_check', 'needs a check'))
    @ddt.unpack
    def test_it_is_read(self, mode, check, trouble):
        text = (f'4 421/4096 16/16384 - {mode} discard_passdown '
                f'error_if_no_space {check} 1024')
        found = status.parse(text, self.TABLE)
        self.assertIn(trouble, found.trouble)
        self.assertEqual(bool(trouble), bool(found.trouble))
        self.assertEqual((16384 * 65536, 16 * 65536, 4096 * 4096, 421 * 4096),
                         (found.data_bytes, found.data_used_bytes,
                          found.metadata_bytes, found.metadata_used_bytes))
        self.assertEqual((0.1, 10.3),
                         (found.data_percent, found.metadata_percent))

    @ddt.data('Fail', 'Error')
    def test_a_failed_pool(self, text):
        self.assertIn('failed',
                      status.parse(text, self.TABLE).trouble)

    def test_nonsense_is_an_error(self):
        with self.assertRaisesRegex(exception.StoreError, 'nonsense'):
            status.parse('nonsense', self.TABLE)


class Ended:
    """An LVM command that has failed."""

    returncode = 5

    def __init__(self, err):
        self.err = err

    def communicate(self, timeout):
        """Return its output."""
        return '', self.err


@ddt.ddt
class VerbsTest(unittest.TestCase):
    """The verbs refuse other names, and report what is missing."""

    def setUp(self):
        super().setUp()
        patch = mock.patch.object(grants, 'current', return_value=(
            grants.Grant('be', 'iblock', 'vg', 'p', True),))
        patch.start()
        self.addCleanup(patch.stop)

    def run_lvm(self, **popen):
        """Return the error when Popen behaves like this."""
        with mock.patch('subprocess.Popen', **popen), \
                self.assertRaises(exception.MyDriverError) as caught:
            thin.group.args[0]('vg')
        return caught.exception

    def test_lvm_is_not_installed(self):
        error = self.run_lvm(side_effect=FileNotFoundError(2, 'no file'))
        self.assertIsInstance(error, exception.ConfigurationError)
        self.assertIn('Install lvm2', str(error))

    @ddt.data(
        ('  thin-pool: Required device-mapper target(s) not detected in your '
         'kernel.\n'),
        ("  Can't process LV vg/p: thin-pool target support missing from "
         'kernel?\n'))
    def test_the_kernel_has_no_thin_pools(self, err):
        error = self.run_lvm(return_value=Ended(err))
        self.assertIsInstance(error, exception.ConfigurationError)
        self.assertIn('modprobe dm-thin-pool', str(error))

    def test_other_failures_are_reported_without_warnings(self):
        error = self.run_lvm(return_value=Ended(
            '  WARNING: all is lost.\n  It is gone.\n  It is.\n'))
        self.assertEqual('The store could not run pvs: It is gone; It is.',
                         str(error))

    VOLUME = 'volume-00000000-0000-4000-8000-000000000000'

    @ddt.data('', 'root', 'swap', f'{VOLUME}x', f'{VOLUME}\n', f'../{VOLUME}',
              VOLUME.upper(), '-' + VOLUME, f'vg/{VOLUME}', '@tag')
    def test_other_volumes_cannot_be_named(self, bad):
        good = self.VOLUME
        for verb, args in (
                (thin.create, ('vg', 'p', bad, MIB, REQUEST)),
                (thin.copy, ('vg', bad, good, [], True, REQUEST)),
                (thin.copy, ('vg', good, bad, [], True, REQUEST)),
                (thin.extend, ('vg', bad, MIB)),
                (thin.remove, ('vg', 'p', [good, bad])),
                (thin.rename, ('vg', bad, good)),
                (thin.rename, ('vg', good, bad)),
                (thin.adopt, ('vg', 'p', 'x', bad, MIB)),
                (thin.activate, ('vg', [bad])),
                (thin.untag, ('vg', [bad], 'mydriver.x')),
                (thin.flush, ('vg', bad)), (thin.resume, ('vg', [bad])),
                (thin.mapped_sectors, ('vg', bad)),
                (thin.copy_together, ('vg', 'p', [[bad, good]]))):
            self.refused('not named like ours', verb, *args)

    @ddt.data('', '.', '..', '-f', 'a/b', 'a b', 'a"b', 'a\n', '@t')
    def test_other_places_cannot_be_named(self, bad):
        for verb, args in (
                (thin.group, (bad,)), (thin.volumes, (bad,)),
                (thin.pool_status, (bad, 'p')),
                (thin.pool_status, ('vg', bad)),
                (thin.create_pool, ('vg', bad, 1, 1, 64)),
                (thin.create, (bad, 'p', self.VOLUME, MIB, REQUEST)),
                (thin.remove, ('vg', bad, [self.VOLUME])),
                (thin.adopt, ('vg', 'p', bad, self.VOLUME, MIB)),
                (thin.activate_pool, ('vg', bad))):
            self.refused('cannot name', verb, *args)

    @ddt.data('other', 'mydriver', 'mydriver.a b', '-x')
    def test_other_tags_cannot_be_used(self, bad):
        self.refused('is not ours', thin.copy, 'vg', self.VOLUME,
                     self.VOLUME, [bad], True, REQUEST)
        self.refused('is not ours', thin.create, 'vg', 'p', self.VOLUME, MIB,
                     bad)
        self.refused('is not ours', thin.untag, 'vg', [self.VOLUME], bad)

    def refused(self, text, verb, *args):
        """Call a verb as the daemon does; it must not start a process."""
        function = verb.args[0]
        with mock.patch('subprocess.Popen',
                        side_effect=AssertionError('started one')), \
                mock.patch('mydriver.privileged.dm._call',
                           side_effect=AssertionError('asked it')), \
                self.assertRaisesRegex(exception.StoreError, text):
            function(*args)
