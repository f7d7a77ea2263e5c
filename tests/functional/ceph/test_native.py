# SPDX-License-Identifier: Apache-2.0
"""Native RBD disks: our connection data, Nova's own driver, libvirt, QEMU."""

import base64 as encoding
from pathlib import Path
import uuid

import libvirt
from nova.virt.libvirt.volume import net
import rados
import rbd

from mydriver import model
from mydriver.connection import rbd as grammar
from mydriver.nova_virt import native
from tests.functional import base
from tests.functional.ceph import base as ceph_base
from tests.functional.ceph import guests, test_node

MIB = 1 << 20
SIZE = 64 * MIB
FEATURES = (
    rbd.RBD_FEATURE_LAYERING | rbd.RBD_FEATURE_EXCLUSIVE_LOCK
    | rbd.RBD_FEATURE_OBJECT_MAP | rbd.RBD_FEATURE_FAST_DIFF
    | rbd.RBD_FEATURE_DEEP_FLATTEN)

_BUS = Path('/sys/bus/rbd')


class Host:
    """As much of nova.virt.libvirt.host.Host as is needed, on libvirt."""

    def __init__(self):
        self.connection = libvirt.open('qemu:///system')

    def get_connection(self):
        """Return the connection."""
        return self.connection

    def find_secret(self, usage_type, usage_id):
        """Return the secret of an encrypted volume, None where it has none."""
        assert usage_type == 'volume'
        try:
            return self.connection.secretLookupByUsage(
                libvirt.VIR_SECRET_USAGE_TYPE_VOLUME, usage_id)
        except libvirt.libvirtError:
            return None


class NativeTest(ceph_base.CephTestCase):
    """A disk in a virtual machine."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        guests.start_libvirt()
        cls.host = Host()
        cls.addClassCleanup(cls.host.connection.close)
        cls.fsid = str(cls.ceph.cluster.get_fsid())
        guests.define_secret(cls.fsid, test_node.key())
        cls.guest = guests.Guest(cls.host.connection)
        cls.addClassCleanup(cls.guest.end)

    def setUp(self):
        super().setUp()
        self.ioctx = self.ceph.cluster.open_ioctx(ceph_base.VOLUMES)
        self.addCleanup(self.ioctx.close)
        self.volume_id = str(uuid.uuid4())
        self.image = f'volume-{self.volume_id}'
        rbd.RBD().create(self.ioctx, self.image, SIZE, features=FEATURES)
        self.addCleanup(rbd.RBD().remove, self.ioctx, self.image)

    def monitors(self):
        """Return the addresses that the cluster's monitors tell."""
        return tuple(
            model.Portal.parse(a['addr'])
            for m in self.ceph.command('mon dump')['mons']
            for a in m['public_addrs']['addrvec'] if a['type'] == 'v1')

    def disk(self, **changes):
        """Return the disk that Nova makes of what we tell it."""
        told = grammar.Connection(**{
            'volume_id': self.volume_id, 'pool': ceph_base.VOLUMES,
            'image': self.image, 'monitors': self.monitors(),
            'user': ceph_base.USER, 'secret_uuid': self.fsid, **changes})
        conf = net.LibvirtNetVolumeDriver(self.host).get_config(
            {'driver_volume_type': 'rbd', 'serial': self.volume_id,
             'data': told.to_data()},
            {'bus': 'scsi', 'dev': 'sda', 'type': 'disk', 'unit': 0})
        return conf.to_xml()

    def attached(self, **changes):
        """Attach the image for this test."""
        disk = self.disk(**changes)
        self.guest.attach(disk)
        self.addCleanup(self.guest.detach, disk)
        return disk

    def test_the_host_says_that_it_can(self):
        self.assertEqual({self.fsid},
                         native.NativeAccess(self.host).secrets())

    def test_write_detach_and_attach(self):
        disk = self.disk()
        for pattern in (1, 2):
            self.guest.attach(disk)
            self.assertEqual([SIZE], list(self.guest.devices().values()))
            self.assertTrue(self.guest.reads(pattern - 1))
            self.guest.write(pattern)
            self.assertFalse(self.guest.reads(pattern - 1))
            self.assertEqual([], self.mapped())
            self.guest.detach(disk)
        with rbd.Image(self.ioctx, self.image) as image:
            self.assertEqual(bytes([2]) * MIB, image.read(MIB, MIB))
            self.assertEqual(1, len(list(image.watchers_list())))

    def test_extend(self):
        self.attached()
        with rbd.Image(self.ioctx, self.image) as image:
            image.resize(2 * SIZE)
        self.guest.resize(2 * SIZE)
        self.assertEqual([2 * SIZE], list(self.guest.devices().values()))
        self.guest.write(9, SIZE)
        self.assertTrue(self.guest.reads(9, SIZE))

    def test_the_key_is_nowhere(self):
        self.attached()
        key = test_node.key()
        shown = self.guest.arguments()
        self.assertIn('secret', shown)
        for spelling in (key, encoding.b64decode(key).hex()):
            self.assertNotIn(spelling, shown)
        self.assertNotIn(key, self.disk())

    def test_read_only(self):
        self.attached(read_only=True)
        self.assertRegex(self.guest.refusal(), '(?i)read.only|not permitted')
        self.assertTrue(self.guest.reads(0))

    def test_qemu_encrypts(self):
        passphrase = Path('/run/passphrase')
        passphrase.write_text('of-the-volume')
        self.addCleanup(passphrase.unlink)
        # Not qemu-img: it measures its speed first, which a busy node spoils.
        header = Path('/run/header')
        header.write_bytes(bytes(4 * MIB))
        self.addCleanup(header.unlink)
        base.run('cryptsetup', 'luksFormat', '--batch-mode', '--type',
                 'luks1', '--cipher', 'aes-xts-plain64', '--key-size', '256',
                 '--pbkdf-force-iterations', '1000', '--key-file', passphrase,
                 header)
        with rbd.Image(self.ioctx, self.image) as image:
            image.write(header.read_bytes(), 0)
        secret = self.host.connection.secretDefineXML(
            f"<secret ephemeral='yes' private='yes'><uuid>{uuid.uuid4()}"
            f"</uuid><usage type='volume'><volume>{self.volume_id}</volume>"
            '</usage></secret>')
        self.addCleanup(secret.undefine)
        secret.setValue(passphrase.read_bytes())
        self.attached(encrypted=True)
        self.guest.write(1)
        self.assertTrue(self.guest.reads(1))
        with rbd.Image(self.ioctx, self.image, read_only=True) as image:
            stored = image.read(0, image.size())
        self.assertEqual(b'LUKS', stored[:4])
        self.assertNotIn(bytes([1]) * 512, stored)

    def test_another_secret_is_libvirts_error(self):
        with self.assertRaisesRegex(libvirt.libvirtError, 'no secret'):
            self.guest.attach(self.disk(secret_uuid=str(uuid.uuid4())))
        self.assertEqual({}, self.guest.devices())

    def test_hosts_take_turns_at_the_lock(self):
        """Several writers (multiattach): each sees what the other wrote."""
        self.attached()
        with (rados.Rados(conffile=str(self.conf),
                          name=f'client.{ceph_base.USER}') as cluster,
              cluster.open_ioctx(ceph_base.VOLUMES) as ioctx,
              rbd.Image(ioctx, self.image) as other):
            for turn in range(1, 4):
                self.guest.write(turn)
                self.assertEqual(bytes([turn]) * MIB, other.read(0, MIB))
                other.write(bytes([100 + turn]) * guests.AREA_BYTES, 0)
                other.flush()
                self.assertTrue(self.guest.reads(100 + turn))

    def test_why_nothing_is_mapped_while_a_note_is_there(self):
        """The kernel's client takes the lock away from a running guest."""
        self.attached()
        self.guest.write(1)
        guests_lock = self.owner()
        self.map()
        self.assertNotEqual(guests_lock, self.owner())
        self.assertIn('Read-only file system', self.guest.refusal())
        self.unmap()
        self.guest.write(2)

    def map(self):
        """Map the image with the kernel's client, as its only owner."""
        base.run('modprobe', 'rbd', 'single_major=Y')
        test_node.give_key_to_kernel()
        self.addCleanup(self.unmap)
        (_BUS / 'add_single_major').write_text(
            f'{self.monitors()[0]} name={ceph_base.USER},'
            f'key=client.{ceph_base.USER},exclusive {ceph_base.VOLUMES} '
            f'{self.image} -')

    def unmap(self):
        """Unmap what is mapped."""
        base.run('udevadm', 'settle')
        for number in self.mapped():
            (_BUS / 'remove_single_major').write_text(number)

    def owner(self):
        """Return who holds the image's lock."""
        with rbd.Image(self.ioctx, self.image, read_only=True) as image:
            (_client, _cookie, address), = image.list_lockers()['lockers']
            return address

    @staticmethod
    def mapped():
        """Return what the kernel's client has mapped."""
        devices = _BUS / 'devices'
        return sorted(p.name for p in devices.iterdir()
                      ) if devices.exists() else []
