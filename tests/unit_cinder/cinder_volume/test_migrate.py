# SPDX-License-Identifier: Apache-2.0
"""Migration between backends of a host, and the end of any migration."""

import errno
import os
import socket
import subprocess
import unittest
from unittest import mock
import uuid

from cinder import exception as cinder_exception
from cinder.volume import volume_utils
import ddt
from oslo_concurrency import processutils

from mydriver import exception
from mydriver.stores import copying, names
from mydriver.stores.reflink import store as reflink
from tests.contract import store as contract
from tests.fakes import cinder as fakes
from tests.fakes import filesystem

GIB = 1024 ** 3
MIB = 1024 ** 2


def cannot_share(source_fd, target_fd):
    """Fail as FICLONE does across filesystems."""
    raise OSError(errno.EXDEV, 'Invalid cross-device link')


@ddt.ddt
class MigrateTest(fakes.CinderTestCase):
    """migrate_volume."""

    def setUp(self):
        super().setUp()
        self.other_path = os.path.join(self.folder, 'other')
        os.mkdir(self.other_path)
        self.configure_two()

    def configure_two(self, enabled='disks, other', path=None):
        """Configure a second backend, named other."""
        self.configure(f"""
            [other]
            volume_driver = mydriver.cinder_volume.driver.LIODriver
            mydriver_store_path = {path or self.other_path}
            [DEFAULT]
            enabled_backends = {enabled}
        """)
        self.driver = self.started_driver()

    def host(self, info=None, name='storage@other#other'):
        """Return the destination as the scheduler gives it."""
        info = info or f'LIODriver:{socket.gethostname()}:{self.other_path}'
        return {'host': name, 'capabilities': {'location_info': info}}

    def created(self, data=b'data', **fields):
        """Return a new volume that holds some data."""
        volume = fakes.volume(**fields)
        self.driver.create_volume(volume)
        self.write(volume, data)
        return volume

    def migrate(self, volume, **host):
        """Migrate as the manager does; return whether it was done."""
        moved, update = self.driver.migrate_volume(
            fakes.context(), volume, self.host(**host))
        self.assertIsNone(update)
        return moved

    def other(self, volume):
        """Return the volume's file in the other store."""
        return os.path.join(self.other_path, f'volume-{volume.name_id}')

    @ddt.data('available', 'retyping', 'maintenance')
    def test_to_another_backend_of_the_host(self, status):
        volume = self.created(status=status, size=2)
        self.driver.create_export(None, volume, fakes.connector())
        self.assertIs(True, self.migrate(volume))
        self.assertEqual([], self.stored())
        self.assertEqual({}, self.driver.engine.exported())
        self.assertEqual(b'data', contract.read(self.other(volume), 4))
        self.assertEqual(2 * GIB, os.path.getsize(self.other(volume)))

    def test_a_migrated_volume_keeps_its_name_id(self):
        volume = self.created(_name_id=str(uuid.uuid4()))
        self.assertIs(True, self.migrate(volume))
        self.assertEqual([f'volume-{volume.name_id}'],
                         os.listdir(self.other_path))

    def test_bytes_are_copied_where_extents_cannot_be_shared(self):
        self.driver = self.started_driver()
        # From now on, stores are on different filesystems.
        self.driver.engine.clone = cannot_share
        volume = self.created()
        self.write(volume, b'more', 700 * MIB)
        self.write(volume, b'last', GIB - 4)
        self.assertIs(True, self.migrate(volume))
        self.assertEqual((b'data', b'more', b'last'), tuple(
            contract.read(self.other(volume), 4, at)
            for at in (0, 700 * MIB, GIB - 4)))
        found = os.stat(self.other(volume))
        self.assertEqual((GIB, 0o600), (found.st_size, found.st_mode & 0o777))
        self.assertLessEqual(found.st_blocks * 512, 4 * MIB, 'holes stay')

    def test_again_after_a_crash_before_the_end(self):
        volume = self.created()
        with open(self.other(volume), 'wb') as f:
            f.write(b'half of an earlier try')
        self.assertIs(True, self.migrate(volume))
        self.assertEqual(b'data\0', contract.read(self.other(volume), 5))

    def test_again_after_a_crash_at_the_end(self):
        volume = self.created()
        self.assertIs(True, self.migrate(volume))
        self.assertIs(True, self.migrate(volume))
        self.assertEqual(b'data', contract.read(self.other(volume), 4))

    def test_a_store_that_is_not_mounted_is_no_volume_that_moved(self):
        volume = self.created()
        with open(self.other(volume), 'wb') as f:
            f.write(b'half of an earlier try')
        # What is under the mount point: an empty directory of another kind.
        os.unlink(self.path(volume))
        self.driver.backend.store._obj._clone = cannot_share
        with self.assertRaisesRegex(
                cinder_exception.InvalidConfigurationValue,
                f'mydriver_store_path: {self.store_path}'):
            self.migrate(volume)

    @ddt.data(
        {'info': 'LIODriver:elsewhere:/srv/other'},
        {'info': 'LVMVolumeDriver:storage:vg:thin:0'},
        {'info': 'nonsense'},
        {'name': 'storage@unknown#other'},
    )
    def test_what_is_not_on_this_host_is_left_to_cinder(self, host):
        volume = self.created()
        self.assertIs(False, self.migrate(volume, **host))
        self.assertEqual(b'data', self.read(volume, 4))
        self.assertEqual([], os.listdir(self.other_path))

    def test_no_capabilities_are_no_place(self):
        volume = self.created()
        self.assertEqual((False, None), self.driver.migrate_volume(
            fakes.context(), volume, {'host': 'storage@other#other'}))

    def test_the_same_place_is_left_to_cinder(self):
        volume = self.created()
        self.assertIs(False, self.migrate(
            volume, info=str(self.driver.backend.place)))
        self.assertEqual(b'data', self.read(volume, 4))

    def test_a_path_that_is_not_configured_is_left_to_cinder(self):
        self.configure_two(path='/srv/third')
        volume = self.created()
        self.assertIs(False, self.migrate(volume))
        self.assertEqual(b'data', self.read(volume, 4))

    def test_a_backend_that_is_not_enabled_is_left_to_cinder(self):
        self.configure_two(enabled='disks')
        self.assertIs(False, self.migrate(self.created()))

    def test_a_volume_in_use_or_with_snapshots_is_left_to_cinder(self):
        mapped, kept = self.created(), self.created()
        self.driver.create_export(None, mapped, fakes.connector())
        self.driver.initialize_connection(mapped, fakes.connector())
        self.driver.records.with_snapshots.append(kept.id)
        for volume in (mapped, kept, self.created(status='in-use')):
            self.assertIs(False, self.migrate(volume))
            self.assertEqual(b'data', self.read(volume, 4))
        self.assertEqual(1, len(self.driver.engine.mapped()))
        self.assertEqual([], os.listdir(self.other_path))

    def test_the_same_folder_by_another_name_is_noticed(self):
        self.configure_two(path=f'{self.folder}/link')
        os.symlink(self.store_path, f'{self.folder}/link')
        volume = self.created()
        with self.assertRaisesRegex(cinder_exception.VolumeDriverException,
                                    'the same place'):
            self.migrate(volume, info=f'LIODriver:{socket.gethostname()}:'
                         f'{self.folder}/link')
        self.assertEqual(b'data', self.read(volume, 4))

    def as_root(self, execute, left=b''):
        """Migrate where only root may open the paths; return the rest.

        :param left: what an earlier try has left in the other store.
        """
        volume = self.created()
        self.write(volume, b'last', GIB - 4)
        if left:
            with open(self.other(volume), 'wb') as f:
                f.write(left)
        refused = mock.patch.object(copying, 'open', create=True,
                                    side_effect=PermissionError(13, 'no'))
        with refused, mock.patch.object(volume_utils.copy_volume,
                                        '__defaults__',
                                        (False, execute, None, None, False)):
            return volume, self.migrate(volume)

    def test_paths_of_root_are_copied_by_cinders_rootwrap(self):
        def execute(*command, run_as_root=False):
            self.assertIs(True, run_as_root)
            subprocess.run(command, check=True, capture_output=True)
        volume, moved = self.as_root(execute)
        self.assertIs(True, moved)
        self.assertEqual((b'data', b'last'), tuple(
            contract.read(self.other(volume), 4, at)
            for at in (0, GIB - 4)))
        found = os.stat(self.other(volume))
        self.assertEqual(GIB, found.st_size)
        self.assertLess(found.st_blocks * 512, 8 * MIB, 'sparse')
        self.assertEqual([], self.stored())

    def test_an_interrupted_copy_of_roots_paths_is_repeated(self):
        def execute(*command, run_as_root=False):
            subprocess.run(command, check=True, capture_output=True)
        volume, moved = self.as_root(execute, left=b'half of an earlier try')
        self.assertIs(True, moved)
        self.assertEqual(b'data\0', contract.read(self.other(volume), 5))
        self.assertEqual([], self.stored())

    def test_a_backing_in_the_way_of_roots_copy_is_not_deleted(self):
        def execute(*command, run_as_root=False):
            self.fail('nothing is to be copied')
        with mock.patch.object(copying.Copy, '_clear_target'), \
                self.assertRaisesRegex(
                    cinder_exception.VolumeDriverException, 'already'):
            self.as_root(execute, left=b'came meanwhile')
        found, = os.listdir(self.other_path)
        self.assertEqual(b'came', contract.read(
            os.path.join(self.other_path, found), 4))

    def test_without_rootwrap_it_is_left_to_cinder(self):
        def execute(*command, run_as_root=False):
            raise processutils.ProcessExecutionError('rootwrap: no')
        volume, moved = self.as_root(execute)
        self.assertIs(False, moved)
        self.assertEqual(b'data', self.read(volume, 4))
        self.assertEqual([], os.listdir(self.other_path))


class UpdateTest(fakes.CinderTestCase):
    """update_migrated_volume, called on the new volume's backend."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver()
        self.old = fakes.volume(host='elsewhere@disks#fast')
        self.new = fakes.volume(migration_status=f'target:{self.old.id}')
        self.driver.create_volume(self.new)
        self.write(self.new, b'moved')

    def update(self, status='available'):
        """Do what the manager does."""
        return self.driver.update_migrated_volume(
            fakes.context(), self.old, self.new, status)

    def test_the_backing_gets_the_volumes_name(self):
        self.driver.create_export(None, self.new, fakes.connector())
        for _ in range(2):
            self.assertEqual({'_name_id': None}, self.update())
        self.assertEqual(b'moved', self.read(self.old, 5))
        self.assertEqual([f'volume-{self.old.id}'],
                         self.stored())
        self.assertEqual({}, self.driver.engine.exported())

    def test_the_second_migration_of_a_volume(self):
        self.old = fakes.volume(_name_id=str(uuid.uuid4()))
        self.assertEqual({'_name_id': None}, self.update())
        self.assertEqual([f'volume-{self.old.id}'],
                         self.stored())

    def test_a_mapped_backing_keeps_its_name(self):
        # As after Nova's swap: the guest writes to the new one already.
        self.driver.create_export(None, self.new, fakes.connector())
        before = self.driver.initialize_connection(
            self.new, fakes.connector())
        self.assertEqual({'_name_id': self.new.id}, self.update('in-use'))
        self.assertEqual([(self.new.id, fakes.INITIATOR, False)],
                         self.driver.engine.mapped())
        moved = fakes.volume(id=self.old.id, _name_id=self.new.id)
        self.assertEqual(b'moved', self.read(moved, 5))
        self.assertEqual(before, self.driver.initialize_connection(
            moved, fakes.connector()))
        self.driver.extend_volume(moved, 2)
        self.assertEqual({self.new.id: 2 * GIB}, self.driver.engine.exported())

    def test_a_name_that_is_taken_stays_with_its_owner(self):
        self.driver.create_volume(self.old)
        self.write(self.old, b'other')
        self.assertEqual({'_name_id': self.new.id}, self.update())
        self.assertEqual((b'moved', b'other'), (
            self.read(self.new, 5), self.read(self.old, 5)))

    def test_a_lost_backing_is_an_error(self):
        os.unlink(self.path(self.new))
        with self.assertRaises(cinder_exception.VolumeDriverException):
            self.update()


class CopyTest(unittest.TestCase):
    """The steps of a copy."""

    def setUp(self):
        super().setUp()
        self.source = self.store(filesystem.copy)
        self.target = self.store(cannot_share)
        self.name = names.volume_name(str(uuid.uuid4()))
        self.source.create(self.name, 8 * MIB)
        self.path = self.source.device(self.name).path

    def store(self, clone):
        """Return a store in memory."""
        return reflink.ReflinkStore(filesystem.folder(self), clone)

    def test_in_small_steps(self):
        data = os.urandom(3 * MIB)
        contract.write(self.path, data, MIB)
        copy = copying.Copy(self.source, self.target, self.name)
        seen = []
        with copy.begun() as is_needed:
            self.assertIs(True, is_needed)
            while copy.step(MIB):
                seen.append(copy.done_bytes)
        self.assertEqual([2 * MIB, 3 * MIB, 4 * MIB], seen)
        self.assertEqual((8 * MIB, 3 * MIB), (
            copy.done_bytes, copy.written_bytes))
        self.assertEqual(
            contract.read(self.path, 8 * MIB),
            contract.read(self.target.device(self.name).path, 9 * MIB))

    def test_zeros_are_not_written(self):
        contract.write(self.path, bytes(8 * MIB))
        copy = copying.Copy(self.source, self.target, self.name)
        with copy.begun():
            while copy.step():
                pass
        self.assertEqual((8 * MIB, 0), (copy.done_bytes, copy.written_bytes))

    def test_an_empty_volume_is_a_hole(self):
        copy = copying.Copy(self.source, self.target, self.name)
        with copy.begun():
            self.assertIs(False, copy.step())
        self.assertEqual(8 * MIB, self.target.device(self.name).size_bytes)

    def test_a_failure_leaves_nothing(self):
        contract.write(self.path, b'data', 7 * MIB)
        copy = copying.Copy(self.source, self.target, self.name)
        with self.assertRaisesRegex(exception.StoreError, 'it ends at'), \
                copy.begun():
            os.truncate(self.path, 7 * MIB + 1)
            while copy.step():
                pass
        self.assertEqual((), self.target.names())

    def test_a_copy_that_is_stuck_is_given_up(self):
        copy = copying.Copy(self.source, self.target, self.name)
        with self.assertRaisesRegex(exception.WaitTimeout, '0 of 8388608'), \
                copy.begun():
            copy._deadline = 0
            copy.step()
        self.assertEqual((), self.target.names())
