# SPDX-License-Identifier: Apache-2.0
"""The images in memory pass the contract of those in Ceph."""

import contextlib
import os
import tempfile
import unittest
import uuid

from tests.contract import images as contract
from tests.fakes.gateways.images import MemoryCeph, MemoryImages


class MemoryImagesTest(contract.ImagesContract, unittest.TestCase):
    """A host with two targets."""

    def setUp(self):
        super().setUp()
        self.ceph = MemoryCeph(self.enterContext(
            tempfile.TemporaryDirectory()))
        self.images, self.other = (
            MemoryImages(self.ceph, '192.0.2.1') for _ in range(2))

    def make_image(self):
        volume_id = str(uuid.uuid4())
        self.ceph.create(volume_id, 16 * contract.MIB)
        return volume_id

    def grow(self, volume_id):
        os.truncate(self.ceph.path(volume_id), 32 * contract.MIB)

    @contextlib.contextmanager
    def opened(self, volume_id, path):
        self.images.opened.add(volume_id)
        yield
        self.images.opened.clear()
