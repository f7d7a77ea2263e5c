# SPDX-License-Identifier: Apache-2.0
"""Lines as oslo.log writes them."""

import unittest

from mydriver.trace import record

LOCAL = 'req-22222222-2222-4222-8222-222222222222'
GLOBAL = 'req-11111111-1111-4111-8111-111111111111'
HERE = record.Source('cinder-volume', 'cinder-volume')


def parse(text):
    """Return the record of a line."""
    return record.parse(text, HERE, 0)


class ParseTest(unittest.TestCase):
    """The first line of a record."""

    def test_request_and_global_request(self):
        for context, request, cause in (
                (f'None {LOCAL} user project - - default default', LOCAL, ''),
                (f'{GLOBAL} {LOCAL} user project - - d d', LOCAL, GLOBAL),
                (f'{LOCAL} user project - default default', LOCAL, ''),
                (f'{LOCAL} {LOCAL} user project', LOCAL, ''),
                (f'None {LOCAL} - - - - - -', LOCAL, ''),
                ('-', '', ''), ('None - - - - - -', '', '')):
            with self.subTest(context):
                found = parse('2026-11-27 01:02:03.456 77 INFO cinder.x '
                              f'[{context}] It is done.')
                self.assertEqual((request, cause, 'It is done.'), (
                    found.request_id, found.global_id, found.text))
                self.assertEqual(cause or request, found.flow)

    def test_fields(self):
        found = parse('2026-11-27 01:02:03.456 77 WARNING mydriver.target.lio'
                      f' [None {LOCAL} u p] Text [with] brackets')
        self.assertEqual(('77', 'WARNING', 'mydriver.target.lio',
                          'Text [with] brackets'),
                         (found.pid, found.level, found.logger, found.text))
        self.assertEqual('2026-11-27 01:02:03.456', record.clock(found.time))

    def test_brackets_that_are_no_context_stay(self):
        self.assertEqual('[instance: 5] Attaching', parse(
            '2026-11-27 01:02:03.456 7 INFO nova [instance: 5] Attaching'
            ).text)

    def test_the_suffix_of_debug_goes(self):
        for suffix in (' __acquire /opt/x/cinder/coordination.py:141',
                       ' {{(pid=12) lock /opt/x/lockutils.py:9}}'):
            self.assertEqual('Lock "a" acquired', parse(
                '2026-11-27 01:02:03.456 7 DEBUG cinder.coordination [-] '
                f'Lock "a" acquired{suffix}').text)

    def test_what_is_no_record(self):
        for text in ('', 'Traceback (most recent call last):',
                     '2026-11-27', '2026-99-27 01:02:03.456 7 INFO a [-] b',
                     '[pid: 9780|app: 0|req: 2/2] 10.0.0.1 () {34 vars}',
                     '2026-11-27 01:02:03.456 x INFO a [-] b',
                     '*** Starting uWSGI 2.0.31 (64bit) ***'):
            self.assertIsNone(parse(text), text)

    def test_other_times(self):
        for text in ('2026-11-27 01:02:03', '2026-11-27T01:02:03,456',
                     '2026-11-27 01:02:03.456789'):
            self.assertIsNotNone(parse(f'{text} 7 INFO a [-] b'), text)

    def test_without_a_time_of_its_own(self):
        found = record.parse_short(
            f'\x1b[00;36mINFO nova.x [\x1b[01;36mNone {LOCAL} u p\x1b[00m] '
            'Attaching\x1b[00m', 5.0, HERE, 0, '42')
        self.assertEqual((5.0, '42', 'INFO', 'nova.x', LOCAL, 'Attaching'), (
            found.time, found.pid, found.level, found.logger,
            found.request_id, found.text))


class ContinuesTest(unittest.TestCase):
    """Further lines of a record."""

    def setUp(self):
        super().setUp()
        self.found = parse('2026-11-27 01:02:03.456 7 ERROR nova.compute '
                           f'[None {LOCAL} u p] Failed')

    def test_a_line_of_a_traceback(self):
        self.assertEqual('  File "x"', record.continues(
            self.found, '2026-11-27 01:02:03.456 7 ERROR nova.compute   File'
            ' "x"'))

    def test_a_line_about_a_server(self):
        self.assertEqual('a.SomeError: why', record.continues(
            self.found, '2026-11-27 01:02:03.456 7 ERROR nova.compute '
            '[instance: 0c8f1b7e-54d5-4cf3-8a93-4c7d1f0a2b33] a.SomeError: '
            'why'))

    def test_lines_of_others(self):
        for text in (
                '2026-11-27 01:02:03.456 8 ERROR nova.compute   File "x"',
                '2026-11-27 01:02:03.457 7 ERROR nova.compute   File "x"',
                '2026-11-27 01:02:03.456 7 ERROR nova.virt   File "x"',
                '2026-11-27 01:02:03.456 7 INFO nova.compute   File "x"',
                '2026-11-27 01:02:03.456 7 ERROR nova.compute [None '
                + GLOBAL + ' u p] Another'):
            self.assertIsNone(record.continues(self.found, text), text)


class ClockTest(unittest.TestCase):
    """Times that no calendar has."""

    def test_impossible(self):
        for time in (1e30, float('inf'), float('nan'), -1e20):
            self.assertEqual('?', record.clock(time))
