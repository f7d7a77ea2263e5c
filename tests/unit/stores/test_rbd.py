# SPDX-License-Identifier: Apache-2.0
"""The parts of the rbd store that need no cluster.

The store itself is tested on a real one: tests/functional/ceph.
"""

import threading
import unittest
from unittest import mock

from mydriver import exception, stores
from mydriver.ceph import cluster
from mydriver.stores import imaging, names, native
from mydriver.stores.rbd import alone, listing, reverts

NAME = 'volume-11111111-2222-4333-8444-555555555555'


class StoreTest(unittest.TestCase):
    """What it is, and what it refuses by itself."""

    def setUp(self):
        super().setUp()
        connect = mock.patch.object(
            cluster.Cluster, '_connect',
            side_effect=AssertionError('it connects'))
        connect.start()
        self.addCleanup(connect.stop)
        self.store = stores.build_rbd(cluster.Settings('volumes'))

    def test_making_it_connects_to_nothing(self):
        self.assertEqual('volumes (/etc/ceph/ceph.conf)',
                         self.store.location)
        self.assertEqual(512, self.store.block_bytes())
        self.assertIs(self.store, native.of(self.store))
        self.assertIs(self.store, imaging.of(self.store))
        self.assertIs(False, self.store.share(0, NAME, 512))
        self.assertEqual(0, self.store.extents(NAME))

    def test_names_and_sizes_are_checked_before_it_connects(self):
        for call in (self.store.delete, self.store.bring_up,
                     self.store.let_down, self.store.device,
                     lambda n: self.store.snapshot(NAME, n),
                     lambda n: self.store.revert(NAME, n),
                     lambda n: self.store.create(NAME, 511)):
            with self.assertRaises(exception.StoreError):
                call('volume-1')

    def test_it_is_a_kind_to_choose(self):
        with self.assertRaisesRegex(exception.ConfigurationError, 'rbd'):
            stores.build('tape', '/dev/st0')


class NamesTest(unittest.TestCase):
    """Names of images that are ours without being backings."""

    def test_a_spare_is_hidden_and_different_for_each_volume(self):
        spare = reverts.spare_name(NAME)
        self.assertTrue(spare.startswith(listing.HIDDEN))
        self.assertFalse(names.is_name(spare))
        self.assertNotEqual(spare, reverts.spare_name(NAME[:-1] + '6'))


class AloneTest(unittest.TestCase):
    """One thread at a time on an image."""

    def test_another_thread_waits_for_the_same_image_only(self):
        inside = threading.Event()

        def work(*ids):
            with alone.with_images(*ids):
                inside.set()

        with alone.with_images('a', 'b', None, ''):
            waiting = threading.Thread(target=work, args=('b', 'c'))
            waiting.start()
            self.assertFalse(inside.wait(0.1))
            # It holds nothing while it waits.
            with alone.with_images('c'):
                pass
        waiting.join(10)
        self.assertTrue(inside.is_set())

    def test_an_error_lets_the_next_one_in(self):
        with self.assertRaises(ValueError), alone.with_images('a'):
            raise ValueError
        with alone.with_images('a'):
            pass
