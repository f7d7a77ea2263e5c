# SPDX-License-Identifier: Apache-2.0
"""``mydriver trace`` on the command line."""

import contextlib
import io
import json
import os
from pathlib import Path
import tempfile
import types
import unittest
from unittest import mock

import yaml

from mydriver.cmd import main
from mydriver.trace import files
from tests.unit.trace import lines

NOVA, VOLUME = lines.NOVA, lines.VOLUME
EXCERPT = str(Path(lines.__file__).parent / 'logs' / 'attach')
REQUEST = 'req-b23998ec-6613-462b-bb94-09b9fdb01bae'


class TraceTest(unittest.TestCase):
    """Arguments, outputs and exit status."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def run_it(self, *arguments, stdin=b''):
        """Run the command; return exit status, output and errors."""
        out, err = io.StringIO(), io.StringIO()
        with (contextlib.redirect_stderr(err), mock.patch(
                'sys.stdin', types.SimpleNamespace(buffer=io.BytesIO(stdin)))):
            status = main.main(['trace', *arguments], stdout=out, stderr=err)
        return status, out.getvalue(), err.getvalue()

    def test_text(self):
        status, out, _ = self.run_it(REQUEST, '--log', EXCERPT)
        self.assertEqual(0, status)
        self.assertTrue(out.startswith(f'attach ok in 16.33 s: {REQUEST}'))

    def test_json_and_yaml(self):
        found = [read(self.run_it(REQUEST, '--log', EXCERPT, '-f', form)[1])
                 for form, read in (('json', json.loads),
                                    ('yaml', yaml.safe_load))]
        self.assertEqual(*found)
        self.assertEqual((REQUEST, 'attach', 'ok'), tuple(
            found[0][key] for key in ('request_id', 'kind', 'outcome')))
        self.assertIn('create_export', [s['name'] for s in found[0]['steps']])

    def test_a_failure_has_its_own_status(self):
        log = lines.Log('nova-compute')
        log(1, f'Attaching volume {VOLUME} to /dev/vdb', NOVA)
        log(2, 'Failed', NOVA, level='ERROR')
        log.write(self.folder)
        status, out, _ = self.run_it(VOLUME, '--log', str(self.folder))
        self.assertEqual(3, status)
        self.assertIn('First cause: nova-compute', out)

    def test_a_request_without_an_end_has_its_own_status(self):
        status, out, _ = self.run_it(
            REQUEST, '--log', str(Path(EXCERPT) / 'nova-api.log'))
        self.assertEqual(4, status)
        self.assertTrue(out.startswith('attach unfinished after 308 ms'), out)
        self.assertIn('; last step: nova-api: attach request\n', out)

    def test_a_page(self):
        page = self.folder / 'attach.html'
        page.write_text('old')
        status, out, _ = self.run_it(REQUEST, '--log', EXCERPT, '--html',
                                     str(page))
        self.assertEqual(0, status)
        self.assertIn('Timeline', out)
        self.assertIn('<svg', page.read_text())
        self.assertEqual([page], list(self.folder.iterdir()))

    def test_a_page_that_cannot_be_written(self):
        link = self.folder / 'link.html'
        link.symlink_to('/dev/null')
        os.mkfifo(self.folder / 'pipe')
        for path in (self.folder / 'none' / 'x.html', self.folder, link,
                     self.folder / 'pipe'):
            status, out, err = self.run_it(
                REQUEST, '--log', EXCERPT, '--html', str(path))
            self.assertEqual((1, ''), (status, out))
            self.assertIn('cannot be written', err)
        self.assertEqual({link, self.folder / 'pipe'},
                         {*self.folder.iterdir()})
        self.assertTrue(link.is_symlink())

    def test_the_list(self):
        log = lines.Log('nova-compute')
        log(1, f'Attaching volume {VOLUME} to /dev/vdb', NOVA)
        log(2, f'Detaching volume {VOLUME}', lines.OTHER)
        log(3, f'GET volume {VOLUME}', lines.CINDER)
        log.write(self.folder)
        status, out, _ = self.run_it(VOLUME, '--list', '--log',
                                     str(self.folder))
        self.assertEqual(0, status)
        self.assertEqual([
            f'2026-11-27 00:00:01.000 attach {NOVA}',
            f'2026-11-27 00:00:02.000 detach {lines.OTHER}'],
            out.splitlines())
        _, out, _ = self.run_it(VOLUME, '--list', '--kind', 'detach',
                                '-f', 'json', '--log', str(self.folder))
        self.assertEqual([lines.OTHER],
                         [r['request_id'] for r in json.loads(out)])

    def test_an_empty_list(self):
        status, out, err = self.run_it(
            lines.OTHER, '--list', '--kind', 'detach', '--log', EXCERPT)
        self.assertEqual((1, ''), (status, out))
        self.assertEqual(f'The logs have no detach of {lines.OTHER}.\n', err)

    def test_the_list_has_the_start_of_the_trace(self):
        _, out, _ = self.run_it(REQUEST, '--list', '--log', EXCERPT)
        self.assertEqual(f'2026-11-27 01:28:01.164 attach {REQUEST}\n', out)

    def test_a_journal_from_standard_input(self):
        journal = json.dumps({
            '__REALTIME_TIMESTAMP': '1795741323456789', '_PID': '7',
            '_SYSTEMD_UNIT': 'nova-compute.service', 'MESSAGE':
            f'INFO nova.x [None {NOVA} u p] Attaching volume {VOLUME} to x'})
        status, out, _ = self.run_it(VOLUME, '--log', '-',
                                     stdin=journal.encode())
        self.assertEqual(4, status)
        self.assertIn(NOVA, out)

    def test_what_cannot_be_traced(self):
        for arguments, text in (
                (['server-1', '--log', EXCERPT], 'neither a request id nor'),
                ([lines.OTHER, '--log', EXCERPT], 'no line of the logs'),
                ([NOVA, '--log', str(self.folder)], 'there is no log in'),
                ([NOVA, '--log', '/nonexistent'], 'there is no log in')):
            status, out, err = self.run_it(*arguments)
            self.assertEqual((1, ''), (status, out), arguments)
            self.assertIn(text, err)

    def test_default_logs(self):
        with mock.patch.object(files, 'DEFAULT', (EXCERPT, '/nonexistent')):
            self.assertEqual(0, self.run_it(REQUEST)[0])
        with mock.patch.object(files, 'DEFAULT', ('/nonexistent',)):
            self.assertIn('there is no log', self.run_it(REQUEST)[2])
