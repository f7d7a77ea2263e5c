# SPDX-License-Identifier: Apache-2.0
"""``mydriver metrics --events``: operations, counted from logs."""

import ast
import fcntl
import io
import itertools
import json
import logging
import os
from pathlib import Path
import re
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from oslo_config import cfg
from oslo_log import formatters, log
from prometheus_client import core

from mydriver import events, exception
from mydriver.cinder_volume import driver, parts
from mydriver.cmd.monitoring import catalogue, kept, operations, tally
from mydriver.trace import journalctl
from tests.unit_cinder.cmd.test_metrics import MetricsTestCase, parsed

ROOT = Path(__file__).parents[3]
VOLUME = '6b0fbd7c-9f5a-4a51-9f0b-1f1ef1a4b111'
LINE = ('2026-11-27 05:00:00.{ms:03} 7 INFO {logger} [None req-22222222-2222-'
        '4222-8222-222222222222 u p] {text}\n')
_NUMBERS = itertools.count()


def line(text, logger='mydriver.events'):
    """Return a line; no two are the same."""
    return LINE.format(logger=logger, text=text, ms=next(_NUMBERS) % 1000)


def event(operation='create_volume', duration_ms=30.0, **more):
    """Return the line of an event."""
    return line(events.Event(
        operation, duration_ms, **{'outcome': events.OK, 'volume_id': VOLUME,
                                   **more}).text())


class TallyTest(unittest.TestCase):
    """Counts."""

    def setUp(self):
        super().setUp()
        self.tally = tally.Tally()

    def add(self, operation='create_volume', duration_ms=30.0, service='s',
            **more):
        self.tally.add(service, events.Event(
            operation, duration_ms, **{'outcome': events.OK, **more}))

    def test_outcomes(self):
        for _ in range(3):
            self.add()
        self.add(outcome=events.FAILED, error='NoRoom')
        self.assertEqual({('s', 'create_volume', 'ok'): 3,
                          ('s', 'create_volume', 'failed'): 1},
                         self.tally.ended)
        self.assertEqual({('s', 'create_volume', 'NoRoom'): 1},
                         self.tally.failures)

    def test_durations_are_in_seconds(self):
        for duration_ms in (25, 25.1, 1000, 400_000):
            self.add(duration_ms=duration_ms)
        self.add(outcome=events.FAILED, duration_ms=60_000, error='X')
        found = self.tally.durations['s', 'create_volume']
        self.assertAlmostEqual(401.0501, found.sum_s)
        self.assertEqual(
            [('0.025', 1), ('0.05', 2), ('0.1', 2), ('0.25', 2), ('0.5', 2),
             ('1.0', 3), ('2.5', 3), ('5.0', 3), ('10.0', 3), ('30.0', 3),
             ('60.0', 3), ('300.0', 3), ('+Inf', 4)], list(found.buckets()))

    def test_phases_are_no_operations(self):
        self.add(phase='lock', duration_ms=500)
        self.add(phase='lock', duration_ms=250, outcome=events.FAILED)
        self.assertEqual({}, self.tally.ended)
        self.assertEqual({('s', 'create_volume', 'lock'):
                          tally.Sum(2, 0.75)}, self.tally.phases)

    def test_names_of_anybody_are_bounded(self):
        for n in range(3000):
            self.add(f'o{n}')
            self.add(service=f'host{n}')
            self.add(phase=f'p{n}')
            self.add(outcome=events.FAILED, error=f'E{n}')
        self.assertLess(len(self.tally.ended), 200)
        self.assertLess(len(self.tally.failures), 100)
        self.assertLess(len(self.tally.phases), 100)
        self.assertIn(('s', 'other', 'ok'), self.tally.ended)
        self.assertIn(('other', 'create_volume', 'ok'), self.tally.ended)

    def test_strange_names(self):
        for name in ('', 'a b', 'a"b', 'x\n', '\u0663', '-', VOLUME[:8]):
            self.add(name)
        self.assertEqual({('s', 'other', 'ok'): 7,
                          ('s', 'other', 'failed'): 0}, self.tally.ended)

    def test_it_is_kept(self):
        self.test_outcomes()
        self.test_phases_are_no_operations_again()
        again = tally.Tally.of_primitives(json.loads(json.dumps(
            self.tally.primitives())))
        self.assertEqual(self.tally.primitives(), again.primitives())
        again.merge(self.tally)
        self.assertEqual(6, again.ended['s', 'create_volume', 'ok'])
        self.assertEqual([0, 6], again.durations[
            's', 'create_volume'].counts[:2])
        self.assertEqual(2, again.phases['s', 'create_volume', 'scan'].count)

    def test_phases_are_no_operations_again(self):
        self.add(phase='scan', duration_ms=2)
        self.assertIn(('s', 'create_volume', 'scan'), self.tally.phases)

    def test_other_buckets_begin_anew(self):
        self.add()
        found = self.tally.primitives()
        found['bounds_s'] = [1.0]
        again = tally.Tally.of_primitives(found)
        self.assertEqual({}, again.durations)
        self.assertEqual(1, again.ended['s', 'create_volume', 'ok'])


class NamesTest(unittest.TestCase):
    """The operations that begin with zero are those that there are."""

    def test_of_the_driver(self):
        names = {name for name in dir(driver.LIODriver)
                 if getattr(getattr(driver.LIODriver, name), '__code__', None)
                 is FORWARDED} - parts._NO_OPERATIONS
        self.assertEqual(names, set(operations.OPERATIONS['cinder-volume']))

    def test_of_the_plugin(self):
        names = set()
        for path in (ROOT / 'mydriver/nova_virt').glob('*.py'):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(
                        node.func) == 'events.operation':
                    names.add(node.args[0].value)
        self.assertEqual(names, set(operations.OPERATIONS['nova-compute']))


#: The code of all methods that are reported as operations.
FORWARDED = driver.LIODriver.create_volume.__code__


class OperationsTestCase(MetricsTestCase):
    """A log of cinder-volume."""

    def setUp(self):
        super().setUp()
        self.log = Path(self.folder, 'cinder-volume.log')
        self.log.write_text(event() * 3)
        self.state = Path(self.backend.state_path, 'events.json')
        self.clock = self.enterContext(mock.patch.object(
            operations.time, 'time', return_value=1e9))

    def append(self, *lines):
        with self.log.open('a') as f:
            f.writelines(lines)

    def operations(self, *argv, status=0):
        """Run the command; return values and the log."""
        got, found, err = self.metrics('--events', str(self.log), *argv)
        self.assertEqual(status, got, err)
        return found, err

    def assert_operation(self, found, value, name='operations_total',
                         service='cinder-volume', operation='create_volume',
                         **labels):
        self.assert_value(found, value, name, service=service,
                          operation=operation, **labels)


class OperationsTest(OperationsTestCase):
    """Values, and their absence."""

    def test_what_came_before_is_not_counted(self):
        found, _ = self.operations()
        for outcome in ('ok', 'failed'):
            self.assert_operation(found, 0, outcome=outcome)
        self.assert_value(found, 1, 'scrape_success', backend='',
                          part='events')
        self.assertEqual([], [n for n, _ in found if 'duration_seconds_' in n
                              and 'scrape' not in n])

    def test_operations_are_counted_once(self):
        self.operations()
        self.append(event(), event(duration_ms=2000), event(phase='lock'),
                   event(outcome=events.FAILED, error='StoreFull'),
                   line('Created volume x', logger='mydriver.y'))
        self.operations()
        self.clock.return_value += operations.HELD_S
        for _ in range(3):
            found, _ = self.operations()
            self.assert_operation(found, 2, outcome='ok')
            self.assert_operation(found, 1, outcome='failed')
            self.assert_operation(found, 1, 'operation_failures_total',
                                  error='StoreFull')
            name = 'operation_duration_seconds'
            self.assert_operation(found, 2, f'{name}_count')
            self.assert_operation(found, 2.03, f'{name}_sum')
            for value, le in ((0, '0.025'), (1, '0.05'), (1, '1.0'),
                              (2, '2.5'), (2, '+Inf')):
                self.assert_operation(found, value, f'{name}_bucket', le=le)
            self.assert_operation(found, 1, 'operation_phase_seconds_count',
                                  phase='lock')
            self.assert_operation(found, 0.03, 'operation_phase_seconds_sum',
                                  phase='lock')
        self.append(event())
        found, _ = self.operations()
        self.assert_operation(found, 3, outcome='ok')

    def new(self):
        """Return the values of what three operations were the first of."""
        found, _ = self.operations()
        its = {'service': 'cinder-volume', 'operation': 'create_volume'}
        return [found.get((f'mydriver_{name}', frozenset(
            (its | labels).items()))) for name, labels in (
                ('operation_failures_total', {'error': 'StoreFull'}),
                ('operation_duration_seconds_count', {}),
                ('operation_duration_seconds_sum', {}),
                ('operation_duration_seconds_bucket', {'le': '0.05'}),
                ('operation_phase_seconds_count', {'phase': 'lock'}),
                ('operation_phase_seconds_sum', {'phase': 'lock'}))]

    def append_new(self):
        self.append(event(), event(phase='lock'),
                   *[event(outcome=events.FAILED, error='StoreFull')] * 5)

    NONE, ZERO = [None] * 6, [0] * 6
    VALUES = [5, 1, 0.03, 1, 1, 0.03]

    def test_what_is_new_begins_with_zero(self):
        """Without it, the first failures would be no increase."""
        self.assertEqual(self.NONE, self.new())
        self.append_new()
        for _ in range(4):
            self.assertEqual(self.ZERO, self.new())
            self.clock.return_value += operations.HELD_S / 4
        self.assertEqual(self.VALUES, self.new())
        self.append(event(outcome=events.FAILED, error='StoreFull'))
        self.assertEqual([6, *self.VALUES[1:]], self.new())

    def test_what_is_new_is_zero_once_however_seldom(self):
        self.operations()
        self.append_new()
        self.clock.return_value += 3600
        self.assertEqual(self.ZERO, self.new())
        self.clock.return_value += 3600
        self.assertEqual(self.VALUES, self.new())

    def test_a_clock_that_is_set_back(self):
        self.operations()
        self.append_new()
        self.assertEqual(self.ZERO, self.new())
        self.clock.return_value -= 1e6
        self.assertEqual(self.ZERO, self.new())
        self.clock.return_value += operations.HELD_S
        self.assertEqual(self.VALUES, self.new())

    def test_an_operation_of_another_release_begins_with_zero(self):
        self.operations()
        self.append(event('new_volume'))
        found, _ = self.operations()
        for outcome in ('ok', 'failed'):
            self.assert_operation(found, 0, operation='new_volume',
                                  outcome=outcome)
        self.clock.return_value += operations.HELD_S
        found, _ = self.operations()
        self.assert_operation(found, 1, operation='new_volume', outcome='ok')

    def test_what_is_new_while_a_log_cannot_be_read(self):
        """What was absent has not been zero yet."""
        other = Path(self.folder, 'volume.log')
        argv = ('--events', str(other))
        other.touch()
        self.operations(*argv)
        other.rename(f'{other}.away')
        self.append(event(phase='lock'))
        self.operations(*argv, status=1)
        Path(f'{other}.away').rename(other)
        self.clock.return_value += operations.HELD_S
        for value in (0, 1):
            found, _ = self.operations(*argv)
            self.assert_operation(found, value,
                                  'operation_phase_seconds_count',
                                  phase='lock')
            self.clock.return_value += operations.HELD_S

    def test_no_identifier_becomes_a_label(self):
        self.operations()
        self.append(event(), event(phase='lock'),
                   event(outcome=events.FAILED, error='StoreFull'))
        found, _ = self.operations()
        self.assertNotIn(VOLUME, repr(found))
        self.assertNotIn(VOLUME, self.state.read_text())

    def test_what_only_quotes_an_event(self):
        self.operations()
        text = events.Event('create_volume', 1.0, events.OK).text()
        self.append(line(f'said {text}'), line(text, logger='nova.api'), text,
                    line(text[:40]), f'{text}\n', '\x00\xff\n')
        found, _ = self.operations()
        self.assert_operation(found, 0, outcome='ok')

    def test_what_users_name_their_servers(self):
        """It stands in nova-compute.log, on a line without a head."""
        path = Path(self.folder, 'nova-compute.log')
        path.touch()
        argv = ('--events', str(path))
        self.operations(*argv)
        its = event('attach_volume')[:-1]
        for name in ('mydriver event: 0', 'mydriver event: {}',
                     'mydriver event: {"operation": 1}',
                     'mydriver.events mydriver event: ', its, f'{its}"',
                     its.replace('"', '&quot;'), its.replace('"', r'\"')):
            with path.open('a') as f:
                f.write(line('Attaching', logger='nova.virt.libvirt.driver')
                        + f'<domain>\n  <nova:name>{name}</nova:name>\n'
                        f'  <nova:owner name="{name}"/>\n</domain>\n')
            found, _ = self.operations(*argv)
            self.assert_value(found, 0, 'event_log_gaps_total',
                              log=str(path))
            self.assert_operation(found, 0, service='nova-compute',
                                  operation='attach_volume', outcome='ok')

    def test_formats_that_are_not_the_default(self):
        """It is reported unless they leave out the name of the logger."""
        self.operations()
        gaps = 0
        text = events.Event('delete_volume', 1.0, events.OK, VOLUME).text()
        one = logging.LogRecord('mydriver.events', logging.INFO, 'x.py', 1,
                                text, (), None)
        one.resource = None
        json_text = formatters.JSONFormatter().format(one)
        for is_told, written in (
                (True, json_text),
                (True, f'INFO mydriver.events [-] {text}'),
                (True, f'17:00 [INFO] (mydriver.events) {text}'),
                (True, f'17:00 mydriver.events \x1b[00;36m{text}\x1b[00m'),
                (True, f'level=INFO logger=mydriver.events msg="{text}"'),
                (True, '<14>1 2026-11-27T05:00:00Z h nova-compute 7 - - '
                 + event()[:-1]),
                (True, json.dumps({'log': event()})),
                (True, f'INFO mydriver.events {text}\r'),
                (False, f'2026-11-27 05:00:00.123 7 INFO [-] {text}'),
                (False, f'{text}')):
            with self.subTest(written):
                self.append(f'{written}\n')
                found, err = self.operations(status=int(is_told))
                self.assertEqual(is_told, 'default format' in err)
                gaps += is_told
                self.assert_value(found, gaps, 'event_log_gaps_total',
                                  log=str(self.log))

    def test_another_format(self):
        """Zero would look as if there had been no operations."""
        self.operations()
        self.append(json.dumps({'message': event()}) + '\n')
        found, err = self.operations(status=1)
        self.assertIn(f'{self.log}: its lines with events are not in a '
                      'default format', err)
        self.assert_value(found, 0, 'scrape_success', backend='',
                          part='events')
        self.assert_operation(found, 0, outcome='ok')
        self.append(event())
        found, _ = self.operations()
        self.assert_operation(found, 1, outcome='ok')
        # Once they are behind, this says that some were not counted.
        self.assert_value(found, 1, 'event_log_gaps_total',
                          log=str(self.log))

    def test_the_log_that_oslo_writes(self):
        """The format is oslo.log's own."""
        self.operations()
        conf = cfg.ConfigOpts()
        log.register_options(conf)
        conf([])
        out = io.StringIO()
        handler = logging.StreamHandler(out)
        handler.setFormatter(formatters.ContextFormatter(
            config=conf, datefmt='%Y-%m-%d %H:%M:%S'))
        logger = logging.getLogger('mydriver.events')
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        with self.assertLogs('mydriver.events', 'INFO'), \
                events.operation('delete_volume', VOLUME):
            logger.addHandler(handler)
        self.append(out.getvalue())
        found, _ = self.operations()
        self.assert_operation(found, 1, operation='delete_volume',
                              outcome='ok')

    def test_rotation(self):
        self.operations()
        self.append(event())
        self.log.rename(f'{self.log}.1')
        self.log.write_text(event() + event())
        found, _ = self.operations()
        self.assert_operation(found, 3, outcome='ok')
        self.assert_value(found, 0, 'event_log_gaps_total', log=str(self.log))
        self.log.rename(f'{self.log}.gone')
        self.log.write_text(event('delete_volume'))
        found, _ = self.operations()
        self.assert_operation(found, 1, operation='delete_volume',
                              outcome='ok')
        self.assert_value(found, 1, 'event_log_gaps_total', log=str(self.log))

    def test_a_log_of_several_services(self):
        """What syslog writes has the name of the program in each line."""
        path = Path(self.folder, 'syslog.log')
        path.touch()
        argv = ('--events', str(path))
        found, _ = self.operations(*argv)
        for service, operation in (('nova-compute', 'attach_volume'),
                                   ('cinder-volume', 'create_volume')):
            self.assert_operation(found, 0, service=service,
                                  operation=operation, outcome='failed')
        path.write_text(
            'Nov 27 05:00:00 host nova-compute[7]: ' + event('attach_volume')
            + 'Nov 27 05:00:00 host cinder-volume[8]: ' + event())
        self.append(event())
        found, _ = self.operations(*argv)
        self.assert_operation(found, 1, service='nova-compute',
                              operation='attach_volume', outcome='ok')
        self.assert_operation(found, 2, outcome='ok')

    def test_a_log_that_cannot_be_read(self):
        """Without it, the counters of its service would seem to begin anew."""
        other = Path(self.folder, 'nova-compute.log')
        other.touch()
        argv = ('--events', str(other))
        self.operations(*argv)
        other.write_text(event('attach_volume'))
        self.operations(*argv)
        self.log.unlink()
        found, err = self.operations(*argv, status=1)
        self.assertIn(f'{self.log}: it does not exist', err)
        self.assert_operation(found, None, outcome='ok')
        self.assert_operation(found, 1, service='nova-compute',
                              operation='attach_volume', outcome='ok')
        self.assert_value(found, 0, 'scrape_success', backend='',
                          part='events')
        self.assert_value(found, 1, 'scrape_success', backend='disks',
                          part='store')
        self.log.write_text(event())
        found, _ = self.operations(*argv)
        self.assert_operation(found, 1, outcome='ok')

    def test_a_unit(self):
        with mock.patch.object(journalctl.Follower, '_of', self.served):
            self.journal = []
            argv = ('--events-unit', 'openstack-cinder-volume.service')
            self.metrics(*argv)
            for n in range(4):
                self.journal.append({
                    '__CURSOR': f's={n}', '__REALTIME_TIMESTAMP': '1' * 16,
                    '_SYSTEMD_UNIT': argv[1], '_PID': '7',
                    'MESSAGE': event().split(' 7 ')[1][:-1]})
                status, found, err = self.metrics(*argv)
                self.assertEqual(0, status, err)
                self.assert_operation(found, n + 1, outcome='ok')

    def served(self, *options):
        """Stand for journalctl."""
        after = [o.partition('=')[2] for o in options if 'cursor' in o]
        yield from self.journal[int(after[0][2:]) + 1 if after else 0:]


class StateTest(OperationsTestCase):
    """What is kept between two scrapes."""

    def test_it_is_none_of_the_logs(self):
        status, _, err = self.metrics('--events', str(self.log),
                                      '--events-state', str(self.log))
        self.assertEqual(1, status)
        self.assertIn(f'{self.log} is one of the logs', err)

    def test_damage_is_reported(self):
        self.operations()
        for text in ('', '{', '[]', '{"version": 2}',
                     '{"version": 1, "logs": {"x": {}}}',
                     *(self.state.read_text().replace(
                         '"held": []', f'"held": {held}') for held in (
                             'null', '[1]', '[[]]', '[["x", NaN]]',
                             '[["x", null]]', '[[["x"], 1]]')),
                     *(re.sub(rf'"{key}": \d+', f'"{key}": {value}',
                              self.state.read_text())
                       for key, value in (('gaps', 'null'),
                                          ('offset', 'Infinity'),
                                          ('offset', '1e400')))):
            self.state.write_text(text)
            found, err = self.operations(status=1)
            self.assertIn(f'{self.state} is damaged', err)
            self.assert_operation(found, None, outcome='ok')
        self.state.unlink()
        self.operations()

    def test_that_of_a_release_that_held_nothing_back(self):
        self.operations()
        self.append(event(outcome=events.FAILED, error='StoreFull'))
        self.operations()
        found = json.loads(self.state.read_text())
        self.assertNotEqual([], found['logs'][str(self.log)].pop('held'))
        self.state.write_text(json.dumps(found))
        found, _ = self.operations()
        self.assert_operation(found, 1, 'operation_failures_total',
                              error='StoreFull')

    def test_what_is_held_back_and_not_there(self):
        self.operations()
        text = self.state.read_text()
        for held in ('[["durations", "x", "y", 1.0]]', '[["x", 1]]'):
            self.state.write_text(text.replace('"held": []',
                                               f'"held": {held}'))
            self.operations()
            self.assertEqual(text, self.state.read_text())

    def test_it_is_the_users_own(self):
        self.operations()
        self.assertEqual(0o600, self.state.stat().st_mode & 0o777)
        text = self.state.read_text()
        self.state.unlink()
        other = Path(self.folder, 'other')
        other.write_text(text)
        self.state.symlink_to(other)
        _, err = self.operations(status=1)
        self.assertIn('it is a link', err)
        self.assertEqual(text, other.read_text())

    def test_a_folder_that_is_not_there(self):
        _, err = self.operations('--events-state', f'{self.folder}/no/x',
                                 status=1)
        self.assertIn('--events-state', err)
        self.assertIn('No such file', err)

    def test_nothing_is_kept_after_an_error(self):
        self.operations()
        before = self.state.read_text()
        self.append(event())
        with mock.patch.object(os, 'replace', side_effect=OSError(28, 'full')):
            _, err = self.operations(status=1)
        self.assertIn('full', err)
        self.assertEqual(before, self.state.read_text())
        self.assertEqual([], [p for p in self.state.parent.iterdir()
                              if p.name.startswith('.events')])
        found, _ = self.operations()
        self.assert_operation(found, 1, outcome='ok')

    def test_another_process_waits(self):
        """Several commands with one file count each event once."""
        self.operations()
        self.append(*[event()] * 100)
        argv = [sys.executable, '-m', 'mydriver.cmd.main', 'metrics',
                '--events-only', '--events', str(self.log),
                '--events-state', str(self.state)]
        running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True,
                                    cwd=ROOT) for _ in range(3)]
        for one in running:
            found = parsed(one.communicate(timeout=120)[0])
            self.assertEqual(0, one.returncode)
            self.assert_operation(found, 100, outcome='ok')

    def test_another_process_that_does_not_end(self):
        self.operations()
        with open(f'{self.state}.lock') as f, mock.patch.object(
                kept, '_LOCK_S', 0.1):
            fcntl.flock(f, fcntl.LOCK_EX)
            _, err = self.operations(status=1)
        self.assertIn('another process has had it for 0.1 s', err)
        self.operations()


class ArgumentsTest(OperationsTestCase):
    """Options that depend on each other."""

    def test_without_backends(self):
        os.unlink(self.conf)
        argv = ['metrics', '--events-only', '--events', str(self.log),
                '--events-state', f'{self.folder}/kept']
        status, out, err = self.run_command(*argv)
        self.assertEqual(0, status, err)
        self.append(event())
        _, out, _ = self.run_command(*argv)
        found = parsed(out)
        self.assert_operation(found, 1, outcome='ok')
        self.assertEqual([], [k for k in found if 'store' in k[0]])

    def test_what_is_missing(self):
        for argv in ((), ('--events', '/x.log'), ('--events-state', '/x')):
            status, _, err = self.run_command('metrics', '--events-only',
                                              *argv)
            self.assertEqual(1, status)
            self.assertIn('Add --events or --events-unit, and --events-state',
                          err)

    def test_a_name_that_is_not_utf_8(self):
        log = f'{self.folder}/cinder-volume\udcff.log'
        Path(log).touch()
        status, out, err = self.run_command(
            'metrics', '--events-only', '--events', log, '--events-state',
            f'{self.folder}/kept')
        self.assertEqual(0, status, err)
        self.assertIn('cinder-volume\\\\udcff.log"} 0.0', out)

    def test_on_a_compute_host(self):
        """Without what the extra storage has, and without cinder."""
        code = ('import sys\nfor name in ("rtslib_fb", "cinder"):\n'
                '    sys.modules[name] = None\n'
                'from mydriver.cmd import main\n'
                'sys.exit(main.main(sys.argv[1:]))')
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', code, 'metrics',
             '--events-only', '--events', str(self.log), '--events-state',
             f'{self.folder}/kept'], cwd=ROOT, capture_output=True,
            text=True, check=False)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertNotIn('mydriver_rival_warnings', done.stdout)
        self.assert_operation(parsed(done.stdout), 0, outcome='ok')

    def test_without_logs_there_are_no_operations(self):
        _, found, _ = self.metrics('disks')
        self.assertEqual([], [n for n, _ in found if 'operation' in n])
        self.assertFalse(self.state.exists())


class FamiliesTest(unittest.TestCase):
    """Names and types are those that Prometheus expects."""

    def test_types(self):
        families = catalogue.Families()
        families.add_histogram('operation_duration_seconds', [('+Inf', 1)],
                               2.0, 's', 'o')
        families.add_summary('operation_phase_seconds', 1, 2.0, 's', 'o', 'p')
        families.add('operations', 3, 's', 'o', 'ok')
        self.assertEqual(
            {'mydriver_operations': core.CounterMetricFamily,
             'mydriver_operation_duration_seconds':
             core.HistogramMetricFamily,
             'mydriver_operation_phase_seconds': core.SummaryMetricFamily},
            {f.name: type(f) for f in families})


class LogsTest(unittest.TestCase):
    """Which service a log is of."""

    def test_services(self):
        for name, service in (
                ('/var/log/cinder/cinder-volume.log', 'cinder-volume'),
                ('/var/log/cinder/volume.log', 'cinder-volume'),
                ('/var/log/nova/nova-compute.log', 'nova-compute'),
                ('/var/log/kolla/nova/nova-compute.log', 'nova-compute')):
            self.assertEqual(service, operations.FileLog(name).service)
        for name, service in (
                ('cinder-volume.service', 'cinder-volume'),
                ('devstack@n-cpu.service', 'nova-compute'),
                ('openstack-nova-compute', 'nova-compute')):
            self.assertEqual(service, operations.UnitLog(name).service)

    def test_an_error_names_the_log(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        source = operations.OperationsSource(
            [operations.FileLog(f'{folder}/a.log'),
             operations.FileLog(f'{folder}/b.log')],
            kept.Kept(folder / 'kept'))
        (_, read), = source.parts()
        with self.assertRaises(exception.ConfigurationError) as caught:
            read(catalogue.Families())
        for name in ('a.log', 'b.log'):
            self.assertIn(f'{folder}/{name}: it does not exist',
                          str(caught.exception))
