# SPDX-License-Identifier: Apache-2.0
"""Revert, manage, image clones and migration on the real kernel.

Volumes are attached before and after by Cinder's own means, so that what the
target shows is what was asked for.
"""

import contextlib
import os
from pathlib import Path
import shutil
import socket
import tempfile
import uuid

from cinder import exception as cinder_exception
from oslo_config import cfg

from tests.fakes import cinder as fakes
from tests.functional import base, driving, lio

MIB = 1024 ** 2
GIB = 1024 ** 3
OTHER = """
    {options}
    [other]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_store_path = {path}
    [DEFAULT]
    enabled_backends = disks, other
    allowed_direct_url_schemes = file
"""


class FeatureTest(driving.DriverCase):
    """What cinder-volume asks for beside attach and detach."""

    def created(self, data, **fields):
        """Return a new volume that holds some data."""
        volume = fakes.volume(**fields)
        self.driver.create_volume(volume)
        self.write(volume, data)
        return volume

    @contextlib.contextmanager
    def attached_device(self, volume):
        """Connect a volume by Cinder's own means; give the open device.

        It takes os-brick some seconds, so once a test has to do mostly.
        """
        info, properties = self.attached(volume)
        with open(info['device']['path'], 'r+b') as device:
            yield device
        self.detach(volume, info, properties)

    def at(self, device, length, offset=0):
        """Return what a device holds."""
        device.seek(offset)
        return device.read(length)

    def size_of(self, device):
        """Return a device's size."""
        return int(base.run('blockdev', '--getsize64', device.name))

    def test_revert_after_extend(self):
        volume = self.created(b'before')
        snapshot = fakes.snapshot(volume)
        self.driver.create_snapshot(snapshot)
        self.driver.extend_volume(volume, 3)
        with self.attached_device(volume) as device:
            for data, offset in ((b'after!', 0), (b'beyond', 2 * GIB)):
                device.seek(offset)
                device.write(data)
            device.flush()
            os.fsync(device.fileno())
            with self.assertRaises(cinder_exception.VolumeIsBusy):
                self.driver.revert_to_snapshot(None, volume, snapshot)
            self.assertEqual(b'after!', self.read(volume, 6))
        self.driver.revert_to_snapshot(None, volume, snapshot)
        with self.attached_device(volume) as device:
            self.assertEqual(b'before', self.at(device, 6))
            self.assertEqual(bytes(6), self.at(device, 6, 2 * GIB))
            self.assertEqual(3 * GIB, self.size_of(device))
        self.assert_nothing_left()

    def test_manage_and_unmanage(self):
        path = Path(self.store_path, 'web.raw')
        path.write_bytes(b'legacy')
        os.truncate(path, GIB + 1)
        volume = fakes.volume()
        reference = {'source-name': 'web.raw'}
        volume.size = self.driver.manage_existing_get_size(volume, reference)
        self.driver.manage_existing(volume, reference)
        with self.attached_device(volume) as device:
            self.assertEqual(b'legacy', self.at(device, 6))
            self.assertEqual(2 * GIB, self.size_of(device))
            with self.assertRaises(cinder_exception.VolumeIsBusy):
                self.driver.unmanage(volume)
        self.driver.unmanage(volume)
        again = fakes.volume(2)
        self.driver.manage_existing(
            again, {'source-name': f'volume-{volume.id}'})
        self.assertEqual(b'legacy', self.read(again, 6))
        self.assert_nothing_left()

    def test_an_image_on_the_same_filesystem(self):
        self.reconfigure('/nonexistent')
        image_id = str(uuid.uuid4())
        path = Path(self.store_path, 'glance', image_id)
        path.parent.mkdir()
        path.write_bytes(os.urandom(16 * MIB))
        before = self.used_bytes()
        volume = fakes.volume(2)
        cloned = self.driver.clone_image(
            fakes.context(), volume, (f'file://{path}', None), {
                'id': image_id, 'size': 16 * MIB, 'disk_format': 'raw',
                'container_format': 'bare', 'properties': {}}, None)
        self.assertEqual((None, True), cloned)
        self.assertLess(self.used_bytes() - before, 4 * MIB)
        data = path.read_bytes()
        with self.attached_device(volume) as device:
            self.assertEqual(data, self.at(device, 16 * MIB))
            device.seek(0)
            device.write(b'guest')
            device.flush()
            os.fsync(device.fileno())
        self.assertEqual(b'guest', self.read(volume, 5))
        self.assertEqual(data, path.read_bytes(), 'the image is as it was')

    def used_bytes(self):
        """Return what the store's filesystem has handed out."""
        os.sync()
        room = os.statvfs(self.store_path)
        return (room.f_blocks - room.f_bfree) * room.f_frsize

    def reconfigure(self, path):
        """Configure a second backend on this host, and the image's scheme."""
        self.configure(OTHER.format(options=driving.OPTIONS.strip(),
                                    path=path))
        self.assertEqual(['disks', 'other'], cfg.CONF.enabled_backends)

    def migrated(self, path):
        """Migrate a volume to another directory; return its file."""
        self.reconfigure(path)
        volume = self.created(b'moving', size=2)
        self.write(volume, b'far away', GIB + 4096)
        host = {'host': 'storage@other#other', 'capabilities': {
            'location_info': f'LIODriver:{socket.gethostname()}:{path}'}}
        self.driver.create_export(None, volume, fakes.connector())
        self.driver.initialize_connection(volume, fakes.connector())
        self.assertEqual((False, None), self.driver.migrate_volume(
            fakes.context(), volume, host))
        self.driver.terminate_connection(volume, fakes.connector())
        self.assertEqual((True, None), self.driver.migrate_volume(
            fakes.context(), volume, host))
        self.assertFalse(os.path.exists(self.path(volume)))
        moved = Path(path, f'volume-{volume.id}')
        with moved.open('rb') as f:
            self.assertEqual(b'moving', f.read(6))
            f.seek(GIB + 4096)
            self.assertEqual(b'far away', f.read(8))
        self.assertEqual(2 * GIB, moved.stat().st_size)
        self.assertLess(moved.stat().st_blocks * 512, 8 * MIB, 'sparse')
        self.assert_nothing_left()
        return moved

    def test_migrate_on_one_filesystem(self):
        path = os.path.join(self.store_path, 'other')
        os.mkdir(path)
        moved = self.migrated(path)
        self.assertEqual([moved.name], os.listdir(path))

    def test_migrate_to_another_filesystem(self):
        path = tempfile.mkdtemp(dir='/dev/shm')
        self.addCleanup(shutil.rmtree, path)
        self.migrated(path)

    def test_the_end_of_an_in_use_migration(self):
        old, new = fakes.volume(), self.created(b'swapped')
        info, properties = self.attached(new)
        before = lio.dump()
        self.assertEqual({'_name_id': new.id},
                         self.driver.update_migrated_volume(
                             fakes.context(), old, new, 'in-use'))
        self.assertEqual(before, lio.dump(), 'the guest notices nothing')
        moved = fakes.volume(id=old.id, _name_id=new.id)
        with open(info['device']['path'], 'r+b') as device:
            self.assertEqual(b'swapped', device.read(7))
        self.detach(moved, info, properties)
        self.assertEqual({'_name_id': None},
                         self.driver.update_migrated_volume(
                             fakes.context(), old, new, 'available'))
        self.assertEqual(b'swapped', self.read(old, 7))
        self.assert_nothing_left()
