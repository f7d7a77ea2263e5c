# SPDX-License-Identifier: Apache-2.0
"""How other versions of Python are found, and how their tests are run."""

import os
from pathlib import Path
import platform
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from tools import pythons, roots, suite, venvs

#: This interpreter's version, as in the name of a program.
HERE = '{}.{}'.format(*sys.version_info)


class InterpreterTest(unittest.TestCase):
    """Interpreters by version and by path."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.dict(os.environ, {
            'PATH': str(self.folder),
            'PYENV_ROOT': str(self.folder / 'pyenv')}))

    def program(self, name, text):
        """Write a program; return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\n{text}\n')
        path.chmod(0o755)
        return str(path)

    def test_in_the_path(self):
        path = self.program('python3.12', 'echo 3.12.1')
        self.assertEqual(path, pythons.interpreter('3.12'))

    def test_a_path(self):
        self.assertEqual(sys.executable, pythons.interpreter(sys.executable))
        self.assertEqual(platform.python_version(),
                         pythons.version_of(sys.executable))

    def test_a_copy_for_other_users(self):
        self.folder.chmod(0o700)
        copy = Path(self.enterContext(tempfile.TemporaryDirectory()))
        prefix = self.folder / 'prefix'
        path = self.program('prefix/bin/python3', f'echo {prefix}')
        (prefix / 'lib' / 'test').mkdir(parents=True)
        self.assertEqual(str(copy / 'c' / 'bin' / 'python3'),
                         pythons.for_everybody(path, copy / 'c'))
        self.assertEqual(
            {'bin', 'lib'}, {p.name for p in (copy / 'c').iterdir()})
        self.assertEqual([], list((copy / 'c' / 'lib').iterdir()))
        self.folder.chmod(0o755)
        self.assertEqual(path, pythons.for_everybody(path, copy / 'd'))
        self.assertFalse((copy / 'd').exists())

    def test_of_pyenv_behind_a_program_that_fails(self):
        self.program('python3.12', 'echo no such version >&2; exit 127')
        for number in ('3.12.1', '3.12.4', '3.1.2'):
            self.program(f'pyenv/versions/{number}/bin/python',
                         f'echo {number}')
        self.assertEqual(
            str(self.folder / 'pyenv/versions/3.12.4/bin/python'),
            pythons.interpreter('3.12'))

    def test_one_that_says_another_version(self):
        self.program('python3.1', 'echo 3.12.1')
        with self.assertRaises(pythons.PythonError):
            pythons.interpreter('3.1')

    def test_none(self):
        with self.assertRaises(pythons.PythonError) as caught:
            pythons.interpreter('3.12')
        for part in ('There is no Python 3.12 in the PATH',
                     'make test-python PYTHONS=/path/to/python3.12',
                     'nothing is known'):
            self.assertIn(part, str(caught.exception))

    def test_that_of_a_debian_if_there_is_no_other(self):
        with mock.patch.object(roots.Root, 'make') as make:
            self.assertEqual('Debian trixie, Python 3.13',
                             pythons.find('3.13').name)
            make.assert_called_once()
            path = self.program('python3.13', 'echo 3.13.5')
            with mock.patch.object(pythons, 'for_everybody',
                                   lambda program, _folder: program):
                self.assertEqual(pythons.Interpreter('Python 3.13.5', path),
                                 pythons.find('3.13'))
            with self.assertRaises(pythons.PythonError):
                pythons.find('3.12')

    def test_a_path_of_nothing(self):
        for path in (self.folder / 'nothing', self.program('x', 'exit 1')):
            with self.subTest(path), self.assertRaises(
                    pythons.PythonError) as caught:
                pythons.interpreter(str(path))
            self.assertIn(f'{path} is no Python', str(caught.exception))


class StagesTest(unittest.TestCase):
    """What is run, with the environments replaced."""

    def stages(self, found, librados):
        """Return the stages in environments with librados or without it."""
        def fill(folder, found, *_):
            venv = object.__new__(venvs.Venv)
            venv.folder, venv.python = folder, folder / 'bin' / 'python'
            venv._enter = found.enter
            venv.run = lambda *_: subprocess.CompletedProcess([], librados)
            return venv
        with mock.patch.object(pythons, 'fill', fill):
            return pythons.stages(found)

    def test_all_directories_of_the_matrix(self):
        found = pythons.Interpreter('Python 3.12.1', '/p')
        made = self.stages(found, 0)
        self.assertEqual(
            ['Python 3.12.1, engine', 'Python 3.12.1, cinder',
             'Python 3.12.1, nova'], [s.name for s in made])
        self.assertEqual(['tests/unit', 'tests/unit_cinder',
                          'tests/unit_nova'], [s.command[4] for s in made])
        for stage in made:
            self.assertTrue(stage.tests)
            self.assertNotIn('--exclude-regex', stage.command)

    def test_what_is_left_out_is_said(self):
        found = pythons.Interpreter('Python 3.12.1', '/p')
        engine, *others = self.stages(found, 1)
        self.assertEqual('Python 3.12.1, engine, without librados',
                         engine.name)
        self.assertEqual(('--exclude-regex', pythons.CEPH),
                         engine.command[-2:])
        for stage in others:
            self.assertNotIn('--exclude-regex', stage.command)

    def test_in_another_debian(self):
        root = roots.Root('trixie')
        found = pythons.Interpreter('Debian', '/usr/bin/python3.13', root)
        for stage in self.stages(found, 0):
            self.assertEqual('unshare', stage.command[0])
            self.assertIn(str(root.folder), stage.command)
            self.assertIn('stestr', stage.command)


class RootTest(unittest.TestCase):
    """Commands in another root: here, that of the host."""

    def setUp(self):
        super().setUp()
        self.root = roots.Root('trixie')
        self.root.folder = Path('/')

    def run_in_root(self, script):
        done = subprocess.run(
            self.root.command('sh', '-c', script), check=False, cwd='/',
            capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def test_it_sees_the_repository_and_its_own_processes(self):
        before = Path('/proc/self/mountinfo').read_text()
        marker = self.enterContext(tempfile.NamedTemporaryFile(dir='/tmp'))
        self.assertEqual(
            (0, f'{suite.ROOT}\ndist.py\n1\n'), self.run_in_root(
                f'pwd; ls tools | grep ^dist.py; echo $$; ls {marker.name} '
                '2> /dev/null || true'))
        self.assertEqual(before, Path('/proc/self/mountinfo').read_text())

    def test_its_failures_are_those_of_the_command(self):
        self.assertEqual((7, 'x\n'), self.run_in_root('echo x; exit 7'))

    def test_a_release_is_made_again_only_if_it_lacks_packages(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.root.folder = folder / 'trixie'
        self.root.folder.mkdir()
        stamp = folder / 'trixie.packages'
        stamp.write_text(' '.join(roots.PACKAGES))
        with mock.patch.dict(os.environ, {'PATH': ''}):
            self.root.make()
            stamp.write_text('sudo')
            with self.assertRaises(roots.RootError):
                self.root.make()

    def test_without_debootstrap(self):
        self.root.folder = Path('/nowhere')
        with mock.patch.dict(os.environ, {'PATH': ''}), \
                self.assertRaises(roots.RootError) as caught:
            self.root.make()
        self.assertIn('apt-get install debootstrap', str(caught.exception))

    def test_modules_that_are_missing(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        site = folder / 'venv' / 'lib' / 'python3.13' / 'site-packages'
        site.mkdir(parents=True)
        self.root.folder = folder
        with self.assertRaises(roots.RootError):
            self.root.link_ceph(folder / 'venv')
        modules = folder / 'usr/lib/python3/dist-packages'
        modules.mkdir(parents=True)
        for name in ('rados.cpython-313.so', 'rbd.cpython-313.so'):
            (modules / name).touch()
        self.root.link_ceph(folder / 'venv')
        self.assertEqual(
            Path('/usr/lib/python3/dist-packages/rbd.cpython-313.so'),
            (site / 'rbd.cpython-313.so').readlink())


class SupportedTest(unittest.TestCase):
    """Each supported version can be tested here, or by a Debian."""

    def test_this_one_is_supported(self):
        self.assertIn(HERE, ['{}.{}'.format(*v)
                             for v in pythons.releases.PYTHONS])

    def test_those_of_debian_are_supported(self):
        for version in roots.RELEASES.values():
            self.assertIn(version, ['{}.{}'.format(*v)
                                    for v in pythons.releases.PYTHONS])
