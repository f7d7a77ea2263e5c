# SPDX-License-Identifier: Apache-2.0
"""The README's configuration is what its readers accept."""

import configparser
import os
from pathlib import Path
import re
import shlex
import tempfile
import unittest

import ddt
from oslo_config import cfg

from mydriver import model, privileged
from mydriver.cmd import backends

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = (ROOT / 'README.md').read_text().partition(
    '## On a real cloud')[2].partition('## More')[0]
UNIT = 'etc/systemd/mydriver-restore.service'


def blocks(kind: str) -> list[str]:
    """Return the fenced blocks of a kind."""
    return re.findall(rf'^```{kind}\n(.*?)^```$', CHAPTER, re.M | re.S)


def commands() -> list[list[str]]:
    """Return the commands that the chapter shows, as words."""
    text = '\n'.join(line.strip() for line in CHAPTER.splitlines()
                     if re.match(r' {4,10}\S', line))
    return [shlex.split(line)
            for line in text.replace('\\\n', '').splitlines()]


def packages(profile: str) -> set[str]:
    """Return the Debian packages that bindep.txt names for a profile."""
    found = re.findall(r'^(\S+) +\[(.*)\]$',
                       (ROOT / 'bindep.txt').read_text(), re.M)
    return {name for name, selectors in found
            if {'platform:dpkg', profile} <= set(selectors.split())}


def ini(text: str) -> configparser.ConfigParser:
    """Return what an INI file says; keys may come several times."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(text)
    return parser


@ddt.ddt
class SudoersTest(unittest.TestCase):
    """The line for sudo allows what the service runs, and nothing else."""

    SIDES = (('cinder', 0, privileged.target_context),
             ('nova', 1, privileged.initiator_context))

    def command(self, number, context):
        """Return what oslo.privsep runs with the chapter's helper_command."""
        section = ini(blocks('ini')[number])[context.cfg_section]
        cfg.CONF.set_override('helper_command', section['helper_command'],
                              group=context.cfg_section)
        self.addCleanup(cfg.CONF.clear_override, 'helper_command',
                        group=context.cfg_section)
        folder = tempfile.mkdtemp()
        os.rmdir(folder)
        return context.helper_command(
            f'/tmp/{os.path.basename(folder)}/privsep.sock')

    def rule(self, number):
        """Return user, program and regular expression of a line."""
        match = re.fullmatch(
            r'(\w+) ALL=\(root\) NOPASSWD: (\S+) (\^.*\$)',
            blocks('sudoers')[number].strip())
        return match.groups()

    @ddt.data(*SIDES)
    @ddt.unpack
    def test_what_the_service_runs(self, user, number, context):
        sudo, program, *arguments = self.command(number, context)
        self.assertEqual(('sudo', user, program),
                         ('sudo', *self.rule(number)[:2]))
        self.assertEqual('sudo', sudo)
        self.assertRegex(' '.join(arguments), self.rule(number)[2])

    @ddt.data(*SIDES)
    @ddt.unpack
    def test_anything_else(self, user, number, context):
        _sudo, _program, *arguments = self.command(number, context)
        right = ' '.join(arguments)
        owner, _program, expression = self.rule(number)
        self.assertEqual(user, owner)
        for wrong in (
                right + ' --config-file /tmp/x', '--config-file /tmp/x '
                + right, right.replace('.conf', '_conf'),
                right.replace('target_context', 'initiator_context')
                if 'target_context' in right
                else right.replace('initiator_context', 'target_context'),
                right.replace('/privsep.sock', '/../../etc/privsep.sock'),
                right.replace('/privsep.sock', '/privsep.sock\nx'),
                right.replace('/tmp/', '/tmp/a b/')):
            self.assertNotEqual(right, wrong)
            self.assertNotRegex(wrong, expression)

    def test_they_are_checked_and_get_their_mode(self):
        for name in ('mydriver-cinder', 'mydriver-nova'):
            self.assertIn(['visudo', '-cf', name], commands())
            self.assertIn(['install', '-o', 'root', '-g', 'root', '-m',
                           '0440', name, '/etc/sudoers.d/'], commands())


class ConfigurationTest(unittest.TestCase):
    """The blocks for cinder.conf and nova.conf."""

    def test_cinder_conf(self):
        path = Path(self.enterContext(
            tempfile.TemporaryDirectory())) / 'cinder.conf'
        path.write_text(blocks('ini')[0])
        self.addCleanup(cfg.CONF.clear)
        found, = backends.read([str(path)])
        self.assertEqual('fast', found.name)
        self.assertTrue(found.settings.chap)
        self.assertEqual(
            (model.Portal('192.0.2.11'), model.Portal('198.51.100.11')),
            found.settings.portals)
        store = found.section.safe_get('mydriver_store_path')
        self.assertIn(['install', '-d', '-o', 'cinder', '-g', 'cinder', '-m',
                       '0750', store], commands())

    def test_nova_conf(self):
        conf = ini(blocks('ini')[1])
        self.assertEqual('mydriver.LibvirtDriver',
                         conf['DEFAULT']['compute_driver'])

    def test_they_are_roots(self):
        for service in ('cinder', 'nova'):
            path = f'/etc/{service}/{service}.conf'
            self.assertIn(f'--config-file {path}', CHAPTER)
            self.assertIn(['chown', f'root:{service}', f'/etc/{service}',
                           path], commands())
            self.assertIn(['chmod', '0640', path], commands())


class HostTest(unittest.TestCase):
    """Packages and services."""

    def test_packages(self):
        installed = [set(c[2:]) for c in commands()
                     if c[:2] == ['apt-get', 'install']]
        for profile, names in zip(('storage', 'compute'), installed,
                                  strict=True):
            self.assertEqual(set(), packages(profile) - names, profile)

    def test_pip_of_an_environment(self):
        """Debian refuses any other (PEP 668)."""
        programs = {c[0] for c in commands() if c[1:2] == ['install']
                    and c[0].endswith('pip')}
        self.assertEqual({f'/opt/{e}/bin/pip' for e in (
            'cinder', 'nova', 'mydriver')}, programs)
        self.assertNotIn('/usr/local/bin/privsep-helper', CHAPTER)

    def test_unit(self):
        unit = ini((ROOT / UNIT).read_text())
        program, *arguments = unit['Service']['ExecStart'].split()
        self.assertEqual(
            ['restore', '--config-file', '/etc/cinder/cinder.conf'],
            arguments)
        self.assertIn('cinder-volume.service', unit['Unit']['Before'])
        self.assertTrue(unit['Install']['WantedBy'])
        self.assertIn(
            ['sed', f's|{program}|/opt/cinder/bin/mydriver|', UNIT, '>',
             '/etc/systemd/system/mydriver-restore.service'], commands())
        self.assertIn(['systemctl', 'enable', 'mydriver-restore'], commands())

    def test_store_is_mounted_at_boot(self):
        self.assertIn(['mkfs.xfs', '/dev/sdb'], commands())
        entry = next(c for c in commands() if c[-1] == '/etc/fstab')
        self.assertRegex(' '.join(entry), r' /srv/mydriver xfs defaults 0 2 ')
        required = ini((ROOT / UNIT).read_text())['Unit'][
            'RequiresMountsFor']
        self.assertIn('/srv/mydriver', required.split())

    def test_services_of_the_compute_host(self):
        for service in ('iscsid', 'multipathd'):
            self.assertIn(['systemctl', 'enable', '--now', service],
                          commands())
