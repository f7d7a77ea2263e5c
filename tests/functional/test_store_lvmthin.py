# SPDX-License-Identifier: Apache-2.0
"""The lvmthin store on a real device-mapper, in a kernel node."""

from mydriver.cinder_volume.stores import lvmthin
from tests.contract import store as contract
from tests.functional import base, lvm


class LvmThinStoreTest(contract.StoreContract, base.NodeTestCase):
    """The contract with the real LVM, and what only that can show."""

    @classmethod
    def setUpClass(cls):
        """Put one volume group on the spare disk for all tests."""
        super().setUpClass()
        lvm.make_group()
        cls.addClassCleanup(lvm.remove_group)

    def make_store(self):
        """Return a store in an empty pool."""
        lvm.use(self)
        self.addCleanup(lvm.remove_volumes)
        store = lvmthin.LvmThinStore(lvm.GROUP)
        store.prepare()
        return store

    def make_foreign(self, name, size_bytes, data=b''):
        """Make a volume as an operator does."""
        base.run('lvcreate', '-q', '-Wn', '-V', f'{size_bytes}b', '-n', name,
                 '--thinpool', lvm.POOL)
        if data:
            contract.write(f'/dev/{lvm.GROUP}/{name}', data)
