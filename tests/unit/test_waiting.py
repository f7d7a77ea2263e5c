# SPDX-License-Identifier: Apache-2.0
"""Waiting for conditions that are met late or never."""

import time
import unittest

from mydriver import exception, waiting


class WaitingTest(unittest.TestCase):
    """Polling."""

    def test_comes_at_last(self):
        seen = iter([None, 0, '', 'it'])
        self.assertEqual('it', waiting.wait_for(
            lambda: next(seen), 'something', 10))

    def test_says_what_did_not_come(self):
        began = time.monotonic()
        with self.assertRaises(exception.WaitTimeout) as caught:
            waiting.wait_for(lambda: None, 'the dust to settle', 0.05)
        self.assertEqual(
            'Timed out after 0.1 s waiting for the dust to settle.',
                         str(caught.exception))
        self.assertLess(time.monotonic() - began, 5)

    def test_looks_once_more_at_the_end(self):
        looks = []
        with self.assertRaises(exception.WaitTimeout):
            waiting.wait_for(lambda: looks.append(1), 'nothing', 0)
        self.assertEqual([1], looks)
