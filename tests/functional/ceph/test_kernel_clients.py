# SPDX-License-Identifier: Apache-2.0
"""What the gateways' protocol takes for granted of the kernel's client.

The models of the protocol (tests/fakes/gateways) are built on these facts.
"""

import errno

import rbd

from tests.functional.ceph.kernel_clients import (
    BLOCK,
    FIRST,
    SECOND,
    KernelClientsCase,
)


class TestKernelClients(KernelClientsCase):
    """Two clients of one kernel stand for two gateways."""

    def test_anchor_gives_a_client_before_any_image_is_mapped(self):
        _, client = self.map('anchor', 'ro', FIRST)
        _, same = self.map('image', 'exclusive', FIRST)
        self.assertEqual(client, same)
        # Read only, it has no lock; another target's anchor may be there too.
        _, other = self.map('anchor', 'ro', SECOND)
        self.assertNotEqual(client, other)

    def test_new_client_after_everything_was_unmapped(self):
        device, client = self.map('anchor', 'ro', FIRST)
        self.unmap(device)
        _, another = self.map('anchor', 'ro', FIRST)
        self.assertNotEqual(client, another)
        self.assertEqual(client.address, another.address)

    def test_holder_is_not_robbed_while_it_lives(self):
        self.map('image', 'exclusive', FIRST)
        self.map('anchor', 'ro', SECOND)
        with self.assertRaises(OSError) as caught:
            self.map('image', 'exclusive', 'lock_timeout=5', SECOND)
        self.assertEqual(errno.EROFS, caught.exception.errno)

    def test_fenced_first_it_is_mapped_at_once_and_stays_fenced(self):
        first, client = self.map('image', 'exclusive', FIRST)
        self.put(first, b'A')
        _, mine = self.map('anchor', 'ro', SECOND)
        self.fence.fence([client])
        before = self.fence.read().remaining_s(client)
        second, mapped_with = self.map('image', 'exclusive', SECOND)
        self.assertEqual(mine, mapped_with)
        # The kernel has entered it once more; the first entry stays.
        self.fence.fence([client])
        self.assertAlmostEqual(
            before, self.fence.read().remaining_s(client), delta=60)
        self.put(second, b'B')
        with self.assertRaises(OSError):
            self.put(first, b'A')
        with rbd.Image(self.pool, 'image', read_only=True) as image:
            self.assertEqual(b'B' * BLOCK, image.read(0, BLOCK))

    def test_fenced_client_maps_nothing(self):
        _, client = self.map('anchor', 'ro', FIRST)
        self.fence.fence([client])
        with self.assertRaises(OSError) as caught:
            self.map('image', 'exclusive', FIRST)
        self.assertEqual(errno.ESHUTDOWN, caught.exception.errno)

    def test_lock_that_our_librbd_breaks_is_no_obstacle(self):
        # A snapshot may be made while no gateway serves. The entry that librbd
        # makes then has to be as good as a gateway's.
        _, client = self.map('image', 'exclusive', FIRST)
        with rbd.Image(self.cluster.pool(), 'image') as image:
            (holder, cookie, address), = image.list_lockers()['lockers']
            self.assertEqual(str(client), address)
            image.break_lock(holder, cookie)
        self.fence.fence([client])
