# SPDX-License-Identifier: Apache-2.0
"""Calls that block, run by what the process says."""

import unittest

from mydriver.ceph import blocking


@blocking.step
def divide(a: int, b: int = 1) -> float:
    """Return a quotient."""
    return a / b


class BlockingTest(unittest.TestCase):
    """Steps and their runner."""

    def setUp(self):
        super().setUp()
        self.addCleanup(blocking.use, None)

    def test_a_step_is_run_by_the_function_that_was_set(self):
        ran = []

        def run(function):
            ran.append(function)
            return function()

        self.assertEqual(2, divide(4, b=2))
        blocking.use(run)
        self.assertEqual(2, divide(4, 2))
        with self.assertRaises(ZeroDivisionError):
            divide(1, 0)
        self.assertEqual(2, len(ran))
        blocking.use(None)
        divide(1)
        self.assertEqual(2, len(ran))
