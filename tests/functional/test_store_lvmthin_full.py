# SPDX-License-Identifier: Apache-2.0
"""A thin pool whose metadata is filled on purpose, and its recovery."""

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
    """The pool has as little metadata as LVM makes."""

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
        """Write one chunk in so many, past the cache; a new mapping each."""
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
        # A chunk in each part of a clone: that part of the mapping is its
        # own from then on.
        with self.assertRaises(exception.PoolFull) as caught:
            while True:
                self.touch(clones.pop(), 100)
                self.store.create(contract.volume(), SIZE)
        print(f'\n{caught.exception}')
        self.assertEqual('metadata', caught.exception.part)
        self.assertLess(caught.exception.used_percent, 100)
        self.assertEqual(0, self.store.capacity().free_bytes)
        contract.write(self.path(kept), b'guests go on')
        # What there is goes on being written to, until it is really full.
        with self.assertRaises(OSError):
            while clones:
                self.touch(clones.pop(), 100)
        print(base.run('lvs', '-a', '-o', '+metadata_percent,lv_check_needed',
                       lvm.GROUP), base.run('dmsetup', 'status'))
        with self.assertRaisesRegex(exception.StoreError, 'metadata') as told:
            self.store.capacity()
        print(told.exception)
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
        """Do what the operations guide says."""
        base.run('lvextend', '--poolmetadatasize', '+16m',
                 f'{lvm.GROUP}/small')
        self.store.prepare()
        self.store.check()

    def repair(self):
        """Do what it says for metadata that needs a check."""
        pool = f'{lvm.GROUP}/small'
        base.run('lvchange', '-an', lvm.GROUP)
        base.run('lvconvert', '-y', '--repair', pool)
        base.run('lvextend', '--poolmetadatasize', '+16m', pool)
        self.store.prepare()
        self.store.check()
