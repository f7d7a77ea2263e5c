# SPDX-License-Identifier: Apache-2.0
"""The images of a gateway's targets, with the kernel's client of Ceph."""

from concurrent import futures
import uuid

from oslo_config import cfg

from mydriver import model
from mydriver.backend import images
from mydriver.ceph import cluster
from mydriver.privileged import krbd
from mydriver.stores import names
from tests.contract import images as contract
from tests.functional.ceph import base
from tests.functional.ceph import store as ceph_store


class PoolImagesTest(contract.ImagesContract, base.CephTestCase):
    """A host with two targets."""

    def setUp(self):
        super().setUp()
        io = self.ceph.cluster.open_ioctx(base.VOLUMES)
        self.addCleanup(io.close)
        ceph_store.use(self)
        self.addCleanup(ceph_store.clear, io)
        with open(cfg.CONF.config_file[0], 'a') as f:
            f.write('mydriver_gateway_addresses = 192.0.2.51,192.0.2.52\n')
        connection = cluster.Cluster(ceph_store.SETTINGS)
        self.addCleanup(connection.close)
        self.images, self.other = (images.PoolImages(
            connection, model.Iqn(f'iqn.2010-10.org.openstack:x-{n}'))
            for n in range(2))
        self.store = ceph_store.make()
        self.store.prepare()

    def make_image(self):
        volume_id = str(uuid.uuid4())
        self.store.create(names.volume_name(volume_id), 16 * contract.MIB)
        return volume_id

    def grow(self, volume_id):
        self.store.extend(names.volume_name(volume_id), 32 * contract.MIB)

    def opened(self, volume_id, path):
        return open(path, 'rb')

    def test_the_number_of_a_device_is_used_again(self):
        """What was known of the device before is not taken for this one."""
        self.images.connect()
        seen = set()
        for _ in range(3):
            volume_id = self.make_image()
            path = self.images.map(volume_id).path
            found = krbd.of_node(path)
            self.assertEqual(names.volume_name(volume_id), found.image.name)
            self.assertEqual([found], list(krbd.mappings(found.image.name)))
            self.assertTrue(found.is_at(path))
            seen.add((path, found.device_id))
            self.images.unmap(volume_id)
            self.assertIsNone(krbd.of_node(path))
            self.assertEqual([], list(krbd.mappings(found.image.name)))
        self.assertEqual(1, len({path for path, _ in seen}))
        self.assertEqual(3, len(seen))

    def test_an_image_is_mapped_once_however_many_ask(self):
        volumes = [self.make_image() for _ in range(2)]
        self.images.connect()
        with futures.ThreadPoolExecutor(8) as threads:
            paths = list(threads.map(
                lambda v: self.images.map(v).path, volumes * 4))
        self.assertEqual(2, len(set(paths)))
        for volume_id in volumes:
            self.assertEqual(1, len(list(krbd.mappings(
                names.volume_name(volume_id)))))
            self.images.unmap(volume_id)
