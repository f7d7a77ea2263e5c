# SPDX-License-Identifier: Apache-2.0
"""A node reaches Ceph through librbd and the kernel's client.

Nothing of the driver is used here: when one of these fails, the lab is what is
broken.
"""

import base64
import configparser
import ctypes
import os
from pathlib import Path

import rados
import rbd

from lab import process
from tests.functional import base
from tests.functional.ceph import base as ceph_base

_BUS = Path('/sys/bus/rbd')
_SIZE = 64 << 20
_MIB = 1 << 20

#: System call of x86-64, and the ring of this process (add_key(2)).
_ADD_KEY, _PROCESS_KEYRING = 248, -2


def key() -> str:
    """Return the key of client.cinder as base64."""
    parser = configparser.ConfigParser()
    parser.read(ceph_base.KEYRING)
    return parser[f'client.{ceph_base.USER}']['key']


def give_key_to_kernel() -> None:
    """Put the key in this process's key ring, where krbd looks for it."""
    data = base64.b64decode(key())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_ADD_KEY, b'ceph', b'client.cinder', data, len(data),
                    _PROCESS_KEYRING) < 0:
        raise OSError(ctypes.get_errno(), 'add_key')


class TestClients(ceph_base.CephTestCase):
    """Users, pools and capacity."""

    def test_cinder_may_use_both_pools(self):
        with rados.Rados(conffile=str(self.conf),
                         name=f'client.{ceph_base.USER}') as cluster:
            for pool in (ceph_base.VOLUMES, ceph_base.IMAGES):
                with cluster.open_ioctx(pool) as ioctx:
                    rbd.RBD().create(ioctx, 'mine', _SIZE)
                    self.assertEqual(['mine'], rbd.RBD().list(ioctx))
                    rbd.RBD().remove(ioctx, 'mine')

    def test_cinder_may_use_no_other_pool(self):
        self.ceph.make_pool('other')
        self.addCleanup(self.ceph.cluster.delete_pool, 'other')
        with (rados.Rados(conffile=str(self.conf),
                          name=f'client.{ceph_base.USER}') as cluster,
              cluster.open_ioctx('other') as ioctx,
              self.assertRaises(rbd.PermissionError)):
            rbd.RBD().create(ioctx, 'alien', _SIZE)

    def test_capacity_is_known(self):
        self.assertGreater(self.ceph.stats()['kb_avail'], 10 << 20)

    def test_the_keyrings_are_roots_alone(self):
        for path in Path('/etc/ceph').glob('*.keyring'):
            self.assertEqual(0o600, path.stat().st_mode & 0o777, path)


class TestKernel(ceph_base.CephTestCase):
    """The kernel's client."""

    def setUp(self):
        super().setUp()
        base.run('modprobe', 'rbd', 'single_major=Y')
        ioctx = self.ceph.cluster.open_ioctx(ceph_base.VOLUMES)
        self.addCleanup(ioctx.close)
        rbd.RBD().create(ioctx, 'image', _SIZE, features=(
            rbd.RBD_FEATURE_LAYERING | rbd.RBD_FEATURE_EXCLUSIVE_LOCK
            | rbd.RBD_FEATURE_OBJECT_MAP | rbd.RBD_FEATURE_FAST_DIFF
            | rbd.RBD_FEATURE_DEEP_FLATTEN))
        self.addCleanup(rbd.RBD().remove, ioctx, 'image')
        self.ioctx = ioctx

    def _map(self) -> Path:
        give_key_to_kernel()
        monitors = self.ceph.command('mon dump')['mons'][0]['public_addrs']
        address = next(a['addr'] for a in monitors['addrvec']
                       if a['type'] == 'v1')
        (_BUS / 'add_single_major').write_text(
            f'{address} name=cinder,key=client.cinder,exclusive '
            f'{ceph_base.VOLUMES} image -')
        [device] = (_BUS / 'devices').iterdir()
        self.addCleanup(self._unmap, device.name)
        return device

    @staticmethod
    def _unmap(number: str) -> None:
        base.run('udevadm', 'settle')   # its probes hold the device open
        (_BUS / 'remove_single_major').write_text(number)

    def test_an_image_is_a_disk(self):
        device = self._map()
        self.assertNotIn(key(), (device / 'config_info').read_text())
        disk = Path(f'/dev/rbd{device.name}')
        process.wait_for(disk.exists, f'udev to make {disk}', 30)
        pattern = os.urandom(_MIB)
        with disk.open('r+b', buffering=0) as f:
            f.seek(5 * _MIB)
            f.write(pattern)
            os.fsync(f)
        with rbd.Image(self.ioctx, 'image', read_only=True) as image:
            self.assertEqual(pattern, image.read(5 * _MIB, _MIB))
            self.assertEqual(1, len(list(image.list_lockers()['lockers'])))
        base.run('blockdev', '--flushbufs', disk)
        with disk.open('rb', buffering=0) as f:
            f.seek(5 * _MIB)
            self.assertEqual(pattern, f.read(_MIB))
