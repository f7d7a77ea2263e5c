# SPDX-License-Identifier: Apache-2.0
"""The parts of lab/bootstrap that decide."""

import contextlib
import dataclasses
import io
from pathlib import Path
import subprocess
import tempfile
import unittest
from unittest import mock

from lab import paths
from lab.bootstrap import debian, environments, releases, steps
from mydriver import releases as supported


class TestPackages(unittest.TestCase):
    """Reading bindep.txt."""

    def test_debian_lines_of_every_profile(self):
        text = ('# a comment [platform:dpkg]\n'
                'gcc [platform:dpkg compile]\n'
                'gcc-c++ [platform:rpm compile]\n'
                'libfoo1.0 [lab platform:dpkg]  # why\n'
                '\n'
                'plain\n')
        self.assertEqual(['gcc', 'libfoo1.0'],
                         debian.debian_packages(text))

    def test_ours_names_no_package_twice(self):
        names = debian.debian_packages(
            (steps.ROOT / 'bindep.txt').read_text())
        self.assertIn('user-mode-linux', names)
        self.assertEqual(sorted(set(names)), sorted(names))

    def test_missing_ones_are_told_from_installed_ones(self):
        self.assertEqual(
            ['mydriver-no-such-package'],
            debian.missing_packages(
                ['dpkg', 'mydriver-no-such-package', 'bash']))

    def test_only_root_installs(self):
        with mock.patch('os.geteuid', return_value=1000), \
                self.assertRaises(steps.BootstrapError) as caught:
            debian.install_packages(['xfsprogs'])
        self.assertIn('xfsprogs', str(caught.exception))


class TestServices(unittest.TestCase):
    """No service comes up with a package."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.policy = Path(folder.name, 'policy-rc.d')
        self.enabled = {'ssh.service'}
        self.disabled: list[str] = []
        for name, value in (('POLICY', self.policy),
                            ('enabled_units', lambda: set(self.enabled)),
                            ('disable', self.disabled.extend)):
            patcher = mock.patch.object(debian, name, value)
            patcher.start()
            self.addCleanup(patcher.stop)

    def test_starts_are_denied_meanwhile_and_new_units_disabled(self):
        with debian.no_services():
            self.assertIn('exit 101', self.policy.read_text())
            self.assertTrue(self.policy.stat().st_mode & 0o100)
            self.enabled |= {'iscsid.socket', 'rabbitmq-server.service'}
        self.assertFalse(self.policy.exists())
        self.assertEqual(['iscsid.socket', 'rabbitmq-server.service'],
                         self.disabled)

    def test_policy_goes_when_the_installation_fails(self):
        with self.assertRaises(steps.BootstrapError), \
                debian.no_services():
            self.enabled.add('iscsid.socket')
            raise steps.BootstrapError('apt')
        self.assertFalse(self.policy.exists())
        self.assertEqual(['iscsid.socket'], self.disabled)

    def test_an_administrators_policy_stays(self):
        self.policy.write_text('#!/bin/sh\nexit 104\n')
        with debian.no_services():
            self.assertIn('104', self.policy.read_text())
        self.assertIn('104', self.policy.read_text())

    def test_one_left_by_a_killed_run_is_removed(self):
        self.policy.write_text(debian.POLICY_TEXT)
        with debian.no_services():
            self.assertEqual(debian.POLICY_TEXT, self.policy.read_text())
        self.assertFalse(self.policy.exists())


class TestPins(unittest.TestCase):
    """What the environments are made of."""

    def test_uv_is_pinned(self):
        self.assertRegex(environments.pinned('uv'), r'\Auv==\d')
        with self.assertRaises(steps.BootstrapError):
            environments.pinned('u')

    def test_every_requirement_is_pinned(self):
        for one in (environments.DEFAULT, environments.ENGINE,
                    *map(environments.lab, releases.others()),
                    *map(environments.unit, releases.others())):
            names = [line.partition('[')[0]
                     for path in one.requirements
                     for line in path.read_text().splitlines()
                     if line and line[0] not in '#-']
            self.assertIn('setuptools', names)
            for name in names:
                self.assertRegex(
                    environments.pinned(name.lower(), one.constraints),
                    r'==\d')

    def test_the_lab_has_the_services_and_the_checks(self):
        text = ''.join(path.read_text()
                       for path in environments.DEFAULT.requirements)
        self.assertLess({'cinder', 'stestr'}, set(text.split()))

    def test_stamp_follows_every_input(self):
        with tempfile.TemporaryDirectory() as folder:
            inputs = [Path(folder, n) for n in ('one', 'two', 'pins', 'wish')]
            for path in inputs:
                path.write_text(path.name)
            one = dataclasses.replace(
                environments.ENGINE, requirements=(inputs[3],),
                constraints=inputs[2])
            with mock.patch.object(environments, 'INPUTS', inputs[:2]):
                seen = {one.stamp()}
                self.assertEqual(seen, {one.stamp()})
                for path in inputs:
                    path.write_text('changed')
                    seen.add(one.stamp())
        self.assertEqual(5, len(seen))

    def test_what_changes_meanwhile_is_installed_next_time(self):
        with tempfile.TemporaryDirectory() as folder:
            wish = Path(folder, 'wish')
            wish.write_text('one')
            (Path(folder) / 'venv/bin').mkdir(parents=True)
            (Path(folder) / 'venv/bin/uv').touch()
            one = dataclasses.replace(
                environments.ENGINE, venv=Path(folder, 'venv'),
                requirements=(wish,))
            with (mock.patch.object(
                      environments, 'install',
                      side_effect=lambda *_: wish.write_text('two')),
                  mock.patch.object(environments, 'link_ceph'),
                  mock.patch.object(environments.steps, 'run'),
                  mock.patch.object(environments.Environment, 'works',
                                    return_value=True),
                  contextlib.redirect_stdout(io.StringIO())):
                environments.update((one,))
                self.assertFalse(one.is_current())
                wish.write_text('one')
                self.assertTrue(one.is_current())

    def test_failed_command_tells_its_output(self):
        with self.assertRaises(steps.BootstrapError) as caught:
            steps.run('sh', '-c', 'echo the reason; exit 3')
        self.assertIn('the reason', str(caught.exception))
        self.assertIn('3', str(caught.exception))


class TestReleases(unittest.TestCase):
    """Environments of several releases of OpenStack."""

    def test_those_that_are_supported(self):
        self.assertEqual([r.name for r in supported.SUPPORTED],
                         [*releases.others(), releases.DEFAULT])

    def test_each_has_environments_of_its_own(self):
        every = [environments.DEFAULT, environments.ENGINE,
                 *map(environments.lab, releases.others()),
                 *map(environments.unit, releases.others())]
        self.assertEqual(len(every), len({one.venv for one in every}))
        self.assertIs(environments.DEFAULT,
                      environments.lab(releases.DEFAULT))

    def test_an_unknown_one_is_refused(self):
        with self.assertRaises(steps.BootstrapError) as caught:
            environments.lab('2024.2')
        for name in ('2024.2', *releases.others(), releases.DEFAULT):
            self.assertIn(name, str(caught.exception))

    def test_the_lab_finds_its_versions(self):
        for name in (*releases.others(), releases.DEFAULT):
            one = environments.lab(name)
            self.assertEqual(one.constraints,
                             paths.constraints(venv=one.venv))
        self.assertEqual(environments.CONSTRAINTS,
                         paths.constraints(venv=Path('/opt/other')))

    def make(self, *words):
        """Return the commands of a target of the Makefile."""
        return subprocess.run(
            ['make', '-n', *words], cwd=steps.ROOT, check=True,
            capture_output=True, text=True).stdout

    def test_make_uses_the_environment_of_the_release(self):
        other = releases.others()[0]
        for words, release, venv in (
                (('demo',), releases.DEFAULT, 'venv'),
                (('demo', f'RELEASE={releases.DEFAULT}'), releases.DEFAULT,
                 'venv'),
                (('demo', f'RELEASE={other}'), other, f'venv-{other}'),
                (('tempest', f'RELEASE={other}'), other, f'venv-{other}')):
            with self.subTest(words):
                text = self.make(*words)
                self.assertIn(f"lab.bootstrap --release '{release}'", text)
                self.assertIn(f'.lab/{venv}/bin/python -m lab {words[0]}',
                              text)

    def test_make_prepares_the_tests_with_all_releases(self):
        for target in ('test', 'quick'):
            text = self.make(target, f'RELEASE={releases.others()[0]}')
            self.assertIn('lab.bootstrap --tests', text)
            self.assertIn('.lab/venv/bin/python -m tools.check', text)
