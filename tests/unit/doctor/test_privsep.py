# SPDX-License-Identifier: Apache-2.0
"""The privileged daemon, started as the service starts it."""

import contextlib
import os
from pathlib import Path
import subprocess
import sys

from oslo_config import cfg

from mydriver import exception
from mydriver.doctor import privsep
from mydriver.privileged import ping
from mydriver.waiting import wait_for
from tests.fakes import doctor

HELPER = Path(sys.executable).with_name('privsep-helper')
#: What setup's rule allows for these options.
RIGHT = ('/opt/mydriver/bin/privsep-helper --config-file '
         '/etc/nova/nova.conf')
SUDO = '#!/bin/sh\nexec "$@"\n'


class PrivsepTest(doctor.DoctorTestCase):
    """A compute host, whose daemon needs fewer packages."""

    def setUp(self):
        super().setUp()
        self.put('/bin/sudo', SUDO, 0o755)
        self.compute()
        self.set_command(f'sudo {self.helper()}')

    def helper(self):
        """Return a helper that starts a daemon, as its path in the root."""
        self.put('/opt/helper', f'#!/bin/sh\nexec {HELPER} "$@"\n', 0o755)
        # The doctor sees it below the root; the daemon's side does not.
        return '/opt/helper'

    def set_command(self, command):
        """Set helper_command in nova.conf."""
        self.configure('/etc/nova/nova.conf', doctor.NOVA_CONF + (
            f"""
    [mydriver_privsep_initiator]
    helper_command = {command}
            """))

    def find(self):
        """Return what is wrong."""
        return [f.found for f in self.examine(
            'compute', 'privsep', privsep.CHECKS)]

    def only(self, what, remedy):
        """Check what the one thing that is wrong is."""
        found, = self.find()
        self.assertEqual('error', found.severity)
        self.assertRegex(found.what, what)
        self.assertIn(remedy, found.remedy)

    def sudo_that_maps(self, more=''):
        """Make sudo find the helper of the root."""
        self.put('/bin/sudo', f'#!/bin/sh\n{more}\nname=$1; shift\n'
                 f'exec {self.folder}$name "$@"\n', 0o755)

    def test_it_works(self):
        self.sudo_that_maps()
        self.assertEqual([], self.find())

    def test_the_daemon_ends_with_the_check(self):
        self.sudo_that_maps(f'echo ran >> {self.folder}/ran')
        self.assertEqual([], self.find())
        self.assertTrue(self.is_there('/ran'))
        self.assertTrue(wait_for(lambda: not self.processes(),
                                 'the daemon to end', 60))

    def processes(self):
        """Return the processes that have the environment of this test."""
        found = []
        for file in Path('/proc').glob('[0-9]*/environ'):
            with contextlib.suppress(OSError):
                if os.fsencode(self.bin) in file.read_bytes():
                    found.append(file.parent.name)
        return found

    def test_a_quote_without_its_end(self):
        self.set_command("sudo 'privsep")
        self.only('^Configuration: .* helper_command is no command of a '
                  'shell: No closing quotation', f'helper_command = {RIGHT}')

    def test_a_storage_host(self):
        self.configure('/etc/cinder/cinder.conf', doctor.CINDER_CONF + """
    [mydriver_privsep_target]
    helper_command = sudo /opt/helper --config-file /etc/cinder/cinder.conf
            """)
        conf = self.folder / 'etc/cinder/cinder.conf'
        self.put('/bin/sudo', f'#!/bin/sh\nname=$1; shift 3\nexec '
                 f'{self.folder}$name --config-file {conf} "$@"\n', 0o755)
        self.install()
        self.assertEqual([], self.examine('storage', 'privsep',
                                          privsep.CHECKS))
        conf.chmod(0o666)
        found, = self.examine('storage', 'privsep', privsep.CHECKS)
        self.assertEqual('error', found.severity)
        self.assertIn('Configuration: the daemon of [mydriver_privsep_target] '
                      'does not work', found.found.what)
        self.assertIn(f'Run chown -h root {conf}', found.found.what)

    def test_without_sudo(self):
        os.unlink(self.bin / 'sudo')
        self.only('^sudo: .* is not installed', 'apt-get install sudo')

    def test_sudo_refuses(self):
        self.put('/bin/sudo', '#!/bin/sh\n'
                 'echo sudo: a password is required >&2; exit 1\n', 0o755)
        found, = self.find()
        self.assertEqual('error', found.severity)
        self.assertEqual(
            'sudo: root may not run helper_command of '
            '[mydriver_privsep_initiator]: sudo: a password is required',
            found.what)
        self.is_set(found.remedy)

    def is_set(self, remedy):
        """Carry a remedy out; it sets the right command."""
        self.carry_out(remedy)
        self.assertEqual(RIGHT, self.host('compute').setting(
            'mydriver_privsep_initiator', 'helper_command'))
        self.assertIn('restart nova-compute', self.get('/called'))

    def set_up(self):
        """Install the rule and the command that it is for; return the host."""
        self.install('compute', user='games')
        self.set_command(f'sudo {RIGHT}')
        self.put('/opt/mydriver/bin/privsep-helper', '', 0o755)
        return self.host('compute')

    def test_a_rule_that_somebody_changed(self):
        host = self.set_up()
        section = 'mydriver_privsep_initiator'
        self.assertEqual('mydriver setup compute --install',
                         privsep._remedy(host, section))
        self.put('/etc/sudoers.d/mydriver-compute', '# mine\n')
        self.assertIn('--install --force', privsep._remedy(host, section))

    def refused(self):
        """Return what is found if sudo refuses in spite of a right rule."""
        host = self.set_up()
        section = 'mydriver_privsep_initiator'
        return privsep._judge(host, section, 'sudo: a password is required',
                              privsep._remedy(host, section))

    def test_sudo_does_not_read_the_rule(self):
        line = '@includedir /etc/sudoers.d'
        for text in ('root ALL=(ALL:ALL) ALL\n', f'# {line}\n',
                     f'{line}.old\n'):
            self.put('/etc/sudoers', text)
            found = self.refused()
            self.assertEqual(f'visudo  # add the line: {line}', found.remedy)
            self.assertIn(f'/etc/sudoers does not have the line "{line}"',
                          found.what)
        os.unlink(self.folder / 'etc/sudoers.d/mydriver-compute')
        host = self.host('compute')
        self.assertEqual(
            ('mydriver setup compute --install && visudo  # add the line: '
             f'{line}'), privsep._of_sudo(
                host, 'mydriver setup compute --install'))

    def test_sudo_reads_the_rule_but_refuses(self):
        for mark in '@#':
            self.put('/etc/sudoers', f'{mark}includedir  /etc/sudoers.d\n')
            found = self.refused()
            self.assertEqual('sudo -l -U games && visudo', found.remedy)
            self.assertNotIn('does not have', found.what)
        os.unlink(self.folder / 'etc/sudoers.d/mydriver-compute')
        install = 'mydriver setup compute --install'
        self.assertEqual(install, privsep._of_sudo(
            self.host('compute'), install))

    def test_the_setting_is_that_of_setup(self):
        self.put('/opt/mydriver/bin/privsep-helper', '', 0o755)
        self.set_command(RIGHT)  # the daemon's side has no such file
        self.only('^Path: helper_command .* cannot be run',
                  'mydriver setup compute --install')

    def test_the_helper_is_missing(self):
        os.unlink(self.folder / 'opt/helper')
        self.only('^Path: /opt/helper .* not an executable file',
                  'mydriver setup compute --install')

    def test_sudo_does_not_find_the_helper(self):
        self.only('^Path: helper_command .* cannot be run', RIGHT)

    def test_the_helper_reads_other_files(self):
        self.set_command('sudo /opt/helper --config-file /etc/other.conf')
        self.only('^Configuration: .* names .*/etc/other.conf', RIGHT)
        self.is_set(self.find()[0].remedy)

    def test_the_helper_fails(self):
        self.put('/opt/helper', '#!/bin/sh\necho No module >&2; exit 3\n',
                 0o755)
        self.sudo_that_maps()
        self.only('^Configuration: .*: No module$', RIGHT)

    def test_the_daemon_says_what_to_do(self):
        found = privsep._judge(
            self.host('compute'), 'mydriver_privsep_initiator',
            '/a.conf belongs to user id 1. Run chown root /a.conf && chmod '
            '640 /a.conf.', 'another')
        self.assertEqual('chown root /a.conf && chmod 640 /a.conf',
                         found.remedy)

    def test_the_option_is_not_set(self):
        self.configure('/etc/nova/nova.conf', doctor.NOVA_CONF)
        self.assertEqual([], self.find())  # root needs no sudo
        self.install('compute', user='nova-of-this-test')
        severities = {f.severity: f.remedy for f in self.find()}
        self.assertTrue(severities['error'].startswith(
            'useradd --system --shell /usr/sbin/nologin nova-of-this-test '))
        self.carry_out(severities['warning'])
        self.assertEqual(f'sudo {RIGHT}', self.host('compute').setting(
            'mydriver_privsep_initiator', 'helper_command'))

    def test_no_secret_is_shown(self):
        self.put('/opt/helper', '#!/bin/sh\nexit 3\n', 0o755)
        self.sudo_that_maps()
        with open(self.folder / 'etc/nova/nova.conf', 'a') as file:
            file.write('[database]\nconnection = mysql://u:s3cr3t@h/d\n')
        self.assertNotIn('s3cr3t', str(self.find()))


class PingTest(doctor.DoctorTestCase):
    """mydriver.doctor.ping, on its own, and its verbs."""

    def test_the_verbs_take_nothing(self):
        for verb in (ping.ping_target, ping.ping_initiator):
            function = verb.args[0]
            self.assertEqual(os.geteuid(), function())
            with self.assertRaises(exception.RequestRefused):
                function('x')

    def test_the_daemon_of_storage_hosts_needs_files_of_root(self):
        self.storage()
        conf = self.folder / 'etc/cinder/cinder.conf'
        self.addCleanup(cfg.CONF.clear)
        cfg.CONF([f'--config-file={conf}'], project='cinder')
        ping.ping_target.args[0]()
        os.chmod(conf, 0o666)
        with self.assertRaises(exception.ConfigurationError):
            ping.ping_target.args[0]()

    def test_a_file_that_cannot_be_read(self):
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'mydriver.doctor.ping',
             'compute', '/no/such.conf'], capture_output=True, text=True,
            check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn('/no/such.conf', done.stdout)
