# SPDX-License-Identifier: Apache-2.0
"""The parts of lab/bootstrap that decide."""

from pathlib import Path
import tempfile
import unittest
from unittest import mock

from lab.bootstrap import debian, environments, steps


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
    """What the environment is made of."""

    def test_uv_is_pinned(self):
        self.assertRegex(environments.pinned('uv'), r'\Auv==\d')
        with self.assertRaises(steps.BootstrapError):
            environments.pinned('u')

    def test_every_requirement_is_pinned(self):
        names = [line.partition('[')[0]
                 for path in environments.REQUIREMENTS
                 for line in path.read_text().splitlines()
                 if line and not line.startswith('#')]
        self.assertLess({'cinder', 'stestr'}, set(names))
        for name in names:
            self.assertRegex(environments.pinned(name.lower()), r'==\d')

    def test_stamp_follows_every_input(self):
        with tempfile.TemporaryDirectory() as folder:
            inputs = [Path(folder, n) for n in ('one', 'two')]
            for path in inputs:
                path.write_text(path.name)
            with mock.patch.object(environments, 'INPUTS', inputs):
                seen = {environments.stamp()}
                self.assertEqual(seen, {environments.stamp()})
                for path in inputs:
                    path.write_text('changed')
                    seen.add(environments.stamp())
        self.assertEqual(3, len(seen))

    def test_failed_command_tells_its_output(self):
        with self.assertRaises(steps.BootstrapError) as caught:
            steps.run('sh', '-c', 'echo the reason; exit 3')
        self.assertIn('the reason', str(caught.exception))
        self.assertIn('3', str(caught.exception))
