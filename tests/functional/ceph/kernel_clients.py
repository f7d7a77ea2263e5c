# SPDX-License-Identifier: Apache-2.0
"""Clients of one kernel that stand for several gateways."""

import mmap
import os
from pathlib import Path

import rbd

from lab import process
from mydriver.ceph import cluster, fence
from mydriver.target.gateways.record import Client
from tests.functional import base
from tests.functional.ceph import base as ceph_base
from tests.functional.ceph.test_node import give_key_to_kernel

BLOCK = 4096

#: Options that make a client of the kernel's another one: it shares a client
#: between mappings whose options are the same.
FIRST, SECOND = 'osd_idle_ttl=61', 'osd_idle_ttl=62'

_BUS = Path('/sys/bus/rbd')
_SIZE = 16 << 20
_FEATURES = (rbd.RBD_FEATURE_LAYERING | rbd.RBD_FEATURE_EXCLUSIVE_LOCK
             | rbd.RBD_FEATURE_OBJECT_MAP | rbd.RBD_FEATURE_FAST_DIFF
             | rbd.RBD_FEATURE_DEEP_FLATTEN)


class KernelClientsCase(ceph_base.CephTestCase):
    """An anchor and an image, each of which any client may map."""

    def setUp(self):
        super().setUp()
        base.run('modprobe', 'rbd', 'single_major=Y')
        self.pool = self.ceph.cluster.open_ioctx(ceph_base.VOLUMES)
        self.addCleanup(self.pool.close)
        for name in ('anchor', 'image'):
            rbd.RBD().create(self.pool, name, _SIZE, features=_FEATURES)
            self.addCleanup(rbd.RBD().remove, self.pool, name)
        self.cluster = cluster.Cluster(cluster.Settings(
            ceph_base.VOLUMES, ceph_base.USER, str(self.conf)))
        self.addCleanup(self.cluster.close)
        self.fence = fence.Fence(self.cluster)
        self.addCleanup(self.ceph.command, 'osd blocklist clear')
        self.addCleanup(self.unmap_all)
        monitors = self.ceph.command('mon dump')['mons'][0]['public_addrs']
        self.monitor = next(a['addr'] for a in monitors['addrvec']
                            if a['type'] == 'v1')

    def map(self, image, *options):
        """Map an image; return its device in sysfs, and its client."""
        give_key_to_kernel()
        before = set((_BUS / 'devices').iterdir())
        text = ','.join(('name=cinder', 'key=client.cinder', *options))
        (_BUS / 'add_single_major').write_text(
            f'{self.monitor} {text} {ceph_base.VOLUMES} {image} -')
        device, = set((_BUS / 'devices').iterdir()) - before
        return device, Client.parse(
            (device / 'client_addr').read_text().strip())

    @staticmethod
    def unmap(device, force=False):
        """Unmap it."""
        base.run('udevadm', 'settle')
        (_BUS / 'remove_single_major').write_text(
            device.name + (' force' if force else ''))

    def unmap_all(self):
        """Unmap everything."""
        for device in list((_BUS / 'devices').iterdir()):
            self.unmap(device, force=True)

    @staticmethod
    def put(device, letter):
        """Write a block past the page cache."""
        disk = Path(f'/dev/rbd{device.name}')
        process.wait_for(disk.exists, f'udev to make {disk}', 30)
        with mmap.mmap(-1, BLOCK) as block:  # O_DIRECT needs whole pages
            block.write(letter * BLOCK)
            fd = os.open(disk, os.O_WRONLY | os.O_DIRECT)
            try:
                os.pwritev(fd, [block], 0)
            finally:
                os.close(fd)
