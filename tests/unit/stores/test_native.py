# SPDX-License-Identifier: Apache-2.0
"""Stores with native access: the stand-in, and what has none."""

import os
import unittest
import uuid

from mydriver import exception
from mydriver.backend import devices
from mydriver.stores import names, native
from mydriver.stores.reflink import store as reflink
from tests.contract import native as contract
from tests.fakes import filesystem
from tests.fakes import native as fakes


def store_path(case):
    """Return the path of a new store, with room for its notes beside it."""
    path = os.path.join(filesystem.folder(case), 'store')
    os.mkdir(path, 0o750)
    return path


class FakeTest(contract.NativeContract, unittest.TestCase):
    """The stand-in keeps the contract."""

    def make_native(self):
        self.path = store_path(self)
        return self.reopen_native()

    def reopen_native(self):
        store = fakes.NativeStore(self.path)
        store.recover()
        return store


class OfTest(unittest.TestCase):
    """Only stores with the trait have the methods."""

    def test_of(self):
        folder = store_path(self)
        store = fakes.NativeStore(folder)
        self.assertIs(store, native.of(store))
        self.assertIsNone(native.of(reflink.ReflinkStore(folder)))


class DeviceTest(unittest.TestCase):
    """No device of a volume that hosts use natively, whoever asks."""

    def test_guard(self):
        store = fakes.NativeStore(store_path(self))
        store.recover()
        its_id = str(uuid.uuid4())
        name = names.volume_name(its_id)
        store.create(name, 1 << 20)
        guarded = devices.StoreDevices(store)
        self.assertEqual(1 << 20, guarded.bring_up(its_id).size_bytes)
        for host in ('b', 'a'):
            store.add_native_user(name, host)
        with self.assertRaises(exception.UsedNatively) as caught:
            guarded.bring_up(its_id)
        self.assertIn('by a, b. Detach', str(caught.exception))
        guarded.let_down(its_id)
