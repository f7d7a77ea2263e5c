# SPDX-License-Identifier: Apache-2.0
"""The Cinder driver on the real kernel, with the lvmthin store."""

import os

from cinder import exception as cinder_exception

from mydriver.target import configfs
from tests.fakes import cinder as fakes
from tests.functional import (
    base,
    driving,
    lvm,
    test_driver,
)

GIB = driving.GIB
MIB = driving.MIB


class DriverOnLvmThinTest(driving.OnLvmThin, test_driver.DriverTest):
    """The same as on files."""

    def test_flush_and_trim_reach_the_pool(self):
        volume = fakes.volume()
        self.driver.create_volume(volume)
        info, properties = self.attached(volume)
        path = info['device']['path']
        name = os.path.basename(os.path.realpath(path))
        with open(f'/sys/block/{name}/queue/write_cache') as f:
            self.assertEqual('write back', f.read().strip())
        before = self.free()
        base.run('dd', 'if=/dev/urandom', f'of={path}', 'bs=1M', 'count=64',
                 'oflag=direct')
        self.assertLess(self.free(), before - 60 * MIB)
        base.run('blkdiscard', path)
        self.assertGreater(self.free(), before - 4 * MIB)
        self.detach(volume, info, properties)

    def test_an_attach_needs_no_command_of_lvm(self):
        volume = fakes.volume()
        self.driver.create_volume(volume)
        with lvm.timed_commands() as commands:
            info, properties = self.attached(volume)
            self.detach(volume, info, properties)
            self.assertEqual([], commands)
            self.driver.delete_volume(volume)
        self.assertEqual(1, len(commands))

    def test_the_target_tells_the_size(self):
        volume = fakes.volume(2)
        self.driver.create_volume(volume)
        info, properties = self.attached(volume)
        export = self.driver.backend.exports._journal.export(volume.id)
        seen = configfs.target(export.target)
        self.assertEqual([export.device.size_bytes],
                         [e.size_bytes for e in seen.exports])
        self.assertEqual(2 * GIB, export.device.size_bytes)
        self.detach(volume, info, properties)

    def test_volumes_that_a_boot_left_inactive(self):
        volume = fakes.volume()
        self.driver.create_volume(volume)
        base.run('lvchange', '-q', '-an', lvm.GROUP)
        with self.assertRaisesRegex(cinder_exception.VolumeDriverException,
                                    'not active'):
            self.driver.create_export(None, volume, fakes.connector())
        self.driver.check_for_setup_error()
        self.driver.create_export(None, volume, fakes.connector())

    def free(self):
        """Return the free bytes of the pool."""
        return self.driver.backend.store.capacity().free_bytes


class FeaturesOnLvmThinTest(driving.OnLvmThin, driving.DriverCase):
    """Revert and manage, seen through an attach."""

    def test_revert_and_manage(self):
        base.run('lvcreate', '-q', '-Wn', '-V', '1g', '-n', 'web',
                 '--thinpool', lvm.POOL)
        base.run('sh', '-c', f'echo legacy > /dev/{lvm.GROUP}/web')
        volume, reference = fakes.volume(), {'source-name': 'web'}
        self.assertEqual(1, self.driver.manage_existing_get_size(
            volume, reference))
        self.driver.manage_existing(volume, reference)
        snapshot = fakes.snapshot(volume)
        self.driver.create_snapshot(snapshot)
        self.driver.extend_volume(volume, 2)
        info, properties = self.attached(volume)
        base.run('dd', 'if=/dev/urandom', f'of={info["device"]["path"]}',
                 'bs=1M', 'count=4', 'oflag=direct')
        self.assertNotEqual(b'legacy', self.read(volume, 6))
        with self.assertRaises(cinder_exception.VolumeIsBusy):
            self.driver.revert_to_snapshot(None, volume, snapshot)
        self.detach(volume, info, properties)
        self.driver.revert_to_snapshot(None, volume, snapshot)
        self.assertEqual(b'legacy', self.read(volume, 6))
        self.assertEqual(2 * GIB, int(base.run(
            'blockdev', '--getsize64', self.path(volume))))
        self.driver.delete_volume(volume)
        self.assertEqual(b'legacy', self.read(snapshot, 6))
        self.assert_nothing_left()


class FullPoolTest(driving.OnLvmThin, driving.DriverCase):
    """The pool is filled on purpose."""

    options = f"""
    mydriver_store = lvmthin
    mydriver_store_path = {lvm.GROUP}/small
"""

    def make_place(self):
        """Make a pool of 256 MiB."""
        super().make_place()
        base.run('lvcreate', '-q', '--type', 'thin-pool', '-L', '256m',
                 '--poolmetadatasize', '8m', '--chunksize', '64k', '-Zy',
                 '--config', 'activation/error_when_full=1', '-n', 'small',
                 lvm.GROUP)

    def write(self, path, count, seek=0):
        """Write to a device, MiB by MiB; return whether it took them."""
        try:
            base.run('dd', 'if=/dev/urandom', f'of={path}', 'bs=1M',
                     f'count={count}', f'seek={seek}', 'oflag=direct')
        except AssertionError as e:
            self.assertIn('Input/output error', str(e))
            return False
        return True

    def state(self):
        """Return state and free space as reported to the scheduler."""
        pool, = self.driver.get_volume_stats(True)['pools']
        return pool['backend_state'], pool['free_capacity_gb']

    def checksum(self, path):
        """Return the checksum of the first 32 MiB."""
        return base.run('sh', '-c', f'dd if={path} iflag=direct bs=1M '
                        'count=32 status=none | sha256sum')

    def test_full_of_data(self):
        full, other = fakes.volume(), fakes.volume()
        for volume in (full, other):
            self.driver.create_volume(volume)
        info, properties = self.attached(full)
        path, there = info['device']['path'], self.path(other)
        self.assertTrue(self.write(there, 32))
        before = self.checksum(there)
        self.assertTrue(self.write(path, 213))
        self.assertEqual('up', self.state()[0])
        with self.assertRaisesRegex(
                cinder_exception.VolumeDriverException,
                'data of thin pool vg-test/small is 95.*lvextend -L'):
            self.driver.create_volume(fakes.volume())
        with self.assertRaisesRegex(
                cinder_exception.VolumeDriverException, 'data of thin pool'):
            self.driver.create_snapshot(fakes.snapshot(full))
        self.assertFalse(self.write(path, 64, 213))
        self.assertEqual(('down', 0), self.state())
        self.assertEqual(before, self.checksum(there))
        self.assertTrue(self.write(there, 32))  # in place
        before = self.checksum(there)
        base.run('lvextend', '-q', '-L', '+256m', f'{lvm.GROUP}/small')
        self.assertEqual('up', self.state()[0])
        self.assertGreater(self.state()[1], 0)
        self.assertTrue(self.write(path, 64, 213))
        self.assertEqual(before, self.checksum(there))
        self.driver.create_snapshot(fakes.snapshot(full))
        self.detach(full, info, properties)
        self.assert_nothing_left()
