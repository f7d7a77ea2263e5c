# SPDX-License-Identifier: Apache-2.0
"""Volumes that their hosts encrypt with LUKS, on the real kernel.

The encryptors are os-brick's, the key manager is Cinder's own that has its
key from the configuration. The target never sees a clear byte.
"""

import binascii
import concurrent.futures
import os
import types
import unittest

from castellan import key_manager
from cinder import keymgr
from cinder.keymgr import conf_key_mgr
from cinder.volume import volume_utils
import ddt
from os_brick import encryptors
from oslo_config import cfg

from lab import process as lab_process
from tests.fakes import cinder as fakes
from tests.functional import attaching, base, driving
from tests.functional.attaching import MIB, ours, stock

GIB = 1 << 30
KEY_ID = '00000000-0000-0000-0000-000000000000'
KEY = binascii.hexlify(b'0123456789abcdef' * 2).decode()
#: What begins a LUKS volume of either version.
MAGIC = b'LUKS\xba\xbe'
HEAD_BYTES = 4 * MIB
SECRET = b'what the tenant would not show' * 1000


class Images(fakes.ImageService):
    """Glance that keeps the beginning and the size of what it is sent."""

    def update(self, _context, image_id, _meta, data, **_store):
        """Take over an image's data."""
        self.head = data.read(HEAD_BYTES)
        self.size_bytes = len(self.head)
        while more := data.read(MIB):
            self.size_bytes += len(more)


def encryption(provider='luks'):
    """Return what Cinder has on record of a volume's encryption."""
    return {'provider': provider, 'control_location': 'front-end',
            'cipher': 'aes-xts-plain64', 'key_size': 256,
            'encryption_key_id': KEY_ID}


def use_key(test):
    """Set the key manager up."""
    keymgr.castellan_opts.set_defaults(cfg.CONF)
    cfg.CONF.register_opts(conf_key_mgr.key_mgr_opts, group='key_manager')
    for name, value in (
            ('backend', 'cinder.keymgr.conf_key_mgr.ConfKeyManager'),
            ('fixed_key', KEY)):
        cfg.CONF.set_override(name, value, 'key_manager')
        test.addCleanup(cfg.CONF.clear_override, name, 'key_manager')
    base.run('modprobe', '-a', 'dm-crypt', 'algif_skcipher', 'xts')


class CinderTest(driving.DriverCase):
    """What Cinder does with an encrypted volume."""

    def setUp(self):
        super().setUp()
        use_key(self)
        self.driver.db = types.SimpleNamespace(
            volume_encryption_metadata_get=lambda _c, _id: encryption())

    def volume(self, size=1):
        """Return an encrypted volume that the store does not have yet."""
        return fakes.volume(size, encryption_key_id=KEY_ID)

    def opened(self, volume):
        """Connect a volume and open it; return how."""
        info, properties = self.attached(volume)
        volume_utils.brick_attach_volume_encryptor(
            fakes.context(), info, encryption())
        return info, properties

    def close(self, volume, info, properties):
        """Undo that."""
        volume_utils.brick_detach_volume_encryptor(info, encryption())
        self.detach(volume, info, properties)

    def assert_holds(self, volume, data):
        """Open a volume and compare."""
        info, properties = self.opened(volume)
        with open(info['device']['path'], 'rb') as device:
            self.assertEqual(data, device.read(len(data)))
        self.close(volume, info, properties)
        self.assert_nothing_left()

    def test_image_clone_and_snapshot(self):
        volume = self.volume()
        self.driver.create_volume(volume)
        images = fakes.ImageService()
        self.driver.copy_image_to_encrypted_volume(
            fakes.context(), volume, images,
            images.add(SECRET.ljust(4 * MIB, b'\0')))
        self.assert_nothing_left()
        self.assertEqual(MAGIC, self.read(volume, 6))
        self.assertNotIn(SECRET[:30], self.read(volume, 16 * MIB))
        self.assertEqual(GIB, os.path.getsize(self.path(volume)))
        self.assert_holds(volume, SECRET)
        # Cinder gives copies a key of their own with the same secret.
        snapshot, clone, copy = (
            fakes.snapshot(volume), self.volume(), self.volume(2))
        self.driver.create_snapshot(snapshot)
        self.driver.create_cloned_volume(clone, volume)
        self.driver.create_volume_from_snapshot(copy, snapshot)
        for other in (clone, copy):
            self.assert_holds(other, SECRET)

    def test_upload(self):
        """An image has what the volume has, header and all."""
        volume, images = self.volume(), Images()
        self.driver.create_volume(volume)
        self.close(volume, *self.opened(volume))
        image_id = images.add(b'')
        self.driver.copy_volume_to_image(
            fakes.context(), volume, images,
            {'id': image_id, 'disk_format': 'raw',
             'container_format': 'bare'})
        self.assertEqual(MAGIC, images.head[:6])
        self.assertEqual(self.read(volume, HEAD_BYTES), images.head)
        self.assertEqual(GIB, images.size_bytes)


@ddt.ddt
class HostTest(attaching.AttachTestCase):
    """What Nova does with one, by stock os-brick and by ours."""

    def setUp(self):
        super().setUp()
        use_key(self)

    def opened(self, kind, provider):
        """Attach a new volume and open it."""
        volume_id = self.cloud.volume(64 * MIB)
        data = {**self.cloud.attach(volume_id, kind is ours),
                'encrypted': True}
        attachment = attaching.Attachment(
            volume_id, data, kind(False), kind(False).connect_volume(data))
        data['device_path'] = attachment.path
        encryptor = encryptors.get_volume_encryptor(
            root_helper='', keymgr=key_manager.API(cfg.CONF),
            connection_info={'driver_volume_type': 'iscsi', 'data': data},
            **encryption(provider))
        encryptor.attach_volume(fakes.context(), **encryption(provider))
        return attachment, encryptor

    def test_udev_may_be_late(self):
        """Its directory of links is not there before; see connector.BY_ID."""
        volume_id = self.cloud.volume()
        data = {**self.cloud.attach(volume_id, True), 'encrypted': True}
        base.run('udevadm', 'settle')
        base.run('udevadm', 'control', '--stop-exec-queue')
        self.addCleanup(base.run, 'udevadm', 'control', '--start-exec-queue')
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            done = pool.submit(ours(False).connect_volume, data)
            lab_process.wait_for(base.scsi_devices, 'a disk', 60)
            with self.assertRaises(TimeoutError):
                done.result(timeout=3)
            base.run('udevadm', 'control', '--start-exec-queue')
            path = done.result()['path']
        self.assertTrue(path.startswith('/dev/disk/by-id/os-brick'))
        self.assert_is(path, volume_id)
        ours(False).disconnect_volume({**data, 'device_path': path}, None)
        self.cloud.detach(volume_id)
        self.assert_nothing_left()

    @ddt.data((stock, 'luks'), (ours, 'luks'), (ours, 'luks2'))
    @ddt.unpack
    def test_extend_while_it_is_open(self, kind, provider):
        attachment, encryptor = self.opened(kind, provider)
        before = attaching.size_bytes(attachment.path)
        header = 64 * MIB - before
        self.assertGreater(header, 0)
        with open(attachment.path, 'r+b') as device:
            device.write(SECRET)
            device.flush()
            os.fsync(device.fileno())
        self.assertNotIn(SECRET[:30], self.cloud.path(
            attachment.volume_id).read_bytes())
        self.cloud.grow(attachment.volume_id, 128 * MIB)
        self.assertEqual(128 * MIB, attachment.connector.extend_volume(
            attachment.data))
        self.assertEqual(128 * MIB - header, encryptor.extend_volume(
            fakes.context(), **encryption(provider)))
        with open(attachment.path, 'rb') as device:
            self.assertEqual(SECRET, device.read(len(SECRET)))
        encryptor.detach_volume(**encryption(provider))
        self.detach(attachment)
        self.assert_nothing_left()


if __name__ == '__main__':
    unittest.main()
