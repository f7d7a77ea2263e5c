# SPDX-License-Identifier: Apache-2.0
"""The files of each kind of host."""

import configparser
import fnmatch
import os
from pathlib import Path
import re
import subprocess
import tempfile
import unittest

import ddt
from oslo_config import cfg
from oslo_privsep import capabilities

from mydriver import privileged
from mydriver.cmd import rivals
from mydriver.hostfiles import catalogue, choices, privsep
from mydriver.privileged.target import targets


def files(kind=choices.STORAGE, **options):
    """Return the text of the files of a host by path."""
    chosen = choices.choose(kind, {'bindir': '/opt/venv/bin', **options})
    return {f.path: f.content.decode() for f in catalogue.files(chosen)}


class Unit:
    """The options of a unit, as lists of words.

    :param text: the unit.
    """

    def __init__(self, text):
        self.options = {}
        section = None
        for line in text.splitlines():
            if line.startswith('['):
                section = line.strip('[]')
            elif line and not line.startswith('#'):
                name, value = line.split('=', 1)
                self.options.setdefault((section, name), []).extend(
                    value.split())

    def __getitem__(self, key):
        return self.options.get(key, [])


class RestoreUnitTest(unittest.TestCase):
    """The unit of ``mydriver restore``."""

    def unit(self, **options):
        """Return the unit."""
        return Unit(files(**options)[
            f'{catalogue.UNITS}/{catalogue.RESTORE}'])

    def test_it_is_ordered_after_its_rivals_and_restarts_with_them(self):
        for option in ('After', 'PartOf'):
            self.assertLessEqual({*rivals.UNITS[:2]},
                                 {*self.unit()['Unit', option]})

    def test_it_finishes_before_cinder_volume(self):
        unit = self.unit()
        self.assertIn('cinder-volume.service', unit['Unit', 'Before'])
        self.assertEqual(['oneshot'], unit['Service', 'Type'])
        self.assertEqual(['yes'], unit['Service', 'RemainAfterExit'])

    def test_what_it_runs(self):
        self.assertEqual(
            ['/opt/venv/bin/mydriver', 'restore', '--config-file',
             '/etc/a.conf', '--config-file', '/etc/b.conf'],
            self.unit(config_file=['/etc/a.conf', '/etc/b.conf'])[
                'Service', 'ExecStart'])

    def test_it_is_retried_and_can_be_enabled(self):
        unit = self.unit()
        self.assertEqual(['on-failure'], unit['Service', 'Restart'])
        self.assertTrue(unit['Install', 'WantedBy'])

    def test_filesystems_are_mounted_before(self):
        unit = self.unit(store_path=['/srv/a', '/srv/b'], state_path='/st')
        self.assertEqual(['/srv/a', '/srv/b', '/st'],
                         unit['Unit', 'RequiresMountsFor'])

    def test_files_are_not_opened_through_mounts_of_its_own(self):
        """The host could unmount their filesystem while it is in use."""
        for stores in (['reflink'], ['reflink', 'lvmthin', 'rbd']):
            unit = self.unit(store=stores)
            for option in ('ProtectSystem', 'ProtectHome', 'PrivateTmp',
                           'ReadWritePaths', 'ProtectControlGroups',
                           'ProtectKernelLogs', 'ProtectKernelTunables',
                           'ProtectKernelModules', 'PrivateMounts',
                           'PrivateDevices', 'ProtectProc'):
                self.assertEqual([], unit['Service', option], option)

    def test_devices_are_for_stores_that_need_them(self):
        self.assertEqual([], self.unit()['Service', 'DeviceAllow'])
        for stores in (['lvmthin'], ['rbd'], ['reflink', 'lvmthin']):
            self.assertIn('block-*', self.unit(store=stores)[
                'Service', 'DeviceAllow'])

    def test_it_keeps_the_capabilities_of_the_daemon(self):
        kept = {*self.unit()['Service', 'CapabilityBoundingSet']}
        self.assertLessEqual({capabilities.CAPS_BYVALUE[c]
                              for c in privileged.TARGET_CAPABILITIES},
                             kept)
        self.assertLessEqual({'CAP_SETUID', 'CAP_SETGID'}, kept)


class GatewayUnitTest(unittest.TestCase):
    """The unit of ``mydriver gateway``."""

    def setUp(self):
        super().setUp()
        self.files = files(gateway=True)
        self.text = self.files[catalogue.GATEWAY_UNIT]
        self.unit = Unit(self.text)

    def test_it_stops_before_its_rivals_do_and_outlives_them(self):
        self.assertLessEqual({*rivals.UNITS[:2]},
                             {*self.unit['Unit', 'After']})
        self.assertEqual([], self.unit['Unit', 'PartOf'])

    def test_it_is_independent_of_cinder_volume(self):
        self.assertNotIn('cinder', self.text.partition('[Unit]')[2].partition(
            '[Service]')[0])
        self.assertNotIn(f'{catalogue.UNITS}/{catalogue.RESTORE}', self.files)

    def test_it_always_runs(self):
        self.assertEqual(['always'], self.unit['Service', 'Restart'])
        self.assertEqual(['0'], self.unit['Unit', 'StartLimitIntervalSec'])
        self.assertEqual(
            ['/opt/venv/bin/mydriver', 'gateway', '--config-file',
             '/etc/cinder/cinder.conf'], self.unit['Service', 'ExecStart'])
        self.assertEqual(['multi-user.target'],
                         self.unit['Install', 'WantedBy'])

    def test_it_has_time_to_hand_over(self):
        self.assertGreater(int(*self.unit['Service', 'TimeoutStopSec']), 30)
        self.assertEqual(['mixed'], self.unit['Service', 'KillMode'])

    def test_sudo_works_in_it(self):
        """None of what implies NoNewPrivileges=, systemd.exec(5)."""
        self.assertEqual(['cinder'], self.unit['Service', 'User'])
        for option in (
                'NoNewPrivileges', 'DynamicUser', 'LockPersonality',
                'MemoryDenyWriteExecute', 'PrivateDevices', 'ProtectClock',
                'ProtectHostname', 'ProtectKernelLogs',
                'ProtectKernelModules', 'ProtectKernelTunables',
                'RestrictAddressFamilies', 'RestrictNamespaces',
                'RestrictRealtime', 'RestrictSUIDSGID',
                'SystemCallArchitectures', 'SystemCallFilter',
                'SystemCallLog'):
            self.assertEqual([], self.unit['Service', option], option)
        self.assertLessEqual(
            {capabilities.CAPS_BYVALUE[c]
             for c in privileged.TARGET_CAPABILITIES}
            | {'CAP_SETUID', 'CAP_SETGID', 'CAP_AUDIT_WRITE'},
            {*self.unit['Service', 'CapabilityBoundingSet']})

    def test_its_rules_for_udev_are_named_like_those_they_replace(self):
        self.assertIn('/etc/udev/rules.d/50-rbd.rules', self.files)
        self.assertNotIn('/etc/udev/rules.d/50-rbd.rules',
                         files(store=['rbd']))


@ddt.ddt
class SystemdTest(unittest.TestCase):
    """systemd's opinion of the units."""

    def write(self, name, **options):
        """Write a unit whose programs exist; return its path."""
        folder = self.enterContext(tempfile.TemporaryDirectory())
        text = files(**options)[f'{catalogue.UNITS}/{name}']
        path = Path(folder, name)
        path.write_text(text.replace('/opt/venv/bin/mydriver', '/bin/true'))
        return str(path)

    @ddt.data(['reflink'], ['lvmthin'], ['rbd'], ['reflink', 'lvmthin'])
    def test_restore_is_rated_ok(self, stores):
        shown = subprocess.run(
            ['systemd-analyze', 'security', '--offline=true', '--no-pager',
             self.write(catalogue.RESTORE, store=stores)], check=True,
            capture_output=True, text=True).stdout
        exposure = re.search(r'exposure level .*: ([0-9.]+) (\w+)', shown)
        self.assertEqual('OK', exposure[2], exposure[0])

    @ddt.data((catalogue.RESTORE, {'store': ['lvmthin', 'reflink']}),
              (catalogue.GATEWAY, {'gateway': True}))
    @ddt.unpack
    def test_all_options_are_known(self, name, options):
        found = subprocess.run(
            ['systemd-analyze', 'verify', '--recursive-errors=no',
             self.write(name, **options)], check=False, capture_output=True,
            text=True)
        self.assertEqual((0, []), (found.returncode, [
            line for line in found.stderr.splitlines() if name in line]))


@ddt.ddt
class SudoTest(unittest.TestCase):
    """The rule allows what the service runs, and nothing else."""

    SIDES = (('storage', privileged.target_context),
             ('compute', privileged.initiator_context))

    def rule(self, kind, **options):
        """Return user, program and pattern of the arguments."""
        text = files(kind, **options)[f'/etc/sudoers.d/mydriver-{kind}']
        return re.fullmatch(r'(\w+) ALL=\(root\) NOPASSWD: (\S+) (.*)',
                            text.splitlines()[-1]).groups()

    def command(self, kind, context, **options):
        """Return what oslo.privsep runs with the sample's helper_command."""
        sample = next(t for p, t in files(kind, **options).items()
                      if p.endswith('.conf.sample'))
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string(sample)
        cfg.CONF.set_override(
            'helper_command', parser[context.cfg_section]['helper_command'],
            group=context.cfg_section)
        self.addCleanup(cfg.CONF.clear_override, 'helper_command',
                        group=context.cfg_section)
        with tempfile.TemporaryDirectory(dir='/tmp') as folder:
            return context.helper_command(f'{folder}/privsep.sock')

    @ddt.data(*SIDES)
    @ddt.unpack
    def test_what_the_service_runs(self, kind, context):
        several = {'config_file': ['/etc/a.conf', '/etc/b.conf']}
        for options in ({}, several, {'helper': '/usr/bin/privsep-helper'}):
            user, program, pattern = self.rule(kind, **options)
            sudo, *command = self.command(kind, context, **options)
            self.assertEqual(
                ('sudo', program, {'storage': 'cinder', 'compute': 'nova'}[
                    kind]), (sudo, command[0], user))
            self.assertTrue(fnmatch.fnmatchcase(' '.join(command[1:]),
                                                pattern))

    @ddt.data(*SIDES)
    @ddt.unpack
    def test_anything_else(self, kind, context):
        _user, _program, pattern = self.rule(kind)
        right = ' '.join(self.command(kind, context)[2:])
        side = 'target' if kind == 'storage' else 'initiator'
        other = 'initiator' if kind == 'storage' else 'target'
        for wrong in (
                right + ' --config-file /tmp/x',
                f'--config-file /tmp/x {right}',
                right.replace('.conf', '_conf'),
                right.replace(f'{side}_context', f'{other}_context'),
                right.replace('/privsep.sock', '/../../etc/privsep.sock'),
                right.replace('/privsep.sock', '/privsep.sock\nx'),
                right.replace('/tmp/tmp', '/tmp/tmp/'),
                right.replace('/tmp/tmp', '/tmp/tmpx'),
                right[:-14] + ' /privsep.sock'):
            self.assertNotEqual(right, wrong)
            self.assertFalse(fnmatch.fnmatchcase(wrong, pattern), wrong)

    def test_it_has_no_star_and_is_for_root_only_in_reading(self):
        for kind, _context in self.SIDES:
            rule, = (f for f in catalogue.files(choices.choose(
                kind, {'bindir': '/opt/venv/bin'}))
                if f.path.startswith(catalogue.SUDOERS))
            self.assertEqual(0o440, rule.mode)
            self.assertNotIn(b'*', rule.content)
            # sudo skips names with a dot.
            self.assertNotIn('.', os.path.basename(rule.path))
            privsep.check(rule.content)

    def test_root_needs_none(self):
        found = files(user='root')
        self.assertNotIn('/etc/sudoers.d/mydriver-storage', found)
        self.assertIn('helper_command = /opt/venv/bin/privsep-helper ',
                      found['/etc/mydriver/cinder.conf.sample'])


@ddt.ddt
class FilesTest(unittest.TestCase):
    """The other files."""

    @ddt.data((['reflink'], {'target_core_file'}),
              (['lvmthin'], {'dm_thin_pool', 'target_core_iblock'}),
              (['rbd'], {'rbd', 'target_core_iblock'}))
    @ddt.unpack
    def test_modules_of_storage(self, stores, modules):
        text = files(store=stores)['/etc/modules-load.d/mydriver-storage.conf']
        self.assertEqual(modules | {'target_core_mod', 'iscsi_target_mod'},
                         {*text.splitlines()[1:]})

    def test_modules_of_compute(self):
        text = files('compute')['/etc/modules-load.d/mydriver-compute.conf']
        self.assertEqual(['iscsi_tcp', 'dm_multipath'],
                         text.splitlines()[1:])

    def test_rivals_do_not_clear_the_targets(self):
        found = files()
        for unit in rivals.UNITS:
            dropin = Unit(found[f'{catalogue.UNITS}/{unit}.d/mydriver.conf'])
            self.assertEqual({('Service', 'ExecStop'): []}, dropin.options)

    def test_lvm_is_up_before_thin_volumes_are_restored(self):
        path = f'{catalogue.UNITS}/{catalogue.RESTORE}.d/lvmthin.conf'
        self.assertNotIn(path, files())
        self.assertLessEqual(
            {'systemd-udev-settle.service', 'lvm2-activation.service',
             'dm-event.socket'},
            {*Unit(files(store=['lvmthin'])[path])['Unit', 'After']})

    def test_directories_are_those_of_the_target(self):
        used = targets.rtslib_fb.RTSRoot._preferred_dbroot
        self.assertEqual({used, f'{used}/pr'}, {*catalogue.FOLDERS})
        lines = files(user='stack', state_path='/st')[
            '/etc/tmpfiles.d/mydriver-storage.conf']
        self.assertIn('d /st/mydriver :0700 :stack - -', lines)

    def test_nothing_is_left_to_replace(self):
        for options in ({}, {'store': ['lvmthin', 'rbd'], 'gateway': True},
                        {'store': ['reflink', 'rbd']}):
            for path, text in files(**options).items():
                if not path.endswith('.rules'):
                    self.assertNotIn('$', text, path)
                self.assertTrue(text.endswith('\n'))
                self.assertFalse(text.endswith('\n\n'), path)

    def test_both_kinds_on_one_host(self):
        self.assertEqual(set(), files().keys() & files('compute').keys())

    def test_every_template_is_used(self):
        package = Path(catalogue.__file__).parent / 'templates'
        source = Path(catalogue.__file__).read_text()
        for file in package.iterdir():
            stem = re.sub(r'-(reflink|lvmthin|rbd)$', '-', file.name)
            self.assertIn(stem, source.replace('{RESTORE}',
                                               catalogue.RESTORE))
