# SPDX-License-Identifier: Apache-2.0
"""Volumes that are clones of images in Ceph, and all that must not be."""

import uuid

import ddt

from mydriver.cinder_volume import ceph_image
from mydriver.stores import base, imaging
from tests.fakes import cinder as fakes
from tests.fakes import native

FSID = native.FSID
GIB = 1024 ** 3


class ImageStore(native.NativeStore):
    """Files that stand for images in Ceph, one of which is Glance's."""

    traits = base.Traits(
        backstore='fileio', consistent_groups=False, thin=True,
        shares_files=True, copies_hold_writes=False,
        fixed_block_bytes=base.BLOCK_BYTES, needs_native_thread=False,
        native=True, clones_images=True)
    content = b'system'

    def clone_image(self, location, name, size_bytes):
        """Create a volume with the image's data."""
        if location != imaging.ImageLocation(FSID, 'images', 'one', 'snap'):
            return False
        self.create(name, size_bytes)
        with open(self.device(name).path, 'r+b') as f:
            f.write(self.content)
        return True

    def head(self, name, length):
        """Return the first bytes."""
        with open(self.device(name).path, 'rb') as f:
            return f.read(length)


class Engine(fakes.MemoryEngine):
    """What a driver is set up from."""

    def store_of(self, conf, name):
        """Return the store of a section."""
        return ImageStore(conf.safe_get('mydriver_store_path'))


@ddt.ddt
class CloneImageTest(fakes.CinderTestCase):
    """clone_image."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver(engine=Engine())
        self.url = f'rbd://{FSID}/images/one/snap'

    def clone(self, url=None, locations=None, **fields):
        """Do what the manager does; return volume and whether it was done."""
        volume = fakes.volume()
        image = {'id': str(uuid.uuid4()), 'size': 1024, 'properties': {},
                 'container_format': 'bare', 'disk_format': 'raw', **fields}
        return volume, self.driver.clone_image(
            fakes.context(), volume, (url or self.url, locations), image,
            None)[1]

    def test_the_volume_is_the_image_and_room(self):
        volume, cloned = self.clone()
        self.assertIs(True, cloned)
        self.assertEqual(b'system\0', self.read(volume, 7))
        self.assertIs(True, self.clone('http://x', [{'url': self.url}])[1])

    @ddt.data({'disk_format': 'qcow2'}, {'size': 2 * GIB}, {'size': None},
              {'properties': {'img_signature': 'x'}},
              {'url': f'rbd://{FSID}/images/two/snap'},
              {'url': f'rbd://{uuid.uuid4()}/images/one/snap'})
    def test_it_is_copied(self, fields):
        self.assertIs(False, self.clone(**fields)[1])
        self.assertEqual((), self.driver.backend.store.names())

    def test_contents_in_another_format_are_copied(self):
        self.driver.backend.store.content = b'QFI\xfb\0\0\0\3' + bytes(512)
        self.assertIs(False, self.clone()[1])
        self.assertEqual((), self.driver.backend.store.names())

    @ddt.data(
        'rbd://a/b/c', 'rbd://a/b/c/d/e', 'rbd://a//c/d', 'rbd://a/../c/d',
        'rbd://a/b%2Fx/c/d', 'rbd://a/b/c/d%20x', 'rbd://a/b/c/d%0a',
        'rbd://', 'rbd://one', 'file:///a/b/c/d', 'rbd://a/b/c/' + 'd' * 2000)
    def test_other_urls(self, url):
        self.assertEqual((), ceph_image.locations((url, None)))

    @ddt.data(None, (), (None,), (None, None), (1, [2, {}, {'url': 3}]))
    def test_odd_locations(self, location):
        self.assertEqual((), ceph_image.locations(location))

    def test_a_place(self):
        self.assertEqual(
            (imaging.ImageLocation(FSID, 'images', 'one', 'snap'),),
            ceph_image.locations((self.url, [{'url': self.url}])))
