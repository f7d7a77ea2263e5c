# SPDX-License-Identifier: Apache-2.0
"""CI's script, in a tree whose three make targets only say that they ran."""

import os
from pathlib import Path
import shutil
import subprocess
import tempfile
import textwrap
import unittest

import ddt

ROOT = Path(__file__).resolve().parents[2]

_MAKEFILE = textwrap.dedent('''\
    .PHONY: test ceph demo
    test ceph demo:
    \t@echo "$@ with CI=$$CI" && mkdir -p .lab && read line || true
    \t@cp $@.json .lab/ 2>/dev/null || true
    \t@exit $$(cat $@.status)
    ''')

_GOOD = '{"passed": 5, "failed": 0}'


@ddt.ddt
class TestCiRun(unittest.TestCase):
    """Exit status and last line."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = Path(folder.name)
        (self.tree / '.ci').mkdir()
        (self.tree / 'tools').mkdir()
        shutil.copy(ROOT / '.ci/run', self.tree / '.ci/run')
        shutil.copy(ROOT / 'tools/total.py', self.tree / 'tools/total.py')
        (self.tree / 'Makefile').write_text(_MAKEFILE)

    def target(self, name: str, status: int, result: str | None) -> None:
        """Say how a make target ends."""
        (self.tree / f'{name}.status').write_text(str(status))
        if result is not None:
            (self.tree / f'{name}.json').write_text(result)

    def ci(self) -> tuple[int, list[str]]:
        """Run it; returns its exit status and its lines."""
        # The tests themselves may be run by make.
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(('MAKE', 'MFLAGS'))}
        done = subprocess.run(
            ['bash', '.ci/run'], cwd=self.tree, capture_output=True,
            text=True, check=False, stdin=subprocess.DEVNULL,
            env=environment)
        return done.returncode, done.stdout.splitlines()

    def test_all_are_summed_up(self):
        self.target('test', 0, _GOOD)
        self.target('ceph', 0, _GOOD)
        self.target('demo', 0, '{"passed": 7, "failed": 0}')
        status, lines = self.ci()
        self.assertEqual((0, '17 passed, 0 failed'), (status, lines[-1]))
        self.assertEqual([f'{name} with CI=true'
                          for name in ('test', 'ceph', 'demo')],
                         [line for line in lines if 'with CI' in line])

    @ddt.data(
        ((2, '{"passed": 4, "failed": 1}'), (0, _GOOD), '14 passed, 1 failed'),
        ((0, _GOOD), (2, '{"passed": 4, "failed": 2}'), '14 passed, 2 failed'),
        ((2, None), (2, None), '5 passed, 2 failed'),
        ((2, _GOOD), (0, _GOOD), '15 passed, 1 failed'),
        ((0, _GOOD), (0, None), '10 passed, 1 failed'),
    )
    @ddt.unpack
    def test_a_failure_is_the_result_and_the_others_run(self, test, demo,
                                                        last):
        self.target('test', *test)
        self.target('ceph', 0, _GOOD)
        self.target('demo', *demo)
        status, lines = self.ci()
        self.assertNotEqual(0, status)
        self.assertEqual(last, lines[-1])
        self.assertIn('ceph with CI=true', lines)
        self.assertIn('demo with CI=true', lines)

    def test_what_failed_is_named_above_the_last_line(self):
        self.target('test', 2, '{"passed": 4, "failed": 1, "stages": [{'
                    '"stage": "node x", "failures": ["x.test_y: E: no"]}]}')
        self.target('ceph', 0, _GOOD)
        self.target('demo', 0, _GOOD)
        _status, lines = self.ci()
        self.assertEqual(['failed: make test: node x: x.test_y: E: no',
                          '14 passed, 1 failed'], lines[-2:])

    def test_counts_of_an_earlier_run_do_not_count(self):
        (self.tree / '.lab').mkdir()
        for name in ('test', 'ceph', 'demo'):
            self.target(name, 0, None)
            (self.tree / '.lab' / f'{name}.json').write_text(_GOOD)
        status, lines = self.ci()
        self.assertEqual((1, '0 passed, 3 failed'), (status, lines[-1]))
