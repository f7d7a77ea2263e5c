# SPDX-License-Identifier: Apache-2.0
"""Manage, unmanage and the lists of what could be managed."""

import os
import unittest
import uuid

from cinder import exception as cinder_exception
from cinder import objects
import ddt

from mydriver import exception
from mydriver.cinder_volume import manageable
from tests.fakes import cinder as fakes

GIB = 1024 ** 3
PAGE = (None, 100, 0, ['reference'], ['asc'])


def ref(name):
    """Return a reference as the API passes it."""
    return {'source-name': name}


@ddt.ddt
class ManageTest(fakes.CinderTestCase):
    """Volumes."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver()

    def foreign(self, name='web.raw', size_bytes=GIB // 2, data=b'data'):
        """Put a file into the store's directory."""
        path = os.path.join(self.store_path, name)
        with open(path, 'wb') as f:
            f.write(data)
            f.truncate(size_bytes)
        return path

    def created(self, **fields):
        """Return a new volume that Cinder knows."""
        volume = fakes.volume(**fields)
        self.driver.create_volume(volume)
        self.driver.records.volumes.append(volume)
        return volume

    def manage(self, name, volume=None):
        """Do what the manager does; return the volume."""
        volume = volume or fakes.volume(size=0)
        volume.size = self.driver.manage_existing_get_size(volume, ref(name))
        self.driver.manage_existing(volume, ref(name))
        return volume

    def test_a_file_becomes_a_volume(self):
        self.foreign(size_bytes=GIB + 1)
        volume = self.manage('web.raw')
        self.assertEqual(2, volume.size)
        self.assertEqual(2 * GIB, os.path.getsize(self.path(volume)))
        self.assertEqual(b'data', self.read(volume, 4))
        self.driver.manage_existing(volume, ref('web.raw'))
        self.assertEqual([f'volume-{volume.id}'], self.stored())

    def test_unmanage_and_manage_again(self):
        volume = self.created(size=3)
        self.write(volume, b'kept')
        self.driver.create_export(None, volume, fakes.connector())
        self.driver.remove_export(None, volume)
        for _ in range(2):
            self.driver.unmanage(volume)
        self.driver.records.volumes.clear()
        self.assertEqual([(f'volume-{volume.id}', True)], [
            (e['reference']['source-name'], e['safe_to_manage'])
            for e in self.driver.get_manageable_volumes([], *PAGE)])
        again = self.manage(f'volume-{volume.id}')
        self.assertEqual((3, b'kept'), (again.size, self.read(again, 4)))
        self.assertFalse(os.path.exists(self.path(volume)))

    def test_a_migrated_volume_is_left_under_its_own_id(self):
        volume = self.created(_name_id=str(uuid.uuid4()))
        self.write(volume, b'moved')
        self.driver.unmanage(volume)
        self.driver.unmanage(volume)
        self.driver.records.volumes.clear()
        again = self.manage(f'volume-{volume.id}')
        self.assertEqual(b'moved', self.read(again, 5))

    def test_a_mapped_volume_is_not_let_go(self):
        volume = self.created()
        self.driver.create_export(None, volume, fakes.connector())
        self.driver.initialize_connection(volume, fakes.connector())
        with self.assertRaises(cinder_exception.VolumeIsBusy):
            self.driver.unmanage(volume)
        self.assertEqual(1, len(self.driver.engine.mapped()))

    def test_what_is_managed_is_not_managed_twice(self):
        known = self.created()
        migrated = self.created(_name_id=str(uuid.uuid4()))
        for name_id in (known.id, migrated.name_id):
            with self.assertRaises(
                    cinder_exception.ManageExistingAlreadyManaged):
                self.manage(f'volume-{name_id}')
            with self.assertRaises(
                    cinder_exception.ManageExistingAlreadyManaged):
                self.driver.manage_existing(fakes.volume(),
                                            ref(f'volume-{name_id}'))
        self.assertEqual(2, len(self.stored()))

    def test_what_is_exported_is_not_managed(self):
        volume = self.created()
        self.driver.create_export(None, volume, fakes.connector())
        self.driver.records.volumes.clear()
        with self.assertRaisesRegex(
                cinder_exception.ManageExistingInvalidReference, 'exported'):
            self.manage(f'volume-{volume.id}')
        entry, = self.driver.get_manageable_volumes([], *PAGE)
        self.assertEqual((False, 'it is exported'), (
            entry['safe_to_manage'], entry['reason_not_safe']))

    @ddt.data('', '.', '..', '../etc/passwd', '/etc/passwd', 'a/b', '.hidden',
              'missing', f'volume-{uuid.UUID(int=1)}', 'web.raw\n', None, 7,
              'link', 'folder', 'pipe')
    def test_nothing_but_plain_files_of_the_folder(self, name):
        os.symlink('/etc/passwd', os.path.join(self.store_path, 'link'))
        os.mkdir(os.path.join(self.store_path, 'folder'))
        os.mkfifo(os.path.join(self.store_path, 'pipe'))
        self.foreign('.hidden')
        before = self.stored()
        for call in (self.driver.manage_existing_get_size,
                     self.driver.manage_existing):
            with self.assertRaises(
                    cinder_exception.ManageExistingInvalidReference):
                call(fakes.volume(), ref(name))
        self.assertEqual(before, self.stored())

    @ddt.data(None, 'web.raw', {}, {'source-id': 'web.raw'}, ['web.raw'])
    def test_a_reference_of_another_form_is_refused(self, reference):
        self.foreign()
        with self.assertRaisesRegex(
                cinder_exception.ManageExistingInvalidReference,
                'source-name'):
            self.driver.manage_existing_get_size(fakes.volume(), reference)

    def test_a_file_with_two_names_is_refused_with_the_reason(self):
        os.link(self.foreign(), os.path.join(self.store_path, 'other'))
        with self.assertRaisesRegex(
                cinder_exception.ManageExistingInvalidReference,
                'hard links'):
            self.manage('web.raw')

    def test_a_full_store_is_not_the_references_fault(self):
        path = self.foreign()

        def full(*_args):
            raise exception.StoreFull(self.store_path, GIB, 0)
        self.driver.backend.store._obj.adopt = full
        with self.assertRaisesRegex(cinder_exception.VolumeDriverException,
                                    'bytes free'):
            self.manage('web.raw')
        self.assertTrue(os.path.exists(path))

    def test_the_list(self):
        mine, moved = self.created(), self.created(
            size=2, _name_id=str(uuid.uuid4()))
        self.foreign(size_bytes=5 * GIB)
        os.link(self.foreign('one'), os.path.join(self.store_path, 'two'))
        found = {e['reference']['source-name']: (
            e['size'], e['safe_to_manage'], e['reason_not_safe'],
            e['cinder_id']) for e in self.driver.get_manageable_volumes(
                self.driver.records.volumes, *PAGE)}
        linked = (1, False, 'it has more than one name (hard links)', None)
        self.assertEqual({
            f'volume-{mine.id}': (1, False, 'already managed', mine.id),
            f'volume-{moved.name_id}': (2, False, 'already managed',
                                        moved.id),
            'web.raw': (5, True, None, None),
            'one': linked, 'two': linked}, found)

    def test_a_page_of_the_list(self):
        for size in (3, 1, 2):
            self.foreign(f'disk{size}', size * GIB)
        first = self.driver.get_manageable_volumes(
            [], None, 2, 0, ['size'], ['desc'])
        rest = self.driver.get_manageable_volumes(
            [], first[-1]['reference'], 2, 0, ['size'], ['desc'])
        self.assertEqual([[3, 2], [1]], [
            [e['size'] for e in page] for page in (first, rest)])
        objects.ManageableVolumeList.from_primitives(
            fakes.context(), first + rest)


class ManageSnapshotTest(fakes.CinderTestCase):
    """Snapshots."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver()
        self.volume = fakes.volume(2)
        self.driver.create_volume(self.volume)
        self.driver.records.volumes.append(self.volume)
        self.write(self.volume, b'before')
        self.snapshot = fakes.snapshot(self.volume)
        self.driver.create_snapshot(self.snapshot)

    def test_unmanage_and_manage_again(self):
        self.driver.unmanage_snapshot(self.snapshot)
        again = fakes.snapshot(self.volume)
        name = ref(f'snapshot-{self.snapshot.id}')
        self.assertEqual(2, self.driver.manage_existing_snapshot_get_size(
            again, name))
        for _ in range(2):
            self.driver.manage_existing_snapshot(again, name)
        self.assertEqual(b'before', self.read(again, 6))
        self.assertFalse(os.path.exists(self.path(self.snapshot)))
        self.write(self.volume, b'after!')
        self.driver.revert_to_snapshot(None, self.volume, again)
        self.assertEqual(b'before', self.read(self.volume, 6))

    def test_what_is_managed_is_not_managed_twice(self):
        self.driver.records.snapshot_ids.append(self.snapshot.id)
        with self.assertRaises(
                cinder_exception.ManageExistingAlreadyManaged):
            self.driver.manage_existing_snapshot(
                fakes.snapshot(self.volume),
                ref(f'snapshot-{self.snapshot.id}'))

    def test_larger_than_its_volume_is_refused(self):
        small = fakes.volume(1)
        self.driver.create_volume(small)
        with self.assertRaisesRegex(
                cinder_exception.ManageExistingInvalidReference,
                'its volume only 1'):
            self.driver.manage_existing_snapshot_get_size(
                fakes.snapshot(small), ref(f'snapshot-{self.snapshot.id}'))

    def test_the_list(self):
        other = fakes.snapshot(self.volume)
        self.driver.create_snapshot(other)
        entries = self.driver.get_manageable_snapshots(
            [self.snapshot], *PAGE)
        self.assertEqual({
            f'snapshot-{self.snapshot.id}':
            (2, False, self.snapshot.id, f'volume-{self.volume.id}'),
            f'snapshot-{other.id}': (2, True, None, None),
        }, {e['reference']['source-name']: (
            e['size'], e['safe_to_manage'], e['cinder_id'],
            e['source_reference']['source-name']) for e in entries})
        objects.ManageableSnapshotList.from_primitives(
            fakes.context(), entries)


class InventoryTest(unittest.TestCase):
    """What needs no Cinder."""

    def test_sizes_are_rounded_up(self):
        self.assertEqual([1, 1, 2], [manageable.size_gib(n) for n in (
            1, GIB, GIB + 1)])
