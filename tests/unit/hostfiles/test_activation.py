# SPDX-License-Identifier: Apache-2.0
"""What follows once the files are in place."""

import os
from pathlib import Path
import subprocess
import sys
import tempfile
from unittest import mock

import ddt

from mydriver.hostfiles import activation, catalogue, choices, manifest
from mydriver.hostfiles import root as roots
from tests.fakes import hostroot

BINDIR = {'bindir': '/opt/venv/bin'}
STORAGE = choices.choose(choices.STORAGE, BINDIR)
GATEWAY = choices.choose(choices.STORAGE, {**BINDIR, 'gateway': True})
COMPUTE = choices.choose(choices.COMPUTE, BINDIR)


class CommandsTest(hostroot.RootTestCase):
    """The commands that let the host use the files."""

    def setUp(self):
        super().setUp()
        self.control = self.folder / 'control'
        self.control.touch()
        self.enterContext(mock.patch.object(
            activation, 'UDEV_CONTROL', str(self.control)))

    def test_of_a_host_without_udev(self):
        self.control.unlink()
        self.assertNotIn('udevadm', str(activation.after_install(
            roots.Root(), GATEWAY)))
        self.assertEqual([], activation.after_remove(
            roots.Root(), [f'{catalogue.UDEV}/a']))

    def test_of_this_host(self):
        host = roots.Root()
        self.assertEqual([
            ['modprobe', '-a', 'target_core_mod', 'iscsi_target_mod',
             'target_core_file'],
            ['systemctl', 'daemon-reload'],
            ['systemctl', 'enable', catalogue.RESTORE],
        ], activation.after_install(host, STORAGE))
        self.assertEqual([
            ['systemctl', 'enable', catalogue.GATEWAY],
            ['udevadm', 'control', '--reload'],
        ], activation.after_install(host, GATEWAY)[2:])
        self.assertEqual([['modprobe', '-a', 'iscsi_tcp', 'dm_multipath']],
                         activation.after_install(host, COMPUTE))

    def test_of_an_image(self):
        self.assertEqual(
            [['systemctl', f'--root={self.root.path}', 'enable',
              catalogue.RESTORE]],
            activation.after_install(self.root, STORAGE))
        self.assertEqual([], activation.after_install(self.root, COMPUTE))
        self.assertFalse(activation.is_live(self.root))

    def test_a_host_is_live_if_systemd_runs(self):
        with tempfile.TemporaryDirectory() as there:
            for path, live in ((there, True), (f'{there}/none', False)):
                with mock.patch.object(activation, 'SYSTEMD', path):
                    self.assertEqual(live, activation.is_live(roots.Root()))
                    self.assertFalse(activation.is_live(self.root))

    def test_after_removal(self):
        host = roots.Root()
        self.assertEqual([['systemctl', 'daemon-reload']],
                         activation.after_remove(
                             host, [f'{catalogue.UNITS}/a', '/etc/b']))
        self.assertEqual([['udevadm', 'control', '--reload']],
                         activation.after_remove(
                             host, [f'{catalogue.UDEV}/a']))
        self.assertEqual([], activation.after_remove(host, ['/etc/b']))
        self.assertEqual([], activation.after_remove(
            self.root, [f'{catalogue.UNITS}/a']))

    def test_each_runs_and_failures_are_told(self):
        failed = activation.execute([
            [sys.executable, '-c', 'import sys; sys.exit("no\\nmodule")'],
            ['/no/such/program'], [sys.executable, '-c', 'exit(3)'],
            [sys.executable, '-c', '']])
        self.assertEqual('no module', failed[0].reason)
        self.assertIn('/no/such/program', failed[1].reason)
        self.assertEqual('exit status 3', failed[2].reason)
        self.assertEqual(3, len(failed))

    def test_a_running_gateway_is_noticed(self):
        made = manifest.Manifest(choices.STORAGE)
        said = mock.Mock(stdout='active\n')
        with mock.patch.object(subprocess, 'run', return_value=said):
            self.assertFalse(activation.runs_gateway(made))
            made.files[catalogue.GATEWAY_UNIT] = \
                manifest.Entry(0o644, '')
            for state, runs in (('active', True), ('activating', True),
                                ('inactive', False), ('failed', False)):
                said.stdout = f'{state}\n'
                self.assertEqual(runs, activation.runs_gateway(made), state)


@ddt.ddt
class ManualTest(hostroot.RootTestCase):
    """What is left to the operator."""

    def test_of_storage(self):
        steps = '\n'.join(activation.manual_steps(self.root, STORAGE))
        self.assertIn('/etc/mydriver/cinder.conf.sample', steps)
        self.assertIn('chown -h root:cinder /etc/cinder/cinder.conf', steps)
        self.assertIn('/opt/venv/bin/mydriver status', steps)

    def test_of_compute(self):
        steps = '\n'.join(activation.manual_steps(self.root, COMPUTE))
        self.assertIn('/etc/mydriver/nova.conf.sample', steps)
        self.assertIn('systemctl enable --now iscsid multipathd', steps)

    def test_of_removed_settings_of_multipathd(self):
        path = f'{catalogue.MULTIPATH}/mydriver.conf'
        steps = '\n'.join(activation.steps_after_remove(
            roots.Root(), ['/etc/b', path]))
        self.assertIn('systemctl reload multipathd', steps)
        for root, removed in ((roots.Root(), ['/etc/b']), (self.root, [path])):
            self.assertEqual([], activation.steps_after_remove(root, removed))

    def test_of_a_gateway(self):
        steps = '\n'.join(activation.manual_steps(self.root, GATEWAY))
        self.assertIn('systemctl start mydriver-gateway.service', steps)
        self.assertNotIn('Restart cinder-volume', steps)

    def test_a_helper_that_others_can_replace(self):
        """Its user would become root: sudo runs whatever is there."""
        self.put('/opt/venv/bin/privsep-helper', '', 0o755)
        bindir = self.folder / 'opt/venv/bin'
        bindir.chmod(0o755)
        self.assertEqual([], self.named(STORAGE))
        for path, mode in ((bindir, 0o775), (bindir / 'privsep-helper',
                                             0o757)):
            path.chmod(mode)
            self.assertEqual(
                ['/' + str(path.relative_to(self.folder))],
                self.named(STORAGE))
            path.chmod(0o755)
        with mock.patch.object(os, 'geteuid', return_value=12345):
            self.assertEqual(self.named(STORAGE)[:1], (
                ['/opt/venv/bin/privsep-helper'] if bindir.stat().st_uid
                else []))

    def test_a_configuration_that_others_can_replace(self):
        """Packages of distributions give its folder to the service's user."""
        folder = self.folder / 'etc/cinder'
        self.put('/etc/cinder/cinder.conf', '', 0o640)
        folder.chmod(0o750)
        self.assertEqual([], self.named(STORAGE))
        folder.chmod(0o770)
        self.assertEqual(['/etc/cinder'], self.named(STORAGE))
        steps = '\n'.join(activation.manual_steps(self.root, STORAGE))
        self.assertIn('chown -h root:cinder /etc/cinder && '
                      '[ ! -L /etc/cinder ] && chmod g+rx,go-w /etc/cinder',
                      steps)
        # Whoever has the folder could put another file there.
        self.assertLess(steps.index('/etc/cinder can be changed'),
                        steps.index('Give /etc/cinder/cinder.conf to root'))
        self.assertEqual([], self.named(COMPUTE))

    def named(self, chosen):
        """Return the paths that others can replace."""
        return [s.partition(' ')[0] for s in activation.manual_steps(
            self.root, chosen) if 'can be changed' in s]

    @ddt.data(
        ('devices {\n}\n', False), ('', False),
        ('devices {\n global_filter = [ "a|^/dev/sda|", "r|.*|" ]\n}\n',
         True),
        ('devices {\n filter = [ "r|.*|" ]\n}\n', True),
        ('devices {\n use_devicesfile = 1\n}\n', True),
        ('devices {\n use_devicesfile = 0\n}\n', False))
    @ddt.unpack
    def test_lvm(self, text, restricted):
        self.put('/etc/lvm/lvm.conf', text)
        self.assertEqual(restricted, activation.restricts_lvm(self.root))
        steps = '\n'.join(activation.manual_steps(self.root, COMPUTE))
        self.assertEqual(not restricted, 'global_filter' in steps)

    def test_a_host_without_lvm(self):
        self.assertTrue(activation.restricts_lvm(self.root))

    def test_lvm_in_an_image_of_another_system(self):
        """Whatever this machine has, the step is named."""
        (self.folder / 'etc/lvm').mkdir()
        with mock.patch.object(activation.shutil, 'which',
                               return_value=None):
            self.assertFalse(activation.restricts_lvm(self.root))


class SourceTest(hostroot.RootTestCase):
    """Names that are written twice."""

    def test_units_are_those_of_the_catalogue(self):
        templates = Path(catalogue.__file__).with_name('templates')
        for unit in (catalogue.RESTORE, catalogue.GATEWAY):
            self.assertTrue((templates / unit).is_file())
