# SPDX-License-Identifier: Apache-2.0
"""Damage that both kinds of host and storage hosts can have."""

import os
import shutil
import subprocess
from unittest import mock

from mydriver import exception, releases
from mydriver.doctor import common, displaced, examine, setup_files, storage
from mydriver.doctor import host as hosts
from mydriver.hostfiles import activation, catalogue
from mydriver.target import configfs
from tests.fakes import doctor

#: The tests have another one.
CLOCK_STATE = common.clock_state


class CommonTestCase(doctor.DoctorTestCase):
    """A storage host."""

    def setUp(self):
        super().setUp()
        self.storage()

    def look(self, check_id):
        """Return what is wrong."""
        return self.examine('storage', check_id, (
            *common.CHECKS, *setup_files.CHECKS, *storage.CHECKS))

    def only(self, check_id):
        """Return the one thing that is wrong."""
        found, = self.look(check_id)
        return found.found

    def fix(self, check_id):
        """Apply what is safe; return what was done."""
        return list(examine.fix(self.look(check_id)))


class CommonTest(CommonTestCase):
    """What any host and each storage host needs."""

    def test_nothing_is_wrong(self):
        for check in (*common.CHECKS, *setup_files.CHECKS, *storage.CHECKS):
            if check.id != 'release':  # of this environment
                with self.subTest(check.id):
                    self.assertEqual([], self.look(check.id))

    def test_a_module_that_is_not_loaded(self):
        (self.folder / 'sys/module/iscsi_target_mod').rmdir()
        self.command('modprobe')
        found = self.only('kernel-modules')
        self.assertEqual(('error', 'modprobe iscsi_target_mod'),
                         (found.severity, found.remedy))
        self.put('/bin/modprobe', '#!/bin/sh\n'
                 f'/bin/mkdir {self.folder}/sys/module/$1\n', 0o755)
        self.assertEqual(['kernel-modules: modprobe iscsi_target_mod'],
                         list(examine.fix(
                             [mock.Mock(check=mock.Mock(id='kernel-modules'),
                                        found=found)])))
        self.assertEqual([], self.look('kernel-modules'))

    def test_a_module_that_cannot_be_loaded(self):
        (self.folder / 'sys/module/iscsi_target_mod').rmdir()
        self.command('modprobe', status=1)
        found = self.only('kernel-modules')
        # Without a list of what is built in, it may be.
        self.assertEqual(
            ('unknown', 'modprobe --verbose iscsi_target_mod'),
            (found.severity, found.remedy))
        self.put(f'/lib/modules/{os.uname().release}/modules.builtin', '')
        found = self.only('kernel-modules')
        self.assertEqual('error', found.severity)
        self.assertIn('apt-get install', found.remedy)
        self.assertIsNone(found.fix)
        self.assertIn('does not have it', found.what)

    def test_a_module_that_is_part_of_the_kernel(self):
        (self.folder / 'sys/module/iscsi_target_mod').rmdir()
        self.put(f'/lib/modules/{os.uname().release}/modules.builtin',
                 'kernel/drivers/target/iscsi/iscsi-target-mod.ko\n')
        self.assertEqual([], self.look('kernel-modules'))

    def test_lvm_scans_all_disks(self):
        self.put('/etc/lvm/lvm.conf', 'devices {\n}\n')
        self.command('lvmconfig', status=5)
        conf = self.folder / 'etc/lvm/lvm.conf'
        found = self.only('lvm-filter')
        self.assertEqual(
            ('warning', f'${{EDITOR:-vi}} {conf}  # devices/global_filter'),
            (found.severity, found.remedy))

    def test_lvm_keeps_the_disks_that_it_uses(self):
        self.put('/etc/lvm/lvm.conf', 'devices {\n}\n')
        self.command('lvmconfig', status=5)
        self.command('pvs', '  /dev/sdb2\n  /dev/sda\n  /dev/sdc1\n'
                     '  /dev/dm-1\n  /dev/mapper/guests')
        disks = 'sys/devices/pci/block'
        for name, vendor in (('sdb', 'ATA'), ('sda', 'ATA'),
                             ('sdc', 'LIO-ORG')):
            self.put(f'/{disks}/{name}/device/vendor', f'{vendor}\n')
            self.link(name, f'{disks}/{name}')
        for name in ('sdb/sdb2', 'sdc/sdc1'):
            self.put(f'/{disks}/{name}/partition', '1\n')
            self.link(name[4:], f'{disks}/{name}')
        for name, uuid in (('dm-1', 'LVM-abc'),
                           ('guests', 'mpath-36001405aaa')):
            self.put(f'/sys/class/block/{name}/dm/uuid', f'{uuid}\n')
        # Without names that stay, the operator has to choose.
        editor = f'${{EDITOR:-vi}} {self.folder}/etc/lvm/lvm.conf  # devices/'
        self.by_id('lvm-pv-uuid-abc', 'sda')
        self.by_id('dm-name-mpatha', 'sda')
        self.by_id('wwn-0x5000c500-part2', 'sdb2')
        self.assertIn(editor, self.only('lvm-filter').remedy)
        self.by_id('scsi-1ATA_disk', 'sda')
        self.by_id('ata-disk_1.0', 'sda')
        remedy = self.only('lvm-filter').remedy
        self.put('/etc/lvm/backup/more', '')
        self.assertIn(editor, self.only('lvm-filter').remedy)
        shutil.rmtree(self.folder / 'etc/lvm/backup')
        self.carry_out(remedy)
        self.assertIn(
            'devices/global_filter = [ "a|^/dev/disk/by-id/ata-disk_1[.]0$|", '
            '"a|^/dev/disk/by-id/wwn-0x5000c500-part2$|", "r|.*|" ]\n',
            self.get('/etc/lvm/lvm.conf'))
        for pvs in ('  /dev/sda\n  [unknown] more', '  /dev/sda'):
            self.command('pvs', pvs)
            with self.assertRaises(subprocess.CalledProcessError):
                self.carry_out(remedy)
        self.command('pvs', '  /dev/sda\n  [unknown] more')
        self.assertIn(editor, self.only('lvm-filter').remedy)

    def test_lvm_has_no_disk(self):
        self.put('/etc/lvm/lvm.conf', 'devices {\n}\n# the end')
        self.command('lvmconfig', status=5)
        self.command('pvs')
        self.carry_out(self.only('lvm-filter').remedy)
        self.assertIn('\ndevices/global_filter = [ "r|.*|" ]\n',
                      self.get('/etc/lvm/lvm.conf'))

    def by_id(self, name, device):
        """Have udev name a block device."""
        self.put(f'/dev/{device}', '')
        self.make('/dev/disk/by-id')
        (self.folder / 'dev/disk/by-id' / name).symlink_to(
            self.folder / 'dev' / device)

    def link(self, name, to):
        """Have sysfs name a block device."""
        folder = self.folder / 'sys/class/block'
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(self.folder / to)

    def test_the_clock(self):
        for state, severity, remedy in (
                (5, 'warning', 'timedatectl set-ntp true'), (-1, 'info', '')):
            with mock.patch.object(common, 'clock_state', lambda s=state: s):
                found = self.only('clock')
            self.assertEqual((severity, remedy),
                             (found.severity, found.remedy))

    def test_the_clock_can_be_read(self):
        self.assertIn(CLOCK_STATE(), range(-1, 6))

    def test_the_release(self):
        for version, severity in (('1.0.0', 'error'), ('999.0.0', 'warning'),
                                  (None, 'unknown')):
            with mock.patch.object(releases, 'version_of',
                                   lambda p, v=version: v):
                found = self.look('release')[0].found
            self.assertEqual(severity, found.severity)
            self.assertEqual(version is None, bool(found.remedy))
            if version is None:
                self.assertRegex(
                    found.remedy,
                    'command -v cinder-volume.*/mydriver doctor storage')

    def test_no_other_release_is_installed_for_a_new_python(self):
        supported = releases.SUPPORTED[0].majors['cinder']
        with mock.patch.object(releases, 'version_of',
                               return_value=f'{supported}.0.0'), \
                mock.patch.object(releases.sys, 'version_info', (3, 99)):
            found = self.only('release')
        self.assertEqual(('warning', ''), (found.severity, found.remedy))
        self.assertIn('Python 3.99 is newer', found.what)

    def test_a_configuration_that_others_can_change(self):
        path = f'{self.folder}/etc/cinder/cinder.conf'
        os.chown(path, 4242, 0)
        found = self.only('config-files')
        self.assertEqual(
            ('error', (f'chown -h root:root {path} && [ ! -L {path} ] && '
             f'chmod 640 {path}')), (found.severity, found.remedy))
        os.chown(path, 0, 0)
        os.chmod(path, 0o666)
        self.carry_out(self.only('config-files').remedy)
        self.assertEqual([], self.look('config-files'))

    def test_a_configuration_that_is_a_link_of_others(self):
        """Its user decides what a command would change as root."""
        path = self.folder / 'etc/cinder/cinder.conf'
        path.rename(self.folder / 'etc/other.conf')
        path.symlink_to(self.folder / 'etc/other.conf')
        os.lchown(path, 4242, 4242)
        found = self.only('config-files')
        self.assertEqual(('error', ''), (found.severity, found.remedy))
        self.assertIn(f'See where the link {path} leads to', found.what)

    def test_a_folder_that_others_can_change(self):
        path = f'{self.folder}/etc/cinder'
        os.chmod(path, 0o777)
        self.assertEqual(
            f'chown -h root:root {path} && [ ! -L {path} ] && '
            f'chmod g+rx,go-w {path}', self.only('config-files').remedy)

    def test_a_configuration_that_all_can_read(self):
        path = f'{self.folder}/etc/cinder/cinder.conf'
        os.chmod(path, 0o644)
        found = self.only('config-files')
        self.assertEqual(
            ('warning', (f'chown -h root:root {path} && [ ! -L {path} ] && '
             f'chmod 640 {path}')), (found.severity, found.remedy))

    def test_a_link_to_a_configuration_that_all_can_read(self):
        path = self.folder / 'etc/cinder/cinder.conf'
        path.rename(self.folder / 'etc/it is here')
        path.symlink_to('../it is here')
        (self.folder / 'etc/it is here').chmod(0o644)
        self.carry_out(self.only('config-files').remedy)
        self.assertEqual([], self.look('config-files'))

    def test_no_configuration(self):
        os.unlink(f'{self.folder}/etc/cinder/cinder.conf')
        self.carry_out(self.only('config-files').remedy)
        self.assertEqual([], self.look('config-files'))

    def test_a_loop_of_links(self):
        folder = self.folder / 'etc/cinder/cinder.conf.d'
        folder.symlink_to(folder)
        with mock.patch.object(hosts.Host, 'config', return_value=[
                f'{folder}/a.conf']):
            found = self.look('config-files')[0].found
        self.assertEqual(('error', ''), (found.severity, found.remedy))
        self.assertIn('too many links', found.what)

    def test_configfs_is_not_mounted(self):
        self.put('/proc/mounts', 'proc /proc proc rw 0 0\n')
        self.assertEqual('mount -t configfs configfs /sys/kernel/config',
                         self.only('configfs').remedy)

    def test_the_database_of_the_target_is_missing(self):
        (self.folder / 'etc/target/pr').rmdir()
        found = self.only('target-dbroot')
        self.assertEqual(('error', 'install -d -m 0700 /etc/target/pr'),
                         (found.severity, found.remedy))

    def test_the_database_of_the_target_cannot_be_seen(self):
        """That is no proof that it is missing."""
        place = self.folder / 'etc/target/pr'
        place.rmdir()
        place.symlink_to(place)
        found = self.only('target-dbroot')
        self.assertIn('refused to show', found.what)
        self.assertNotIn('install', found.remedy)
        place.unlink()
        place.touch()
        found = self.only('target-dbroot')
        self.assertIn('is not a directory', found.what)
        self.assertEqual('ls -ld /etc/target/pr', found.remedy)

    def test_the_target_is_not_loaded(self):
        os.unlink(f'{self.folder}/sys/kernel/config/target/dbroot')
        self.assertEqual('info', self.only('target-dbroot').severity)

    def test_the_target_cannot_be_read(self):
        """It may be loaded all the same."""
        refused = exception.TargetError('show dbroot', 'Permission denied')
        refused.__cause__ = PermissionError()
        with mock.patch.object(configfs, 'database', side_effect=refused):
            found = self.only('target-dbroot')
        self.assertEqual(('unknown', 'sudo mydriver doctor storage'),
                         (found.severity, found.remedy))
        dbroot = self.folder / 'sys/kernel/config/target/dbroot'
        dbroot.unlink()
        dbroot.symlink_to(dbroot)
        found = self.only('target-dbroot')
        self.assertEqual('error', found.severity)
        self.assertIn('refused to show', found.what)


class SetupFilesTest(CommonTestCase):
    """The files of ``mydriver setup``, with a rule for sudo."""

    OPTIONS = {'bindir': '/opt/cinder/bin', 'user': 'cinder'}
    INSTALL = 'mydriver setup storage --install'
    SUDOERS = '/etc/sudoers.d/mydriver-storage'

    def test_it_was_never_run(self):
        os.unlink(f'{self.folder}/var/lib/mydriver/setup/storage.json')
        found = self.only('setup-files')
        self.assertEqual(('warning', self.INSTALL, None),
                         (found.severity, found.remedy, found.fix))

    def test_a_file_is_missing(self):
        unit = f'{catalogue.UNITS}/{catalogue.RESTORE}'
        os.unlink(f'{self.folder}{unit}')
        found = self.only('setup-files')
        self.assertEqual((f'{unit} is missing.', self.INSTALL),
                         (found.what, found.remedy))
        self.assertEqual([f'setup-files: create {unit}'],
                         self.fix('setup-files'))
        self.activate('storage')
        self.assertEqual([], self.look('setup-files'))
        self.assertTrue(self.is_there(unit))

    def test_several_files_are_installed_at_once(self):
        for name in ('restore.service', 'restore.service.d/lvmthin.conf'):
            path = self.folder / f'etc/systemd/system/mydriver-{name}'
            if path.exists():
                path.unlink()
        os.unlink(self.folder / 'etc/tmpfiles.d/mydriver-storage.conf')
        self.assertEqual(2, len(self.look('setup-files')))
        self.assertEqual(1, len(self.fix('setup-files')))
        self.activate('storage')
        self.assertEqual([], self.look('setup-files'))

    def test_a_wrong_mode(self):
        os.chmod(f'{self.folder}{self.SUDOERS}', 0o644)
        found = self.only('setup-files')
        self.assertEqual(
            (f'{self.SUDOERS} has mode 0644 instead of 0440.', self.INSTALL),
            (found.what, found.remedy))
        self.fix('setup-files')
        self.activate('storage')
        self.assertEqual([], self.look('setup-files'))

    def test_a_wrong_owner(self):
        path = f'{self.folder}{self.SUDOERS}'
        os.chown(path, 4242, 4242)
        self.assertEqual(f'chown -h root:root {path}',
                         self.only('setup-files').remedy)
        self.assertEqual([f'setup-files: chown root:root {path}'],
                         self.fix('setup-files'))
        self.assertEqual([], self.look('setup-files'))

    def test_a_file_that_somebody_changed_is_kept(self):
        path = '/etc/modules-load.d/mydriver-storage.conf'
        self.put(path, 'mine\n')
        found = self.only('setup-files')
        self.assertEqual(('warning', None), (found.severity, found.fix))
        self.assertTrue(found.remedy.startswith(f'{self.INSTALL} --force '))
        self.assertEqual([], self.fix('setup-files'))
        self.assertEqual('mine\n', self.get(path))

    def test_what_was_there_before_a_file_that_is_not_needed(self):
        path = f'{catalogue.UDEV}/50-rbd.rules'
        self.put(path, 'theirs')
        self.install(force=True, store=['rbd'], gateway=True)
        made = self.made()
        made.options.update(store=['reflink'], gateway=False)
        made.save(self.root)
        self.assertIn(
            f'{path} is no longer needed; what was there before has to come '
            'back.', [f.found.what for f in self.look(
                'setup-files')])
        self.assertIn(f'restore {path}', self.fix('setup-files')[0])
        self.assertEqual('theirs', self.get(path))

    def test_a_command_after_it_failed(self):
        made = self.made()
        made.activated = False
        made.save(self.root)
        with mock.patch.object(activation, 'is_live', return_value=True):
            self.assertEqual(self.INSTALL, self.only('setup-files').remedy)
        # Where systemd does not run, --install would only list them.
        self.assertEqual([], self.look('setup-files'))

    def test_a_unit_that_nobody_has_enabled_after_the_installation(self):
        made = self.made()
        made.activated = False
        made.save(self.root)
        os.unlink(self.folder / 'etc/systemd/system/multi-user.target.wants'
                  / catalogue.RESTORE)
        found = self.only('setup-files')
        self.assertEqual('error', found.severity)
        self.assertIn('not enabled', found.what)

    def test_on_a_live_host_the_units_are_enabled(self):
        os.unlink(f'{self.folder}{catalogue.UNITS}/{catalogue.RESTORE}')
        ran = []
        with mock.patch.object(activation, 'is_live', return_value=True), \
                mock.patch.object(activation, 'execute',
                                  lambda c: ran.extend(c) or []):
            done, = self.fix('setup-files')
            self.assertIn('enable mydriver-restore.service', done)
        self.assertFalse([c for c in ran if 'start' in c or 'restart' in c
                          or '--now' in c])
        self.assertEqual([], self.look('setup-files'))

    def test_a_damaged_record(self):
        self.put('/var/lib/mydriver/setup/storage.json', '{')
        found = self.only('setup-files')
        self.assertEqual('error', found.severity)
        self.assertIn('Restore it from a copy', found.what)
        self.assertIn('repeat those of the first call', found.what)
        move, install = found.remedy.split(' && ')
        # The options of this host are not the defaults.
        self.assertEqual(f'{self.INSTALL} --force  # add the options of the '
                         'first call', install)
        self.put('/var/lib/mydriver/setup/storage.json.damaged', 'old')
        self.assertNotIn(f'{move} &', self.only('setup-files').remedy)
        self.carry_out(self.only('setup-files').remedy.split(' && ')[0])
        self.assertEqual('warning', self.only('setup-files').severity)
        self.assertEqual(
            ('old', '{'), tuple(self.get(
                f'/var/lib/mydriver/setup/storage.json.damaged{end}')
                for end in ('', '.2')))

    def test_a_damaged_record_of_the_default_options(self):
        chosen = displaced.choices.choose('storage', self.OPTIONS)
        with mock.patch.object(displaced.choices, 'choose',
                               return_value=chosen):
            self.put('/var/lib/mydriver/setup/storage.json', '{')
            self.assertTrue(self.only('setup-files').remedy.endswith(
                f' && {self.INSTALL}'))

    def test_a_link_in_the_place_of_a_file_of_setup(self):
        unit = self.folder / 'etc/systemd/system/mydriver-restore.service'
        for make in (lambda: unit.symlink_to('/etc/passwd'), unit.mkdir):
            unit.unlink()
            make()
            remedy = self.only('setup-files').remedy
            self.assertNotIn('EDITOR', remedy)
            self.assertTrue(remedy.endswith(f' && {self.INSTALL}'), remedy)
            self.carry_out(remedy.split(' && ')[0])
            self.assertFalse(os.path.lexists(unit))
            self.install()
            self.assertEqual([], self.look('setup-files'))
        self.assertTrue(unit.with_name(f'{unit.name}.old').is_symlink())
        self.assertTrue(unit.with_name(f'{unit.name}.old.2').is_dir())

    def test_a_record_of_a_later_release(self):
        self.put('/var/lib/mydriver/setup/storage.json', '{"version": 2}')
        found = self.only('setup-files')
        self.assertEqual(('error', ''), (found.severity, found.remedy))
        self.assertIn('Use the mydriver setup of that release', found.what)

    def test_a_unit_that_is_not_enabled(self):
        link = (self.folder / 'etc/systemd/system/multi-user.target.wants'
                / catalogue.RESTORE)
        link.unlink()
        found = self.only('setup-files')
        self.assertEqual(
            ('error', f'systemctl enable {catalogue.RESTORE}'),
            (found.severity, found.remedy))
        with mock.patch.object(
                activation, 'run', lambda c: link.symlink_to(c[-1])):
            done, = self.fix('setup-files')
        self.assertEqual(f'setup-files: systemctl --root={self.folder} enable '
                         f'{catalogue.RESTORE}', done)
        self.assertEqual([], self.look('setup-files'))
        link.unlink()
        with mock.patch.object(activation, 'run', return_value='refused'):
            done, = self.fix('setup-files')
        self.assertIn('failed: systemctl', done)
