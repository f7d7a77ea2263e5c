# SPDX-License-Identifier: Apache-2.0
"""Reading a guest's console."""

import unittest

from lab import errors
from lab.scenario import console


def said(*texts: str) -> str:
    """Return a console as the guest writes it."""
    body = [f'{t} uptime={n}.50' for n, t in enumerate(texts, 1)]
    return ''.join(f'GUEST {t} length={len(t)}\r\n' for t in body)


class TestLines(unittest.TestCase):
    """The grammar."""

    def test_a_line(self):
        line, = console.lines('BIOS\r\n' + said(
            'disk vdb wrote token=t-1 bytes=4 ok'))
        self.assertEqual(('disk', 'vdb', 'wrote', 'ok'), line.words)
        self.assertEqual({'token': 't-1', 'bytes': '4'}, line.fields)
        self.assertEqual(1.5, line.uptime_s)
        self.assertTrue(line.says('disk', 'vdb', 'wrote'))
        self.assertFalse(line.says('disk', 'vdc'))

    def test_an_empty_field(self):
        line, = console.lines(said('disk vda added serial='))
        self.assertEqual({'serial': ''}, line.fields)

    def test_torn_lines_do_not_count(self):
        whole = said('disk vdb wrote sha256=0123456789abcdef ok')
        for at in range(1, len(whole) - 2):
            torn = whole[:at] + whole[1:]
            found = console.lines(torn)
            self.assertLessEqual(len(found), 1, torn)
            for line in found:
                self.assertEqual({'sha256': '0123456789abcdef'}, line.fields)
        self.assertEqual([], console.lines(whole[:-3]))

    def test_a_line_that_is_there_twice_counts_once(self):
        text = said('booted', 'disk vdb removed')
        self.assertEqual(console.lines(text), console.lines(text + text))

    def test_a_torn_line_that_is_repeated_comes_in_its_place(self):
        text = said('booted', 'disk vdb wrote token=t ok', 'disk vdc added')
        first, torn, last = text.splitlines(keepends=True)
        found = console.lines(
            first + torn.replace('token=t', 'token=tt') + last + text)
        self.assertEqual([1.5, 2.5, 3.5], [line.uptime_s for line in found])


class TestGuest(unittest.TestCase):
    """Waiting."""

    def setUp(self):
        self.text = ''
        self.guest = console.Guest('A', lambda: self.text)

    def _wait(self, *words: str) -> console.Line:
        return self.guest.wait(*words, timeout_s=0)

    def test_waits_go_on_where_the_last_one_ended(self):
        self.text = said('disk vdb added', 'disk vdb removed',
                         'disk vdb added', 'disk vdb removed')
        found = [self._wait('disk', 'vdb', 'removed').uptime_s,
                 self._wait('disk', 'vdb', 'removed').uptime_s]
        self.assertEqual([2.5, 4.5], found)
        with self.assertRaises(errors.DeadlinePassed):
            self._wait('disk', 'vdb', 'removed')

    def test_an_old_line_that_comes_again_is_not_a_new_one(self):
        self.text = said('disk vdb removed')
        self._wait('disk', 'vdb', 'removed')
        self.text += self.text
        with self.assertRaises(errors.DeadlinePassed):
            self._wait('disk', 'vdb', 'removed')

    def test_the_guest_says_that_data_is_wrong(self):
        self.text = said('disk vdb verified token=t BAD', 'disk vdb removed')
        with self.assertRaisesRegex(console.GuestError, 'A says: .* BAD'):
            self._wait('disk', 'vdb', 'removed')

    def test_the_error_quotes_the_console(self):
        self.text = 'Kernel panic'
        with self.assertRaisesRegex(errors.DeadlinePassed,
                                    'guest A to say "booted"\n.*panic'):
            self._wait('booted')
