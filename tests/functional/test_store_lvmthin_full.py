# SPDX-License-Identifier: Apache-2.0
"""A thin pool that runs out of metadata, and its recovery."""

import mmap
import os

from mydriver import exception
from mydriver.stores.lvmthin import store as lvmthin
from tests.contract import store as contract
from tests.functional import base, lvm

MIB = contract.MIB
CHUNK = 64 * 1024
SIZE = 768 * MIB


class FullOfMetadataTest(base.NodeTestCase):
    """The pool has the least metadata that LVM allows."""

    def setUp(self):
        super().setUp()
        lvm.use(self)
        lvm.make_group(extent='4m')
        self.addCleanup(lvm.remove_group)
        base.run('lvcreate', '-q', '--type', 'thin-pool', '-L', '1400m',
                 '--poolmetadatasize', '2m', '--chunksize', '64k', '-Zy',
                 '--config', 'activation/error_when_full=1', '-n', 'small',
                 lvm.GROUP)
        self.store = lvmthin.LvmThinStore(f'{lvm.GROUP}/small')
        self.store.prepare()
        self.store.check()

    def path(self, name):
        """Return the local path of a backing."""
        return self.store.device(name).path

    def touch(self, name, step):
        """Write every n-th chunk with O_DIRECT; each is a new mapping."""
        fd = os.open(self.path(name), os.O_RDWR | os.O_DIRECT)
        try:
            with mmap.mmap(-1, CHUNK) as page:
                page[:8] = b'contents'
                for at in range(0, SIZE, step * CHUNK):
                    os.pwrite(fd, page, at)
            os.fsync(fd)
        finally:
            os.close(fd)

    def test_full_of_metadata(self):
        source, kept = contract.volume(), contract.volume()
        for name in (source, kept):
            self.store.create(name, SIZE)
        self.touch(source, 1)
        clones = [contract.volume() for _ in range(16)]
        for name in clones:
            self.store.clone(source, name, SIZE)
        # A write to each part of a clone makes that part of the mapping its
        # own.
        with self.assertRaises(exception.PoolFull) as caught:
            while True:
                self.touch(clones.pop(), 100)
                self.store.create(contract.volume(), SIZE)
        print(f'\n{caught.exception}')
        self.assertEqual('metadata', caught.exception.part)
        self.assertLess(caught.exception.used_percent, 100)
        self.assertEqual(0, self.store.capacity().free_bytes)
        contract.write(self.path(kept), b'guests go on')
        # Existing volumes can be written to until the metadata is full.
        with self.assertRaises(OSError):
            while clones:
                self.touch(clones.pop(), 100)
        print(base.run('lvs', '-a', '-o', '+metadata_percent,lv_check_needed',
                       lvm.GROUP), base.run('dmsetup', 'status'))
        with self.assertRaisesRegex(exception.StoreError,
                                    'metadata') as caught:
            self.store.capacity()
        print(caught.exception)
        self.recover()
        self.assertEqual(b'guests go on', contract.read(
            self.path(kept), 12))
        self.store.create(contract.volume(), SIZE)
        self.repair()
        self.assertEqual(b'guests go on', contract.read(
            self.path(kept), 12))
        self.store.create(contract.volume(), SIZE)
        self.touch(source, 100)

    def recover(self):
        """Extend the metadata, as the operations guide says."""
        base.run('lvextend', '--poolmetadatasize', '+16m',
                 f'{lvm.GROUP}/small')
        self.store.prepare()
        self.store.check()

    def repair(self):
        """Repair the metadata, as the operations guide says."""
        pool = f'{lvm.GROUP}/small'
        base.run('lvchange', '-an', lvm.GROUP)
        base.run('lvconvert', '-y', '--repair', pool)
        base.run('lvextend', '--poolmetadatasize', '+16m', pool)
        self.store.prepare()
        self.store.check()
