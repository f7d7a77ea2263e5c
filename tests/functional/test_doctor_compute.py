# SPDX-License-Identifier: Apache-2.0
"""Damage to a compute host, found and mended by what the doctor prints."""

from pathlib import Path
import time

from tests.functional import base, doctoring
from tests.functional.doctoring import (
    MULTIPATH,
    NOVA_CONF,
    Damage,
    append,
    edit,
)

NAME = Path('/etc/iscsi/initiatorname.iscsi')
SUDOERS = Path('/etc/sudoers.d/mydriver-compute')
DROP_IN = Path('/etc/multipath/conf.d/mydriver.conf')


class ComputeTest(doctoring.ComputeCase):
    """iscsid and multipathd by their units, sudo, and nova.conf."""

    def test_each_damage_and_its_remedy(self):
        self.assertEqual([], self.examine()[0])
        name, paths, nova = self.initiator(), self.multipath(), self.nova()
        self.go_through(
            [name['module'], paths['down'], nova['rule'], nova['other']],
            [name['down'], paths['lost']],
            [name['absent'], paths['overridden']],
            [name['two'], paths['greedy'], nova['unset']],
            [name['invalid']],
            [name['unread']])
        self.fix()

    def initiator(self):
        """Return damage to iscsid and its name."""
        name = base.initiator_name()
        return {
            'module': Damage(
                'a module that is not loaded',
                lambda: base.run('rmmod', 'iscsi_tcp'),
                [('kernel-modules', 'error')], 'iscsi_tcp'),
            'down': Damage(
                'iscsid does not run',
                lambda: self.systemd.shell(
                       'systemctl stop iscsid.socket iscsid'),
                [('iscsid', 'error')], 'does not run'),
            'absent': Damage(
                'no initiator name', NAME.unlink,
                [('initiator-name', 'error')], 'does not exist'),
            'two': Damage(
                'two initiator names',
                lambda: self.rename(f'{name}\nInitiatorName={name}x'),
                [('initiator-name', 'error'),
                    ('initiator-name-in-use', 'warning')], 'has 2 names',
                undo=lambda: self.assertEqual(
                       name, base.initiator_name())),
            'invalid': Damage(
                'a name that is none',
                lambda: self.rename('storage'),
                [('initiator-name', 'error'),
                    ('initiator-name-in-use', 'warning')], 'storage'),
            'unread': Damage(
                'a name that iscsid has not read',
                lambda: self.rename(f'{name}y'),
                [('initiator-name-in-use', 'warning')], 'after iscsid'),
        }

    @staticmethod
    def rename(name):
        """Change the name some time after iscsid was started."""
        time.sleep(3)  # a file that is hardly younger belongs to the start
        NAME.write_text(f'InitiatorName={name}\n')

    def multipath(self):
        """Return damage to multipathd."""
        return {
            'down': Damage(
                'multipathd does not run',
                lambda: self.systemd.shell(
                       'systemctl stop multipathd.socket multipathd'),
                [('multipathd', 'error')], 'does not run'),
            'lost': Damage(
                'no settings of ours', self.lose_settings,
                [('setup-files', 'error'), ('multipathd', 'warning')],
                'skip_kpartx'),
            'overridden': Damage(
                'names for people, by what overrides ours',
                lambda: self.configure('overrides {\n'
                                          '    user_friendly_names yes\n}\n'),
                [('multipathd', 'warning')], 'user_friendly_names yes',
                # Called with +LINE FILE.
                editor=doctoring.script(
                       'editor', "sed -i '/overrides/,/}/s/names yes/names "
                       "no/' \"$2\"")),
            'greedy': Damage(
                'multipathd takes every disk',
                lambda: self.configure('defaults {\n'
                                          '    find_multipaths greedy\n}\n'),
                [('multipathd', 'warning')], 'greedy'),
        }

    def configure(self, text):
        """Add settings of the operator."""
        append(MULTIPATH, text)
        self.systemd.shell('systemctl reload multipathd')

    def lose_settings(self):
        """Remove the file of ``mydriver setup``."""
        DROP_IN.unlink()
        self.systemd.shell('systemctl reload multipathd')

    def nova(self):
        """Return damage to sudo's rule and nova.conf."""
        driver = 'compute_driver = mydriver.LibvirtDriver'
        return {
            'rule': Damage(
                'no rule for sudo', SUDOERS.unlink,
                [('setup-files', 'error'), ('privsep', 'error')],
                'may not run helper_command'),
            'other': Damage(
                "Nova's own driver",
                lambda: edit(NOVA_CONF, driver,
                                'compute_driver = libvirt.LibvirtDriver'),
                [('nova-conf', 'warning')], 'libvirt.LibvirtDriver'),
            'unset': Damage(
                'no driver', lambda: edit(NOVA_CONF, driver, ''),
                [('nova-conf', 'warning')], 'not set'),
        }

    def fix(self):
        """Let the command mend what is safe, and nothing else."""
        base.run('rmmod', 'iscsi_tcp')
        SUDOERS.chmod(0o644)
        self.systemd.shell('systemctl stop iscsid.socket iscsid')
        found, said = self.examine('--fix')
        self.assertEqual([('iscsid', False)],
                         [(f['Check'], f['Fixable']) for f in found])
        self.assertIn('fix: kernel-modules: modprobe iscsi_tcp', said)
        self.assertIn(f'update {SUDOERS}', said)
        self.carry_out(found)
        self.assertEqual([], self.examine()[0])
