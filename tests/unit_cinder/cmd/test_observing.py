# SPDX-License-Identifier: Apache-2.0
"""``session list``, ``export list``, ``export show`` and ``top``."""

import csv
import io
import json
import os
from pathlib import Path
import re
from unittest import mock
import uuid

import yaml

from mydriver import model
from mydriver.cmd import exports, rates, tables, top
from mydriver.target import statistics
from mydriver.target.journal import sqlite as journals
from tests.fakes import commands, kernel_tree
from tests.fakes.commands import FIRST, HOST, NOBODY, SECOND, TARGET
from tests.fakes.gateways.commands import ONE, GatewaysTestCase

MIB = 1 << 20
USUAL = model.Iqn('iqn.1993-08.org.debian:01:7c1f0c9d2a3b')
LONG = 'iqn.1993-08.org.debian:01:' + 'a-very-long-name-of-a-host' * 5


class ObservingTestCase(commands.CommandTestCase):
    """Two exports; the first is mapped to an initiator that is logged in."""

    def setUp(self):
        super().setUp()
        self.tree = kernel_tree.Tree(Path(self.folder))
        self.enterContext(mock.patch.object(
            statistics, 'HOST', self.tree.statistics()))

    def fill(self):
        super().fill()
        self.tree.target(str(TARGET), sessions=1)
        self.tree.export(str(TARGET), 0, 'disks', FIRST, device=(253, 7),
                         io=(9, 20, 30))
        self.tree.disk((253, 7), read_sectors=8, in_flight=5)
        self.tree.export(str(TARGET), 1, 'disks', SECOND)
        self.tree.mapping(str(TARGET), str(HOST), 1, 0, (7, 10, 2048))
        self.tree.session(str(TARGET), str(HOST), queue=3)

    def rows(self, *argv):
        status, out, err = self.run_command(*argv, '-f', 'json')
        self.assertEqual(0, status, err)
        return json.loads(out)

    def on_a_terminal(self, columns, *argv):
        """Return a table, which has one line for each row."""
        with mock.patch('cliff.utils.terminal_width', return_value=columns):
            status, out, err = self.run_command(*argv, '--fit-width')
        self.assertEqual(0, status, err)
        lines = out.splitlines()
        self.assertLessEqual(max(map(len, lines)), columns, out)
        _, rows, _ = self.run_command(*argv, '-f', 'value')
        self.assertEqual(len(rows.splitlines()), len(lines) - 4, out)
        return out

    def assert_narrow(self, out):
        self.assertLessEqual(max(map(len, out.splitlines())), 100, out)


class ExportListTest(ObservingTestCase):
    """``mydriver export list``."""

    def test_json_has_numbers(self):
        self.fill()
        first, second = self.rows('export', 'list', 'disks')
        self.assertEqual({
            'Backend': 'disks', 'Volume': FIRST,
            'WWN': '0x60014050000000000000000000000000',
            'Target': str(TARGET), 'Initiator': str(HOST), 'LUN': 1,
            'Read only': False, 'Size (GiB)': 1.0,
            'Device': f'{self.folder}/store/volume-{FIRST}', 'Commands': 7,
            'Read bytes': 10 * MIB, 'Written bytes': 2048 * MIB, 'Queue': 5,
        }, first)
        self.assertEqual([None] * 7, [second[name] for name in (
            'Initiator', 'LUN', 'Read only', 'Commands', 'Read bytes',
            'Written bytes', 'Queue')])

    def test_yaml_and_csv(self):
        self.fill()
        _, out, _ = self.run_command('export', 'list', '-f', 'yaml')
        self.assertEqual(self.rows('export', 'list'), yaml.safe_load(out))
        _, out, _ = self.run_command('export', 'list', '-f', 'csv')
        first, second = csv.DictReader(io.StringIO(out))
        self.assertEqual(('7', f'{2048 * MIB}', '5'), (
            first['Commands'], first['Written bytes'], first['Queue']))
        self.assertEqual('', second['Commands'])
        self.assertIn(f',7,{10 * MIB},{2048 * MIB},5\n', out)  # no quotes

    def test_the_table_is_narrow(self):
        self.fill()
        journal = journals.SqliteJournal(self.backend.journal_path, 'test')
        journal.add_mapping(SECOND, model.Iqn(LONG), read_only=True,
                            mutual=False)
        journal.close()
        status, out, err = self.run_command('export', 'list')
        self.assertEqual(0, status, err)
        self.assert_narrow(out)
        self.assertRegex(out, r'disks +\| 00000000-0000 +\| 1.0G +\| 01:host '
                         r'+\| +1 \| 10.0M \| 2.0G +\| +5 ')

    def test_a_terminal_of_80_columns(self):
        self.fill()
        journal = journals.SqliteJournal(self.backend.journal_path, 'test')
        journal.add_mapping(SECOND, USUAL, read_only=False, mutual=False)
        journal.close()
        self.tree.mapping(str(TARGET), str(USUAL), 1, 1,
                          (9, 28979, 99 << 10))
        self.assertIn(' | 00000000-0000 | ',
                      self.on_a_terminal(100, 'export', 'list'))
        out = self.on_a_terminal(80, 'export', 'list')
        self.assertIn('| disks   | 00000000- | 1.0G | 01:7c1f0c9d2a3b |   1 | '
                      '28.3G | 99.0G   ', out)
        self.assertIn(USUAL.name[-15:], self.on_a_terminal(
            60, 'export', 'list', '-c', 'Initiator'))
        _, out, _ = self.run_command('export', 'list')
        self.assertIn(' | 00000000-0000 | ', out)

    def test_long(self):
        self.fill()
        _, out, _ = self.run_command('export', 'list', '--long')
        for text in (*exports.List.COLUMNS, FIRST, SECOND, str(HOST)):
            self.assertIn(text, out)

    def test_show_has_its_columns_only(self):
        self.fill()
        shown = self.rows('show', 'disks')
        for row, full in zip(shown, self.rows('export', 'list', 'disks'),
                             strict=True):
            self.assertEqual(row, {k: '' if full[k] is None else full[k]
                                   for k in row})
        self.assertEqual(list(exports.OF_THE_JOURNAL), list(shown[0]))

    def test_a_target_that_cannot_be_read(self):
        self.fill()
        lun = self.tree.tpg(str(TARGET)) / 'lun'
        self.tree.damage(lun)
        for argv in (('export', 'list', 'disks'), ('export', 'show', FIRST)):
            status, out, err = self.run_command(*argv)
            self.assertEqual(1, status, out)
            self.assertIn(f'{lun}: Too many levels', err)
        self.assertEqual(2, len(self.rows('show', 'disks')))

    def test_sessions_that_cannot_be_read(self):
        self.fill()
        acls = self.tree.tpg(str(TARGET)) / 'acls'
        self.tree.damage(acls)
        status, _, err = self.run_command('session', 'list')
        self.assertEqual(1, status)
        self.assertIn(f'{acls}: Too many levels', err)

    def test_without_the_kernel_target(self):
        commands.CommandTestCase.fill(self)
        self.assertEqual([None] * 2, [r['Commands'] for r in self.rows(
            'export', 'list')])


class ExportShowTest(ObservingTestCase):
    """``mydriver export show``."""

    def test_an_export(self):
        self.fill()
        found = self.rows('export', 'show', FIRST)
        self.assertEqual({
            'Target LUN': 0, 'Size bytes': 1 << 30, 'On this host': True,
            'Commands': 9, 'Read bytes': 20 * MIB,
            'Written bytes': 30 * MIB, 'Device read bytes': 4096,
            'Device written bytes': 0, 'Queue': 5,
            'Initiators': [{
                'initiator': str(HOST), 'lun': 1, 'read_only': False,
                'commands': 7, 'read_bytes': 10 * MIB,
                'written_bytes': 2048 * MIB}],
        }, {k: found[k] for k in (
            'Target LUN', 'Size bytes', 'On this host', 'Commands',
            'Read bytes', 'Written bytes', 'Device read bytes',
            'Device written bytes', 'Queue', 'Initiators')})

    def test_a_table(self):
        self.fill()
        status, out, _ = self.run_command('export', 'show', SECOND)
        self.assertEqual(0, status)
        self.assertIn(SECOND, out)
        self.assertNotIn('None', out)

    def test_the_beginning_of_an_id(self):
        self.fill()
        self.assertEqual(FIRST, self.rows(
            'export', 'show', FIRST[:-1] + '1', 'disks')['Volume'])
        for text, count in ((FIRST[:20], '2'), ('f', 'no'),
                            ('\x1b[2J', 'no')):
            status, out, err = self.run_command('export', 'show', text)
            self.assertEqual((1, ''), (status, out))
            self.assertIn(f'{count} exports begin with it. See mydriver '
                          'export list', err)
            self.assertNotIn('\x1b', err)


class SessionListTest(ObservingTestCase):
    """``mydriver session list``."""

    def test_who_is_logged_in(self):
        self.fill()
        self.assertEqual([{
            'Backend': 'disks', 'Target': str(TARGET),
            'Initiator': str(HOST), 'Alias': 'host', 'From': '192.0.2.7',
            'State': 'logged_in', 'LUNs': 1, 'Queue': 3, 'Commands': 7,
            'Read bytes': 10 * MIB, 'Written bytes': 2048 * MIB, 'Session': 1,
            'ISID': '00023d000001'}], self.rows('session', 'list'))

    def test_the_table_is_narrow(self):
        self.fill()
        for n, name in enumerate((LONG, LONG[:40])):
            self.tree.mapping(str(TARGET), name, 1, 0,
                              (1 << 31, 999 << 40, 999))
            self.tree.session(str(TARGET), name, address='203.0.113.111',
                              sid=2 + n)
        status, out, _ = self.run_command('session', 'list')
        self.assertEqual(0, status)
        self.assert_narrow(out)
        self.assertEqual(3, out.count('disks-0'))

    def test_a_terminal_of_80_columns(self):
        self.fill()
        self.tree.mapping(str(TARGET), str(USUAL), 1, 0,
                          (1 << 31, 999 << 30, 999 << 30))
        self.tree.session(str(TARGET), str(USUAL), address='203.0.113.111')
        out = self.on_a_terminal(80, 'session', 'list')
        self.assertIn(' disks-0 | 01:7c1f0c9d2a3b | ', out)
        self.tree.mapping(str(TARGET), LONG, 1, 0)
        self.tree.session(str(TARGET), LONG, address='203.0.113.111')
        out = self.on_a_terminal(80, 'session', 'list')
        self.assertRegex(out, r' disks-0 +\| \.\.[a-z-]+host +\| ')
        self.tree.session(str(TARGET), LONG,
                          address='[2001:db8:1234:5678:9abc:def0:1234:5678]')
        out = self.on_a_terminal(80, 'session', 'list')
        self.assertRegex(out, r'\| \.\.[0-9a-f:]+:5678\]? +\|\n')

    def test_nobody(self):
        self.fill()
        self.tree.write(self.tree.tpg(str(TARGET)) / 'acls' / str(HOST)
                        / 'info', kernel_tree.NO_SESSION)
        self.assertEqual([], self.rows('session', 'list'))

    def test_more_sessions_than_the_kernel_shows(self):
        self.fill()
        self.tree.target(str(TARGET), sessions=2)
        _, _, err = self.run_command('session', 'list')
        self.assertIn(f'Target {TARGET} has 2 sessions; the kernel shows 1',
                      err)

    def test_no_target_here(self):
        commands.CommandTestCase.fill(self)
        _, _, err = self.run_command('session', 'list')
        self.assertIn('Backend disks: this host has none of its targets. Run '
                      'mydriver restore', err)

    def test_hostile_names(self):
        self.fill()
        name = 'iqn.2026-11.org.example:\x1b]0;x\x07'
        self.tree.mapping(str(TARGET), name, 1, 0)
        self.tree.session(str(TARGET), name, alias='\x1b[2J\u202e\nCID: 9')
        for argv in ((), ('--long',), ('-f', 'csv'), ('-f', 'value'),
                     ('-f', 'json'), ('-f', 'yaml')):
            status, out, err = self.run_command('session', 'list', *argv)
            self.assertEqual(0, status)
            for text in (out, err):
                self.assertEqual([], re.findall(
                    '[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]', text), argv)
            self.assertIn('x1b]0;x', out)

    def test_while_the_service_runs(self):
        self.fill()  # has the journal open for writing
        journal = journals.SqliteJournal(self.backend.journal_path, 'test')
        self.addCleanup(journal.close)
        self.assertEqual(1, len(self.rows('session', 'list')))

    def test_as_the_user_of_cinder(self):
        self.fill()
        self.become_owner()
        for name in ('session', 'export'):
            status, _, err = self.run_command(name, 'list', 'disks')
            self.assertEqual(0, status, err)
        status, _, err = self.run_command('top', '--count', '1',
                                          '--interval', '0.1', 'disks')
        self.assertEqual(0, status, err)

    def become_owner(self):
        """Become the user of cinder-volume, who owns all."""
        for path in (Path(self.folder), *Path(self.folder).rglob('*')):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        os.setresuid(NOBODY, NOBODY, 0)
        self.addCleanup(os.setresuid, 0, 0, 0)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


class TopTest(ObservingTestCase):
    """``mydriver top``."""

    def setUp(self):
        super().setUp()
        self.now_s = 0.0
        self.work = lambda: None
        self.enterContext(mock.patch.object(top, '_sleep', self.sleep))
        self.enterContext(mock.patch.object(top, '_now_s', self.clock))

    def sleep(self, seconds):
        self.now_s += seconds
        self.work()

    def clock(self):
        return self.now_s

    def run_top(self, *argv, status=0):
        found, out, err = self.run_command('top', '--count', '1', *argv)
        self.assertEqual(status, found, err)
        return out

    def busy(self):
        self.tree.count(self.tree.tpg(str(TARGET))
                        / 'lun/lun_0/statistics/scsi_tgt_port', 'in_cmds',
                        (209, 20, 30))
        self.tree.disk((253, 7), read_sectors=8, written_sectors=2048,
                       in_flight=31)

    def test_rates(self):
        self.fill()
        self.work = self.busy
        out = self.run_top('disks')
        self.assertRegex(out, '2.0 s  2 exports  1 sessions\n100 cmd/s  0B/s '
                         'read  512K/s written')
        lines = out.splitlines()
        self.assertEqual('VOLUME INITIATOR CMD/S READ/S WRITE/S QUEUE BACKEND',
                         ' '.join(lines[3].split()))
        self.assertEqual('00000000-0000 01:host 100 0B 512K 31 disks',
                         ' '.join(lines[4].split()))
        self.assert_narrow(out)

    def test_a_table_each_interval(self):
        self.fill()
        _, out, _ = self.run_command('top', '--count', '3', 'disks')
        self.assertEqual(3, out.count('VOLUME'))
        self.assertNotIn('\x1b', out)

    def redrawn(self, columns, height, *argv, status=0):
        """Return the lines that a terminal gets."""
        size = os.terminal_size((columns, height))
        with mock.patch('shutil.get_terminal_size', return_value=size), \
                mock.patch.object(io, 'StringIO', Terminal):
            out = self.run_top(*argv, status=status)
        self.assertTrue(out.startswith('\x1b[H\x1b[J'))
        lines = out[len('\x1b[H\x1b[J'):].splitlines()
        self.assertLess(len(lines), max(height, 2), out)
        self.assertLessEqual(max(map(tables.width, lines)), columns, out)
        return lines

    def fill_more(self, count):
        """Make exports as well, all of which are very busy."""
        ids = [str(uuid.UUID(int=(9 + n) << 96)) for n in range(count)]
        journal = journals.SqliteJournal(self.backend.journal_path, 'test')
        for n, volume_id in enumerate(ids, 2):
            journal.add_export(volume_id, model.BackingDevice(
                'iblock', f'/dev/disks/volume-{volume_id}', 1 << 30), TARGET)
            journal.add_mapping(volume_id, model.Iqn(LONG), read_only=False,
                                mutual=False)
            self.tree.export(str(TARGET), n, 'disks', volume_id,
                             device=(253, n + 10), io=(0, 0, 0))
            self.tree.disk((253, n + 10))
        journal.close()

        def work():
            for n, _ in enumerate(ids, 2):
                self.tree.count(
                    self.tree.tpg(str(TARGET))
                    / f'lun/lun_{n}/statistics/scsi_tgt_port', 'in_cmds',
                    (2 * 104870 * n, 0, 0))
                self.tree.disk((253, n + 10), read_sectors=n << 18,
                               written_sectors=n << 18, in_flight=n << 10)
        self.work = work
        return ids

    def test_a_terminal_is_redrawn(self):
        self.fill()
        self.assertIn('... and 2 more', self.redrawn(100, 6))

    def test_many_exports_on_a_terminal(self):
        self.fill()
        busiest = self.fill_more(39)[-1]
        lines = self.redrawn(80, 24)
        self.assertRegex(lines[0], r' 2\.0 s  41 exports  1 sessions\Z')
        self.assertRegex(lines[1], r'cmd/s .* written\Z')
        self.assertTrue(lines[4].startswith(busiest[:13]), lines)
        self.assertEqual((23, '... and 23 more'), (len(lines), lines[-1]))

    def test_terminals_of_any_size(self):
        self.fill()
        self.fill_more(3)
        for columns in (1, 20, 57, 63, 80, 81, 300):
            for height in (1, 2, 4, 5, 6, 7, 24):
                for argv in ((), ('--long',)):
                    self.redrawn(columns, height, *argv)

    def test_columns_give_way(self):
        rate = rates.Rate('production-fast', FIRST, 104870, 99 << 20,
                          99 << 20, 12345)
        key = 'production-fast', FIRST
        for columns, volume, who, backend in (
                (81, '00000000-0000', '..ng-name-of-a-host-07', 'production'),
                (80, '00000000-0000', '..ng-name-of-a-host-07', 'productio'),
                (76, '00000000-0000', '..-name-of-a-host-07', 'product'),
                (64, '00000000', '..f-a-host-07', 'product')):
            _, row = top._table([rate], {key: [f'{LONG}-07']}, False, columns)
            self.assertEqual(
                [volume, who, '104870', '99.0M', '99.0M', '12345', backend],
                row.split(), columns)

    def test_what_is_no_terminal_has_no_width(self):
        self.fill()
        self.fill_more(30)
        size = os.terminal_size((40, 5))
        with mock.patch('shutil.get_terminal_size', return_value=size):
            out = self.run_top('--long')
        self.assertEqual(30, out.count(LONG))

    def test_long_and_sort(self):
        self.fill()
        out = self.run_top('--long', '--sort', 'volume')
        self.assertLess(out.index(FIRST), out.index(SECOND))
        self.assertIn(str(HOST), out)

    def test_a_target_that_cannot_be_read(self):
        self.fill()
        lun = self.tree.tpg(str(TARGET)) / 'lun'
        self.work = lambda: self.tree.damage(lun)
        status, out, err = self.run_command('top', '--count', '2')
        self.assertEqual(1, status)
        self.assertEqual(1, err.count(f'{lun}: Too many levels'))
        self.assertIn('0 exports  0 sessions', out)

    def test_an_error_stays_on_a_terminal(self):
        """What was logged is cleared by the next table."""
        self.fill()
        lun = self.tree.tpg(str(TARGET)) / 'lun'
        self.work = lambda: lun.is_symlink() or self.tree.damage(lun)
        lines = self.redrawn(80, 24, status=1)
        said = ' '.join(lines[2:-2])
        self.assertTrue(said.startswith('Backend disks: '), lines)
        self.assertIn('Too many levels of symbolic links', said)
        self.assertTrue(lines[-1].startswith('VOLUME'), lines)

    def test_ctrl_c(self):
        self.fill()
        with mock.patch.object(top, '_sleep', side_effect=KeyboardInterrupt):
            status, out, _ = self.run_command('top')
        self.assertEqual((0, ''), (status, out))

    def test_wrong_arguments(self):
        for argv in (('--interval', '0'), ('--interval', 'nan'),
                     ('--count', '0'), ('--count', '\u0663')):
            with self.assertRaises(SystemExit):
                self.run_command('top', *argv)


class ServedTest(GatewaysTestCase):
    """Backends that gateways serve: the journal is in Ceph."""

    def setUp(self):
        super().setUp()
        self.tree = kernel_tree.Tree(Path(self.folder))
        self.enterContext(mock.patch.object(
            statistics, 'HOST', self.tree.statistics()))

    def test_on_a_gateway_host(self):
        self.export_two()
        self.tree.target(str(ONE))
        self.tree.export(str(ONE), 0, 'ceph', FIRST, device=(252, 0),
                         io=(3, 0, 0))
        self.tree.mapping(str(ONE), str(HOST), 1, 0, (2, 0, 0))
        self.tree.session(str(ONE), str(HOST))
        status, rows, err = self.rows('session', 'list', 'ceph')
        self.assertEqual((0, [str(HOST)]), (
            status, [r['Initiator'] for r in rows]), err)
        _, rows, _ = self.rows('export', 'list', 'ceph')
        self.assertEqual([2, None], [r['Commands'] for r in rows])

    def test_elsewhere(self):
        self.export_two()
        status, rows, err = self.rows('session', 'list', 'ceph')
        self.assertEqual((0, []), (status, rows))
        self.assertIn('this host has none of its targets; see mydriver '
                      'gateway list', err)
        _, rows, _ = self.rows('export', 'list', 'ceph')
        self.assertEqual([FIRST, SECOND], [r['Volume'] for r in rows])
