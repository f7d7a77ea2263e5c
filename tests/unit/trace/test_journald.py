# SPDX-License-Identifier: Apache-2.0
"""The journal of systemd in both formats."""

import io
import json
import unittest

from mydriver.trace import journald, logs

LOCAL = 'req-22222222-2222-4222-8222-222222222222'
TIME = 1795741323456789


def entry(message, **fields):
    """Return the fields of an entry."""
    return {'__CURSOR': 's=1', '__REALTIME_TIMESTAMP': str(TIME),
            '_HOSTNAME': 'compute-7', '_PID': '7',
            '_SYSTEMD_UNIT': 'nova-compute.service', 'MESSAGE': message,
            **fields}


def exported(*entries):
    """Return a journal as ``journalctl -o export`` writes it."""
    out = b''
    for fields in entries:
        for key, value in fields.items():
            raw = value if isinstance(value, bytes) else value.encode()
            out += (key.encode() + b'=' + raw + b'\n' if b'\n' not in raw
                    else key.encode() + b'\n' + len(raw).to_bytes(8, 'little')
                    + raw + b'\n')
        out += b'\n'
    return out


def as_json(*entries):
    """Return a journal as ``journalctl -o json`` writes it."""
    return b''.join(json.dumps({
        key: list(value) if isinstance(value, bytes) else value
        for key, value in fields.items()}).encode() + b'\n'
        for fields in entries)


class JournalTest(unittest.TestCase):
    """Entries become records."""

    def read(self, *entries):
        """Return the records, which are the same in both formats."""
        both = []
        for journal in (exported(*entries), as_json(*entries)):
            self.assertTrue(journald.is_journal(journal[:4096]))
            its_logs = logs.Logs([logs.STDIN], io.BytesIO(journal))
            both.append(list(its_logs.records([LOCAL])))
            its_logs.close()
        self.assertEqual(*both)
        return both[0]

    def test_a_large_first_entry(self):
        """In JSON, the fields that show what it is may come after it."""
        for size in (5_000, 300_000):
            first = entry(f'INFO nova.x [None {LOCAL} u p] ' + 'x' * size)
            first = {'MESSAGE': first.pop('MESSAGE'), **first}
            its_logs = logs.Logs([logs.STDIN], io.BytesIO(as_json(
                first, entry(f'INFO nova.x [None {LOCAL} u p] one'))))
            self.assertEqual(['x', 'one'], [
                r.text[-3:].lstrip('x') or 'x'
                for r in its_logs.records([LOCAL])])
            self.assertEqual([], its_logs.problems)
            its_logs.close()

    def test_a_first_line_without_an_end_is_looked_at_in_part(self):
        stream = io.BytesIO(b'{' + b'x' * (9 << 20))
        self.assertLess(len(journald.beginning(stream)), 9 << 20)
        self.assertEqual(0, stream.tell())

    def test_a_line_without_a_time(self):
        found, = self.read(
            entry(f'INFO nova.compute.manager [None {LOCAL} u p] Attaching'),
            entry('INFO nova.x [-] other'))
        self.assertEqual(
            ('Attaching', LOCAL, 'nova-compute', 'nova-compute on compute-7',
             'compute-7', '7'),
            (found.text, found.request_id, found.source.service,
             found.source.name, found.source.host, found.pid))
        self.assertAlmostEqual(0.456789, found.time % 1, places=4)

    def test_a_line_with_a_time(self):
        found, = self.read(entry(
            f'2026-11-27 01:02:03.111 7 INFO nova [None {LOCAL} u p] One'))
        self.assertEqual('One', found.text)
        self.assertAlmostEqual(0.111, found.time % 1, places=4)

    def test_a_traceback_in_entries_of_its_own(self):
        head = '2026-11-27 01:02:03.111 7 ERROR nova.x'
        found, = self.read(
            entry(f'{head} [None {LOCAL} u p] Failed'),
            entry('INFO nova.x [-] other', _PID='8'),
            entry(f'{head} Traceback (most recent call last):'),
            entry(f'{head} E: why'))
        self.assertEqual(['Traceback (most recent call last):', 'E: why'],
                         found.more)

    def test_oslo_logs_handler(self):
        found, = self.read(entry(
            'Attaching', LOGGER_NAME='nova.compute', LOGGER_LEVEL='ERROR',
            REQUEST_ID=LOCAL, EXCEPTION_TEXT='Traceback\nE: why'))
        self.assertEqual(
            ('ERROR', 'nova.compute', LOCAL, ['Traceback', 'E: why']),
            (found.level, found.logger, found.request_id, found.more))

    def test_binary_fields(self):
        found, = self.read(entry(
            f'INFO nova.x [None {LOCAL} u p] a\xff\nb'.encode('latin-1')))
        self.assertEqual('a\ufffd', found.text)
        self.assertEqual(['b'], found.more)

    def test_entries_that_make_no_record(self):
        self.assertEqual([], self.read(
            entry(f'started {LOCAL}'), entry(f'{LOCAL}', MESSAGE=f'{LOCAL}'),
            *({**entry(f'INFO x [None {LOCAL}] y'),
               '__REALTIME_TIMESTAMP': time}
              for time in ('never', '-1', '9' * 30, '9' * 400, '9' * 9999))))


class DamagedTest(unittest.TestCase):
    """What is no journal does no harm."""

    def test_truncated_anywhere(self):
        whole = exported(entry(f'INFO x [None {LOCAL} u p] a\nb'),
                         entry('c'))
        for size in range(len(whole)):
            list(journald.records(io.BytesIO(whole[:size]), [b'req']))

    def test_a_length_that_cannot_be(self):
        raw = b'__CURSOR=1\nMESSAGE\n' + b'\xff' * 8 + b'x'
        self.assertEqual([], list(
            journald.records(io.BytesIO(raw), [b'req'])))

    def test_json_that_is_none(self):
        raw = b'{"__REALTIME_TIMESTAMP": 1\n[]\n' + b'[' * 100000 + b'\n'
        self.assertEqual([], list(
            journald.records(io.BytesIO(raw), [b'req'])))
