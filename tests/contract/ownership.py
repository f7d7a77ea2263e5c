# SPDX-License-Identifier: Apache-2.0
"""The lease and the record of a target: one suite for the fake and for Ceph.

:class:`.lease.Ownership` is what both implement.
"""

from typing import TYPE_CHECKING
import unittest

from mydriver import exception
from mydriver.target.gateways.lease import Found, Ownership
from mydriver.target.gateways.record import Client, OwnershipRecord

#: Duration of a lease here, seconds; half a second of it is the tests' own.
LEASE_S = 1.5
LONG_S = 60.0

ONE = Client('10.68.0.11', 1)
TWO = Client('2001:db8::2', 2)

if TYPE_CHECKING:
    _Case = unittest.TestCase
else:
    _Case = object


class OwnershipContract(_Case):
    """Mix it into a TestCase that sets the two owners.

    :ivar mine: the object as one client sees it.
    :ivar other: the same object as another client sees it.
    """

    mine: Ownership
    other: Ownership

    def wait(self, seconds: float) -> None:
        """Let that much of the lease's time pass."""
        raise NotImplementedError

    def store(self, text: str | None) -> None:
        """Put something else in the record's place; None removes it."""
        raise NotImplementedError

    def lose(self) -> None:
        """Remove the object."""
        raise NotImplementedError

    def own(self) -> Found:
        """Take the lease as ``mine`` and record it; return the record."""
        self.mine.create()
        self.assertTrue(self.mine.acquire('a', LONG_S))
        its = self.mine.read().record.taken('gw1', ONE)
        self.assertTrue(self.mine.write('a', its, self.mine.read()))
        return self.mine.read()

    # The record

    def test_new_target_has_no_owner(self) -> None:
        self.mine.create()
        self.assertEqual(OwnershipRecord(), self.other.read().record)

    def test_creating_twice_keeps_what_is_there(self) -> None:
        found = self.own()
        self.other.create()
        self.assertEqual(found, self.other.read())

    def test_no_record_is_an_error(self) -> None:
        for call in (self.mine.read, lambda: self.mine.acquire('a', LEASE_S)):
            with self.assertRaises(exception.OwnershipDamaged):
                call()
        # Asking has made nothing that could pass for a record later.
        self.mine.create()
        self.assertTrue(self.mine.acquire('a', LEASE_S))

    def test_damaged_record_is_an_error(self) -> None:
        self.own()
        for text in ('', '{}', '{"version":2}', 'x' * 5000):
            self.store(text)
            with self.assertRaises(exception.OwnershipDamaged):
                self.other.read()

    def test_lost_object_ends_the_lease_and_is_an_error(self) -> None:
        found = self.own()
        self.lose()
        self.assertFalse(self.mine.renew('a', LONG_S))
        self.assertFalse(self.mine.write('a', found.record.let_go(), found))
        with self.assertRaises(exception.OwnershipDamaged):
            self.other.acquire('b', LEASE_S)

    def test_write_needs_the_lease(self) -> None:
        self.mine.create()
        found = self.mine.read()
        its = found.record.taken('gw1', ONE)
        self.assertFalse(self.mine.write('a', its, found))
        self.assertTrue(self.mine.acquire('a', LONG_S))
        self.assertFalse(self.mine.write('b', its, found))
        self.assertFalse(self.other.write('a', its, found))
        self.assertEqual(found, self.mine.read())
        self.assertTrue(self.mine.write('a', its, found))
        self.assertEqual(its, self.other.read().record)

    def test_write_needs_the_record_that_was_read(self) -> None:
        self.mine.create()
        first = self.mine.read()
        second = self.own()
        self.assertFalse(self.mine.write(
            'a', second.record.let_go(), first))
        self.assertTrue(self.mine.write('a', second.record.let_go(), second))
        self.assertTrue(self.mine.read().record.released)

    def test_write_is_refused_when_the_lease_has_ended(self) -> None:
        self.mine.create()
        found = self.mine.read()
        self.assertTrue(self.mine.acquire('a', LEASE_S))
        self.wait(LEASE_S + 0.1)
        self.assertFalse(self.mine.write(
            'a', found.record.taken('gw1', ONE), found))
        self.assertTrue(self.other.acquire('b', LONG_S))
        self.assertFalse(self.mine.write(
            'a', found.record.taken('gw1', ONE), found))
        self.assertTrue(self.other.write(
            'b', found.record.taken('gw2', TWO), found))
        self.assertEqual('gw2', self.mine.read().record.owner)

    # The lease

    def test_one_has_it(self) -> None:
        self.mine.create()
        self.assertTrue(self.mine.acquire('a', LONG_S))
        self.assertFalse(self.other.acquire('b', LONG_S))
        self.assertFalse(self.other.acquire('a', LONG_S))
        self.assertFalse(self.mine.acquire('b', LONG_S))

    def test_asking_again_is_no_renewal(self) -> None:
        self.mine.create()
        self.assertTrue(self.mine.acquire('a', LEASE_S))
        self.assertFalse(self.mine.acquire('a', LONG_S))
        self.wait(LEASE_S + 0.1)
        self.assertTrue(self.other.acquire('b', LONG_S))

    def test_it_ends_in_time(self) -> None:
        self.mine.create()
        self.assertTrue(self.mine.acquire('a', LEASE_S))
        self.wait(LEASE_S - 0.5)
        self.assertFalse(self.other.acquire('b', LONG_S))
        self.wait(0.6)
        self.assertTrue(self.other.acquire('b', LONG_S))
        self.assertFalse(self.mine.renew('a', LONG_S))

    def test_renewal(self) -> None:
        self.mine.create()
        self.assertTrue(self.mine.acquire('a', LEASE_S))
        self.wait(LEASE_S - 0.5)
        self.assertTrue(self.mine.renew('a', LEASE_S))
        self.wait(LEASE_S - 0.5)
        self.assertFalse(self.other.acquire('b', LONG_S))
        self.wait(0.6)
        self.assertTrue(self.other.acquire('b', LONG_S))

    def test_ended_lease_is_not_revived(self) -> None:
        self.mine.create()
        self.assertTrue(self.mine.acquire('a', LEASE_S))
        self.wait(LEASE_S + 0.1)
        self.assertFalse(self.mine.renew('a', LONG_S))
        self.assertTrue(self.other.acquire('b', LONG_S))

    def test_nobody_renews_that_of_another(self) -> None:
        self.mine.create()
        self.assertFalse(self.mine.renew('a', LONG_S))
        self.assertTrue(self.mine.acquire('a', LONG_S))
        self.assertFalse(self.other.renew('a', LONG_S))
        self.assertFalse(self.mine.renew('b', LONG_S))

    def test_release(self) -> None:
        self.mine.create()
        self.assertTrue(self.mine.acquire('a', LONG_S))
        self.other.release('a')
        self.mine.release('b')
        self.assertFalse(self.other.acquire('b', LONG_S))
        self.mine.release('a')
        self.mine.release('a')
        self.assertTrue(self.other.acquire('b', LONG_S))
        self.mine.release('a')
        self.assertTrue(self.other.renew('b', LONG_S))

    def test_release_keeps_the_record(self) -> None:
        found = self.own()
        self.mine.release('a')
        self.assertEqual(found, self.other.read())
