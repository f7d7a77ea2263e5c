# SPDX-License-Identifier: Apache-2.0
"""The contract suite of stores with native access, beside that of all stores.

A test case that inherits from :class:`NativeContract` and
:class:`unittest.TestCase` implements the first two methods for its store.
"""

import ipaddress
from typing import TYPE_CHECKING
import unittest
import uuid

from oslo_utils import units

from mydriver import exception
from mydriver.stores import base, names, native

MIB = units.Mi
#: Names of hosts that a store must tell apart, and keep as they are.
HOSTS = ('compute-1', 'compute-10', 'Compute-1', 'node.example', 'a b',
         'a/b', 'a=b', 'a,b', 'r\u00f6k', '%s', 'x' * 255)

if TYPE_CHECKING:
    _TestCase = unittest.TestCase
else:
    _TestCase = object


class NativeContract(_TestCase):
    """The tests."""

    def make_native(self) -> base.VolumeStore:
        """Return the store of the test, prepared."""
        raise NotImplementedError

    def reopen_native(self) -> base.VolumeStore:
        """Return another object on the same store, like another process."""
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        store = native.of(self.make_native())
        assert store is not None
        self.notes = store
        self.name = self._new()

    def _new(self) -> str:
        name = names.volume_name(str(uuid.uuid4()))
        self.notes.create(name, 4 * MIB)
        return name

    def _again(self) -> native.NativeStore:
        store = native.of(self.reopen_native())
        assert store is not None
        return store

    def test_where_it_is(self) -> None:
        found = self.notes.native_location(self.name)
        self.assertEqual(self.name, found.image)
        self.assertEqual(found.fsid, str(uuid.UUID(found.fsid)))
        self.assertTrue(found.pool and found.user and found.cluster)
        self.assertNotIn('client.', found.user)
        for monitor in found.monitors:
            ipaddress.ip_address(monitor.address)
        self.assertTrue(found.monitors)
        self.assertEqual(found, self._again().native_location(self.name))

    def test_users_come_and_go(self) -> None:
        self.assertEqual((), self.notes.native_users(self.name))
        for _ in range(2):
            for host in HOSTS:
                self.notes.add_native_user(self.name, host)
        self.assertEqual(tuple(sorted(HOSTS)),
                         self.notes.native_users(self.name))
        self.assertEqual(tuple(sorted(HOSTS)),
                         self._again().native_users(self.name))
        for _ in range(2):
            self.notes.drop_native_user(self.name, 'compute-1')
        self.assertEqual(tuple(sorted({*HOSTS} - {'compute-1'})),
                         self.notes.native_users(self.name))
        for host in HOSTS:
            self._again().drop_native_user(self.name, host)
        self.assertEqual((), self.notes.native_users(self.name))

    def test_each_attach_is_another_version(self) -> None:
        first = self.notes.add_native_user(self.name, 'a')
        self.notes.add_native_user(self.name, 'b')
        self.assertEqual(first, self.notes.native_notes(self.name)['a'])
        second = self._again().add_native_user(self.name, 'a')
        self.assertNotEqual(first, second)
        for _ in range(2):
            self.assertFalse(self.notes.drop_native_user(
                self.name, 'a', first))
            self.assertEqual(second, self.notes.native_notes(self.name)['a'])
        self.assertTrue(self.notes.drop_native_user(self.name, 'a', second))
        self.assertEqual(('b',), self.notes.native_users(self.name))
        third = self.notes.add_native_user(self.name, 'a')
        self.assertFalse(self.notes.drop_native_user(self.name, 'a', second))
        self.assertTrue(self._again().drop_native_user(
            self.name, 'a', third))
        self.notes.delete(self.name)
        self.assertTrue(self.notes.drop_native_user(self.name, 'b', first))

    def test_each_volume_has_its_own(self) -> None:
        other = self._new()
        self.notes.add_native_user(self.name, 'a')
        self.assertEqual((), self.notes.native_users(other))

    def test_they_follow_a_rename(self) -> None:
        new = names.volume_name(str(uuid.uuid4()))
        self.notes.add_native_user(self.name, 'a')
        self.notes.rename(self.name, new)
        self.assertEqual(('a',), self.notes.native_users(new))

    def test_they_go_with_the_volume(self) -> None:
        self.notes.add_native_user(self.name, 'a')
        self.notes.delete(self.name)
        self.notes.create(self.name, 4 * MIB)
        self.assertEqual((), self.notes.native_users(self.name))

    def test_no_copy_inherits_them(self) -> None:
        """librbd copies an image's metadata to its clones."""
        self.notes.add_native_user(self.name, 'a')
        clone, late = (names.volume_name(str(uuid.uuid4())) for _ in '12')
        snapshot = names.snapshot_name(str(uuid.uuid4()))
        self.notes.clone(self.name, clone, 4 * MIB)
        self.notes.snapshot(self.name, snapshot)
        self.notes.clone(snapshot, late, 4 * MIB)
        for copy in (clone, late):
            self.assertEqual((), self.notes.native_users(copy))
        self.assertEqual(('a',), self.notes.native_users(self.name))

    def test_a_volume_that_is_not_there(self) -> None:
        gone = names.volume_name(str(uuid.uuid4()))
        for ask in (self.notes.native_location, self.notes.native_users,
                    lambda name: self.notes.add_native_user(name, 'a')):
            with self.assertRaises(exception.BackingNotFound):
                ask(gone)
        self.notes.drop_native_user(gone, 'a')

    def test_odd_names(self) -> None:
        for name in ('../x', 'volume-1', ''):
            for ask in (self.notes.native_location, self.notes.native_users,
                        lambda n: self.notes.add_native_user(n, 'a'),
                        lambda n: self.notes.drop_native_user(n, 'a')):
                with self.assertRaises(exception.StoreError):
                    ask(name)
