# SPDX-License-Identifier: Apache-2.0
"""``mydriver-status upgrade check``, run with a cinder.conf of its own."""

import contextlib
import importlib.metadata
import io
import json
import os
import sqlite3
import sys
import tempfile
from unittest import mock

import ddt
from oslo_config import cfg

from mydriver import releases
from mydriver.backend import opts
from mydriver.cmd import option_names, upgrade_check
from mydriver.target.journal import schema
from tests.fakes import commands, metadata, old_journal

SUCCESS, WARNING, FAILURE = range(3)

GOOD = """
    [DEFAULT]
    state_path = {folder}/state
    my_ip = 192.0.2.1
    enabled_backends = disks
    [disks]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_store_path = {folder}/store
"""


class CheckTestCase(commands.CommandTestCase):
    """Runs it."""

    def setUp(self):
        super().setUp()
        self.write(GOOD)

    def check(self):
        """Run it; returns its exit status, and code and details by check."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = upgrade_check.main(
                ['--config-file', self.conf, 'upgrade', 'check', '--json'])
        return status, {c['check']: (c['result'], c['details'])
                        for c in json.loads(out.getvalue())['checks']}

    def one(self, name):
        """Return code and details of a check, which decides the status."""
        status, found = self.check()
        code, details = found.pop(name)
        self.assertEqual({SUCCESS}, {other for other, _ in found.values()},
                         found)
        self.assertEqual(status, code)
        return code, details


class ReleaseTest(CheckTestCase):
    """Cinder and nova, by their metadata."""

    def install(self, name, version):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        metadata.write(folder, name, version)
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)

    def test_supported(self):
        found = {name: importlib.metadata.version(name)
                 for name in ('mydriver', 'cinder', 'nova')}
        self.assertEqual(
            (SUCCESS, ', '.join(f'{n} {v}' for n, v in found.items())),
            self.one('Release of OpenStack'))

    def test_too_old(self):
        self.install('cinder', '20.1.0')
        code, details = self.one('Release of OpenStack')
        self.assertEqual(FAILURE, code)
        self.assertIn('cinder 20.1.0 is not supported', details)
        self.assertIn(releases.supported('cinder'), details)

    def test_newer(self):
        self.install('nova', '99.0.0')
        code, details = self.one('Release of OpenStack')
        self.assertEqual(WARNING, code)
        self.assertIn('nova 99.0.0 is newer', details)

    def test_neither(self):
        with mock.patch.object(releases, 'version_of', return_value=None):
            code, details = self.one('Release of OpenStack')
        self.assertEqual(FAILURE, code)
        self.assertIn(sys.prefix, details)


class EntryPointsTest(CheckTestCase):
    """What the services look the driver up by."""

    def test_all_are_there(self):
        self.assertEqual((SUCCESS, '3 registered'), self.one('Entry points'))

    def test_they_are_those_of_the_package(self):
        own = importlib.metadata.distribution('mydriver').entry_points
        self.assertLessEqual(
            set(upgrade_check.ENTRY_POINTS),
            {(e.group, e.name, e.value) for e in own})

    def test_not_installed(self):
        with mock.patch.object(
                importlib.metadata, 'entry_points',
                return_value=importlib.metadata.EntryPoints()):
            code, details = self.one('Entry points')
        self.assertEqual(FAILURE, code)
        for group, _name, _value in upgrade_check.ENTRY_POINTS:
            self.assertIn(f'of {group} is not registered', details)

    def test_another_package_has_one_too(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        metadata.write(folder, 'rival', '1.0')
        with open(f'{folder}/rival-1.0.dist-info/entry_points.txt', 'w') as f:
            f.write('[nova.virt.libvirt.volume_drivers]\niscsi = rival:X\n')
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)
        code, details = self.one('Entry points')
        self.assertEqual(FAILURE, code)
        self.assertIn('rival:X is registered as iscsi of nova.virt.libvirt.'
                      'volume_drivers, too', details)


@ddt.ddt
class OptionsTest(CheckTestCase):
    """What cinder.conf says."""

    def test_good(self):
        self.assertEqual((SUCCESS, 'Checked: disks'), self.one('Options'))

    @ddt.data(
        ('mydriver_max_extends = 5',
         ('[disks] mydriver_max_extends has no effect: this release has no '
          'such option. Did you mean mydriver_max_extents?')),
        ('mydriver_wheels = 4',
         ('[disks] mydriver_wheels has no effect: this release has no such '
          'option.')),
        ('[backend_defaults]\nmydriver_tragets = 4',
         ('[backend_defaults] mydriver_tragets has no effect: this release '
          'has no such option. Did you mean mydriver_targets?')),
        ('[lvm]\nmydriver_targets = 4',
         ('[lvm] mydriver_targets has no effect as long as the section is no '
          'enabled mydriver backend.')),
        ('[DEFAULT]\nmydriver_targets = 4',
         ('[DEFAULT] mydriver_targets has no effect: such options belong to '
          'the section of a backend, or to [backend_defaults].')),
        ('[mydriver_privsep_target]\nhelper_comand = sudo x',
         ('[mydriver_privsep_target] helper_comand has no effect: this '
          'release has no such option. Did you mean helper_command?')),
        ('[mydriver_privsep]\nhelper_command = sudo x',
         ('[mydriver_privsep] has no effect: there is no such section.')),
    )
    @ddt.unpack
    def test_no_effect(self, line, expected):
        self.write(GOOD + '\n'.join(f'    {x}' for x in line.splitlines()))
        self.assertEqual((WARNING, expected), self.one('Options'))

    def test_those_of_cinder_and_others_are_not_judged(self):
        self.write(GOOD + '    whatever = 1\n    [other]\n    x = 2\n'
                   '    [mydriver_privsep_target]\n    thread_pool_size = 5\n'
                   '    [backend_defaults]\n    mydriver_targets = 4\n')
        self.assertEqual((SUCCESS, 'Checked: disks'), self.one('Options'))

    def test_renamed(self):
        renamed = cfg.StrOpt('mydriver_new', deprecated_name='mydriver_old')
        with mock.patch.object(opts, 'VOLUME_OPTS',
                               (*opts.VOLUME_OPTS, renamed)):
            self.write(f'{GOOD}    mydriver_old = 1\n')
            self.assertEqual(
                (WARNING, ('[disks] mydriver_old was renamed to mydriver_new.'
                           ' Rename it.')), self.one('Options'))

    def test_invalid(self):
        self.write(f'{GOOD}    mydriver_targets = many\n'
                   '    mydriver_max_extents = 0\n')
        code, details = self.one('Options')
        self.assertEqual(FAILURE, code)
        for name in ('mydriver_targets', 'mydriver_max_extents'):
            self.assertIn(f'[disks] {name}', details)

    @ddt.data(('target_port = many', r'^\[disks\] target_port: [^[]+$'),
              ('target_ip_address = no-address',
               r'^\[disks\] target_ip_address: [^.]+\. Set '))
    @ddt.unpack
    def test_an_invalid_value_of_cinders(self, line, expected):
        self.write(f'{GOOD}    {line}\n')
        code, details = self.one('Options')
        self.assertEqual(FAILURE, code)
        self.assertRegex(' '.join(details.split()), expected)

    def test_settings_that_contradict_each_other(self):
        self.write(f'{GOOD}    target_ip_address = 0.0.0.0\n')
        code, details = self.one('Options')
        self.assertEqual(FAILURE, code)
        self.assertIn('target_ip_address', details)

    @ddt.data('use_chap_auth', 'mydriver_targets', 'mydriver_store_path')
    def test_a_value_that_names_no_option(self, option):
        """Cinder takes it for one that is not set."""
        self.write(f'{GOOD}    {option} = $typo\n')
        code, details = self.one('Options')
        self.assertEqual(FAILURE, code)
        self.assertIn(f'[disks] {option}: the value refers to an option '
                      '$typo that does not exist', ' '.join(details.split()))

    @ddt.data(
        ('', 'mydriver_store_path', 'it is not set'),
        ('mydriver_store_path = srv/files', 'mydriver_store_path',
         'is not an absolute path'),
        ('mydriver_store = lvmthin', 'mydriver_store_path', 'it is not set'),
        ('mydriver_store = rbd', 'mydriver_rbd_pool', 'it is not set'),
        ('mydriver_store = rbd\nmydriver_rbd_pool = a/b',
         'mydriver_rbd_pool', 'is no name'))
    @ddt.unpack
    def test_a_store_without_a_place(self, lines, option, problem):
        self.write('\n    '.join([
            GOOD.rpartition('\n    mydriver_store_path')[0],
            *lines.split('\n')]))
        code, details = self.one('Options')
        self.assertEqual(FAILURE, code)
        self.assertIn(f'[disks] {option}: ', details)
        self.assertIn(problem, details)

    def test_backends_that_share_a_place(self):
        self.write(GOOD.replace('= disks', '= disks,fast') + """
    [fast]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_store_path = {folder}/state/../store
""")
        code, details = self.one('Options')
        self.assertEqual(FAILURE, code)
        self.assertIn('[disks] and [fast] keep their volumes in the same '
                      f'place, {self.folder}/store. ', details)

    def test_backends_that_share_a_pool(self):
        own = ('    mydriver_store = lvmthin\n    mydriver_store_path = vg\n')
        head = GOOD.rpartition('\n    mydriver_store_path')[0]
        self.write(head.replace('= disks', '= disks,fast') + f"""
{own}    [fast]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
{own}""")
        code, details = self.one('Options')
        self.assertEqual(FAILURE, code)
        self.assertIn(' in the same place, vg/', details)

    @ddt.data(('backend_id:other', 'this driver does not replicate'),
              ('san_password=s3cret', 'the value is invalid'),
              ('backend_id:a,san_password:$s3cret',
               'refers to an option that does not exist'))
    @ddt.unpack
    def test_replication(self, value, expected):
        self.write(f'{GOOD}    replication_device = {value}\n')
        code, details = self.one('Options')
        self.assertEqual(FAILURE, code)
        self.assertIn('[disks] replication_device: ', details)
        self.assertIn(expected, details)
        self.assertNotIn('s3cret', details)

    def test_what_may_have_been_meant(self):
        self.write(GOOD.replace('store_path', 'stor_path'))
        code, details = self.one('Options')
        self.assertEqual(FAILURE, code)
        self.assertIn('mydriver_store_path: it is not set', details)
        self.assertIn('Did you mean mydriver_store_path?', details)

    def test_a_pool_is_not_looked_for(self):
        self.write(GOOD + '    mydriver_store = rbd\n'
                   '    mydriver_rbd_pool = volumes\n')
        with mock.patch.dict(sys.modules, rados=None, rbd=None):
            self.assertEqual((SUCCESS, 'Checked: disks'),
                             self.one('Options'))

    def test_no_backend_of_ours(self):
        self.write("""
            [DEFAULT]
            enabled_backends = lvm
            [lvm]
        """)
        code, details = self.one('Options')
        self.assertEqual(WARNING, code)
        self.assertIn('No backend is checked', details)

    @ddt.data('mydriver.cinder_volume.driver.LIODrivr',
              'Mydriver.cinder_volume.driver',
              'cinder.volume.drivers.LIODriver',
              'midriver.cinder_volume.driver.LIODrivr')
    def test_a_driver_that_may_be_misspelt(self, value):
        right = 'mydriver.cinder_volume.driver.LIODriver'
        self.write(GOOD.replace(right, value))
        code, details = self.one('Options')
        self.assertEqual(FAILURE, code)
        expected = (f'[disks] volume_driver: there is no driver {value}. Did '
                    f'you mean {right}?')
        self.assertIn(expected, details)
        self.write(f'{GOOD.replace("= disks", "= disks,fast")}    [fast]\n'
                   f'    volume_driver = {value}\n')
        code, details = self.one('Options')
        self.assertEqual((FAILURE, expected.replace('disks', 'fast')),
                         (code, details))

    @ddt.data('cinder.volume.drivers.rbd.RBDDriver',
              'cinder.volume.drivers.lvm.LVMVolumeDriver')
    def test_a_driver_of_cinders(self, value):
        self.write(f'{GOOD.replace("= disks", "= disks,fast")}    [fast]\n'
                   f'    volume_driver = {value}\n')
        self.assertEqual((SUCCESS, 'Checked: disks'), self.one('Options'))

    def test_not_a_storage_host(self):
        out = io.StringIO()
        with mock.patch.object(cfg, 'find_config_files', return_value=[]), \
                mock.patch.object(cfg, '_search_dirs', return_value=None), \
                contextlib.redirect_stdout(out):
            self.assertEqual(SUCCESS, upgrade_check.main(
                ['upgrade', 'check']))
        self.assertIn('There is no configuration of cinder-volume here',
                      out.getvalue())

    def test_a_file_that_is_not_utf_8(self):
        with open(self.conf, 'ab') as f:
            f.write(b'x = caf\xe9\n')
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            self.assertEqual(255, upgrade_check.main(
                ['--config-file', self.conf, 'upgrade', 'check']))
        self.assertRegex(err.getvalue(),
                         rf'^{self.conf}: line \d+ is not UTF-8\.')

    def test_names_that_a_terminal_would_obey(self):
        with open(self.conf, 'a') as f:
            f.write('[x\x1b[32m]\nmydriver_\x1b[31mx = 1\n')
        concern, = option_names.concerns([self.conf], [], ['disks'])
        self.assertEqual('x\x1b[32m', concern.section)
        self.assertIn(r'[x\x1b[32m] mydriver_\x1b[31mx has no effect',
                      str(concern))

    def test_files_in_a_directory(self):
        folder = os.path.join(self.folder, 'more')
        os.mkdir(folder)
        with open(os.path.join(folder, 'a.conf'), 'w') as f:
            f.write('[disks]\nmydriver_x = 1\n')
        with open(os.path.join(folder, 'a.txt'), 'w') as f:
            f.write('[disks]\nmydriver_y = 1\n')
        found = option_names.concerns([self.conf], [folder], ['disks'])
        self.assertEqual(1, len(found))
        self.assertIn('[disks] mydriver_x', str(found[0]))


class JournalsTest(CheckTestCase):
    """Journals as this, an earlier and a later release left them."""

    def test_none(self):
        self.assertEqual((SUCCESS, 'disks: none yet'), self.one('Journals'))

    def test_of_this_release(self):
        self.fill()
        before = sorted(os.listdir(os.path.dirname(
            self.backend.journal_path)))
        self.assertEqual((SUCCESS, f'disks: version {schema.VERSION}'),
                         self.one('Journals'))
        self.assertEqual(before, sorted(os.listdir(os.path.dirname(
            self.backend.journal_path))))

    def test_of_an_earlier_release(self):
        db = sqlite3.connect(self.backend.journal_path)
        db.executescript(old_journal.VERSION_1)
        db.close()
        code, details = self.one('Journals')
        self.assertEqual(WARNING, code)
        self.assertIn('disks: version 1, which cinder-volume upgrades to '
                      f'{schema.VERSION}', details)
        self.assertIn('run mydriver journal downgrade --to 1.',
                      ' '.join(details.split()))

    def test_of_a_later_release(self):
        self.fill()
        db = sqlite3.connect(self.backend.journal_path)
        db.execute(f'PRAGMA user_version = {schema.VERSION + 1}')
        db.close()
        code, details = self.one('Journals')
        self.assertEqual(FAILURE, code)
        self.assertIn(f'its version is {schema.VERSION + 1}, this release '
                      f'knows version {schema.VERSION}', details)
        self.assertIn('Install the release that wrote it', details)

    def test_damaged(self):
        with open(self.backend.journal_path, 'w') as f:
            f.write('this is no database, and long enough to see it' * 99)
        code, details = self.one('Journals')
        self.assertEqual(FAILURE, code)
        self.assertIn('is damaged', details)

    def test_one_that_another_user_owns(self):
        self.fill()
        self.become_another_user()
        code, details = self.one('Journals')
        self.assertEqual(FAILURE, code)
        self.assertIn(f'user id {commands.NOBODY}', details)


class CommandLineTest(CheckTestCase):
    """Without ``--json``: a table."""

    def test_table(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(SUCCESS, upgrade_check.main(
                ['--config-file', self.conf, 'upgrade', 'check']))
        for name, _check in upgrade_check.Checks._upgrade_checks:
            self.assertIn(f'Check: {name}', out.getvalue())

    def test_a_file_that_does_not_exist(self):
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            self.assertEqual(255, upgrade_check.main(
                ['--config-file', f'{self.folder}/no.conf', 'upgrade',
                 'check']))
        self.assertIn(f'{self.folder}/no.conf', err.getvalue())
