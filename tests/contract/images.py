# SPDX-License-Identifier: Apache-2.0
"""The contract of a target's images: one suite for the fake and for krbd."""

import contextlib
from typing import TYPE_CHECKING
import unittest
import uuid

from mydriver import exception
from mydriver.target.gateways.images import Images

MIB = 1 << 20

if TYPE_CHECKING:
    _Case = unittest.TestCase
else:
    _Case = object


class ImagesContract(_Case):
    """Mix it into a TestCase that sets the images of two targets.

    :ivar images: of one target.
    :ivar other: of another target, on the same host.
    """

    images: Images
    other: Images

    def make_image(self) -> str:
        """Create an image of 16 MiB; return its volume."""
        raise NotImplementedError

    def grow(self, volume_id: str) -> None:
        """Resize the image of a volume to 32 MiB."""
        raise NotImplementedError

    def opened(self, volume_id: str, path: str
               ) -> contextlib.AbstractContextManager[object]:
        """Return a context in which somebody has a mapped device open."""
        raise NotImplementedError

    def test_at_first_there_is_nothing(self) -> None:
        self.assertIsNone(self.images.client())
        self.assertEqual({}, self.images.mapped())
        self.images.disconnect()

    def test_one_client(self) -> None:
        client = self.images.connect()
        self.assertEqual(client, self.images.connect())
        self.assertEqual(client, self.images.client())
        for _ in range(2):
            self.images.disconnect()
            self.assertIsNone(self.images.client())

    def test_each_client_is_another(self) -> None:
        # A fence of an earlier one must not hit the present one.
        seen = set()
        for _ in range(3):
            seen.add(self.images.connect())
            self.images.disconnect()
        self.assertEqual(3, len(seen))

    def test_map_and_unmap(self) -> None:
        volume_id = self.make_image()
        client = self.images.connect()
        for _ in range(2):
            device = self.images.map(volume_id)
            self.assertEqual(('iblock', 16 * MIB),
                             (device.kind, device.size_bytes))
            self.assertEqual({volume_id: client}, self.images.mapped())
        for _ in range(2):
            self.images.unmap(volume_id)
            self.assertEqual({}, self.images.mapped())
        self.assertEqual(client, self.images.client())

    def test_several_images_share_the_client(self) -> None:
        made = {self.make_image() for _ in range(3)}
        client = self.images.connect()
        for volume_id in made:
            self.images.map(volume_id)
        self.assertEqual(dict.fromkeys(made, client), self.images.mapped())
        for volume_id in made:
            self.images.unmap(volume_id)

    def test_a_grown_image(self) -> None:
        volume_id = self.make_image()
        self.images.connect()
        path = self.images.map(volume_id).path
        self.grow(volume_id)
        device = self.images.map(volume_id)
        self.assertEqual((path, 32 * MIB), (device.path, device.size_bytes))

    def test_no_image(self) -> None:
        self.images.connect()
        with self.assertRaises(exception.BackingNotFound):
            self.images.map(str(uuid.uuid4()))
        self.assertEqual({}, self.images.mapped())

    def test_without_a_client_nothing_is_mapped(self) -> None:
        volume_id = self.make_image()
        with self.assertRaises(exception.StoreError):
            self.images.map(volume_id)
        self.images.unmap(volume_id)
        self.assertIsNone(self.images.client())

    def test_a_client_that_is_used_stays(self) -> None:
        volume_id = self.make_image()
        client = self.images.connect()
        self.images.map(volume_id)
        with self.assertRaises(exception.StoreError):
            self.images.disconnect()
        self.assertEqual({volume_id: client}, self.images.mapped())
        self.images.unmap(volume_id)
        self.images.disconnect()

    def test_targets_have_nothing_in_common(self) -> None:
        mine, theirs = self.make_image(), self.make_image()
        client, other = self.images.connect(), self.other.connect()
        self.assertNotEqual(client, other)
        self.images.map(mine)
        self.other.map(theirs)
        self.images.unmap(theirs, by_force=True)
        self.assertEqual({mine: client}, self.images.mapped())
        self.assertEqual({theirs: other}, self.other.mapped())
        self.images.unmap(mine)
        self.images.disconnect()
        self.assertEqual({theirs: other}, self.other.mapped())

    def test_an_image_of_another_target(self) -> None:
        volume_id = self.make_image()
        self.images.connect()
        other = self.other.connect()
        self.other.map(volume_id)
        with self.assertRaises(exception.StoreError):
            self.images.map(volume_id)
        self.assertEqual({volume_id: other}, self.other.mapped())
        self.assertEqual({}, self.images.mapped())

    def test_an_open_device_needs_force(self) -> None:
        volume_id = self.make_image()
        client = self.images.connect()
        path = self.images.map(volume_id).path
        with self.opened(volume_id, path):
            with self.assertRaises(exception.StoreError):
                self.images.unmap(volume_id)
            self.assertEqual({volume_id: client}, self.images.mapped())
            for _ in range(2):
                self.images.unmap(volume_id, by_force=True)
                self.assertEqual({}, self.images.mapped())
        self.images.disconnect()
