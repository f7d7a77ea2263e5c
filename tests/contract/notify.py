# SPDX-License-Identifier: Apache-2.0
"""The contract of notices: one suite for the fake and for Ceph."""

from collections.abc import Callable
import threading
import time
from typing import TYPE_CHECKING
import unittest

from mydriver import exception
from mydriver.ceph import bells, notify

if TYPE_CHECKING:
    _Case = unittest.TestCase
else:
    _Case = object


class NotifyContract(_Case):
    """Mix it into a TestCase that sets ``notices``.

    :ivar others: notices of another client of the same objects.
    """

    notices: notify.Notices
    others: notify.Notices
    #: Creates an object.
    make: Callable[[str], None]

    def rings(self, bell: bells.Bell, timeout_s: float = 5.0) -> bool:
        """Tell whether a bell rings in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if bell.wait(deadline - time.monotonic()):
                return True
        return False

    def quiet(self, bell: bells.Bell) -> None:
        """Wait until a bell does not ring any more; it may at first."""
        while bell.wait(0.2):
            pass

    def test_others_hear_it(self) -> None:
        self.make('one')
        with (self.others.listen('one') as one,
              self.others.listen('one') as two,
              self.others.listen('two') as another):
            for bell in (one, two, another):
                self.quiet(bell)
            self.notices.ring('one')
            self.assertTrue(self.rings(one))
            self.assertTrue(self.rings(two))
            self.assertFalse(self.rings(another, 0.3))
            self.assertFalse(self.rings(one, 0.3))

    def test_so_does_the_one_who_rings(self) -> None:
        self.make('one')
        with self.notices.listen('one') as bell:
            self.quiet(bell)
            self.notices.ring('one')
            self.assertTrue(self.rings(bell))

    def test_it_rings_although_nobody_waits_at_that_moment(self) -> None:
        self.make('one')
        with self.others.listen('one') as bell:
            self.quiet(bell)
            self.notices.ring('one')
            self.notices.ring('one')
            time.sleep(0.5)
            self.assertTrue(self.rings(bell, 0.1))
            self.assertFalse(self.rings(bell, 0.1))

    def test_listening_again(self) -> None:
        self.make('one')
        for _ in range(3):
            with self.others.listen('one') as bell:
                self.quiet(bell)
                self.notices.ring('one')
                self.assertTrue(self.rings(bell))

    def test_nobody_listens(self) -> None:
        self.make('one')
        for name in ('one', 'no such object'):
            started = time.monotonic()
            for _ in range(20):
                self.notices.ring(name)
            self.assertLess(time.monotonic() - started, 5)

    def test_a_wait_ends(self) -> None:
        self.make('one')
        with self.others.listen('one') as bell:
            self.quiet(bell)
            started = time.monotonic()
            self.assertFalse(bell.wait(0.3))
            self.assertLess(0.2, time.monotonic() - started)
            self.assertFalse(bell.wait(-1))

    def test_waiting_for_a_condition(self) -> None:
        self.make('one')
        with self.others.listen('one') as bell:  # the watch exists
            self.quiet(bell)
        # Whoever only looks needs a second each time.
        self.assertLess(min(self._told_s() for _ in range(3)), 0.9)

    def _told_s(self) -> float:
        """Return how long it takes to hear of something, in seconds."""
        seen: list[str] = []

        def tell() -> None:
            time.sleep(0.2)
            seen.append('it')
            self.notices.ring('one')

        thread = threading.Thread(target=tell)
        thread.start()
        started = time.monotonic()
        self.assertEqual(['it'], notify.wait_for(
            self.others, 'one', lambda: seen, 'it', 5))
        spent_s = time.monotonic() - started
        thread.join()
        return spent_s

    def test_a_condition_without_a_notice(self) -> None:
        self.make('one')
        started = time.monotonic()
        self.assertTrue(notify.wait_for(
            self.others, 'one', lambda: time.monotonic() > started + 0.3,
            'time', 5))
        self.assertLess(time.monotonic() - started, 2)

    def test_a_condition_that_is_never_met(self) -> None:
        self.make('one')
        started = time.monotonic()
        with self.assertRaises(exception.WaitTimeout) as caught:
            notify.wait_for(self.others, 'one', lambda: False, 'Godot', 0.3)
        self.assertIn('Godot', str(caught.exception))
        self.assertLess(time.monotonic() - started, 2)
