# SPDX-License-Identifier: Apache-2.0
"""The contract of floating addresses: one suite for fake and kernel."""

from typing import TYPE_CHECKING
import unittest

from mydriver import exception, model
from mydriver.target import floating

if TYPE_CHECKING:
    _Case = unittest.TestCase
else:
    _Case = object


class FloatingContract(_Case):
    """Mix it into a TestCase that sets these up."""

    addresses: floating.Addresses
    #: Floating addresses, and one that is the host's own.
    floating: tuple[str, ...]
    foreign: str

    def now(self) -> float:
        """Return the time, seconds."""
        raise NotImplementedError

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        raise NotImplementedError

    def test_hold_renew_and_drop(self) -> None:
        for address in self.floating:
            for seconds in (4.5, 9.5, 2.5):
                self.addresses.hold(address, self.now() + seconds)
                left_s = self.addresses.held()[address]
                self.assertIn(left_s, (int(seconds) - 1, int(seconds)))
            for _again in range(2):
                self.addresses.drop(address)
                self.assertNotIn(address, self.addresses.held())

    def test_it_goes_by_itself(self) -> None:
        for address in self.floating:
            self.addresses.hold(address, self.now() + 2.5)
        self.wait(1.5)
        self.assertLessEqual({*self.floating}, {*self.addresses.held()})
        self.wait(2.3)
        self.assertEqual(set(), {*self.floating} & {*self.addresses.held()})

    def test_too_late(self) -> None:
        for address in self.floating:
            self.addresses.hold(address, self.now() + 9)
            for _again in range(2):
                with self.assertRaises(exception.AddressError):
                    self.addresses.hold(address, self.now() + 0.5)
                self.assertNotIn(address, self.addresses.held())

    def test_the_hosts_own_is_left_alone(self) -> None:
        for _again in range(2):
            with self.assertRaises(exception.ForeignObject):
                self.addresses.hold(self.foreign, self.now() + 5)
            with self.assertRaises(exception.ForeignObject):
                self.addresses.drop(self.foreign)

    def test_only_what_is_held_is_announced(self) -> None:
        for address in self.floating:
            with self.assertRaises(exception.AddressError):
                self.addresses.announce(address)
            self.addresses.hold(address, self.now() + 5)
            self.addresses.announce(address)

    def test_only_for_what_is_held_peers_are_prompted(self) -> None:
        for address in self.floating:
            portal = model.Portal(address)
            with self.assertRaises(exception.AddressError):
                self.addresses.prompt(portal, [])
            self.addresses.hold(address, self.now() + 5)
            self.addresses.prompt(portal, [])
