# SPDX-License-Identifier: Apache-2.0
"""Volumes that share an image's extents, and all that must not be shared."""

import errno
import os
import pathlib
import subprocess
from unittest import mock
import uuid

from cinder import exception as cinder_exception
from cinder.image import image_utils
import ddt
from oslo_config import cfg

from mydriver import exception
from mydriver.cinder_volume import local_image
from tests.fakes import cinder as fakes
from tests.fakes import filesystem

GIB = 1024 ** 3
MIB = 1024 ** 2


@ddt.ddt
class CloneImageTest(fakes.CinderTestCase):
    """clone_image, with images that the real qemu-img makes."""

    def setUp(self):
        super().setUp()
        self.configure("""
            [DEFAULT]
            allowed_direct_url_schemes = file
        """)
        self.driver = self.started_driver()
        self.image_id = str(uuid.uuid4())
        self.glance = os.path.join(self.folder, 'glance')
        os.mkdir(self.glance)
        self.file = os.path.join(self.glance, self.image_id)

    def image(self, data=b'system', size_bytes=8 * MIB, **fields):
        """Put an image into Glance's directory; return its record."""
        with open(self.file, 'wb') as f:
            f.write(data)
            f.truncate(size_bytes)
        return {'id': self.image_id, 'size': size_bytes,
                'container_format': 'bare', 'disk_format': 'raw',
                'properties': {}, **fields}

    def clone(self, image, url=None, locations=None):
        """Do what the manager does; return volume and whether it was done."""
        volume = fakes.volume()
        update, cloned = self.driver.clone_image(
            fakes.context(), volume,
            (url or f'file://{self.file}', locations), image, None)
        self.assertIsNone(update)
        return volume, cloned

    def assert_copied(self, why, *args, **kwargs):
        """Cinder has to fetch the image; the log says why."""
        with self.assertLogs('mydriver', 'DEBUG') as logged:
            self.assertIs(False, self.clone(*args, **kwargs)[1])
        self.assertRegex('\n'.join(logged.output),
                         f'gets a copy of its image: .*{why}')
        self.assertEqual([], self.stored())

    def test_the_volume_is_the_image_and_room(self):
        volume, cloned = self.clone(self.image())
        self.assertIs(True, cloned)
        found = os.stat(self.path(volume))
        self.assertEqual(b'system\0', self.read(volume, 7))
        self.assertEqual((GIB, 0o600), (found.st_size, found.st_mode & 0o777))
        self.write(volume, b'guest!')
        self.assertEqual(b'system', pathlib.Path(self.file).read_bytes()[:6])

    def test_one_of_the_locations_will_do(self):
        self.assertIs(True, self.clone(
            self.image(), 'http://192.0.2.1/image',
            [{'url': 'cinder://fast/1'}, {'url': f'file://{self.file}'}])[1])

    @ddt.data(None, (None, None), ('http://192.0.2.1/x', []),
              ('cinder://fast/volume', [{'url': 'rbd://a/b/c/d'}]),
              ('file://storage9/srv/x', None))
    def test_images_elsewhere_are_left_to_cinder(self, location):
        self.assertEqual((None, False), self.driver.clone_image(
            fakes.context(), fakes.volume(), location, self.image(), None))

    def test_only_when_the_operator_allows_it(self):
        cfg.CONF.set_override('allowed_direct_url_schemes', [])
        self.addCleanup(cfg.CONF.clear_override,
                        'allowed_direct_url_schemes')
        self.assert_copied('lacks file', self.image())

    @ddt.data(
        ({'disk_format': 'qcow2'}, 'not bare/raw'),
        ({'container_format': 'compressed'}, 'not bare/raw'),
        ({'size': 2 * GIB}, 'the volume 1073741824'),
        ({'size': 0}, '0 bytes'),
        ({'size': None}, 'None bytes'),
        ({'size': 8 * MIB + 1}, 'the image 8388609'),
        ({'properties': {'img_signature': 'x'}}, 'signed'),
        ({'id': str(uuid.UUID(int=7))}, 'not named after the image'),
    )
    @ddt.unpack
    def test_a_record_that_does_not_fit(self, fields, why):
        self.assert_copied(why, self.image(**fields))

    def test_a_qcow2_that_is_said_to_be_raw(self):
        subprocess.run(['qemu-img', 'create', '-f', 'qcow2', self.file, '1G'],
                       check=True, capture_output=True)
        size_bytes = os.path.getsize(self.file)
        self.assert_copied('are not raw', {
            'id': self.image_id, 'size': size_bytes, 'properties': {},
            'container_format': 'bare', 'disk_format': 'raw'})

    def test_a_backing_file_is_never_followed(self):
        subprocess.run(['qemu-img', 'create', '-f', 'qcow2', '-F', 'raw',
                        '-b', '/etc/passwd', self.file, '1G'],
                       check=True, capture_output=True)
        self.assert_copied('are not raw', {
            'id': self.image_id, 'size': os.path.getsize(self.file),
            'container_format': 'bare', 'disk_format': 'raw'})

    def test_links_are_not_followed(self):
        image = self.image()
        os.rename(self.file, self.file + '.real')
        os.symlink(self.file + '.real', self.file)
        self.assert_copied('symbolic link', image)
        os.unlink(self.file)
        os.link(self.file + '.real', self.file)
        self.assert_copied('hard links', image)
        os.unlink(self.file)
        os.rename(self.file + '.real', self.file)
        os.symlink(self.glance, f'{self.folder}/link')
        self.assert_copied('symbolic link', image,
                           f'file://{self.folder}/link/{self.image_id}')
        self.assert_copied(
            'symbolic link', image,
            f'file://{self.glance}/../glance/{self.image_id}')

    def test_special_files_are_not_opened_for_good(self):
        image = self.image()
        os.unlink(self.file)
        self.assert_copied('cannot be opened', image)
        os.mkfifo(self.file)
        self.assert_copied('not a regular file', image)
        os.unlink(self.file)
        os.mkdir(self.file)
        self.assert_copied('not a regular file', image)
        self.assert_copied('cannot be opened', image, 'file:///a%00b')

    def test_a_file_that_others_had_a_hand_in(self):
        image = self.image()
        os.chmod(self.file, 0o666)
        self.assert_copied('everybody', image)
        os.chmod(self.file, 0o640)
        if os.geteuid() == 0:
            os.chown(self.glance, filesystem.NOBODY, -1)
            self.assert_copied('belongs to user id', image)

    def test_a_volume_of_the_store_is_no_image(self):
        victim = fakes.volume()
        self.driver.create_volume(victim)
        image = {'id': f'volume-{victim.id}', 'size': GIB, 'properties': {},
                 'container_format': 'bare', 'disk_format': 'raw'}
        other = {**image, 'id': victim.id}
        self.assertIs(False, self.clone(
            other, f'file://{self.path(victim)}')[1])
        self.assertEqual([f'volume-{victim.id}'],
                         self.stored())

    def test_another_filesystem(self):
        self.driver.backend.store._obj._clone = filesystem.failing(18)  # EXDEV
        self.assert_copied('not on the filesystem', self.image())

    def test_a_full_store_is_an_error(self):
        self.driver.backend.store._obj._clone = filesystem.failing(
            errno.ENOSPC)
        with self.assertRaisesRegex(
                cinder_exception.VolumeDriverException,
                'bytes free'):
            self.clone(self.image())
        self.assertEqual([], self.stored())

    def test_qemu_img_is_not_needed(self):
        with mock.patch.dict(os.environ, PATH='/nonexistent'):
            self.assertIs(True, self.clone(self.image())[1])

    def test_what_cannot_be_read_is_left_to_cinder(self):
        with mock.patch.object(image_utils, 'get_image_format',
                               side_effect=PermissionError(13, 'denied')):
            self.assert_copied('denied', self.image())

    def test_what_goes_wrong_while_checking_leaves_nothing(self):
        def interrupt(name):
            raise KeyboardInterrupt
        self.driver.backend.store._obj.device = interrupt
        with self.assertRaises(KeyboardInterrupt):
            self.clone(self.image())
        self.assertEqual([], self.stored())

    def test_the_error_says_which_image(self):
        with self.assertRaisesRegex(exception.ImageNotShareable, 'Image 1'):
            local_image.check_record({'id': '1'}, GIB)
