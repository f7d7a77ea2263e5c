# SPDX-License-Identifier: Apache-2.0
"""Damage to the files of a storage host, mended by what the doctor prints."""

from pathlib import Path
import shutil

from tests.functional import base, doctoring, systemd
from tests.functional.doctoring import CINDER_CONF, Damage, append, edit

SUDOERS = Path('/etc/sudoers.d/mydriver-storage')
RESTORE = systemd.UNITS / 'mydriver-restore.service'
RIVAL = 'rtslib-fb-targetctl.service'
SAVED = Path('/etc/target/saveconfig.json')


class StorageTest(doctoring.StorageCase):
    """Modules, units, sudo, and cinder.conf."""

    def test_each_damage_and_its_remedy(self):
        found, _ = self.examine()
        self.assertEqual([('target-dbroot', 'error')],
                         [(f['Check'], f['Severity']) for f in found])
        self.carry_out(found)
        self.assertEqual([], self.examine()[0])
        system, conf = self.system(), self.configuration()
        self.go_through(
            [system['module'], system['no rule'], system['lvm'],
             conf['readable'], conf['section']],
            [system['mode'], system['rival'], system['clock'], conf['typo']],
            [system['changed'], system['disabled'], conf['unknown'],
             conf['value']],
            [system['configfs'], conf['helper']],
            [conf['unset']],
            [conf['owner']])
        self.fix()

    def system(self):
        """Return damage to the system's files."""
        return {
            'module': Damage(
                'a module that is not loaded',
                lambda: base.run('rmmod', 'target_core_file'),
                [('kernel-modules', 'error')], 'target_core_file'),
            'configfs': Damage(
                'configfs that is not mounted',
                lambda: base.run('umount', '/sys/kernel/config'),
                [('configfs', 'error'), ('portals', 'unknown'),
                 ('backend-status', 'error')],
                'configfs is not mounted'),
            'no rule': Damage(
                'no rule for sudo', SUDOERS.unlink,
                [('setup-files', 'error'), ('privsep', 'error')],
                'may not run helper_command'),
            'mode': Damage(
                'a rule for sudo that all can change',
                lambda: SUDOERS.chmod(0o666),
                [('setup-files', 'error'), ('privsep', 'error')],
                'has mode 0666 instead of 0440'),
            'changed': Damage(
                'a rule for sudo that somebody changed',
                lambda: edit(SUDOERS, 'privsep-helper', 'other-helper'),
                [('setup-files', 'warning'), ('privsep', 'error')],
                'was changed since'),
            'disabled': Damage(
                'restore at boot disabled',
                lambda: self.systemd.shell(
                       f'systemctl disable {RESTORE.name}'),
                [('setup-files', 'error')], 'is not enabled'),
            'rival': Damage(
                'a rival service with our exports', self.add_rival,
                [('rival-services', 'warning')] * 2, 'outdated exports'),
            'lvm': Damage(
                'LVM without a filter',
                lambda: edit('/etc/lvm/lvm.conf', doctoring.FILTER, ''),
                [('lvm-filter', 'warning')], 'scans all disks'),
            # There is no server of the time here that could mend it.
            'clock': Damage(
                'a clock that nobody synchronises',
                lambda: doctoring.synchronise(False),
                [('clock', 'warning')], 'not synchronised', mends=False,
                undo=doctoring.synchronise),
        }

    def configuration(self):
        """Return damage to cinder.conf."""
        helper = 'helper_command = sudo '
        return {
            'helper': Damage(
                'a helper that is not there',
                lambda: edit(CINDER_CONF, helper, f'{helper}/opt/gone'),
                [('privsep', 'error')], 'not an executable file'),
            'unset': Damage(
                'the helper is not set',
                lambda: edit(CINDER_CONF, helper, f'#{helper}'),
                [('privsep', 'warning'), ('privsep', 'error')],
                'is not set'),
            'readable': Damage(
                'passwords that all can read',
                lambda: CINDER_CONF.chmod(0o644),
                [('config-files', 'warning')], 'Every user can read'),
            'owner': Damage(
                'a configuration that its service can change',
                lambda: shutil.chown(CINDER_CONF, 'cinder'),
                [('config-files', 'error'), ('privsep', 'error'),
                 ('backend-status', 'error')], 'whoever can change it'),
            'typo': Damage(
                'an option with a typing error',
                lambda: edit(CINDER_CONF, 'use_chap', 'mydriver_max_extent '
                                '= 70000\nuse_chap'),
                [('options', 'warning')], 'Did you mean'),
            'unknown': Damage(
                'an option that nobody knows',
                lambda: edit(CINDER_CONF, 'use_chap',
                                'mydriver_colour = blue\nuse_chap'),
                [('options', 'warning')], 'mydriver_colour'),
            'section': Damage(
                'a backend without a section',
                lambda: edit(CINDER_CONF, 'enabled_backends = files\n',
                             'enabled_backends = files,fast\n'),
                [('backends', 'error')], 'there is no section [fast]'),
            'value': Damage(
                'a value that cannot be',
                lambda: append(CINDER_CONF, '[files]\n'
                                  'mydriver_max_extents = many'),
                [('backends', 'error'), ('backend-status', 'error')],
                'mydriver_max_extents', editor=doctoring.script(
                       'editor', "sed -i '/= many/d' \"$@\"")),
        }

    @staticmethod
    def add_rival():
        """Enable the service of rtslib-fb; it has saved our exports once."""
        unit = Path('/lib/systemd/system', RIVAL)
        unit.write_text('[Unit]\n[Service]\nExecStart=/bin/true\n')
        wants = systemd.UNITS / 'multi-user.target.wants'
        wants.mkdir(exist_ok=True)
        (wants / RIVAL).symlink_to(unit)
        SAVED.parent.mkdir(exist_ok=True)
        SAVED.write_text('{"storage_objects": [{"name": "mydriver-x"}]}')

    def fix(self):
        """Let the command mend what is safe, and nothing else."""
        base.run('rmmod', 'target_core_file')
        RESTORE.unlink()
        SUDOERS.chmod(0o644)
        edit(CINDER_CONF, 'use_chap', 'mydriver_colour = blue\nuse_chap')
        CINDER_CONF.chmod(0o644)
        before = CINDER_CONF.read_text()
        found, said = self.examine('--fix')
        self.assertEqual([('config-files', False), ('options', False)],
                         sorted((f['Check'], f['Fixable']) for f in found))
        for text in ('fix: kernel-modules: modprobe target_core_file',
                     f'create {RESTORE}', f'update {SUDOERS}'):
            self.assertIn(text, said)
        self.assertEqual(before, CINDER_CONF.read_text())
        self.assertEqual('inactive', self.systemd.run(
            'systemctl', 'is-active', RESTORE.name)[1].strip())
        self.carry_out(found)
        self.assertEqual([], self.examine()[0])
