# SPDX-License-Identifier: Apache-2.0
"""Nothing is moved to a backend with another logical block size."""

import os
from unittest import mock

from cinder import exception as cinder_exception
import ddt

from mydriver.stores.reflink import store as reflink
from tests.contract import store as contract
from tests.fakes import cinder as fakes

MIB = 1024 ** 2


class BlocksCase(fakes.CinderTestCase):
    """A driver whose store shows blocks of some size."""

    options = ''

    def setUp(self):
        super().setUp()
        self.configure(self.options)
        shown = mock.patch.object(reflink.ReflinkStore, 'block_bytes',
                                  return_value=512)
        self.shown = shown.start()
        self.addCleanup(shown.stop)
        self.driver = self.started_driver()
        self.images = fakes.ImageService()

    def refused(self, call, *args, **kwargs):
        """Make sure that a call fails, says why, and leaves nothing."""
        before = self.stored()
        with self.assertRaises(
                cinder_exception.VolumeDriverException) as caught:
            call(*args, **kwargs)
        for text in ('512', '4096', 'mydriver_block_bytes'):
            self.assertIn(text, str(caught.exception))
        self.assertEqual(before, self.stored())

    def image(self, block_bytes=None, data=b'system' * 512):
        """Return the id of an image, perhaps with the property."""
        image_id = self.images.add(data)
        if block_bytes is not None:
            self.images.images[image_id]['properties'][
                'mydriver_block_bytes'] = block_bytes
        return image_id

    def fetched(self, image_id):
        """Make a volume of an image as Cinder does; return it."""
        volume, image = fakes.volume(), self.images.show(None, image_id)
        self.assertEqual((None, False), self.driver.clone_image(
            fakes.context(), volume, (None, None), image, self.images))
        self.driver.create_volume(volume)
        self.driver.copy_image_to_volume(fakes.context(), volume,
                                         self.images, image_id)
        return volume

    def uploaded(self):
        """Upload a volume; return the image."""
        volume, image_id = fakes.volume(), self.images.add(b'')
        self.images.images[image_id]['properties']['os_type'] = 'linux'
        self.driver.create_volume(volume)
        self.write(volume, b'data')
        self.driver.copy_volume_to_image(
            fakes.context(), volume, self.images, self.images.show(
                None, image_id))
        return self.images.images[image_id]


@ddt.ddt
class ImageTest(BlocksCase):
    """Images, which most often are made for 512-byte blocks."""

    def test_a_usual_image_is_refused_where_blocks_are_large(self):
        self.shown.return_value = 4096
        image_id = self.image()
        self.refused(self.driver.clone_image, fakes.context(),
                     fakes.volume(), (None, None),
                     self.images.show(None, image_id), self.images)
        # Of encrypted volumes Cinder does not ask clone_image.
        volume = fakes.volume()
        self.driver.create_volume(volume)
        for fetch in (self.driver.copy_image_to_volume,
                      self.driver.copy_image_to_encrypted_volume):
            self.refused(fetch, fakes.context(), volume, self.images,
                         image_id)
        self.assertEqual({}, self.driver.engine.exported())
        self.assertEqual(bytes(6), self.read(volume, 6))

    def test_one_for_large_blocks_is_taken_there_alone(self):
        image_id = self.image('4096')
        self.refused(self.fetched, image_id)
        self.shown.return_value = 4096
        self.assertEqual(b'system', self.read(self.fetched(image_id), 6))

    def test_a_usual_image_is_taken_where_blocks_are_usual(self):
        for image_id in (self.image(), self.image('512'), self.image(512)):
            self.assertEqual(b'system', self.read(self.fetched(image_id), 6))

    @ddt.data('', 'large', '4097', '0', '-512', '\uff14096', 'x' * 60)
    def test_a_property_that_says_nothing_is_refused(self, value):
        with self.assertRaises(
                cinder_exception.VolumeDriverException) as caught:
            self.fetched(self.image(value))
        self.assertIn('not one of 512', str(caught.exception))
        self.assertLess(len(str(caught.exception)), 500)

    def test_an_image_of_a_volume_says_what_it_was_made_for(self):
        self.assertEqual({'os_type': 'linux'}, self.uploaded()['properties'])
        self.shown.return_value = 4096
        image = self.uploaded()
        self.assertEqual(
            {'os_type': 'linux', 'mydriver_block_bytes': '4096'},
            image['properties'])
        self.assertEqual(b'data', image['data'][:4])


class VolumeTest(BlocksCase):
    """Volumes on their way to another backend."""

    def host(self, block_bytes):
        """Return a destination that says what it has, or does not."""
        return {'host': 'elsewhere@other#other', 'capabilities': {
            'mydriver_block_bytes': block_bytes} if block_bytes else {}}

    def test_a_migration_to_other_blocks_is_refused(self):
        volume = fakes.volume()
        self.driver.create_volume(volume)
        self.write(volume, b'kept')
        self.refused(self.driver.migrate_volume, fakes.context(), volume,
                     self.host('4096'))
        for block_bytes in ('512', None):
            self.assertEqual((False, None), self.driver.migrate_volume(
                fakes.context(), volume, self.host(block_bytes)))
        self.shown.return_value = 4096
        for block_bytes in ('512', None):
            self.refused(self.driver.migrate_volume, fakes.context(), volume,
                         self.host(block_bytes))
        self.assertEqual((False, None), self.driver.migrate_volume(
            fakes.context(), volume, self.host('4096')))
        self.assertEqual(b'kept', self.read(volume, 4))

    def test_so_is_the_far_end_of_one(self):
        # As of a volume in use, or a forced copy: the near end is not asked.
        for geometry, shown, fits in (
                ('512 512', 512, True), (None, 512, True),
                ('4096 4096', 4096, True), ('4096 512', 512, True),
                ('4096 4096', 512, False), ('512 512', 4096, False),
                (None, 4096, False), ('nonsense', 4096, False)):
            self.shown.return_value = shown
            end = fakes.volume(migration_status='target:volume',
                               provider_geometry=geometry)
            if fits:
                self.driver.create_volume(end)
            else:
                self.refused(self.driver.create_volume, end)
        self.driver.create_volume(fakes.volume(provider_geometry='512 512'))

    def test_volumes_bear_their_block_size(self):
        self.shown.return_value = 4096
        known = {'provider_geometry': '4096 4096'}
        volume = fakes.volume(provider_geometry=None)
        snapshot = fakes.snapshot(volume)
        self.assertEqual(known, self.driver.create_volume(volume))
        self.driver.create_snapshot(snapshot)
        self.assertEqual(known, self.driver.create_cloned_volume(
            fakes.volume(), volume))
        self.assertEqual(known, self.driver.create_volume_from_snapshot(
            fakes.volume(), snapshot))
        # One of an earlier version, and the next time.
        self.assertEqual(known, self.driver.create_export(
            None, volume, fakes.connector()))
        volume.update(known)
        self.assertIsNone(self.driver.create_export(
            None, volume, fakes.connector()))

    def test_it_is_reported(self):
        for shown in (512, 4096):
            self.shown.return_value = shown
            pool, = self.driver.get_volume_stats(True)['pools']
            self.assertEqual(str(shown), pool['mydriver_block_bytes'])


class UncheckedTest(BlocksCase):
    """The operator knows that only guests of QEMU use the volumes."""

    options = 'mydriver_check_block_size = False'

    def test_all_of_it_is_done(self):
        self.shown.return_value = 4096
        self.assertEqual(b'system', self.read(self.fetched(self.image()), 6))
        end = fakes.volume(migration_status='target:volume')
        with self.assertLogs('mydriver', 'WARNING') as logged:
            self.driver.create_volume(end)
        self.assertIn('blocks of 4096', logged.output[0])
        self.assertTrue(os.path.exists(self.path(end)))
        self.assertEqual(bytes(4), contract.read(self.path(end), 4))
