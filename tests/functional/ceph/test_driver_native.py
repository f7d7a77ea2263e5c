# SPDX-License-Identifier: Apache-2.0
"""The driver on a real Ceph: a guest that uses a volume natively, and iSCSI.

Everything is real but Nova and Cinder's database: the store, the target, the
kernel's client, os-brick, libvirt and QEMU. Nova and Cinder cannot be loaded
into one process, so the disk is described here; what Nova makes of the
connection data is in :mod:`.test_native`.
"""

from cinder import exception as cinder_exception
import libvirt

from mydriver.privileged import krbd
from tests.fakes import cinder as fakes
from tests.fakes import cinder_native as hosts
from tests.functional import base, driving, lio
from tests.functional.ceph import guests, test_driver_rbd, test_node

MIB = driving.MIB


class NativeDriverTest(test_driver_rbd.OnCeph, driving.DriverCase):
    """One host with a guest, and the storage host itself."""

    options = test_driver_rbd.OnCeph.options.replace('never', 'plugin')

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        guests.start_libvirt()
        cls.libvirt = libvirt.open('qemu:///system')
        cls.addClassCleanup(cls.libvirt.close)
        cls.fsid = str(cls.ceph.cluster.get_fsid())
        guests.define_secret(cls.fsid, test_node.key())
        cls.guest = guests.Guest(cls.libvirt)
        cls.addClassCleanup(cls.guest.end)

    def setUp(self):
        super().setUp()
        self.volume = fakes.volume()
        self.driver.create_volume(self.volume)
        self.driver.records.volumes.append(self.volume)
        self.connector = hosts.able(secret=self.fsid)

    def plugged(self, connector=None):
        """Attach the volume natively; return the disk."""
        connector = connector or self.connector
        record = fakes.attachment(None, attach_status='attaching')
        self.volume.volume_attachment.objects.append(record)
        self.driver.validate_connector(connector)
        self.driver.create_export(fakes.context(), self.volume, connector)
        info = self.driver.initialize_connection(self.volume, connector)
        record.connector = connector
        record.connection_info = {
            **info['data'], 'driver_volume_type': info['driver_volume_type']}
        self.volume.status = 'in-use'
        disk = guests.disk(info['data'])
        self.guest.attach(disk)
        self.addCleanup(self.guest.detach, disk)
        return disk

    def unplug(self, disk):
        """Detach it."""
        self.guest.detach(disk)
        record = self.volume.volume_attachment.objects[-1]
        self.assertIs(False, self.driver.terminate_connection(
            self.volume, record.connector))
        self.driver.remove_export(fakes.context(), self.volume)
        self.volume.volume_attachment.objects.remove(record)
        self.volume.status = 'available'

    def assert_untouched(self):
        """See that nothing is exported, and nothing mapped."""
        self.assertEqual(self.clean, lio.dump())
        self.assertEqual([], list(krbd.mappings()))

    def test_natively_then_over_iscsi_and_back(self):
        disk = self.plugged()
        self.guest.write(1)
        self.assert_untouched()
        with self.assertRaisesRegex(
                cinder_exception.VolumeBackendAPIException,
                'is in use over rbd by able'):
            self.attached(self.volume)
        self.assert_untouched()
        self.guest.write(2)
        self.unplug(disk)
        info, properties = self.attached(self.volume)
        with open(info['device']['path'], 'rb', buffering=0) as f:
            self.assertEqual(bytes([2]) * MIB, f.read(MIB))
        base.run('sh', '-c', "tr '\\0' '\\3' < /dev/zero | dd bs=1M count=4 "
                 f'iflag=fullblock oflag=direct of={info["device"]["path"]}')
        with self.assertRaisesRegex(
                cinder_exception.InvalidConnectorException,
                'is in use over iscsi by'):
            self.plugged({**self.connector, 'initiator': None})
        self.volume.volume_attachment.objects.clear()
        self.detach(self.volume, info, properties)
        self.assert_untouched()
        disk = self.plugged()
        self.assertTrue(self.guest.reads(3))
        self.unplug(disk)
        self.driver.delete_volume(self.volume)

    def test_what_can_be_done_to_a_volume_in_use(self):
        disk = self.plugged()
        self.guest.write(1)
        snapshot, clone = fakes.snapshot(self.volume), fakes.volume(2)
        self.driver.create_snapshot(snapshot)
        self.guest.write(2)
        self.driver.create_volume_from_snapshot(clone, snapshot)
        self.driver.extend_volume(self.volume, 2)
        self.volume.size = 2
        self.guest.resize(2 * driving.GIB)
        self.guest.write(3, driving.GIB)
        self.assertTrue(self.guest.reads(2))
        self.assertEqual(bytes([1]) * MIB, self.read(clone, MIB))
        self.assertEqual((), self.driver.backend.store.native_users(
            f'volume-{clone.id}'))
        self.assert_untouched()
        for refused in (self.driver.delete_volume, self.driver.unmanage,
                        lambda v: self.driver.revert_to_snapshot(
                            None, v, snapshot),
                        lambda v: self.driver.copy_volume_to_image(
                            None, v, fakes.ImageService(), {'id': v.id})):
            with self.assertRaisesRegex(cinder_exception.VolumeIsBusy,
                                        'used natively'):
                refused(self.volume)
        self.assert_untouched()
        self.guest.write(4)
        self.unplug(disk)

    def test_a_restart_leaves_the_guest_alone(self):
        disk = self.plugged()
        self.guest.write(1)
        self.driver.backend.exports._journal.close()
        self.driver = self.new_driver(driving.kernel_driver,
                                      records=self.driver.records)
        self.driver.do_setup(fakes.context())
        self.addCleanup(self.driver.backend.exports._journal.close)
        self.driver.check_for_setup_error()
        self.driver.ensure_export(fakes.context(), self.volume)
        self.assert_untouched()
        self.guest.write(2)
        self.unplug(disk)
        self.driver.delete_volume(self.volume)
