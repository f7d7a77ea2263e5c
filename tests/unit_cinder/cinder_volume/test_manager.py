# SPDX-License-Identifier: Apache-2.0
"""What Cinder's own manager makes of the driver, from end to end."""

import os
import socket
import threading
import uuid

from cinder import objects

from mydriver.cinder_volume import manage
from tests.fakes import cinder_manager as managing

GIB = 1024 ** 3
MIB = 1024 ** 2


class RevertTest(managing.ManagerTestCase):
    """Revert to a snapshot."""

    def test_revert(self):
        volume = self.created()
        self.write(volume, b'before')
        snapshot = self.snapshot_of(volume)
        self.disks.driver.extend_volume(volume, 2)
        self.write(volume, b'after!')
        volume.update({'status': 'reverting', 'size': 2})
        volume.save()
        snapshot.update({'status': 'restoring'})
        snapshot.save()
        self.disks.revert_to_snapshot(self.context, volume, snapshot)
        volume.refresh()
        snapshot.refresh()
        self.assertEqual(('available', 'available'),
                         (volume.status, snapshot.status))
        self.assertEqual(b'before', self.read(volume, 6))
        self.assertEqual(2 * GIB, os.path.getsize(self.path(volume)))
        self.assertEqual(2, len(self.files()), 'no temporary snapshot')


class ManageTest(managing.ManagerTestCase):
    """Unmanage and manage, as in tempest's test_volume_manage."""

    def test_volume(self):
        volume = self.created(size=2)
        self.write(volume, b'kept')
        self.disks.delete_volume(self.context, volume, unmanage_only=True)
        self.assertEqual([f'volume-{volume.id}'], self.files())
        listed, = self.disks.get_manageable_volumes(
            self.context, None, 10, 0, ['reference'], ['asc'])
        self.assertIs(True, listed['safe_to_manage'])
        again = self.record(self.disks, size=0, status='managing')
        self.disks.manage_existing(self.context, again, listed['reference'])
        again.refresh()
        self.assertEqual(('available', 2), (again.status, again.size))
        self.assertEqual(b'kept', self.read(again, 4))
        listed, = self.disks.get_manageable_volumes(
            self.context, None, 10, 0, ['reference'], ['asc'])
        self.assertEqual((again.id, 'already managed'), (
            listed['cinder_id'], listed['reason_not_safe']))

    def test_snapshot(self):
        volume = self.created()
        self.write(volume, b'before')
        snapshot = self.snapshot_of(volume)
        snapshot.refresh()
        self.disks.delete_snapshot(self.context, snapshot,
                                   unmanage_only=True)
        self.assertEqual(2, len(self.files()))
        again = objects.Snapshot(
            self.context, volume_id=volume.id, status='creating',
            user_id=managing.PROJECT, project_id=managing.PROJECT,
            volume_size=1, volume_type_id=self.type.id, metadata={})
        again.create()
        self.disks.manage_existing_snapshot(
            self.context, again, {'source-name': f'snapshot-{snapshot.id}'})
        again.refresh()
        self.assertEqual(('available', 1), (again.status, again.volume_size))
        self.assertEqual(b'before', self.read(again, 6))
        listed, = self.disks.get_manageable_snapshots(
            self.context, None, 10, 0, ['reference'], ['asc'])
        self.assertEqual((again.id, f'volume-{volume.id}'), (
            listed['cinder_id'], listed['source_reference']['source-name']))

    def test_what_cinder_has_anywhere_is_refused(self):
        elsewhere = self.record(self.other)
        snapshot = self.snapshot_of(self.created())
        part = self.disks.driver.parts[manage.Manage]
        for kind, record in (('volume', elsewhere), ('snapshot', snapshot)):
            self.assertIs(True, part._is_managed(kind, record.id), kind)
            self.assertIs(False, part._is_managed(kind, self.type.id), kind)

    def test_the_backing_of_a_migrated_volume_is_known_wherever_it_is(self):
        volume, name_id = self.created(), str(uuid.uuid4())
        os.rename(self.path(volume), f'{self.store_path}/volume-{name_id}')
        volume.update({'_name_id': name_id, 'host': 'renamed@disks#fast'})
        volume.save()
        listed, = self.disks.get_manageable_volumes(
            self.context, None, 10, 0, ['reference'], ['asc'])
        self.assertEqual((False, 'already managed'), (
            listed['safe_to_manage'], listed['reason_not_safe']))


class MigrateTest(managing.ManagerTestCase):
    """Migration between two backends of one host."""

    def destination(self):
        """Return the other backend as the scheduler gives it."""
        self.assertIn(socket.gethostname(),
                      str(self.other.driver.backend.place))
        return {'host': f'{self.other.host}#slow', 'cluster_name': None,
                'capabilities': self.other.driver.get_volume_stats(
                    refresh=True)['pools'][0]}

    def test_the_driver_does_it(self):
        volume = self.created(size=2)
        self.write(volume, b'data')
        self.disks.migrate_volume(self.context, volume, self.destination())
        volume.refresh()
        self.assertEqual(
            (f'{self.other.host}#slow', 'success', 'available', None),
            (volume.host, volume.migration_status, volume.status,
             volume._name_id))
        self.assertEqual(([], [f'volume-{volume.id}']),
                         (self.files(), self.files(self.other)))
        self.other.driver.create_export(None, volume, {})
        self.assertEqual({volume.id: 2 * GIB},
                         self.other.driver.engine.exported())

    def test_a_retype_to_the_other_backend(self):
        volume = self.created()
        self.write(volume, b'data')
        other = objects.VolumeType(
            self.context, name=f'slow-{volume.id}', is_public=True,
            extra_specs={'volume_backend_name': 'slow'}, projects=[],
            description='')
        other.create()
        volume.update({'status': 'retyping', 'previous_status': 'available'})
        volume.save()
        self.disks.retype(self.context, volume, other.id, self.destination(),
                          migration_policy='on-demand')
        volume.refresh()
        self.assertEqual(
            (f'{self.other.host}#slow', other.id, 'available'),
            (volume.host, volume.volume_type_id, volume.status))
        self.assertEqual(([], [f'volume-{volume.id}']),
                         (self.files(), self.files(self.other)))

    def test_the_end_of_cinders_own_migration(self):
        volume, new = self.created(), self.created(self.other)
        with open(f'{self.folder}/other/volume-{new.id}', 'r+b') as f:
            f.write(b'copied')
        self.other.update_migrated_volume(self.context, volume, new,
                                          'available')
        volume.refresh()
        new.refresh()
        left = volume.finish_volume_migration(new)
        self.assertEqual((self.other.host, None), (
            volume.host.partition('#')[0], volume._name_id))
        with open(f'{self.folder}/other/volume-{volume.id}', 'rb') as f:
            self.assertEqual(b'copied', f.read(6))
        # What the manager asks for at the end, on the old backend.
        self.assertEqual(self.disks.host, left.host.partition('#')[0])
        self.disks.delete_volume(self.context, left)
        self.assertEqual(([], [f'volume-{volume.id}']),
                         (self.files(), self.files(self.other)))

    def test_volumes_with_snapshots_stay(self):
        volume = self.created()
        records = self.disks.driver.records
        self.assertIs(False, records.has_snapshots(volume.id))
        self.snapshot_of(volume)
        self.assertIs(True, records.has_snapshots(volume.id))


class ImageTest(managing.ManagerTestCase):
    """Volumes from images, by way of Cinder's own flow."""

    options = 'image_volume_cache_enabled = True'

    def from_image(self, image_id, **fields):
        """Return a new volume from an image."""
        return self.created(request={'image_id': image_id}, **fields)

    def test_a_raw_image_on_the_same_filesystem(self):
        image_id = self.images.add(b'system' + bytes(MIB))
        volume = self.from_image(image_id, size=2)
        self.assertEqual(b'system', self.read(volume, 6))
        self.assertEqual(2 * GIB, os.path.getsize(self.path(volume)))
        self.assertEqual(0, self.images.downloads)

    def test_an_image_is_cached(self):
        self.images.shown = False
        image_id = self.images.add(b'system' + bytes(MIB))
        first = self.from_image(image_id, size=2)
        self.assertEqual(1, self.images.downloads)
        second = self.from_image(image_id, size=3)
        self.assertEqual(1, self.images.downloads)
        for volume in (first, second):
            self.assertEqual(b'system', self.read(volume, 6))
            self.assertEqual(volume.size * GIB,
                             os.path.getsize(self.path(volume)))
        self.assertEqual(3, len(self.files()), 'and the cached one')

    def test_images_in_several_threads(self):
        # Each thread stays while the next one works; see test_modes.
        self.images.shown, made, stay = False, [], threading.Event()

        def work():
            image_id = self.images.add(b'system' + bytes(MIB))
            made.append(self.from_image(image_id))
            stay.wait(60)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for number, thread in enumerate(threads):
            thread.start()
            for _ in range(600):
                if len(made) > number or not thread.is_alive():
                    break
                threading.Event().wait(0.1)
        stay.set()
        self.assertEqual([b'system'] * 3, [self.read(v, 6) for v in made])
        self.assertEqual(3, self.images.downloads)

    def test_an_image_that_is_a_volume(self):
        source = self.created()
        self.write(source, b'system')
        image_id = self.images.add(bytes(MIB))
        self.images.get_location = lambda *_: (f'cinder://{source.id}', None)
        volume = self.from_image(image_id, size=2)
        self.assertEqual(b'system', self.read(volume, 6))
        self.assertEqual(2 * GIB, os.path.getsize(self.path(volume)))
        self.assertEqual(0, self.images.downloads)


class DependantsTest(managing.ManagerTestCase):
    """Volumes made from others, and the end of what they came from."""

    def test_delete_with_dependants(self):
        source = self.created()
        self.write(source, b'origin')
        snapshot = self.snapshot_of(source)
        restored = self.created(
            size=2, snapshot_id=snapshot.id,
            request={'snapshot_id': snapshot.id})
        clone = self.created(size=3, source_volid=source.id,
                             request={'source_volid': source.id})
        source.refresh()
        snapshot.refresh()
        self.disks.delete_snapshot(self.context, snapshot)
        self.disks.delete_volume(self.context, source)
        self.assertEqual(sorted(f'volume-{v.id}' for v in (restored, clone)),
                         self.files())
        for volume in (restored, clone):
            self.assertEqual(b'origin', self.read(volume, 6))
            self.assertEqual(volume.size * GIB,
                             os.path.getsize(self.path(volume)))

    def test_delete_with_its_snapshots(self):
        volume = self.created()
        for _ in range(2):
            snapshot = self.snapshot_of(volume)
            snapshot.status = 'deleting'
            snapshot.save()
        self.disks.delete_volume(self.context, volume, cascade=True)
        self.assertEqual([], self.files())
