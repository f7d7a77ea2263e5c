# SPDX-License-Identifier: Apache-2.0
"""Commands that change a configuration, run by a shell."""

import dataclasses
import os
import unittest

import ddt

from mydriver.doctor import commands
from tests.fakes import doctor


class SettingTest(doctor.DoctorTestCase):
    """What oslo.config reads afterwards."""

    def setUp(self):
        super().setUp()
        self.storage()
        self.place = self.host('storage')

    def set(self, text, section='files', name='volume_driver', value='new'):
        """Set an option where a file has a text; return the text then."""
        self.put('/etc/cinder/cinder.conf', text)
        self.carry_out(commands.set_option(self.place, section, name, value))
        self.assertEqual(value, self.place.setting(section, name))
        return self.get('/etc/cinder/cinder.conf')

    def test_a_line_is_replaced(self):
        self.assertEqual(
            '[files]\n#volume_driver = a\nvolume_driver = new\n[other]\n'
            'volume_driver = b\n',
            self.set('[files]\n#volume_driver = a\nvolume-driver: old\n'
                     '[other]\nvolume_driver = b\n'))

    def test_a_value_of_several_lines_stays(self):
        text = '[files]\nvolume_driver = a\n  b\n'
        self.assertEqual(f'{text}\n[files]\nvolume_driver = new\n',
                         self.set(text))

    def test_a_line_is_added(self):
        self.assertEqual('[files]\nvolume_driver = new\nmore = 1\n[other]\n',
                         self.set('[files]\nmore = 1\n[other]\n'))

    def test_a_section_is_added(self):
        self.assertEqual('a = 1\n\n[files]\nvolume_driver = new\n',
                         self.set('[DEFAULT]\na = 1\n').removeprefix(
                             '[DEFAULT]\n'))

    def test_characters_that_mean_something(self):
        for text in ('[a.b|c]\nx_y = 1\n', '[a.b|c]\n', '[DEFAULT]\n',
                     '[a.b|c]\nx_y = 1\n 2\n'):
            for value in (r'a&b\1|c', "it's", '100%s', '$HOME `id`'):
                with self.subTest(text + value):
                    self.set(text, 'a.b|c', 'x_y', value)

    def test_the_file_that_is_read_last(self):
        self.put('/etc/cinder/conf.d/more.conf', '[files]\na = 1\n')
        self.place = dataclasses.replace(
            self.place, directories=('/etc/cinder/conf.d',))
        self.carry_out(commands.set_option(self.place, 'files', 'a', '2'))
        self.assertEqual('[files]\na = 2\n',
                         self.get('/etc/cinder/conf.d/more.conf'))

    def disable(self, text, name='a', section='s'):
        """Disable an option; return the text then."""
        self.put('/etc/cinder/cinder.conf', text)
        self.carry_out(commands.disable_option(self.place, section, name))
        self.place.sections()
        return self.get('/etc/cinder/cinder.conf')

    def test_all_lines_of_a_value_become_comments(self):
        for end in ('', '\n', '\n\n', '\nb = 1\n  2\n', '\n  \nb = 1',
                    '\n[t]\na = 1\n 2\n'):
            with self.subTest(end):
                self.assertEqual(f'[s]\n#a = 1,\n#\t2,\n#  3{end}',
                                 self.disable(f'[s]\na = 1,\n\t2,\n  3{end}'))
        self.assertEqual(
            '[s]\n# x\n#a = 1\n#  2\n\nb: 3\n#a = 4\n[t]\na = 1\n',
            self.disable('[s]\n# x\na = 1\n  2\n\nb: 3\na = 4\n[t]\n'
                         'a = 1\n'))

    def test_a_section_that_is_there_several_times(self):
        text = '[s]\na = 1\n[s]\na = 2\n 3\n[t]\na = 1\n[s]\na = 4'
        self.assertEqual(
            '[s]\n#a = 1\n[s]\n#a = 2\n# 3\n[t]\na = 1\n[s]\n#a = 4',
            self.disable(text))
        self.put('/etc/cinder/cinder.conf', text)
        self.carry_out(commands.rename_option(self.place, 's', 'a', 'b'))
        self.assertEqual(
            '[s]\nb = 1\n[s]\nb = 2\n 3\n[t]\na = 1\n[s]\nb = 4',
            self.get('/etc/cinder/cinder.conf'))
        self.assertEqual('[s]\na = new\n[s]\na = new\n', self.set(
            '[s]\na = 1\n[s]\na = 2\n', 's', 'a'))
        self.assertEqual('[s]\n[s]\n\n[s]\na = new\n',
                         self.set('[s]\n[s]\n', 's', 'a'))

    def test_several_files(self):
        self.put('/etc/cinder/conf.d/more.conf', 'x\n[s]\na = 1')
        self.put('/etc/cinder/cinder.conf', '[s]\na = 1')
        self.place = dataclasses.replace(
            self.place, directories=('/etc/cinder/conf.d',))
        self.carry_out(commands.disable_option(self.place, 's', 'a'))
        self.assertEqual(
            ['[s]\n#a = 1', 'x\n[s]\n#a = 1'], [self.get(
                f'/etc/cinder/{n}') for n in (
                    'cinder.conf', 'conf.d/more.conf')])

    def test_names_for_a_terminal(self):
        editor = commands.edit(self.place)
        for one in (commands.disable_option(self.place, 's', 'a\x1b[31m'),
                    commands.disable_option(self.place, 's\x1b', 'a'),
                    commands.rename_option(self.place, 's', 'a\x1b', 'b'),
                    commands.set_option(self.place, 's\x1b', 'a', 'b')):
            self.assertEqual(editor, one)

    def test_a_link_stays(self):
        conf = self.folder / 'etc/cinder/cinder.conf'
        for text in ('[s]\na = 1\n', '[s]\na = 1\n 2\n', ''):
            with self.subTest(text):
                conf.unlink(missing_ok=True)
                self.put('/srv/conf.d/cinder.conf', text)
                conf.symlink_to('../../srv/conf.d/cinder.conf')
                self.carry_out(commands.set_option(
                    self.place, 's', 'a', 'new'))
                self.assertTrue(conf.is_symlink())
                self.assertEqual('new', self.place.setting('s', 'a'))

    def test_a_link_of_others(self):
        conf = self.folder / 'etc/cinder/cinder.conf'
        conf.unlink()
        self.put('/srv/conf.d/cinder.conf', '[s]\na = 1\n')
        conf.symlink_to('../../srv/conf.d/cinder.conf')
        folder = self.folder / 'srv/conf.d'
        editor = commands.edit(self.place)
        for change, undo in (
                (lambda: os.lchown(conf, doctor.NOBODY, -1),
                 lambda: os.lchown(conf, 0, -1)),
                (lambda: folder.chmod(0o777), lambda: folder.chmod(0o755))):
            change()
            for one in (commands.set_option(self.place, 's', 'a', 'b'),
                        commands.set_option(self.place, 't', 'a', 'b'),
                        commands.disable_option(self.place, 's', 'a')):
                self.assertEqual(editor, one)
            undo()
        # Who may only write the file does not decide where it is.
        os.chown(folder / 'cinder.conf', doctor.NOBODY, -1)
        self.assertIn('sed', commands.disable_option(self.place, 's', 'a'))

    def test_a_unit_of_another_distribution(self):
        self.assertEqual('systemctl restart cinder-volume',
                         commands.restart(self.place))
        self.put('/usr/lib/systemd/system/openstack-cinder-volume.service',
                 '')
        self.assertEqual('systemctl restart openstack-cinder-volume',
                         commands.restart(self.place))


_ENFORCED = ('/sys/kernel/config/target/iscsi/discovery_auth/'
             'enforce_discovery_auth')
_ODD = "'/a, b. c;d'"


@ddt.ddt
class OfTextTest(unittest.TestCase):
    """Commands in texts for people."""

    @ddt.data(
        ('Run {}.', 'mydriver restore'),
        ('Start {}, or wait.', 'mydriver gateway'),
        ('Run {}, and name them in /etc/modules-load.d/.',
         'modprobe -a target_core_mod iscsi_target_mod'),
        ('Run {}; to leave ignore, the pool has to be inactive.',
         'lvchange --discards passdown vg/pool'),
        ('Run {}; that grants no access: a target is shown.',
         f'echo 0 > {_ENFORCED}'),
        ('Run {}.', f'chown -h a {_ODD} && [ ! -L {_ODD} ] && chmod a {_ODD}'),
        ("/x. Run chmod 777 /: not root's. Run {}, and more.",
         'chmod 600 /y'))
    @ddt.unpack
    def test_a_command(self, text, command):
        self.assertEqual(command, commands.of_text(text.format(command)))

    @ddt.data(
        'Nothing is to be done.', 'Run away.', 'Run mydriver',
        'Run chmod 600 /a;reboot.', 'Run chmod 600 $(reboot).',
        'Run chmod 600 /a `reboot`.', 'Run chmod 600 /a | sh.',
        'Run chmod 600 /a & reboot.', 'Run chmod 600 /a && reboot.',
        'Run chmod 600 /a\nreboot.', 'Run echo 0 > /etc/passwd.',
        'Run echo 0 > /sys/kernel/config/../../../etc/passwd.',
        "Run chmod 600 '/a.", 'Run chmod 600 /*.', 'Run chmod 600 "/a".')
    def test_none(self, text):
        self.assertIsNone(commands.of_text(text))
