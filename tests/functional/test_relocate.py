# SPDX-License-Identifier: Apache-2.0
"""Copies from one kind of store to the other, in a kernel node."""

import os
import shutil
import tempfile

from mydriver.stores import copying
from mydriver.stores.lvmthin import store as lvmthin
from mydriver.stores.reflink import store as reflink
from tests.contract import store as contract
from tests.functional import base, lvm

SIZE_BYTES = 64 * contract.MIB


class RelocateTest(base.NodeTestCase):
    """Between a directory and a thin pool, on the real device-mapper."""

    @classmethod
    def setUpClass(cls):
        """Put one volume group on the spare disk."""
        super().setUpClass()
        lvm.make_group()
        cls.addClassCleanup(lvm.remove_group)

    def setUp(self):
        super().setUp()
        lvm.use(self)
        self.pool = lvmthin.LvmThinStore(lvm.GROUP)
        self.pool.prepare()
        self.addCleanup(lvm.remove_volumes)
        # Files have to be sparse here, but extents are not shared.
        path = tempfile.mkdtemp(dir='/dev/shm')
        self.addCleanup(shutil.rmtree, path)
        self.folder = reflink.ReflinkStore(path)

    def carry(self, source, target, name):
        """Move a backing; return the copy."""
        copy = copying.Copy(source, target, name)
        with copy.begun() as is_needed:
            self.assertIs(True, is_needed, 'nothing is shared')
            while copy.step():
                pass
        source.delete(name)
        return copy

    def test_to_a_thin_pool_and_back(self):
        name, data = contract.volume(), os.urandom(contract.MIB)
        self.folder.create(name, SIZE_BYTES)
        contract.write(self.folder.device(name).path, data, 40 * contract.MIB)
        for source, target in ((self.folder, self.pool),
                               (self.pool, self.folder)):
            copy = self.carry(source, target, name)
            self.assertEqual((SIZE_BYTES, contract.MIB),
                             (copy.done_bytes, copy.written_bytes))
            device = target.device(name)
            self.assertEqual(SIZE_BYTES, device.size_bytes)
            self.assertEqual(data, contract.read(
                device.path, contract.MIB, 40 * contract.MIB))
            self.assertEqual(bytes(contract.MIB), contract.read(
                device.path, contract.MIB))
            self.assertEqual(((name,), ()), (target.names(), source.names()))
        found = os.stat(self.folder.device(name).path)
        self.assertLessEqual(found.st_blocks * 512, 2 * contract.MIB)
