# SPDX-License-Identifier: Apache-2.0
"""Our udev rules make the same links to mapped images as Ceph's."""

from pathlib import Path

import rbd

from mydriver.privileged import cephconf, krbd
from mydriver.privileged.rbd import keys
from tests.functional import base, udev
from tests.functional.ceph import base as ceph_base

SIZE = 16 << 20
NAMESPACE = 'team'
#: A partition table with one partition, of type Linux, in sectors 2048 to
#: 4095.
TABLE = (bytes(446) + bytes.fromhex('00000000830000000008000000080000')
         + bytes(48) + b'\x55\xaa')


class UdevTest(ceph_base.CephTestCase):
    """An image, its partition, a snapshot, and an image in a namespace."""

    def setUp(self):
        super().setUp()
        base.run('modprobe', 'rbd', 'single_major=Y')
        self.io = self.ceph.cluster.open_ioctx(ceph_base.VOLUMES)
        self.addCleanup(self.io.close)
        rbd.RBD().namespace_create(self.io, NAMESPACE)
        self.addCleanup(rbd.RBD().namespace_remove, self.io, NAMESPACE)
        for namespace in ('', NAMESPACE):
            self.io.set_namespace(namespace)
            rbd.RBD().create(self.io, 'image', SIZE,
                             features=rbd.RBD_FEATURE_LAYERING)
            self.addCleanup(self.remove, namespace)
            with rbd.Image(self.io, 'image') as image:
                image.write(TABLE, 0)
                image.create_snap('-before')
        self.conf = cephconf.CephConf(str(self.conf), 'admin')

    def remove(self, namespace):
        """Remove an image with its snapshot."""
        self.io.set_namespace(namespace)
        with rbd.Image(self.io, 'image') as image:
            image.remove_snap('-before')
        rbd.RBD().remove(self.io, 'image')
        self.io.set_namespace('')

    def links(self):
        """Map everything; return what the links to it are, and unmap."""
        for option in ('', f',_pool_ns={NAMESPACE}'):
            for snapshot in ('-', '-before'):
                with keys.held('client.admin', self.conf.key()):
                    (krbd.BUS / 'add_single_major').write_text(
                        f'{self.conf.monitors()[0]} name=admin,'
                        f'key=client.admin{option} {ceph_base.VOLUMES} image '
                        f'{snapshot}')
        base.run('udevadm', 'settle')
        found = {str(p) for p in Path('/dev/rbd').rglob('*')
                 if p.is_symlink()}
        for device in list((krbd.BUS / 'devices').iterdir()):
            (krbd.BUS / 'remove_single_major').write_text(device.name)
        base.run('udevadm', 'settle')
        self.assertEqual([], [p for p in Path('/dev').rglob('rbd/**/*')
                              if p.is_symlink()])
        return found

    def test_the_links_are_the_same(self):
        theirs = self.links()
        self.assertEqual(
            {f'/dev/rbd/{ceph_base.VOLUMES}/{namespace}image{snapshot}{part}'
             for namespace in ('', f'{NAMESPACE}/')
             for snapshot in ('', '@-before') for part in ('', '-part1')},
            theirs)
        udev.use_our_rules(self)
        self.assertEqual(theirs, self.links())
