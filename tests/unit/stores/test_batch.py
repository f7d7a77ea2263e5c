# SPDX-License-Identifier: Apache-2.0
"""Operations on several backings."""

import dataclasses
import unittest
from unittest import mock

from mydriver import exception
from mydriver.stores import batch
from mydriver.stores.reflink import store as reflink
from tests.contract import store as contract
from tests.fakes import filesystem


class ConsistentStore(reflink.ReflinkStore):
    """Simulates a store with consistent groups.

    The sources change right after the snapshots of a group, so that clones of
    the sources instead of the snapshots would be wrong.
    """

    traits = dataclasses.replace(reflink.ReflinkStore.traits,
                                 consistent_groups=True)

    def snapshot_group(self, pairs):
        """Take the snapshots, then write to the sources."""
        super().snapshot_group(pairs)
        for source, _name in pairs:
            contract.write(self.device(source).path, b'later')


class BatchTest(unittest.TestCase):
    """All or nothing, at one point in time if the store can."""

    def setUp(self):
        super().setUp()
        self.folder = filesystem.folder(self)
        self.use(reflink.ReflinkStore)

    def use(self, kind):
        """Create a store of this kind with two volumes."""
        self.store = kind(self.folder, filesystem.copy)
        self.sources = [contract.volume(), contract.volume()]
        for source in self.sources:
            self.store.create(source, contract.MIB)
            contract.write(self.store.device(source).path, b'first')
        self.before = set(self.store.names())

    def wanted(self):
        """Return the clones to create."""
        return [(s, contract.volume(), 2 * contract.MIB)
                for s in self.sources]

    def test_clones_are_of_one_point_in_time(self):
        for kind in (reflink.ReflinkStore, ConsistentStore):
            self.use(kind)
            wanted = self.wanted()
            batch.clone_volumes(self.store, wanted)
            self.assertEqual(self.before | {n for _s, n, _size in wanted},
                             set(self.store.names()))
            for _source, name, size_bytes in wanted:
                device = self.store.device(name)
                self.assertEqual(size_bytes, device.size_bytes)
                self.assertEqual(b'first', contract.read(device.path, 5))

    def test_a_failed_clone_leaves_none(self):
        for kind in (reflink.ReflinkStore, ConsistentStore):
            self.use(kind)
            wanted = self.wanted()
            taken = [wanted[0], (self.sources[1], self.sources[0],
                                 contract.MIB)]
            for clone in (batch.clone_volumes, batch.clone_snapshots):
                with self.assertRaises(exception.StoreError):
                    clone(self.store, taken)
                self.assertEqual(self.before, set(self.store.names()))

    def test_the_first_error_is_the_one_raised(self):
        wanted = self.wanted()
        taken = [wanted[0], (self.sources[1], self.sources[0], contract.MIB)]
        with mock.patch.object(
                self.store, 'delete', side_effect=exception.StoreError(
                    'delete', 'the undo fails too')), \
                self.assertRaisesRegex(exception.StoreError,
                                       self.sources[0]) as caught:
            batch.clone_snapshots(self.store, taken)
        self.assertIn(wanted[0][1], ' '.join(caught.exception.__notes__))
