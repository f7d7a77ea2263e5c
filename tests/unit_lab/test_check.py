# SPDX-License-Identifier: Apache-2.0
"""The runner of all checks: what it counts, and that it can fail."""

import contextlib
import io
import json
from pathlib import Path
import re
import sys
import tempfile
import textwrap
import time
import unittest
from unittest import mock

import ddt
import subunit

from tools import check, outcome, suite, total

# A child that writes a subunit stream: (test id, status) pairs.
_CHILD = textwrap.dedent('''
    import sys, subunit
    stream = subunit.StreamResultToBytes(sys.stdout.buffer)
    for pair in sys.argv[2:]:
        test, status = pair.split("=")
        stream.status(test_id=test, test_status=status)
    sys.exit(int(sys.argv[1]))
''')


def tests_stage(exit_status: int, *pairs: str) -> suite.Stage:
    """Return a stage whose child reports ``TEST=STATUS`` pairs."""
    return suite.Stage(
        'tests', suite.python('-c', _CHILD, str(exit_status), *pairs), 60,
        tests=True)


def check_stage(code: str, timeout_s: float = 60, **kwargs) -> suite.Stage:
    """Return a stage that runs Python code and counts its exit status."""
    return suite.Stage('check', suite.python('-c', code), timeout_s, **kwargs)


class Case(unittest.TestCase):
    """Has a scratch directory and a runner."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.lines: list[str] = []
        self.runner = check.Runner(self.folder / 'state', self.lines.append)

    def run_one(self, stage: suite.Stage) -> outcome.Outcome:
        """Run a stage; returns its outcome."""
        self.runner.run([stage], 1)
        return self.runner.outcomes[-1]


@ddt.ddt
class TestStages(Case):
    """Stages that count tests."""

    def test_each_success_counts_once(self):
        result = self.run_one(tests_stage(
            0, 'a=exists', 'b=exists', 'a=inprogress', 'a=success',
            'b=inprogress', 'b=success'))
        self.assertEqual((2, 0, ''),
                         (result.passed, result.failed, result.details))

    @ddt.data('fail', 'skip', 'xfail', 'uxsuccess', 'inprogress', 'exists')
    def test_whatever_is_not_success_failed(self, status):
        result = self.run_one(tests_stage(0, 'a=success', f'b={status}'))
        self.assertEqual((1, 1), (result.passed, result.failed))
        self.assertIn('b: ', result.details)

    def test_each_failure_is_named_with_its_error(self):
        (self.folder / 'broken.py').write_text(textwrap.dedent("""
            import unittest
            class BrokenTest(unittest.TestCase):
                def test_it(self):
                    raise ValueError('no such thing')
            """))
        result = self.run_one(suite.Stage('tests', suite.python(
            '-c', 'import sys; sys.path.insert(0, sys.argv.pop()); '
            'from subunit import run; run.main(["", "broken"])',
            str(self.folder)), 60, tests=True))
        self.assertEqual(
            ('broken.BrokenTest.test_it: ValueError: no such thing',),
            result.failures)

    def test_failure_without_a_test_is_named_as_well(self):
        result = self.run_one(tests_stage(3, 'a=success'))
        self.assertEqual(('exit status 3',), result.failures)
        result = self.run_one(tests_stage(3, 'a=success', 'b=fail'))
        self.assertEqual(('b: fail',), result.failures)
        result = self.run_one(check_stage('print("why"); exit(2)'))
        self.assertEqual(('exit status 2',), result.failures)

    def test_reason_is_the_error_of_the_traceback(self):
        self.assertEqual('ValueError: no', outcome.reason(
            'fail\nTraceback (most recent call last):\n  x\nValueError: no\n'))
        self.assertEqual('AssertionError: [] != [1]', outcome.reason(
            'fail\nTraceback (most recent call last):\n  x\n'
            'AssertionError: [] != [1]\n\n- []\n+ [1]\n'))
        self.assertEqual('exit status 1', outcome.reason('x\nexit status 1'))
        self.assertEqual('', outcome.reason(''))

    def test_failed_and_passed_is_failed(self):
        result = self.run_one(tests_stage(0, 'a=success', 'a=fail'))
        self.assertEqual((0, 1), (result.passed, result.failed))

    def test_no_test_is_a_failure(self):
        result = self.run_one(tests_stage(0))
        self.assertEqual((0, 1), (result.passed, result.failed))
        self.assertIn('no test was run', result.details)

    def test_bad_end_without_failing_test_is_a_failure(self):
        result = self.run_one(tests_stage(3, 'a=success'))
        self.assertEqual((1, 1), (result.passed, result.failed))
        self.assertIn('exit status 3', result.details)

    def test_bad_end_with_failing_test_is_told_not_counted(self):
        result = self.run_one(tests_stage(3, 'a=fail'))
        self.assertEqual((0, 1), (result.passed, result.failed))
        self.assertIn('exit status 3', result.details)

    def test_real_unittest_run_with_noise(self):
        module = self.folder / 'test_sample.py'
        module.write_text(textwrap.dedent('''
            import unittest
            class T(unittest.TestCase):
                def test_good(self):
                    print("noise")
                def test_bad(self):
                    self.assertEqual(4, 2 + 3)
        '''))
        result = self.run_one(suite.Stage('real', suite.python(
            '-c', f'import sys; sys.path.insert(0, {str(self.folder)!r}); '
            'from subunit import run; '
            'run.main(["subunit.run", "test_sample"])'), 60, tests=True))
        self.assertEqual((1, 1), (result.passed, result.failed))
        self.assertIn('test_sample.T.test_bad', result.details)
        self.assertIn('4 != 5', result.details)

    def test_details_are_bounded(self):
        stream = io.BytesIO()
        out = subunit.StreamResultToBytes(stream)
        out.status(test_id='a', test_status='fail', file_name='log',
                   file_bytes=b'x' * 70 + b'\nlast', mime_type='text/plain')
        path = self.folder / 'stream'
        path.write_bytes(stream.getvalue())
        self.assertIn('last', outcome.read_subunit(path).failures['a'])
        self.assertEqual('...\nlast', outcome.tail('x' * 70 + '\nlast', 10))


class TestChecks(Case):
    """Stages that count as one check."""

    def test_exit_status_zero_passes(self):
        result = self.run_one(check_stage('print("fine")'))
        self.assertEqual((1, 0, ''),
                         (result.passed, result.failed, result.details))

    def test_other_exit_status_fails_and_shows_the_output(self):
        result = self.run_one(check_stage(
            'import sys; print("line 3: wrong"); sys.exit(1)'))
        self.assertEqual((0, 1), (result.passed, result.failed))
        self.assertIn('line 3: wrong', result.details)
        self.assertIn('    line 3: wrong', '\n'.join(self.lines))

    def test_missing_program_fails(self):
        result = self.run_one(suite.Stage(
            'check', (str(self.folder / 'absent'),), 60))
        self.assertEqual((0, 1), (result.passed, result.failed))
        self.assertIn('absent', result.details)

    def test_deadline_ends_the_process_and_fails(self):
        start = time.monotonic()
        result = self.run_one(check_stage(
            'import time; time.sleep(300)', timeout_s=0.2))
        self.assertEqual((0, 1), (result.passed, result.failed))
        self.assertIn('ended after 0.2 s', result.details)
        self.assertLess(time.monotonic() - start, 60)

    def test_import_contract_needs_a_kept_contract(self):
        self.assertEqual(
            '', suite.contracts_judge('Contracts: 5 kept, 0 broken.'))
        for output in ('', 'Contracts: 0 kept, 0 broken.',
                       'Contracts: 4 kept, 1 broken.'):
            self.assertNotEqual('', suite.contracts_judge(output))

    def document(self, text: str) -> outcome.Outcome:
        """Return the outcome of building a document of one page."""
        source = self.folder / 'source'
        source.mkdir()
        (source / 'conf.py').write_text(
            'project = "p"\nhtml_theme = "alabaster"\nnitpicky = True\n')
        (source / 'index.rst').write_text(f'Title\n=====\n\n{text}\n')
        return self.run_one(suite.documentation_stage(
            source, self.folder / 'built'))

    def test_a_good_document_passes(self):
        result = self.document('Text, see `Title`_.')
        self.assertEqual((1, 0, ''),
                         (result.passed, result.failed, result.details))

    def test_a_warning_of_the_documentation_fails(self):
        result = self.document(
            'Such as::\n\n    code\n\n Text\nends.\n\n:doc:`absent`')
        self.assertEqual((0, 1), (result.passed, result.failed))
        self.assertIn('index.rst:9: WARNING: Literal block ends',
                      result.details)
        self.assertIn("unknown document: 'absent'", result.details)

    def test_nothing_starts_after_the_end(self):
        self.runner.end()
        marker = self.folder / 'marker'
        result = self.run_one(check_stage(
            f'open({str(marker)!r}, "w")'))
        self.assertEqual((0, 1), (result.passed, result.failed))
        self.assertFalse(marker.exists())


class TestPlan(Case):
    """What is run."""

    def test_each_functional_module_is_found(self):
        for name in ('test_a.py', 'deep/test_b.py', 'helper.py'):
            path = self.folder / 'tests' / 'functional' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        stages = suite.functional_stages(self.folder)
        self.assertEqual(['node deep.test_b', 'node test_a'],
                         [s.name for s in stages])
        self.assertEqual('tests.functional.deep.test_b',
                         stages[0].command[-1])
        self.assertTrue(all(s.tests for s in stages))

    def test_those_that_take_longest_start_first(self):
        found = [s.name.rpartition('.')[2].removeprefix('node ')
                 for s in suite.functional_stages()]
        self.assertEqual(list(suite.LONGEST), found[:len(suite.LONGEST)])
        others = [s.name for s in suite.functional_stages()][
            len(suite.LONGEST):]
        self.assertEqual(sorted(others), others)

    def test_modules_that_need_ceph_get_one_and_no_others(self):
        for path in (suite.ROOT / 'tests/functional').glob('**/test_*.py'):
            module = path.relative_to(suite.ROOT)
            below = module.is_relative_to(suite.CEPH)
            self.assertEqual(
                below, 'tests.functional.ceph' in path.read_text(), module)
            self.assertEqual(
                below, '--ceph' in suite.node_stage(module).command, module)

    def test_quick_leaves_the_nodes_out(self):
        names = _names('test', True)
        for part in ('engine', 'cinder', 'nova', 'lab'):
            self.assertIn(f'unit tests ({part})', names)
        for part in ('engine', 'cinder', 'nova'):
            self.assertIn(f'unit tests ({part}, 2026.1)', names)
        self.assertIn('the engine has neither cinder nor nova', names)
        self.assertEqual([], [n for n in names if n.startswith('node ')])

    def test_what_another_release_lacks_is_left_out_there_only(self):
        commands = {s.name: s.command for s in suite.unit_stages()}
        left_out = suite.LEFT_OUT['2026.1']['tests/unit_cinder']
        self.assertIn(left_out, commands['unit tests (cinder, 2026.1)'])
        self.assertNotIn('--exclude-regex', commands['unit tests (cinder)'])
        self.assertTrue(any(
            re.search(left_out, f'{path.relative_to(suite.ROOT)}'.replace(
                '/', '.'))
            for path in suite.ROOT.glob('tests/unit_cinder/**/test_*.py')))

    def test_documentation_and_release_notes_are_built(self):
        names = _names('test', True)
        self.assertIn('documentation', names)
        self.assertIn('release notes', names)

    def test_the_parts_are_everything(self):
        parts = [_names(part, False) for part in ('test', 'ceph', 'doctor')]
        self.assertEqual(sorted(_names('', False)),
                         sorted([*parts[0], *parts[1], *parts[2]]))
        self.assertEqual(
            [f'node test_doctor_{name}' for name in (
                'compute', 'exports', 'storage', 'volumes')], parts[2])
        self.assertTrue(all('node ceph.' in name for name in parts[1]))
        self.assertIn('node ceph.test_store_rbd', parts[1])

    def test_words_choose(self):
        names = _names('', False, 'mypy', 'hack')
        self.assertEqual(['types (mypy)', 'lint (hacking)'], names)


def _names(part, quick, *words):
    """Return the names of a plan's stages."""
    return [s.name for stages, _ in check.plan(part, quick, words)
            for s in stages]


class TestMain(Case):
    """The whole run."""

    def run_stages(self, *stages: suite.Stage) -> tuple[int, list[str]]:
        """Return the exit status and the lines of a run of these stages."""
        out = io.StringIO()
        with (contextlib.redirect_stdout(out),
              mock.patch('signal.signal'),
              mock.patch.object(check, 'STATE', self.folder / 'state'),
              mock.patch.dict(check.RESULTS,
                              test=self.folder / 'test.json'),
              mock.patch.object(check, 'plan',
                                return_value=[(list(stages), 1)])):
            status = check.main([])
        return status, out.getvalue().splitlines()

    def test_failures_are_named_directly_above_the_last_line(self):
        status, lines = self.run_stages(
            tests_stage(0, 'a=success', 'b=fail'), check_stage('exit(1)'))
        self.assertEqual(1, status)
        self.assertEqual(
            ['failed: tests: b: fail', 'failed: check: exit status 1',
             '1 passed, 2 failed'], lines[-3:])

    def test_nothing_is_named_when_all_passed(self):
        status, lines = self.run_stages(tests_stage(0, 'a=success'))
        self.assertEqual((0, '1 passed, 0 failed'), (status, lines[-1]))
        self.assertFalse([x for x in lines if x.startswith('failed: ')])


@ddt.ddt
class TestTotal(Case):
    """The sum over several commands."""

    def result_file(self, **content) -> str:
        """Write a file of counts; returns its path."""
        path = self.folder / f'{len(list(self.folder.iterdir()))}.json'
        path.write_text(json.dumps(content))
        return str(path)

    def sum_up(self, *arguments: str) -> tuple[int, str]:
        """Return the exit status and the last line."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = total.main(arguments)
        return status, out.getvalue().splitlines()[-1]

    def test_sum_of_two(self):
        self.assertEqual((0, '30 passed, 0 failed'), self.sum_up(
            'test', '0', self.result_file(passed=20, failed=0),
            'demo', '0', self.result_file(passed=10, failed=0)))

    def test_failures_add_up(self):
        self.assertEqual((1, '29 passed, 3 failed'), self.sum_up(
            'test', '2', self.result_file(passed=20, failed=1),
            'demo', '2', self.result_file(passed=9, failed=2)))

    @ddt.data(('0', {}), ('0', {'passed': 'many', 'failed': 0}))
    @ddt.unpack
    def test_unreadable_counts_are_a_failure(self, status, content):
        self.assertEqual((1, '20 passed, 1 failed'), self.sum_up(
            'test', '0', self.result_file(passed=20, failed=0),
            'demo', status, self.result_file(**content)))

    def test_missing_file_is_a_failure(self):
        self.assertEqual((1, '0 passed, 1 failed'), self.sum_up(
            'demo', '0', str(self.folder / 'absent')))

    def test_exit_status_without_failed_check_is_a_failure(self):
        self.assertEqual((1, '5 passed, 1 failed'), self.sum_up(
            'demo', '2', self.result_file(passed=5, failed=0)))

    def test_nothing_passed_is_a_failure(self):
        self.assertEqual((1, '0 passed, 1 failed'), self.sum_up(
            'demo', '0', self.result_file(passed=0, failed=0)))

    def test_saved_outcomes_can_be_summed(self):
        self.run_one(tests_stage(0, 'a=success', 'b=fail', 'c=success'))
        self.run_one(check_stage('pass'))
        path = self.folder / 'lab' / 'test.json'
        self.assertEqual((3, 1), check.save(self.runner.outcomes, path))
        self.assertEqual((1, '3 passed, 1 failed'),
                         self.sum_up('test', '1', str(path)))

    def named(self, *arguments: str) -> list[str]:
        """Return the lines above the last, from the first failure on."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            total.main(arguments)
        return [line for line in out.getvalue().splitlines()[:-1]
                if line.startswith('failed: ')]

    def test_failures_are_named_above_the_total(self):
        self.run_one(tests_stage(0, 'a=success', 'b=fail', 'c=skip'))
        self.run_one(check_stage('exit(1)'))
        path = self.folder / 'lab' / 'test.json'
        check.save(self.runner.outcomes, path)
        demo = self.result_file(passed=1, failed=2, steps=[
            {'name': 'up', 'status': 'passed', 'proof': 'fine'},
            {'name': 'attach', 'status': 'failed', 'proof': 'E: no\nmore'},
            {'name': 'down', 'status': 'not run', 'proof': ''}])
        self.assertEqual(
            ['failed: test: tests: b: fail', 'failed: test: tests: c: skip',
             'failed: test: check: exit status 1',
             'failed: demo: attach: E: no', 'failed: demo: down: not run'],
            self.named('test', '1', str(path), 'demo', '1', demo))

    def test_nothing_is_named_when_all_passed(self):
        self.run_one(tests_stage(0, 'a=success'))
        path = self.folder / 'lab' / 'test.json'
        check.save(self.runner.outcomes, path)
        self.assertEqual([], self.named('test', '0', str(path)))

    def test_command_without_a_named_failure_is_named(self):
        self.assertEqual(
            ['failed: demo: exit status 2, but no check has failed'],
            self.named('demo', '2', self.result_file(passed=5, failed=0)))
        self.assertIn('no counts', self.named(
            'demo', '0', str(self.folder / 'absent'))[0])

    def test_many_failures_leave_the_total_in_sight(self):
        many = [{'name': str(n), 'status': 'failed', 'proof': 'x' * 9999}
                for n in range(500)]
        lines = self.named('demo', '1', self.result_file(
            passed=1, failed=500, steps=many))
        self.assertEqual(total.FAILURES_MAX + 1, len(lines))
        self.assertEqual('failed: demo: 470 more', lines[-1])
        self.assertLess(max(map(len, lines)), 300)

    def test_runs_without_the_environment(self):
        # Nothing but the standard library may be needed.
        result = self.run_one(suite.Stage('total', (
            sys.executable, '-I', '-S', str(suite.ROOT / 'tools/total.py'),
            'test', '0', self.result_file(passed=1, failed=0)), 60))
        self.assertEqual((1, 0), (result.passed, result.failed))
