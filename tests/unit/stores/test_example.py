# SPDX-License-Identifier: Apache-2.0
"""The example of the page "Write a store" passes the contract suite."""

import contextlib
import importlib.util
import os
from pathlib import Path
import unittest

from mydriver import exception
from mydriver.stores import base, copying
from mydriver.stores.reflink import store as reflink
from tests.contract import store as contract
from tests.fakes import filesystem

PATH = (Path(__file__).parents[3]
        / 'doc' / 'source' / 'examples' / 'memory_store.py')


def example():
    """Return the module of the example, which is in no package."""
    spec = importlib.util.spec_from_file_location('memory_store', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


memory_store = example()


class MemoryStoreTest(contract.StoreContract, unittest.TestCase):
    """The contract, and what a store with mapped devices shows of callers."""

    def make_store(self) -> base.VolumeStore:
        """Return a store in an empty directory."""
        self.folder = filesystem.folder(self)
        return self.reopen()

    def reopen(self) -> base.VolumeStore:
        """Return a store on the same directory."""
        return memory_store.MemoryStore(self.folder)

    def make_foreign(self, name, size_bytes, data=b''):
        """Put a file into the directory."""
        with open(os.path.join(self.folder, name), 'wb') as f:
            f.write(data)
            f.truncate(size_bytes)

    def make_odd(self, name):
        """Make a directory of that name."""
        os.mkdir(os.path.join(self.folder, name))

    def away(self) -> contextlib.AbstractContextManager[None]:
        """Replace the directory by an empty one."""
        return filesystem.other_folder(self.folder)

    def paths(self):
        """Return the names of the paths that are up."""
        return {p for p in os.listdir(self.folder) if p.startswith('.up-')}

    def test_the_path_is_there_only_while_the_backing_is_up(self):
        name = contract.volume()
        self.store.create(name, contract.MIB)
        path = self.store.device(name).path
        self.assertFalse(os.path.exists(path))
        self.store.bring_up(name)
        self.assertTrue(os.path.exists(path))
        self.store.let_down(name)
        self.assertFalse(os.path.exists(path))

    def test_a_copy_leaves_no_device_up(self):
        other = reflink.ReflinkStore(filesystem.folder(self), filesystem.copy)
        name = self.made(data=b'data')
        self.store.let_down(name)
        for source, target in ((self.store, other), (other, self.store)):
            copy = copying.Copy(source, target, name)
            with copy.begun() as is_needed:
                while is_needed and copy.step():
                    pass
            self.assertEqual(set(), self.paths())
        self.assertEqual(b'data', contract.read(self.path(name), 4))

    def test_a_failed_copy_leaves_no_device_up(self):
        other = memory_store.MemoryStore(filesystem.folder(self))
        name = self.made(data=b'data')
        self.store.let_down(name)
        copy = copying.Copy(self.store, other, name)
        with self.assertRaises(exception.StoreError), copy.begun():
            self.assertEqual(1, len(self.paths()))
            raise exception.StoreError('go on', 'the test wants it')
        self.assertEqual(set(), self.paths())
        self.assertEqual((), other.names())

    def test_recovery_removes_drafts(self):
        name = self.made(data=b'kept')
        self.make_foreign(f'.draft-{contract.volume()}', contract.MIB)
        self.assertEqual((), self.store.recover())
        self.assertFalse([p for p in os.listdir(self.folder)
                          if p.startswith('.draft-')])
        self.assertEqual(b'kept', contract.read(self.path(name), 4))
