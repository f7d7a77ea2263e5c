# SPDX-License-Identifier: Apache-2.0
"""The Cinder driver on the real kernel, with the store in a real Ceph."""

from cinder import exception as cinder_exception
import rbd

from tests.fakes import cinder as fakes
from tests.functional import base, driving, lio, test_driver
from tests.functional.ceph import base as ceph_base
from tests.functional.ceph import store as ceph_store

GIB = driving.GIB
MIB = driving.MIB


class OnCeph(ceph_base.CephTestCase):
    """Mix this in before a case, and the store is in Ceph."""

    options = f"""
    mydriver_store = rbd
    mydriver_rbd_pool = {ceph_base.VOLUMES}
    mydriver_rbd_user = {ceph_base.USER}
    mydriver_rbd_native = never
"""

    def make_place(self):
        """Empty the pool at the end."""
        base.run('modprobe', 'rbd', 'single_major=Y')
        self.io = self.ceph.cluster.open_ioctx(ceph_base.VOLUMES)
        self.addCleanup(self.io.close)
        self.addCleanup(ceph_store.clear, self.io)
        self.addCleanup(lio.clear)  # before: it holds images open

    def path(self, of):
        """Return the device of a volume or snapshot, which is brought up."""
        name = super().path(of).rpartition('/')[2]
        return self.driver.backend.store.bring_up(name).path

    def read(self, of, length, offset=0):
        """Read with librbd, as another host would."""
        name = super().path(of).rpartition('/')[2]
        with rbd.Image(self.io, name, read_only=True) as image:
            return image.read(offset, length)

    def objects(self):
        """Return how many objects the data of all images takes."""
        return sum(o.key.startswith('rbd_data.')
                   for o in self.io.list_objects())


class DriverOnRbdTest(OnCeph, test_driver.DriverTest):
    """The same as on files."""

    def test_trim_reaches_the_pool(self):
        volume = fakes.volume()
        self.driver.create_volume(volume)
        info, properties = self.attached(volume)
        path = info['device']['path']
        base.run('dd', 'if=/dev/urandom', f'of={path}', 'bs=1M', 'count=16',
                 'oflag=direct')
        self.assertEqual(4, self.objects())
        base.run('blkdiscard', '--length', str(16 * MIB), path)
        self.assertEqual(0, self.objects())
        self.detach(volume, info, properties)


class FeaturesOnRbdTest(OnCeph, driving.DriverCase):
    """Revert and manage, seen through an attach."""

    def test_revert_and_manage(self):
        rbd.RBD().create(self.io, 'web', GIB, features=61)
        with rbd.Image(self.io, 'web') as image:
            image.write(b'legacy', 0)
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
        self.driver.delete_volume(volume)
        self.assertEqual(b'legacy', self.read(snapshot, 6))
        self.driver.delete_snapshot(snapshot)
        self.assert_nothing_left()
        self.assertEqual([], list(rbd.RBD().trash_list(self.io)))

    def test_a_volume_in_use_grows_and_is_copied(self):
        volume, clone = fakes.volume(), fakes.volume(2)
        self.driver.create_volume(volume)
        info, properties = self.attached(volume)
        path = info['device']['path']
        base.run('dd', 'if=/dev/zero', f'of={path}', 'bs=1M', 'count=4',
                 'oflag=direct')
        snapshot = fakes.snapshot(volume)
        self.driver.create_snapshot(snapshot)
        self.driver.extend_volume(volume, 2)
        base.run('sh', '-c', f'echo later | dd of={path} bs=512 count=1 '
                 'conv=sync oflag=direct')
        self.driver.create_cloned_volume(clone, volume)
        self.assertEqual(bytes(5), self.read(snapshot, 5))
        self.assertEqual(b'later', self.read(clone, 5))
        self.detach(volume, info, properties)
