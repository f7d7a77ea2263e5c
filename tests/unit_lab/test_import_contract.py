# SPDX-License-Identifier: Apache-2.0
"""The import contract holds, and it notices each way to break it."""

from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import unittest

import ddt

ROOT = Path(__file__).resolve().parents[2]


@ddt.ddt
class TestImportContract(unittest.TestCase):
    """import-linter on a copy of the package with one line added."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.copy = Path(folder.name)
        for package in ('mydriver', 'lab'):
            shutil.copytree(ROOT / package, self.copy / package,
                            ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(ROOT / 'pyproject.toml', self.copy)

    def lint(self) -> subprocess.CompletedProcess:
        """Run import-linter in the copy, as `make test` does."""
        return subprocess.run(
            [Path(sys.executable).parent / 'lint-imports', '--no-logo',
             '--no-cache'], cwd=self.copy, capture_output=True, text=True,
            check=False)

    def test_kept_as_it_is(self):
        result = self.lint()
        self.assertEqual(0, result.returncode, result.stdout)

    @ddt.data(
        ('model.py', 'from mydriver import discovery', 'Rooms'),
        ('privileged/target/lio.py', 'from mydriver.target import journal',
         'Rooms'),
        ('privileged/target/lio.py',
         'from mydriver.privileged.stores import lvm', 'layers'),
        ('connection/iscsi.py', 'from mydriver import privileged', 'Rooms'),
        ('connection/connector.py', 'from mydriver.connection import iscsi',
         'layers'),
        ('cinder_volume/stats.py', 'import mydriver.nova_virt', 'Rooms'),
        ('cmd/health.py', 'from mydriver.cinder_volume import stats', 'Rooms'),
        ('target/exports.py', 'from mydriver.stores import base', 'Rooms'),
        ('target/journal/sqlite.py', 'from mydriver.target import exports',
         'layers'),
        ('target/kernel.py', 'from mydriver import connection',
         'connection_info'),
        ('privileged/target/links.py',
         'from mydriver.privileged.target import lio', 'layers'),
        ('stores/base.py', 'from mydriver.target import journal', 'Rooms'),
        ('hostfiles/choices.py', 'from mydriver.cmd import rivals', 'Rooms'),
        ('hostfiles/choices.py', 'from mydriver.hostfiles import manifest',
         'layers'),
        ('doctor/common.py', 'from mydriver.cmd import rivals', 'Rooms'),
        ('doctor/host.py', 'from mydriver.doctor import findings', 'layers'),
        ('stores/base.py', 'from mydriver.stores import batch', 'layers'),
        ('stores/lvmthin/names.py',
         'from mydriver.stores.lvmthin import copies', 'thin pool'),
        ('target/lio.py', 'import rtslib_fb', 'rtslib'),
        ('nova_virt/__init__.py', 'import cinder.volume', 'cinder'),
        ('discovery.py', 'from cinder import exception', 'cinder'),
        ('target/exports.py', 'import nova.conf', 'nova'),
        ('opts.py', 'import nova', 'nova'),
        ('nova_virt/entry_point.py',
         'from mydriver.nova_virt import driver', 'entry point'),
        ('initiator/sysfs.py', 'from mydriver.initiator import devices',
         'layers'),
        ('initiator/host.py', 'from os_brick import utils', 'os-brick'),
    )
    @ddt.unpack
    def test_broken(self, module, line, contract):
        path = self.copy / 'mydriver' / module
        path.write_text(f'{path.read_text()}\n{line}\n')
        result = self.lint()
        self.assertEqual(1, result.returncode, result.stdout)
        broken = [found for found in result.stdout.splitlines()
                  if 'BROKEN' in found]
        self.assertTrue(any(contract in found for found in broken), broken)

    def test_a_new_room_needs_its_place(self):
        (self.copy / 'mydriver' / 'attic.py').write_text('')
        self.assertEqual(1, self.lint().returncode)
