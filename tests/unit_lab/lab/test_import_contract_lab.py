# SPDX-License-Identifier: Apache-2.0
"""The lab's import contracts notice each way to break them."""

from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import unittest

import ddt

ROOT = Path(__file__).resolve().parents[3]


@ddt.ddt
class TestImportContract(unittest.TestCase):
    """import-linter on a copy of the packages with one line added."""

    def setUp(self):
        super().setUp()
        self.copy = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for package in ('mydriver', 'lab'):
            shutil.copytree(ROOT / package, self.copy / package,
                            ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(ROOT / 'pyproject.toml', self.copy)

    def broken(self) -> list[str]:
        """Return the contracts that import-linter finds broken."""
        done = subprocess.run(
            [Path(sys.executable).parent / 'lint-imports', '--no-logo',
             '--no-cache'], cwd=self.copy, capture_output=True, text=True,
            check=False)
        found = [line for line in done.stdout.splitlines()
                 if 'BROKEN' in line]
        self.assertEqual(bool(found), bool(done.returncode), done.stdout)
        return found

    @ddt.data(
        ('cloud/driver.py', 'from mydriver import model',
         "do without the driver's code"),
        ('kernel/node.py', 'from lab.cloud import settings', 'own layers'),
        ('scenario/observe.py', 'from lab.scenarios.demo import story',
         'own layers'),
    )
    @ddt.unpack
    def test_broken(self, module, line, contract):
        path = self.copy / 'lab' / module
        path.write_text(f'{path.read_text()}\n{line}\n')
        found = self.broken()
        self.assertTrue(any(contract in name for name in found), found)
