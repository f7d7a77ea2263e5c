# SPDX-License-Identifier: Apache-2.0
"""What a host sees of both stores on disks with 4096-byte blocks."""

from pathlib import Path
import tempfile
import unittest

from cinder import exception as cinder_exception

from tests.fakes import cinder as fakes
from tests.functional import base, driving, lvm


def large_blocks(case: unittest.TestCase) -> str:
    """Return a disk with 4096-byte blocks, which is removed after the test.

    It is not on top of the spare disk, or LVM would see its labels twice.
    """
    base.run('modprobe', 'loop')
    with tempfile.NamedTemporaryFile(dir='/run') as f:
        f.truncate(4 * driving.GIB)
        disk = base.run('losetup', '--find', '--show', '--sector-size',
                        '4096', f.name).strip()
    case.addCleanup(base.run, 'losetup', '--detach', disk)
    return disk


class Blocks:
    """Mix-in: hosts see the block size that the store reports."""

    #: The logical block size of volumes.
    shown = 0

    def seen(self, volume):
        """Return the logical block size that a host sees of a volume."""
        info, properties = self.attached(volume)
        name = Path(info['device']['path']).resolve().name
        found = Path(f'/sys/block/{name}/queue/logical_block_size').read_text()
        self.detach(volume, info, properties)
        return int(found)

    def test_a_host_sees_what_is_reported(self):
        self.assertEqual(self.shown, self.driver.backend.store.block_bytes())
        pool, = self.driver.get_volume_stats(True)['pools']
        self.assertEqual(str(self.shown), pool['mydriver_block_bytes'])
        volume, copy = fakes.volume(), fakes.volume()
        self.assertEqual(
            {'provider_geometry': f'{self.shown} {self.shown}'},
            self.driver.create_volume(volume))
        self.driver.create_cloned_volume(copy, volume)
        for each in (volume, copy):
            self.assertEqual(self.shown, self.seen(each))


class FilesTest(Blocks, driving.DriverCase):
    """Files have 512-byte blocks on any disk."""

    shown = 512

    def make_place(self):
        """Put an XFS on the disk."""
        disk = large_blocks(self)
        base.node_function('node_xfs', disk, self.store_path)
        self.addCleanup(base.run, 'umount', self.store_path)


class ThinTest(Blocks, driving.OnLvmThin, driving.DriverCase):
    """Logical volumes have the block size of the disks."""

    shown = 4096

    def make_place(self):
        """Create a volume group on the disk."""
        base.run('modprobe', 'dm-thin-pool')
        disk = large_blocks(self)
        base.run('vgcreate', '-q', '-y', '-s', '4m', lvm.GROUP, disk)
        self.addCleanup(base.run, 'pvremove', '-q', '-f', '-y', disk)
        self.addCleanup(base.run, 'vgremove', '-q', '-f', '-y', lvm.GROUP)
        self.addCleanup(driving.lio.clear)  # first: it has volumes open

    def test_an_image_for_other_blocks_is_refused(self):
        images, volume = fakes.ImageService(), fakes.volume()
        image_id = images.add(b'system' * 512)
        self.driver.create_volume(volume)
        for call in (
                lambda: self.driver.clone_image(
                    fakes.context(), volume, (None, None),
                    images.show(None, image_id), images),
                lambda: self.driver.copy_image_to_volume(
                    fakes.context(), volume, images, image_id)):
            with self.assertRaisesRegex(
                    cinder_exception.VolumeDriverException, 'blocks of 4096'):
                call()

    def test_a_volume_of_other_blocks_is_refused(self):
        end = fakes.volume(migration_status='target:x',
                           provider_geometry='512 512')
        with self.assertRaisesRegex(cinder_exception.VolumeDriverException,
                                    'blocks of 512 bytes, but .*4096'):
            self.driver.create_volume(end)
        self.assertEqual((), self.driver.backend.store.names())
