# SPDX-License-Identifier: Apache-2.0
"""The report: lines, counts, quoted logs."""

import contextlib
import io
import json
from pathlib import Path
import tempfile
import unittest

from lab import errors
from lab.scenario import report


class TestReport(unittest.TestCase):
    """Lines, counts, quoted logs."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.log = self.folder / 'nova.log'
        self.log.write_text('t 1 ERROR old\n')
        self.report = report.Report(lambda: [self.log])

    def _fail(self) -> str:
        with self.log.open('a') as f:
            f.write('t 1 INFO fine\nt 1 ERROR it broke\n')
        raise errors.LabError('no volume')

    def _run(self, *acts) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.report.run_all([(f'step {n}', act)
                                 for n, act in enumerate(acts, 1)])
        return out.getvalue()

    def _written(self) -> dict:
        self.report.write(self.folder / 'demo.json')
        return json.loads((self.folder / 'demo.json').read_text())

    def test_all_passed(self):
        out = self._run(lambda: 'seen', lambda: '')
        self.assertRegex(out, r's  ok      step 1: seen\n.* ok      step 2\n')
        self.assertFalse(self.report.failed)
        self.assertEqual('2 passed, 0 failed', self.report.summary())
        self.assertEqual((2, 0), (self._written()['passed'],
                                  self._written()['failed']))

    def test_what_comes_after_a_failure_is_not_run_and_counts_as_failed(self):
        out = self._run(lambda: 'seen', self._fail, self.fail)
        self.assertIn('FAILED  step 2: LabError: no volume', out)
        self.assertTrue(self.report.failed)
        self.assertEqual('1 passed, 2 failed', self.report.summary())
        self.assertEqual(['passed', 'failed', 'not run'],
                         [s['status'] for s in self._written()['steps']])

    def test_a_failure_quotes_what_the_logs_got_meanwhile(self):
        out = self._run(self._fail)
        self.assertIn('nova.log:\n      t 1 ERROR it broke\n', out)
        self.assertNotIn('old', out)
        self.assertNotIn('fine', out)

    def test_a_log_that_was_begun_anew(self):
        def act() -> str:
            self.log.write_text('ERROR\n')
            self.log.write_text(' ERROR new\n')
            raise errors.LabError('x')
        self.assertIn(' ERROR new', self._run(act))

    def test_an_unexpected_error_has_its_traceback(self):
        out = self._run(lambda: {}['nix'])
        self.assertIn('KeyError', out)
        self.assertIn('Traceback', out)

    def test_an_interrupt_ends_it(self):
        def interrupt() -> str:
            raise KeyboardInterrupt
        with self.assertRaises(KeyboardInterrupt):
            self._run(interrupt)

    def test_table(self):
        self.report.timings.append(report.Timing(
            'attach to A', 0.25, 2.5, 3.5, (('mapped', 12.4),)))
        row = self.report.table().splitlines()[1].split()
        self.assertEqual(['attach', 'to', 'A', '0.2', 's', '2.5', 's', '3.5',
                          's', 'mapped', '12', 'ms'], row)
