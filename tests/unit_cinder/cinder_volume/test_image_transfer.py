# SPDX-License-Identifier: Apache-2.0
"""Images by Cinder's own code and the real qemu-img, on local files."""

import os
import pathlib
import subprocess
import sys
import textwrap
import unittest

from cinder import exception as cinder_exception
import ddt

from tests.fakes import cinder as fakes

GIB = 1024 ** 3
MIB = 1024 ** 2


def qemu_img(*args):
    """Run qemu-img."""
    subprocess.run(['qemu-img', *args], check=True, capture_output=True)


@ddt.ddt
class ImageTest(fakes.CinderTestCase):
    """copy_image_to_volume and copy_volume_to_image."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver()
        self.images = fakes.ImageService()

    def image(self, data, disk_format, size=None):
        """Return the id of an image that begins with some data."""
        raw = os.path.join(self.folder, 'raw')
        with open(raw, 'wb') as f:
            f.write(data)
            f.truncate(size or 8 * MIB)
        path = os.path.join(self.folder, 'image')
        qemu_img('convert', '-O', disk_format, raw, path)
        return self.images.add(pathlib.Path(path).read_bytes(), disk_format)

    def volume(self, size=1):
        """Return a new volume."""
        volume = fakes.volume(size)
        self.driver.create_volume(volume)
        return volume

    def fetch(self, volume, image_id, **kwargs):
        """Write an image to a volume as the manager has it done."""
        self.driver.copy_image_to_volume(
            fakes.context(), volume, self.images, image_id, **kwargs)

    @ddt.data('raw', 'qcow2')
    def test_an_image_arrives(self, disk_format):
        volume = self.volume(2)
        inode = os.stat(self.path(volume)).st_ino
        self.fetch(volume, self.image(b'system', disk_format))
        found = os.stat(self.path(volume))
        self.assertEqual(b'system', self.read(volume, 6))
        self.assertEqual(2 * GIB, found.st_size)
        self.assertEqual(bytes(MIB), self.read(volume, MIB, GIB))
        self.assertLess(found.st_blocks * 512, MIB, 'holes stay holes')
        self.assertEqual((0o600, inode),
                         (found.st_mode & 0o777, found.st_ino))
        self.assertEqual({}, self.driver.engine.exported())
        self.assertEqual([], os.listdir(f'{self.folder}/conversion'))

    def test_an_image_that_is_too_large_is_refused(self):
        volume = self.volume(1)
        with self.assertRaises(cinder_exception.ImageUnacceptable):
            self.fetch(volume, self.image(b'x', 'qcow2', 2 * GIB))
        self.assertEqual(GIB, os.path.getsize(self.path(volume)))

    def test_an_image_with_a_backing_file_is_refused(self):
        path = os.path.join(self.folder, 'evil')
        qemu_img('create', '-f', 'qcow2', '-F', 'raw', '-b', '/etc/passwd',
                 path, '1M')
        volume = self.volume()
        image_id = self.images.add(pathlib.Path(path).read_bytes(), 'qcow2')
        with self.assertRaises(cinder_exception.Invalid):
            self.fetch(volume, image_id)
        self.assertEqual(0, os.stat(self.path(volume)).st_blocks)

    def test_a_raw_upload_is_the_volume(self):
        volume = self.volume()
        self.write(volume, b'mine')
        image_id = self.images.add(b'', 'raw')
        self.driver.copy_volume_to_image(
            fakes.context(), volume, self.images,
            self.images.show(None, image_id))
        data = self.images.images[image_id]['data']
        self.assertEqual((b'mine', GIB), (data[:4], len(data)))

    def test_an_upload_is_converted(self):
        volume = self.volume()
        self.write(volume, b'mine', MIB)
        image_id = self.images.add(b'', 'qcow2')
        self.driver.copy_volume_to_image(
            fakes.context(), volume, self.images,
            self.images.show(None, image_id))
        copy = self.volume()
        self.fetch(copy, image_id)
        self.assertEqual(b'mine', self.read(copy, 4, MIB))
        self.assertLess(len(self.images.images[image_id]['data']), MIB)


class ModeTest(unittest.TestCase):
    """Both of cinder-volume's modes, each in a process of its own."""

    #: Two native threads use the pool one after the other, the first one
    #: still being there: what hangs for ever without our doing.
    SCRIPT = """
        import threading
        {patch}
        from eventlet import tpool
        from tests.fakes import cinder as fakes

        def work(case, driver, done, stay):
            image = fakes.ImageService()
            image_id = image.add(b'system' + bytes(4096 - 6))
            volume = fakes.volume()
            driver.create_volume(volume)
            driver.copy_image_to_volume(fakes.context(), volume, image,
                                        image_id)
            snapshot = fakes.snapshot(volume)
            driver.create_snapshot(snapshot)
            done.append(case.read(snapshot, 6))
            stay.wait(60)

        class Case(fakes.CinderTestCase):
            def runTest(self):
                driver = self.started_driver()
                done, stay = [], threading.Event()
                threads = [threading.Thread(
                    target=work, args=(self, driver, done, stay))
                    for _ in range(3)]
                for thread in threads:
                    thread.start()
                for _ in range(300):
                    if len(done) == 3 or not all(
                            t.is_alive() for t in threads):
                        break
                    threading.Event().wait(0.1)
                stay.set()
                self.assertEqual([b'system'] * 3, done)

        import os, sys, unittest
        result = unittest.TextTestRunner().run(Case())
        sys.stderr.flush()
        os._exit(not result.wasSuccessful())
    """

    def run_with(self, patch):
        """Run the script; return status and output."""
        script = textwrap.dedent(self.SCRIPT).format(patch=patch)
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', script], timeout=120,
            capture_output=True, text=True, check=False,
            cwd=pathlib.Path(__file__).parents[3])
        self.assertEqual(0, done.returncode, done.stderr)

    def test_native_threads(self):
        self.run_with('')

    def test_green_threads(self):
        self.run_with('import cinder.cmd.volume')
