# SPDX-License-Identifier: Apache-2.0
"""Structured events: what is written, and what is read back."""

from concurrent import futures
import contextvars
import json
import threading
import unittest
from unittest import mock

from mydriver import events, exception

VOLUME = '5a6ebd8c-0f4b-4d3a-9f10-9d4a3c1c7d11'


class EventsTestCase(unittest.TestCase):
    """Reads what is written to the log."""

    def setUp(self):
        super().setUp()
        self.log = self.enterContext(
            self.assertLogs('mydriver.events', 'INFO'))

    def written(self):
        """Return the events in the log, without their durations."""
        found = [events.parse(r.getMessage()) for r in self.log.records]
        return [(e.operation, e.phase, e.volume_id, e.outcome, e.error)
                for e in found]


class WriteTest(EventsTestCase):
    """Operations and phases."""

    def test_an_operation_and_its_phases(self):
        with events.operation('connect_volume', VOLUME):
            events.waited('lock')
            with events.phase('login'):
                pass
        self.assertEqual([
            ('connect_volume', 'lock', VOLUME, 'ok', ''),
            ('connect_volume', 'login', VOLUME, 'ok', ''),
            ('connect_volume', '', VOLUME, 'ok', '')], self.written())

    def test_an_error_passes_through_and_is_named(self):
        with self.assertRaises(exception.ConfigurationError), \
                events.operation('create_export', VOLUME), \
                events.phase('target'):
            raise exception.ConfigurationError('a', 'b', 'c secret')
        self.assertEqual([
            ('create_export', 'target', VOLUME, 'failed',
             'ConfigurationError'),
            ('create_export', '', VOLUME, 'failed', 'ConfigurationError')],
            self.written())
        self.assertNotIn('secret', '\n'.join(self.log.output))

    def test_an_operation_in_another(self):
        with events.operation('attach_volume', VOLUME):
            with events.operation('connect_volume', 'other'):
                pass
            with events.phase('attach_device'):
                pass
        self.assertEqual(
            [('connect_volume', '', 'other'),
             ('attach_volume', 'attach_device', VOLUME),
             ('attach_volume', '', VOLUME)],
            [w[:3] for w in self.written()])

    def test_a_helper_thread_in_a_copy_of_the_context(self):
        def step(name):
            with events.phase(name):
                pass

        with (events.operation('connect_volume', VOLUME),
              futures.ThreadPoolExecutor(1) as pool):
            pool.submit(contextvars.copy_context().run, step, 'mine').result()
            pool.submit(step, 'nobodys').result()
        self.assertEqual(['mine', ''], [w[1] for w in self.written()])

    def test_threads_do_not_see_each_others_operation(self):
        inside, seen = threading.Event(), threading.Event()

        def other():
            inside.wait(30)
            with events.phase('stray'):
                seen.set()

        thread = threading.Thread(target=other)
        thread.start()
        with events.operation('delete_volume', VOLUME):
            inside.set()
            self.assertTrue(seen.wait(30))
        thread.join()
        self.assertEqual(['delete_volume'], [w[0] for w in self.written()])

    def test_durations_are_milliseconds(self):
        with mock.patch.object(events, 'time') as clock:
            clock.monotonic.side_effect = (10.0, 10.25)
            with events.operation('create_volume', VOLUME):
                pass
        text = self.log.records[0].getMessage()
        self.assertEqual(
            {'operation': 'create_volume', 'volume_id': VOLUME,
             'duration_ms': 250.0, 'outcome': 'ok'},
            json.loads(text.removeprefix(events.MARK)))

    def test_what_is_no_text_is_not_written(self):
        with events.operation('create_volume', {'auth_password': 'x'}):
            pass
        with events.operation('create_volume', 'v' * 5000):
            pass
        self.assertEqual(['', 'v' * 80], [w[2] for w in self.written()])


class SilentTest(unittest.TestCase):
    """Nothing is reported outside of an operation."""

    def test_a_phase_of_nothing(self):
        with self.assertNoLogs('mydriver.events'):
            events.waited('lock')
            with events.phase('login'):
                pass


class ParseTest(unittest.TestCase):
    """Reading a line of a log."""

    def test_a_line_with_what_a_log_adds(self):
        event = events.Event('connect_volume', 12.34, 'failed', VOLUME,
                             'login', 'LoginError')
        line = f'2026-11-27 INFO mydriver.events [-] {event.text()} and more'
        self.assertEqual(
            events.Event('connect_volume', 12.3, 'failed', VOLUME, 'login',
                         'LoginError'), events.parse(line))

    def test_what_is_no_event(self):
        for text in ('', '{', '[]', '{}', '[' * 100000):
            with self.subTest(text[:9]):
                self.assertIsNone(events.parse(events.MARK + text))
        for duration, outcome in (('NaN', '"ok"'), ('-1', '"ok"'),
                                  ('"a"', '"ok"'), ('1', '"fine"'),
                                  ('1', '[]'), ('Infinity', '"ok"'),
                                  ('9' * 400, '"ok"'), ('9' * 9999, '"ok"')):
            with self.subTest((duration[:9], outcome)):
                self.assertIsNone(events.parse(
                    f'{events.MARK}{{"operation": "x", "duration_ms": '
                    f'{duration}, "outcome": {outcome}}}'))
        self.assertIsNone(events.parse('{"operation": "x", '
                                       '"duration_ms": 1, "outcome": "ok"}'))

    def test_fields_of_a_wrong_type_are_empty(self):
        found = events.parse(
            'mydriver event: {"operation": "x", "duration_ms": 1, '
            '"outcome": "ok", "volume_id": ["a"], "phase": 7}')
        self.assertEqual(('x', '', ''),
                         (found.operation, found.volume_id, found.phase))
