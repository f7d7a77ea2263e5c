# SPDX-License-Identifier: Apache-2.0
"""Turns: one at a time, in order, with a limited wait."""

import threading
import time
import unittest

from mydriver import exception, turns

#: No thread takes that long, however slow the machine is.
LONG_S = 60


class TurnsTest(unittest.TestCase):
    """One lock, several threads."""

    def setUp(self):
        super().setUp()
        self.turns = turns.Turns('the thing', LONG_S, patience_s=0)
        self.order = []

    def in_line(self, name):
        """Start a thread that takes its turn; return when it waits."""
        def take():
            with self.turns:
                self.order.append(name)

        waiting = len(self.turns._queue)
        thread = threading.Thread(target=take)
        thread.start()
        self.addCleanup(thread.join)
        self.wait_for(lambda: len(self.turns._queue) > waiting)
        return thread

    def wait_for(self, condition):
        deadline = time.monotonic() + LONG_S
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.001)

    def test_in_the_order_of_asking(self):
        with self.turns:
            threads = [self.in_line(n) for n in range(5)]
        # A thread that releases it and asks again comes last.
        with self.turns:
            self.order.append('again')
        for thread in threads:
            thread.join()
        self.assertEqual([0, 1, 2, 3, 4, 'again'], self.order)

    def test_again_within_ones_own_turn(self):
        with self.turns:
            with self.turns:
                self.assertTrue(self.turns.is_mine)
                thread = self.in_line('other')
            self.assertEqual([], self.order)
            self.assertTrue(self.turns.is_mine)
        thread.join()
        self.assertEqual(['other'], self.order)
        self.assertFalse(self.turns.is_mine)

    def test_an_error_hands_it_on(self):
        with self.assertRaises(KeyError), self.turns:
            thread = self.in_line('other')
            raise KeyError
        thread.join()
        self.assertEqual(['other'], self.order)

    def test_not_for_ever(self):
        self.turns._timeout_s = 0.01
        caught = []

        def take():
            try:
                with self.turns:
                    self.order.append('never')
            except exception.WaitTimeout as e:
                caught.append(str(e))

        with self.turns:
            thread = threading.Thread(target=take)
            thread.start()
            thread.join()
        self.assertEqual(
            ['Timed out after 0.01 s waiting for the thing; 0 others wait.'],
            caught)
        self.assertEqual([], self.order)
        with self.turns:  # it is whole
            self.assertTrue(self.turns.is_mine)

    def test_one_at_a_time(self):
        self.assertEqual(1, self.at_a_time())

    def test_two_at_a_time(self):
        self.turns = turns.Turns('the thing', LONG_S, slots=2)
        self.assertEqual(2, self.at_a_time())

    def test_out_of_order_while_nobody_is_impatient(self):
        self.turns = turns.Turns('the thing', LONG_S, patience_s=LONG_S)
        self.assertEqual(1, self.at_a_time())
        self.assertEqual({}, self.turns._depths)

    def at_a_time(self):
        """Have eight threads come again and again; return the most inside."""
        inside, most = [], []

        def work():
            for _ in range(200):
                with self.turns:
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0)
                    inside.pop()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(1600, len(most))
        return max(most)
