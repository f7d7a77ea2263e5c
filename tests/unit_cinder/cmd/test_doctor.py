# SPDX-License-Identifier: Apache-2.0
"""``mydriver doctor``: the command, and checks of the configuration."""

import ast
import errno
import io
import json
import logging
import os
from pathlib import Path
import re
import subprocess
import sys
from unittest import mock

from oslo_config import cfg

from mydriver import discovery, exception, model
from mydriver.cmd import doctor as command
from mydriver.cmd import doctor_exports, main, upgrade_check
from mydriver.doctor import common, kinds
from mydriver.target import configfs
from mydriver.target.journal import mark
from tests.fakes import doctor

PAGE = Path(__file__).resolve().parents[3] / 'doc/source/doctor.rst'
FUNCTIONAL = sorted((PAGE.parents[2] / 'tests/functional').glob(
    'test_doctor_*.py'))
RESTART = 'systemctl restart cinder-volume'
SAVED = '{"storage_objects": [{"name": "mydriver-x"}]}'
TARGET = 'iqn.2010-10.org.openstack:mydriver-host-files-0'


class CommandTestCase(doctor.DoctorTestCase):
    """A host that is well, apart from the release of this environment."""

    def setUp(self):
        super().setUp()
        for patch in (
                mock.patch.object(command, 'ROOT', self.folder),
                mock.patch.object(doctor_exports, 'STATUS',
                                  'tests.fakes.doctor_status'),
                mock.patch.object(common.releases, 'concerns',
                                  return_value=[]),
                mock.patch.object(common.releases, 'version_of',
                                  return_value='1')):
            patch.start()
            self.addCleanup(patch.stop)
        self.addCleanup(cfg.CONF.clear)
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        self.addCleanup(setattr, root, 'handlers', list(root.handlers))

    def call(self, *argv):
        """Run the command; return its status, stdout and stderr."""
        out, err = io.StringIO(), io.StringIO()
        status = main.main(['doctor', *argv], stdout=out, stderr=err)
        return status, out.getvalue(), err.getvalue()

    def wrong(self, *argv):
        """Return what is wrong, as fields, and the exit status."""
        status, out, err = self.call('-f', 'json', *argv)
        self.assertTrue(out, err)
        return status, [f for f in json.loads(out)
                        if f['Severity'] not in ('ok', 'info')]

    def only(self, check):
        """Return severity and remedy of the one thing that is wrong."""
        status, found = self.wrong('storage')
        self.assertEqual([check], [f['Check'] for f in found], found)
        severity = found[0]['Severity']
        self.assertEqual({'error': 2, 'warning': 1, 'unknown': 3}[severity],
                         status)
        self.assertTrue(found[0]['Why'])
        return severity, found[0]['Remedy']


class CommandTest(CommandTestCase):
    """What it prints, and its exit status."""

    def test_hosts_that_are_well(self):
        self.storage()
        self.compute()
        status, found = self.wrong()
        self.assertEqual((0, []), (status, found))
        _, out, _ = self.call('--all', '-f', 'json')
        checked = {f['Check'] for f in json.loads(out)}
        self.assertEqual(set(command.CHECKS), checked)

    def test_one_kind(self):
        self.storage()
        self.compute()
        os.unlink(self.folder / 'etc/iscsi/initiatorname.iscsi')
        self.assertEqual(0, self.call('storage')[0])
        self.assertEqual(2, self.call('compute')[0])
        self.assertEqual(2, self.call()[0])

    def test_the_table(self):
        self.storage()
        os.chmod(self.folder / 'etc/cinder/cinder.conf', 0o644)
        (self.folder / 'sys/module/target_core_mod').rmdir()
        self.command('modprobe')
        status, out, _ = self.call()
        self.assertEqual(2, status)
        table = [line for line in out.splitlines()
                 if line.startswith(('|', '+'))]
        self.assertGreater(len(table), 5)
        self.assertLessEqual(max(map(len, table)), 80)
        self.assertIn('    modprobe target_core_mod  # or --fix\n', out)
        self.assertIn('kernel-modules: Without them', out)
        self.assertTrue(out.rstrip().endswith(
            '1 error, 1 warning, 0 unknown, 2 info, 12 ok'), out[-200:])
        self.assertNotIn('rival-services', out)
        self.assertIn('rival-services', self.call('--all')[1])

    def test_one_line(self):
        self.storage()
        (self.folder / 'etc/target/pr').rmdir()
        for argv in (['doctor', '--quiet'], ['-q', 'doctor']):
            out = io.StringIO()
            self.assertEqual(2, main.main(argv, stdout=out,
                                          stderr=io.StringIO()))
            line, = out.getvalue().splitlines()
            self.assertRegex(line, r'^MYDRIVER CRITICAL - storage host: '
                             r'1 error, .*: target-dbroot$')

    def test_one_line_about_what_cannot_be_checked(self):
        for argv, error in ((['--quiet'], None), (['storage', '--quiet'],
                                                  ValueError('x\ny'))):
            out, err = io.StringIO(), io.StringIO()
            with mock.patch.object(kinds, 'detect', return_value=[]), \
                    mock.patch.object(kinds, 'describe', side_effect=error):
                self.assertEqual(3, main.main(['doctor', *argv], stdout=out,
                                              stderr=err))
            line, = out.getvalue().splitlines()
            self.assertRegex(line, '^MYDRIVER UNKNOWN - .*' + (
                'ValueError: x y$' if error else 'Name the kind of host'))
            self.assertEqual('', err.getvalue())

    def test_nobody_reads_the_output(self):
        with mock.patch.object(kinds, 'describe',
                               side_effect=BrokenPipeError):
            self.assertEqual(141, main.main(
                ['doctor', 'storage'], stdout=io.StringIO(),
                stderr=io.StringIO()))

    def test_fix(self):
        self.storage()
        module = self.folder / 'sys/module/target_core_mod'
        module.rmdir()
        self.put('/bin/modprobe', f'#!/bin/sh\n[ "$1" = --dry-run ] || '
                 f'/bin/mkdir {module}\n', 0o755)
        self.assertEqual(2, self.call()[0])
        self.assertFalse(module.exists())  # nothing without --fix
        status, out, err = self.call('--fix')
        self.assertEqual(0, status, out)
        self.assertIn('fix: kernel-modules: modprobe target_core_mod', err)

    def test_only_root_fixes(self):
        self.storage()
        with mock.patch.object(os, 'geteuid', return_value=42):
            status, out, err = self.call('--fix')
        self.assertEqual((3, ''), (status, out))
        self.assertIn('only root can change this host', err)

    def test_a_check_crashes(self):
        self.storage()
        with mock.patch.object(doctor_exports.rivals, 'warnings',
                               mock.Mock(side_effect=KeyError('x'))):
            status, found = self.wrong()
        self.assertEqual((3, ['rival-services']),
                         (status, [f['Check'] for f in found]))
        self.assertIn('KeyError', found[0]['What'])

    def test_no_kind(self):
        status, out, err = self.call()
        self.assertEqual((3, ''), (status, out))
        self.assertIn('Name the kind of host', err)

    def test_a_file_belongs_to_a_kind(self):
        status, _, err = self.call('--config-file', '/x')
        self.assertEqual(3, status)
        self.assertIn('Name it: storage or compute.', err)

    def test_another_file(self):
        self.storage()
        conf = self.folder / 'etc/cinder/cinder.conf'
        other = conf.rename(conf.with_name('other.conf'))
        self.assertEqual(2, self.call('storage')[0])
        with mock.patch.object(command, 'ROOT', self.folder):
            status, found = self.wrong(
                'storage', '--config-file', '/etc/cinder/other.conf')
        self.assertEqual((0, []), (status, found), other)

    def test_a_file_that_is_named_but_not_there(self):
        self.storage()
        for option, path in (('--config-file', '/etc/no.conf'),
                             ('--config-dir', '/etc/cinder/cinder.conf/d')):
            status, out, err = self.call('storage', option, path)
            self.assertEqual((3, ''), (status, out))
            self.assertIn(f'{option}: {path} does not exist.', err)

    def test_it_changes_nothing(self):
        self.storage()
        self.compute()
        os.unlink(self.folder / 'etc/systemd/system/mydriver-restore.service')
        before = self.tree()
        self.assertEqual(2, self.call()[0])
        after = self.tree()
        for tree in (before, after):
            tree.pop('called', None)  # the fake commands write it
        self.assertEqual(before, after)

    def test_what_the_other_kind_of_host_has_is_not_needed(self):
        self.storage()
        self.compute()
        for kind, absent in (('storage', ('nova', 'os_brick', 'os_vif')),
                             ('compute', ('cinder', 'rtslib_fb'))):
            code = (f'import sys\nfrom pathlib import Path\n'
                    f'for name in {absent}:\n    sys.modules[name] = None\n'
                    'from mydriver.cmd import doctor, main\n'
                    f'doctor.ROOT = Path({str(self.folder)!r})\n'
                    f'sys.exit(main.main(["doctor", "{kind}", "--all", '
                    '"-f", "json"]))\n')
            with self.subTest(kind):
                done = subprocess.run(
                    [sys.executable, '-W', 'ignore', '-c', code], text=True,
                    capture_output=True, check=False)
                self.assertNotIn('The check failed', done.stdout)
                checked = {f['Check'] for f in json.loads(done.stdout)}
                self.assertEqual({c.id for c in command.CHECKS.values()
                                  if kind in c.kinds}, checked)

    def test_another_user(self):
        self.storage()
        self.compute()
        self.folder.chmod(0o755)
        os.chmod(self.folder / 'etc/modules-load.d/mydriver-storage.conf',
                 0o600)
        os.setresuid(doctor.NOBODY, doctor.NOBODY, 0)
        self.addCleanup(os.setresuid, 0, 0, 0)
        _, found = self.wrong()
        self.assertFalse([f for f in found if 'The check failed' in f['What']])
        unknown = [f for f in found if f['Severity'] == 'unknown']
        self.assertTrue(unknown)
        for one in unknown:
            self.assertRegex(one['Remedy'],
                             '^sudo mydriver doctor (storage|compute)$')


class PageTest(CommandTestCase):
    """doc/source/doctor.rst has all checks."""

    def test_the_table(self):
        rows = re.findall(
            r'^   \* - ``([a-z-]+)``\n     - (.+)\n     - ((?:.|\n       )+)$',
            PAGE.read_text(), re.MULTILINE)
        self.assertEqual(
            [(c.id, ', '.join(c.kinds), c.title)
             for c in command.CHECKS.values()],
            [(name, kinds, ' '.join(title.split()))
             for name, kinds, title in rows])


    def test_the_damage_is_what_the_functional_tests_do(self):
        done = [node.args[0].value for path in FUNCTIONAL
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Call)
                and getattr(node.func, 'id', '') == 'Damage']
        self.assertGreater(len(done), 15)
        listed = re.findall(
            r'^   \* - ([^`\n]+)\n     - ``[a-z-]+``', PAGE.read_text(),
            re.MULTILINE)
        self.assertEqual(sorted({d.lower() for d in done}),
                         sorted(d.lower() for d in listed))


class ConfigTest(CommandTestCase):
    """Damage to the configuration and state of a storage host."""

    def setUp(self):
        super().setUp()
        self.storage()

    def mended(self, remedy, editor=''):
        """Carry a remedy out; afterwards nothing is wrong."""
        self.carry_out(remedy, editor)
        self.assertEqual((0, []), self.wrong('storage'))

    def configure_more(self, text):
        """Add lines to cinder.conf."""
        with open(self.folder / 'etc/cinder/cinder.conf', 'a') as file:
            file.write(text)

    def state(self):
        """Make the state directory, and return it."""
        self.configure_more(f'mydriver_state_path = {self.folder}/state\n')
        folder = self.folder / 'state/files'
        folder.mkdir(parents=True, mode=0o700)
        return folder

    def test_a_backend_without_a_section(self):
        path = self.folder / 'etc/cinder/cinder.conf'
        path.write_text(path.read_text().replace(
            'enabled_backends = files', 'enabled_backends = files,other'))
        severity, remedy = self.only('backends')
        self.assertEqual('error', severity)
        self.mended(remedy)
        self.assertIn('enabled_backends = files\n', path.read_text())

    def test_a_section_in_a_directory_that_is_always_read(self):
        path = self.folder / 'etc/cinder/cinder.conf'
        path.write_text(path.read_text().replace(
            'enabled_backends = files', 'enabled_backends = files,slow'))
        self.make('/srv/slow')
        self.configure('/etc/cinder/cinder.conf.d/slow.conf', """
            [slow]
            volume_driver = mydriver.cinder_volume.driver.LIODriver
            mydriver_store_path = {folder}/srv/slow
            """)
        self.assertEqual((0, []), self.wrong('storage'))

    def test_a_helper_command_beside_such_a_directory(self):
        """It need not name what is read without being named."""
        self.configure('/etc/cinder/cinder.conf.d/helper.conf', """
            [mydriver_privsep_target]
            helper_command = /opt/privsep-helper --config-file \
            /etc/cinder/cinder.conf
            """)
        self.put('/opt/privsep-helper', '#!/bin/sh\n', 0o755)
        _, found = self.wrong('storage')
        self.assertFalse([f for f in found if 'but the service reads' in
                          f['What']], found)

    def test_a_directory_that_is_named(self):
        self.make('/etc/more')
        self.configure('/etc/more/files.conf', """
            [DEFAULT]
            enabled_backends = files, more
            [more]
            volume_driver = mydriver.cinder_volume.driver.LIODriver
            mydriver_store_path = {folder}/srv/mydriver
            """)
        _, found = self.wrong(
            'storage', '--config-file', '/etc/cinder/cinder.conf',
            '--config-dir', '/etc/more')
        self.assertIn('in the same place', found[0]['What'])

    def test_two_backends_in_one_place(self):
        path = self.folder / 'etc/cinder/cinder.conf'
        text = path.read_text()
        path.write_text(text.replace(
            'enabled_backends = files', 'enabled_backends = files,more')
            + text[text.index('[files]'):].replace('[files]', '[more]'))
        severity, remedy = self.only('backends')
        self.assertEqual('error', severity)
        self.make('/srv/more')
        self.mended(remedy,
                    'sed -i "/more./,\\$s|srv/mydriver|srv/more|" "$1"')

    def test_warnings_are_not_logged_as_well(self):
        self.configure_more('[DEFAULT]\nenabled_backends = files,other\n')
        with self.assertNoLogs('mydriver.cmd.backends', 'WARNING'):
            self.call('storage', '--quiet')

    def test_no_backend_of_ours(self):
        path = self.folder / 'etc/cinder/cinder.conf'
        path.write_text('[DEFAULT]\nenabled_backends = lvm\n[lvm]\n')
        _, found = self.wrong('storage')
        found, = (f for f in found if f['Check'] == 'backends')
        self.assertIn('none of them has volume_driver', found['What'])
        self.assertIn('--config-file', found['What'])

    def test_an_invalid_value(self):
        self.configure_more('target_port = many\n')
        _, found = self.wrong('storage')
        self.assertIn('backends', [f['Check'] for f in found])
        self.assertIn('[files] target_port: the value is not valid: ',
                      str(found))
        self.assertNotIn('LocationInfo', str(found))

    def test_a_store_without_a_place(self):
        self.configure_more('mydriver_store = rbd\n')
        _, found = self.wrong('storage')
        found = next(f for f in found if f['Check'] == 'backends')
        self.assertEqual('error', found['Severity'])
        self.assertIn('[files] mydriver_rbd_pool: it is not set',
                      found['What'])

    def test_a_file_that_cannot_be_parsed(self):
        self.configure_more('no equals sign\n')
        status, found = self.wrong('storage')
        self.assertEqual(2, status)
        found = next(f for f in found if f['Check'] == 'backends')
        self.assertIn('cinder.conf: line 9: No', found['What'])
        self.assertIn('Correct the line.', found['What'])
        self.mended(found['Remedy'], 'sed -i "${1#+}d" "$2"')
        self.assertNotIn('no equals', str(self.call('--all')))

    def test_a_file_that_is_not_utf_8(self):
        with (self.folder / 'etc/cinder/cinder.conf').open('ab') as f:
            f.write(b'x = caf\xe9\n')
        status, found = self.wrong('storage')
        self.assertEqual(2, status)
        found = next(f for f in found if f['Check'] == 'backends')
        self.assertIn('cinder.conf: line 9 is not UTF-8', found['What'])
        self.mended(found['Remedy'], 'sed -i "${1#+}d" "$2"')

    def test_a_fault_of_the_command_is_no_warning(self):
        status, _, err = self.call('storage', '-c', 'Nope', '-f', 'json')
        self.assertEqual(3, status)
        self.assertIn('Nope', err)
        with mock.patch.object(command.kinds, 'describe',
                               side_effect=RuntimeError('a fault')):
            status, _, err = self.call('storage')
        self.assertEqual(3, status)
        self.assertEqual('mydriver doctor failed: RuntimeError: a fault\n',
                         err)

    def test_an_option_that_nobody_knows(self):
        self.configure_more('mydriver_store_pth = /x\n')
        severity, remedy = self.only('options')
        self.assertEqual('warning', severity)
        # The right one is there as well, so this is not to be another.
        self.mended(remedy)
        self.assertIn('#mydriver_store_pth = /x\n',
                      (self.folder / 'etc/cinder/cinder.conf').read_text())

    def test_an_option_whose_value_has_several_lines(self):
        self.configure_more('mydriver_stroe_pth = a,\n        b\n')
        self.mended(self.only('options')[1])
        self.assertIn('\n#mydriver_stroe_pth = a,\n#        b\n',
                      (self.folder / 'etc/cinder/cinder.conf').read_text())

    def test_names_that_a_terminal_would_obey(self):
        self.configure_more('mydriver_\x1b[31mx = 1\n'
                            '[x\x1b[32m]\nmydriver_y = 1\n'
                            '[DEFAULT]\nenabled_backends = files,\x1b[33m\n')
        for argv in ((), ('-f', 'json'), ('-f', 'value')):
            _, out, _ = self.call('storage', *argv)
            self.assertNotIn('\x1b', out)
            self.assertNotIn('\\u001b', out)
            self.assertIn('x1b[31mx has no effect', ' '.join(
                re.sub(r'[|\n]', ' ', out).split()))
        _, found = self.wrong('storage')
        for one in found:
            if one['Check'] == 'options':
                self.assertIn('EDITOR', one['Remedy'])

    def test_an_option_with_a_typing_error(self):
        self.configure_more('mydriver-max-extent=7\n')
        self.mended(self.only('options')[1])
        self.assertIn('\nmydriver_max_extents=7\n',
                      (self.folder / 'etc/cinder/cinder.conf').read_text())

    def test_a_section_that_nobody_knows(self):
        self.configure_more('[mydriver_gatway]\ncolour = blue\nsize = 1\n')
        _, found = self.wrong('storage')
        self.assertTrue(found)
        for one in found:  # it may be another one of ours, misspelt
            self.assert_asks(one['Remedy'])

    def assert_asks(self, remedy):
        """Assert that a remedy leaves the configuration to the operator."""
        self.assertRegex(remedy, r'^\$\{EDITOR:-vi\} [^&]*cinder\.conf'
                         f'( && {RESTART})?$')

    def damage(self, old, new):
        """Replace a text in cinder.conf; return options that are concerned."""
        path = self.folder / 'etc/cinder/cinder.conf'
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new))
        _, found = self.wrong('storage')
        return [f for f in found if f['Check'] == 'options'], found

    def test_the_options_of_a_backend_that_is_not_enabled_are_kept(self):
        for old, new in (('enabled_backends = files', 'enabled_backends ='),
                         ('enabled_backends =', 'enabled_backends = fils'),
                         ('LIODriver', 'LIODrivr'),
                         ('volume_driver', 'volume_drivr'),
                         ('[files]', '[mydriver_files]')):
            options, found = self.damage(old, new)
            with self.subTest(new):
                self.assertIn('mydriver_store_path has no effect as long as '
                              'the section is no enabled mydriver backend.',
                              str(options))
                for one in options:
                    self.assert_asks(one['Remedy'])
                self.assertFalse([f for f in found if 's|^|#|' in f['Remedy']
                                  or 'enabled_backends' in f['Remedy']])

    def test_an_option_in_the_wrong_section(self):
        self.configure_more('[DEFAULT]\nmydriver_targets = 4\n')
        self.assert_asks(self.only('options')[1])

    def test_a_driver_with_a_typing_error(self):
        _, found = self.damage('LIODriver', 'LIODrivr')
        found = [f for f in found if f['Check'] == 'backends']
        self.assertEqual(['error'], [f['Severity'] for f in found])
        self.assertIn('[files] volume_driver: there is no driver mydriver.'
                      'cinder_volume.driver.LIODrivr. Did you mean '
                      'mydriver.cinder_volume.driver.LIODriver?',
                      found[0]['What'])
        self.mended(found[0]['Remedy'])

    def test_a_driver_with_a_typing_error_beside_a_good_one(self):
        old = self.orphan()
        self.configure_more(
            '[old]\nvolume_driver = cinder_volume.driver.LIODriver\n'
            '[DEFAULT]\nenabled_backends = files,old\n')
        severity, remedy = self.only('backends')
        self.assertEqual('error', severity)
        self.assertIn('LIODriver', remedy)
        self.assertTrue(old.exists())

    def test_the_state_of_a_section_with_another_driver_is_kept(self):
        self.orphan()
        self.configure_more('[old]\nvolume_driver = x.y.Z\n')
        self.assert_asks(self.only('backends')[1])

    def test_a_backend_whose_section_was_renamed_stays_on_the_list(self):
        self.orphan()
        self.configure_more('[DEFAULT]\nenabled_backends = files,old\n')
        _, found = self.wrong('storage')
        self.assertEqual(2, len(found))
        for one in found:
            self.assert_asks(one['Remedy'])

    def test_a_journal_of_no_backend(self):
        old = self.orphan()
        severity, remedy = self.only('backends')
        self.assertEqual('warning', severity)
        self.mended(remedy)
        self.assertFalse(old.exists())
        self.assertTrue(
            (self.folder / 'state-old.old/journal.sqlite').exists())
        old = self.orphan(with_state=False)
        self.mended(self.only('backends')[1])
        self.assertTrue(
            (self.folder / 'state-old.old.2/journal.sqlite').exists())

    def orphan(self, name='old', with_state=True):
        """Make the state of a backend that is gone; return its folder."""
        if with_state:
            self.state()
        self.make('/sys/kernel/config/target/core')
        old = self.folder / 'state' / name
        old.mkdir()
        (old / 'journal.sqlite').touch()
        (old / 'journal.sqlite.mark').touch()
        return old

    def export(self, name):
        """Have the kernel export a volume."""
        self.make(f'/sys/kernel/config/target/core/fileio_0/{name}')

    def assert_kept(self, old, because):
        """Assert that nobody is told to move a state away."""
        _, found = self.wrong('storage')
        found, = (f for f in found if f['Check'] == 'backends')
        self.assertEqual(('unknown', ''),
                         (found['Severity'], found['Remedy']))
        self.assertIn(because, found['What'])

    def test_a_journal_that_another_service_uses(self):
        """It may have another configuration, and the same state_path."""
        old = self.orphan()
        _, remedy = self.only('backends')
        service = mark.Mark.lock(str(old / 'journal.sqlite'))
        self.addCleanup(service.close)
        self.assert_kept(old, 'a service uses it at present')
        with self.assertRaises(subprocess.CalledProcessError):
            self.carry_out(remedy)
        self.assertTrue((old / 'journal.sqlite').exists())
        service.close()
        mark.Mark.lock(str(old / 'journal.sqlite'), alone=True).close()

    def test_a_journal_that_another_service_uses_is_not_enabled(self):
        old = self.orphan()
        self.configure_more(
            '[old]\nmydriver_store_path = /x\nvolume_driver = '
            'mydriver.cinder_volume.driver.LIODriver\n')
        service = mark.Mark.lock(str(old / 'journal.sqlite'))
        self.addCleanup(service.close)
        self.assert_kept(old, 'a service uses it at present')
        _, found = self.wrong('storage')
        self.assertFalse([f for f in found if 'restart' in f['Remedy']])

    def test_a_journal_whose_volumes_the_kernel_exports(self):
        old = self.orphan()
        volume = '0e6a1d9e-3b3f-4b5e-8a55-0f4f0d1f9a11'
        self.export(f'mydriver-old-x-{volume}')  # another backend's
        _, remedy = self.only('backends')
        self.export(f'mydriver-old-{volume}')
        self.assert_kept(old, 'the kernel exports 1 of its volumes')
        with self.assertRaises(subprocess.CalledProcessError):
            self.carry_out(remedy)
        self.assertTrue((old / 'journal.sqlite').exists())

    def test_a_journal_of_whose_exports_nothing_is_known(self):
        old = self.orphan()
        refused = exception.TargetError('show it', 'configfs is not mounted')
        with mock.patch.object(configfs, 'backstores', side_effect=refused):
            self.assert_kept(old, 'configfs is not mounted')
        remedy = self.only('backends')[1]
        (self.folder / 'sys/kernel/config/target/core').rmdir()
        self.assert_kept(old, 'the kernel target is not loaded')
        with self.assertRaises(subprocess.CalledProcessError):
            self.carry_out(remedy)
        self.assertTrue((old / 'journal.sqlite').exists())

    def test_a_journal_whose_lock_cannot_be_tried(self):
        old = self.orphan()
        remedy = self.only('backends')[1]
        lock = old / 'journal.sqlite.mark'
        lock.unlink()
        self.assert_kept(old, 'there is no')
        self.assertFalse(lock.exists())
        with self.assertRaises(subprocess.CalledProcessError):
            self.carry_out(remedy)
        self.assertFalse(lock.exists())
        lock.symlink_to(self.folder / 'etc/cinder/cinder.conf')
        self.assert_kept(old, 'cannot be read')

    def test_a_journal_in_a_folder_with_a_strange_name(self):
        old = self.orphan('a; touch \x1bpwned #')
        self.assert_kept(old, 'a; touch \\x1bpwned #')

    def test_a_journal_of_a_backend_that_was_disabled(self):
        self.state()
        more = self.folder / 'state/more'
        more.mkdir(mode=0o700)
        (more / 'journal.sqlite').touch()
        (more / 'journal.sqlite.mark').touch()
        self.make('/srv/more')
        self.configure_more(
            '[more]\nmydriver_store_path = '
            f'{self.folder}/srv/more\nmydriver_state_path = '
            f'{self.folder}/state\nvolume_driver = '
            'mydriver.cinder_volume.driver.LIODriver\n')
        _, found = self.wrong('storage')
        self.assertEqual({'backends', 'options'},
                         {f['Check'] for f in found})
        remedy, = {f['Remedy'] for f in found}
        self.mended(remedy)
        self.assertIn('enabled_backends = files,more\n',
                      (self.folder / 'etc/cinder/cinder.conf').read_text())
        self.assertTrue((more / 'journal.sqlite').exists())

    def test_state_that_others_can_read(self):
        folder = self.state()
        folder.chmod(0o755)
        self.assertEqual(
            ('error', (f'(cd {folder} && [ "$(pwd -P)" = {folder} ] && '
             'chmod 0700 .)')), self.only('state-folder'))
        self.mended(self.only('state-folder')[1])
        folder.chmod(0o755)
        remedy = self.only('state-folder')[1]
        status, _, err = self.call('storage', '--fix')
        self.assertEqual(0, status)
        self.assertIn(f'fix: state-folder: chmod 0700 {folder}', err)
        folder.rename(self.folder / 'elsewhere')
        (self.folder / 'elsewhere').chmod(0o755)
        folder.symlink_to(self.folder / 'elsewhere')  # meanwhile
        with self.assertRaises(subprocess.CalledProcessError):
            self.carry_out(remedy)
        self.assertEqual(0o755, (self.folder / 'elsewhere'
                                 ).stat().st_mode & 0o777)
        severity, remedy = self.only('state-folder')
        self.assertEqual('error', severity)
        self.assertTrue(remedy.startswith('${EDITOR:-vi} '), remedy)

    def test_a_journal_of_another_user(self):
        journal = self.state() / 'journal.sqlite'
        journal.touch()
        os.chown(journal, 4242, 4242)
        severity, remedy = self.only('state-folder')
        self.assertEqual('error', severity)
        self.assertIn('-exec chown -h root: {} +', remedy)
        self.mended(remedy)
        os.chown(journal, 4242, 4242)
        self.assertEqual(0, self.call('storage', '--fix')[0])
        self.assertEqual(0, journal.stat().st_uid)

    def test_a_file_with_a_strange_name(self):
        folder = self.state()
        for name in ('a; touch pwned #', "-it's", 'x\ny', '\x1b]0;z'):
            (folder / name).touch()
            os.chown(folder / name, 4242, 4242)
        _, found = self.wrong('storage')
        self.assertEqual(4, len(found))
        for one in found:
            self.assertTrue(one['What'].isprintable(), one)
            self.assertTrue(one['Remedy'].isprintable(), one)
            if one['Remedy'] != 'mydriver doctor storage --fix':
                self.carry_out(one['Remedy'])
        self.assertEqual({0, 4242}, {p.stat().st_uid
                                     for p in folder.iterdir()})
        self.assertEqual(0, (folder / 'a; touch pwned #').stat().st_uid)
        self.assertEqual(0, (folder / "-it's").stat().st_uid)
        self.assertFalse(Path('pwned').exists())
        self.assertEqual(0, self.call('storage', '--fix')[0])

    def test_a_link_that_takes_the_place_of_a_file(self):
        folder = self.state()
        victim = self.folder / 'victim'
        victim.touch()
        journal = folder / 'journal.sqlite'
        journal.touch()
        for path in (victim, journal):
            os.chown(path, 4242, 4242)
        remedy = self.only('state-folder')[1]
        for replace in (journal.symlink_to, journal.hardlink_to):
            journal.unlink()
            replace(victim)
            self.carry_out(remedy)
            self.assertEqual(4242, victim.stat().st_uid)

    def test_links_in_the_state_are_not_followed(self):
        folder = self.state()
        (self.folder / 'victim').touch()
        os.chown(self.folder / 'victim', 4242, 4242)
        (folder / 'link').symlink_to(self.folder / 'victim')
        self.call('storage', '--fix')
        self.assertEqual(4242, (self.folder / 'victim').stat().st_uid)

    def test_a_file_with_another_name_is_left_alone(self):
        folder = self.state()
        victim = self.folder / 'victim'
        victim.touch()
        os.chown(victim, 4242, 4242)
        (folder / 'journal.sqlite').hardlink_to(victim)
        self.assertEqual(('error', ''), self.only('state-folder'))
        status, _, err = self.call('storage', '--fix')
        self.assertEqual(2, status)
        self.assertIn('state-folder: failed:', err)
        self.assertEqual(4242, victim.stat().st_uid)

    def test_a_link_of_others_on_the_way(self):
        folder = self.state()
        folder.chmod(0o755)
        folder.parent.rename(self.folder / 'elsewhere')
        link = self.folder / 'state'
        link.symlink_to(self.folder / 'elsewhere')
        os.lchown(link, 4242, 4242)
        self.assertEqual(('error', 'mydriver doctor storage --fix'),
                         self.only('state-folder'))
        _, _, err = self.call('storage', '--fix')
        self.assertIn('state-folder: failed:', err)
        self.assertEqual(0o755, (self.folder / 'elsewhere/files'
                                 ).stat().st_mode & 0o777)

    def test_without_setup_the_folder_tells_the_user(self):
        folder = self.state()
        os.unlink(self.folder / 'var/lib/mydriver/setup/storage.json')
        os.chown(folder, doctor.NOBODY, doctor.NOBODY)
        (folder / 'journal.sqlite').touch()
        _, found = self.wrong('storage')
        remedies = ' '.join(f['Remedy'] for f in found)
        self.assertIn('find ./journal.sqlite -prune -type f -links 1 -exec '
                      'chown -h nobody: {} +', remedies)
        self.assertNotIn('chown -h root:', remedies)

    def enable_rival(self):
        """Enable a rival; return its name and where it saves."""
        unit = 'rtslib-fb-targetctl.service'
        self.put(f'/lib/systemd/system/{unit}', '[Unit]\n')
        wants = self.folder / 'etc/systemd/system/multi-user.target.wants'
        wants.mkdir(exist_ok=True)
        (wants / unit).symlink_to(f'/lib/systemd/system/{unit}')
        self.assertEqual(0, self.call('storage')[0])  # setup keeps it quiet
        return unit, self.folder / 'etc/target/saveconfig.json'

    def test_a_rival_service(self):
        unit, saved = self.enable_rival()
        (saved.parent / 'saveconfig.json.old').write_text('an earlier one')
        saved.write_text(SAVED)
        _, found = self.wrong('storage')
        self.assertEqual(2, len(found))
        for one in found:  # both name the file
            self.carry_out(one['Remedy'])
        self.assertEqual((0, []), self.wrong('storage'))
        self.assertEqual(
            ['an earlier one', SAVED],
            [p.read_text() for p in sorted(saved.parent.glob('*.old*'))])
        os.unlink(self.folder / f'etc/systemd/system/{unit}.d/mydriver.conf')
        _, found = self.wrong('storage')
        self.assertIn(('rival-services', f'systemctl disable {unit}'),
                      [(f['Check'], f['Remedy']) for f in found])

    def test_a_rival_service_that_others_need(self):
        """Without its file, their targets are not there after a boot."""
        unit, saved = self.enable_rival()
        for text, number in (
                ('{"storage_objects": [{"name": "volumes-1"}]}', 1),
                ('{}', 1), ('"mydriver-x"', 2),
                (SAVED.replace('[{', '[{"name": "volumes-1"}, {'), 2),
                (SAVED[:-1] + ', "targets": [{"wwn": "iqn.2010-10.org.'
                 'openstack:volume-1"}]}', 2)):
            saved.write_text(text)
            with self.subTest(text):
                _, found = self.wrong('storage')
                self.assertEqual([('warning', '')] * number, [
                    (f['Severity'], f['Remedy']) for f in found])
                for one in found:
                    self.assertIn('operations guide', one['What'])
        os.unlink(self.folder / f'etc/systemd/system/{unit}.d/mydriver.conf')
        _, found = self.wrong('storage')
        self.assertFalse([f for f in found if 'disable' in f['Remedy']])

    def test_a_saved_configuration_that_has_changed_meanwhile(self):
        _, saved = self.enable_rival()
        saved.write_text(SAVED)
        remedy = self.wrong('storage')[1][0]['Remedy']
        saved.write_text('{"storage_objects": [{"name": "volumes-1"}]}')
        with self.assertRaises(subprocess.CalledProcessError):
            self.carry_out(remedy)
        self.assertTrue(saved.exists())

    def test_a_saved_configuration_that_cannot_be_read(self):
        _, saved = self.enable_rival()
        saved.mkdir()
        _, found = self.wrong('storage')
        self.assertEqual({('unknown', ''), ('warning', '')}, {
            (f['Severity'], f['Remedy']) for f in found})

    def test_a_portal_that_does_not_answer(self):
        self.make(f'/sys/kernel/config/target/iscsi/{TARGET}/tpgt_1')
        asked = []

        def probe(portal, *_):
            asked.append(portal)
            raise ConnectionRefusedError(errno.ECONNREFUSED, 'refused')

        with mock.patch.object(discovery, 'probe', probe):
            self.assertEqual(('error', 'mydriver restore files'),
                             self.only('portals'))
        self.assertEqual([model.Portal('127.0.0.1')], asked)

    def test_targets_that_cannot_be_seen(self):
        """That is no proof that they are gone, nor that they are there."""
        refused = exception.TargetError('show it', 'configfs is not mounted')
        with mock.patch.object(configfs, 'names', side_effect=refused):
            severity, remedy = self.only('portals')
        self.assertEqual('unknown', severity)
        self.assertIn('mount -t configfs', remedy)

    def test_a_portal_whose_address_is_gone(self):
        self.make(f'/sys/kernel/config/target/iscsi/{TARGET}/tpgt_1')
        self.configure_more('target_ip_address = 192.0.2.7\n')
        self.assertEqual(('error', ''), self.only('portals'))

    def status(self, state, detail, part='exports'):
        """Have mydriver status find something."""
        patch = mock.patch.dict(os.environ, MYDRIVER_TEST_STATUS=json.dumps(
            [{'Backend': 'files', 'Part': part, 'State': state,
              'Detail': detail}]))
        patch.start()
        self.addCleanup(patch.stop)

    def test_exports_missing_in_the_kernel(self):
        self.status('wrong', '2 of 3 missing in the kernel. Run mydriver '
                    'restore.')
        self.assertEqual(('error', 'mydriver restore files'),
                         self.only('backend-status'))

    def store(self, path, problem):
        """Have mydriver status find something wrong with the store."""
        self.configure_more(f'mydriver_store_path = {path}\n')
        self.status('wrong', str(exception.ConfigurationError(
            'mydriver_store_path', f'{path} {problem}', 'Mend it.')), 'store')

    def test_a_store_without_reflinks(self):
        self.store('/x', 'is on ext4, which cannot clone files')
        self.assertEqual(
            ('error', ('${EDITOR:-vi} /etc/fstab && mount /x  # a filesystem '
             'of XFS (mkfs.xfs) or btrfs')), self.only('backend-status'))

    def test_a_store_whose_filesystem_is_not_mounted(self):
        self.put('/etc/fstab', '# /x\nUUID=1 / ext4 defaults 0 1\n'
                 'UUID=2 /srv\\040a xfs defaults 0 0\n'
                 'UUID=3 /srv xfs defaults 0 0\n')
        self.store('/srv/my/x', 'does not exist')
        self.assertEqual(('error', 'mount /srv'), self.only('backend-status'))
        with open(self.folder / 'proc/mounts', 'a') as mounts:
            mounts.write('/dev/sda1 /srv xfs rw 0 0\n')
        self.assertEqual(('error', 'install -d -m 0750 -o root /srv/my/x'),
                         self.only('backend-status'))
        self.assertIn('If mydriver_store_path has a typing error',
                      self.wrong('storage')[1][0]['What'])

    def test_a_store_that_cannot_be_written(self):
        path = f'{self.folder}/srv/x'
        self.make('/srv/x')
        self.store(path, 'cannot be written (Read-only file system)')
        self.assertEqual(
            ('error', ('mount -o remount,rw "$(findmnt -no TARGET -T '
             f'{path})"')), self.only('backend-status'))
        os.chown(path, 4242, 4242)
        self.store(path, 'cannot be written (Permission denied)')
        self.carry_out(self.only('backend-status')[1])
        status = os.stat(path)
        self.assertEqual((0, 0o750), (status.st_uid, status.st_mode & 0o777))

    def test_a_store_with_a_blank_in_its_name(self):
        """The directory that the text seems to name is another one."""
        for name in ('/srv/cinder', '/srv/cinder volumes'):
            self.make(name)
            os.chown(f'{self.folder}{name}', 4242, 4242)
        path = f'{self.folder}/srv/cinder volumes'
        self.store(path, 'cannot be written (Permission denied)')
        self.carry_out(self.only('backend-status')[1])
        self.assertEqual(0, os.stat(path).st_uid)
        self.assertEqual(4242, os.stat(f'{self.folder}/srv/cinder').st_uid)

    def test_a_store_of_a_backend_that_has_another(self):
        self.store('/x', 'cannot be written (Permission denied)')
        self.configure_more('mydriver_store_path = /y\n')
        self.assertEqual(('error', 'mydriver status'),
                         self.only('backend-status'))

    def test_a_command_in_a_text_of_status(self):
        for text, remedy in (
                (('Kernel target: configfs is not mounted at /sys. Run mount '
                 '-t configfs configfs /sys/kernel/config, or systemctl '
                 'start sys-kernel-config.mount.'),
                 'mount -t configfs configfs /sys/kernel/config'),
                (('/a/b.conf: belongs to user id 1. Run chown root:x '
                 '/a/b.conf && chmod 640 /a/b.conf.'),
                 'chown root:x /a/b.conf && chmod 640 /a/b.conf'),
                ('Something else. See the guide.', 'mydriver status')):
            self.status('wrong', text, 'host')
            self.assertEqual(('error', remedy), self.only('backend-status'))

    def test_warnings_of_status(self):
        self.status('warning', 'gateways: one draining. See mydriver gateway '
                    'list.', 'gateways')
        self.assertEqual(('warning', 'mydriver gateway list'),
                         self.only('backend-status'))

    def test_what_status_finds_well_is_no_finding(self):
        self.status('ok', 'fine')
        self.assertEqual((0, []), self.wrong('storage'))

    def test_status_fails(self):
        with mock.patch.dict(os.environ, MYDRIVER_TEST_STATUS='no json'):
            severity, remedy = self.only('backend-status')
        self.assertEqual('error', severity)
        self.assertIn(f'cinder.conf && {RESTART}', remedy)

    def test_the_real_status(self):
        with mock.patch.object(doctor_exports, 'STATUS', 'mydriver.cmd.main'):
            _, found = self.wrong('storage')
        self.assertEqual({'backend-status'}, {f['Check'] for f in found})
        self.assertIn('srv/mydriver', ' '.join(f['What'] for f in found))

    def test_entry_points(self):
        with mock.patch.object(upgrade_check, 'ENTRY_POINTS', (
                ('os_vif', 'nobody', 'x:y'),)):
            self.assertEqual(
                ('error', (f"{sys.executable} -m pip install "
                 f"'mydriver[storage]' && {RESTART}")),
                self.only('entry-points'))

    def test_no_secret_is_shown(self):
        self.configure_more('[database]\nconnection = mysql://u:s3cr3t@h\n'
                            '[files]\nmydriver_nonsense = s3cr3t\n')
        _, out, err = self.call('--all', '-f', 'json')
        self.assertIn('mydriver_nonsense', out)
        self.assertNotIn('s3cr3t', out + err)
