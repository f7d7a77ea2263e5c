# SPDX-License-Identifier: Apache-2.0
"""Users of a guest's disk on the compute host."""

from pathlib import Path
import tempfile
import unittest

from mydriver import model
from mydriver.initiator import sysfs, usage
from tests.fakes.initiator import OTHER, VOLUME

NAA = model.naa_id(VOLUME)
MOUNT = '30 1 {} / {} rw,relatime shared:1 - {} {} rw\n'


class UsageTest(unittest.TestCase):
    """A sysfs and a procfs that are directories."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.proc = self.folder / 'proc'
        (self.proc / 'self').mkdir(parents=True)
        self.mounts = ''
        for name, number in (('sda', '8:0'), ('sdb', '8:16')):
            self.device(name, number)

    def device(self, name, number, uuid='', dm_name='', below=()):
        folder = self.folder / 'sys/block' / name
        (folder / 'holders').mkdir(parents=True)
        (folder / 'dev').write_text(f'{number}\n')
        if uuid:
            (folder / 'dm').mkdir()
            (folder / 'dm/uuid').write_text(f'{uuid}\n')
            (folder / 'dm/name').write_text(f'{dm_name}\n')
        link = self.folder / 'sys/class/block' / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)
        for other in below:
            (self.folder / 'sys/class/block' / other / 'holders'
             / name).mkdir()

    def partition(self, disk, name, number):
        folder = self.folder / 'sys/block' / disk / name
        (folder / 'holders').mkdir(parents=True)
        (folder / 'partition').write_text('1\n')
        (folder / 'dev').write_text(f'{number}\n')
        (self.folder / 'sys/class/block' / name).symlink_to(folder)

    def map(self):
        self.device('dm-0', '254:0', f'mpath-3{NAA}', 'mpatha',
                    ('sda', 'sdb'))

    def mount(self, number, where, source, kind='xfs'):
        self.mounts += MOUNT.format(number, where, kind, source)
        (self.proc / 'self/mountinfo').write_text(self.mounts)

    def of(self, *disks):
        return usage.Usage(sysfs.Sysfs(self.folder / 'sys'),
                           self.proc).of_volume(NAA, disks)

    @property
    def users(self):
        return self.of('sda', 'sdb')

    def test_nobody(self):
        self.assertEqual([], self.users)
        self.mount('0:20', '/sys', 'sysfs', 'sysfs')
        self.mount('254:9', '/', '/dev/vda')
        (self.proc / 'swaps').write_text(
            'Filename Type Size Used Priority\n/swap file 1 0 -2\n')
        self.map()
        self.assertEqual([], self.users)

    def test_lvm_on_the_map(self):
        self.map()
        self.device('dm-1', '254:1', 'LVM-x', 'guest-root', ('dm-0',))
        self.assertEqual(['guest-root (dm-1)'], self.users)

    def test_lvm_on_a_partition_of_the_map(self):
        self.map()
        self.device('dm-1', '254:1', f'part1-mpath-3{NAA}', 'mpatha-part1',
                    ('dm-0',))
        self.assertEqual([], self.users)
        self.device('dm-2', '254:2', 'LVM-x', 'guest-root', ('dm-1',))
        self.assertEqual(['guest-root (dm-2)'], self.users)

    def test_another_volumes_map_is_a_user(self):
        self.device('dm-0', '254:0', f'mpath-3{model.naa_id(OTHER)}',
                    'mpathb', ('sda',))
        self.assertEqual(['mpathb (dm-0)'], self.users)

    def test_raid_on_a_partition(self):
        self.partition('sda', 'sda1', '8:1')
        self.device('md127', '9:127', below=('sda1',))
        self.mount('9:127', '/mnt', '/dev/md127')
        self.assertEqual(['md127', 'the mount at /mnt'], self.users)

    def test_mounted_partition(self):
        self.partition('sdb', 'sdb2', '8:18')
        self.mount('8:18', '/mnt/a\\040b', '/dev/sdb2')
        self.assertEqual(['the mount at /mnt/a b'], self.users)

    def test_path_that_has_no_disk(self):
        self.partition('sdb', 'sdb2', '8:18')
        self.mount('8:18', '/mnt', '/dev/sdb2')
        self.assertEqual([], self.of('', 'sda'))

    def test_filesystem_with_a_number_of_its_own(self):
        """Btrfs shows no device's number, but its name."""
        self.mount('0:44', '/data', '/dev/sdb', 'btrfs')
        self.assertEqual(['the mount at /data'], self.users)

    def test_swap(self):
        (self.proc / 'swaps').write_text(
            'Filename Type Size Used Priority\n'
            '/dev/sda                                partition 1 0 -2\n')
        self.assertEqual(['swap on /dev/sda'], self.users)
