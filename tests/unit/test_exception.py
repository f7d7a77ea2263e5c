# SPDX-License-Identifier: Apache-2.0
"""The text of errors: complete, bounded, and fit for any log."""

import unittest

from mydriver import exception


class TextTest(unittest.TestCase):
    """How an error shows its fields."""

    def test_short_fields_are_whole(self):
        reason = 'x' * exception.FIELD_MAX
        self.assertEqual(f'The store could not grow: {reason}.',
                         str(exception.StoreError('grow', reason)))

    def test_of_a_long_one_the_ends_are_shown(self):
        error = exception.StoreError(
            'begin' + 'x' * 10 ** 6 + 'end', 'no room')
        self.assertRegex(
            str(error), r'not beginx+ \.\.\. \(1000008 characters\) \.\.\. '
            r'x+end: no room\.\Z')
        self.assertLess(len(str(error)), 1200)

    def test_arguments_stay_whole(self):
        """oslo.privsep makes the same error of them on the other side."""
        error = exception.StoreError('x' * 10 ** 4, '\ud800')
        self.assertEqual(('x' * 10 ** 4, '\ud800'), error.args)
        self.assertEqual(str(error), str(type(error)(*error.args)))

    def test_a_lone_surrogate_can_be_logged(self):
        self.assertEqual(
            r'The store could not open volume-\udcff: no.',
            str(exception.StoreError('open volume-\udcff', 'no')))

    def test_an_integer_without_end(self):
        self.assertLess(len(str(exception.StoreFull(
            '/srv', 10 ** 5000, 7))), 200)

    def test_both_stores_run_out_of_room_alike(self):
        for error in (exception.StoreFull('/srv', 2, 1),
                      exception.PoolFull('vg/p', 'data', 96.0, 95, 'Do.')):
            self.assertIsInstance(error, exception.NoRoom)
        self.assertNotIsInstance(error, exception.StoreFull)

    def test_what_is_escaped_is_bounded_too(self):
        kinds = [exception.MyDriverError]
        for kind in kinds:
            kinds += kind.__subclasses__()
        for kind in kinds:
            text = str(kind(*('\ud800' * 5000 for _ in kind.fields)))
            self.assertLess(len(text), 20_000, kind)
            text.encode()
        self.assertLess(len(exception.shown('\ud800' * 5000)), 150)

    def test_shown(self):
        for value, text in (
                ('short', 'short'),
                ('x' * 101, 'x' * 100 + '... (101 characters)'),
                ('\ud800', r'\ud800'),
                (7, '7'), (True, 'True'), (None, 'None'), (7.5, '7.5'),
                (10 ** 5000, '<int>'), ([1], '<list>'), ({}, '<dict>'),
                (b'x' * 10 ** 6, '<bytes>')):
            with self.subTest(text):
                self.assertEqual(text, exception.shown(value))
