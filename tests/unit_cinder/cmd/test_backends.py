# SPDX-License-Identifier: Apache-2.0
"""The commands read cinder.conf the way cinder-volume does."""

import importlib
import os
import subprocess
import sys
from unittest import mock

from cinder.common import config as cinder_config
from cinder.volume import driver as cinder_driver
from oslo_config import cfg

from mydriver import exception, model
from mydriver.backend import settings
from mydriver.cmd import backends
from mydriver.target import factory, pool
from tests.fakes import cinder as fakes
from tests.fakes import commands
from tests.fakes.devices import FolderDevices


class BackendsTest(commands.ConfTestCase):
    """The selected backends and their settings."""

    def test_ours_that_are_enabled(self):
        self.assertEqual(['disks', 'plain'], list(self.read()))
        self.assertEqual(['plain'], list(self.read('plain')))

    def test_settings(self):
        self.assertEqual(
            pool.Settings(
                backend='disks',
                target_prefix='iqn.2010-10.org.openstack:',
                portals=(model.Portal('192.0.2.1', 3261),
                         model.Portal('192.0.2.2', 3261),
                         model.Portal('2001:db8::1', 3261)),
                chap=False, targets=8, discovery_timeout_s=2.0,
                state_path=f'{self.folder}/state/mydriver/disks'),
            self.read()['disks'].settings)

    def test_the_shared_section_and_the_defaults(self):
        plain = self.read()['plain'].settings
        self.assertTrue(plain.chap)
        self.assertEqual((model.Portal('192.0.2.1'),), plain.portals)

    def test_the_journal_is_the_services(self):
        backend = self.read()['plain']
        made = factory.build(backend.settings,
                             FolderDevices(self.folder))
        self.addCleanup(made._journal.close)
        self.assertTrue(os.path.exists(backend.journal_path))

    def test_an_unknown_backend_is_named(self):
        for name in ('lvm', 'off', 'nothing'):
            with self.assertRaisesRegex(exception.ConfigurationError,
                                        rf'\[{name}\].*disks, plain'):
                self.read(name)

    def test_a_missing_or_broken_file_is_named(self):
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    '/nonexistent'):
            backends.read(['/nonexistent'])
        self.write('no section')
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'cinder.conf'):
            self.read()

    def nothing_of_ours(self, text, *named):
        """Check that a configuration is refused, and what the error names."""
        self.write(text)
        with self.assertRaises(exception.ConfigurationError) as caught:
            self.read()
        self.assertEqual('enabled_backends', caught.exception.option)
        for name in (self.conf, '--config-dir', *named):
            self.assertIn(name, str(caught.exception))

    def test_none_enabled(self):
        self.nothing_of_ours('[DEFAULT]', 'enabled_backends is empty')

    def test_not_enabled(self):
        self.nothing_of_ours(commands.CONF.replace('= disks,lvm,plain',
                                                   '= lvm'),
                             '[lvm] has volume_driver = cinder.volume.',
                             '[disks] is a mydriver backend that is not')

    def test_a_misspelt_driver(self):
        self.nothing_of_ours(commands.CONF.replace('.LIODriver', '.LioDriver'),
                             '[disks] has volume_driver = mydriver.cinder_'
                             'volume.driver.LioDriver')

    def test_a_section_in_another_file(self):
        self.nothing_of_ours("""
            [DEFAULT]
            enabled_backends = disks
        """, 'there is no section [disks]')

    def test_no_file_at_all(self):
        with mock.patch.object(cfg, 'find_config_files', return_value=[]), \
                mock.patch.object(cfg, 'find_config_dirs', return_value=[]), \
                self.assertRaisesRegex(exception.ConfigurationError,
                                       'no configuration file'):
            backends.read([])

    def test_a_folder_of_further_files(self):
        self.write("""
            [DEFAULT]
            enabled_backends = disks, late
            [disks]
            volume_driver = mydriver.cinder_volume.driver.LIODriver
        """)
        folder = os.path.join(self.folder, 'cinder.conf.d')
        os.mkdir(folder)
        with open(os.path.join(folder, '50-late.conf'), 'w') as f:
            f.write('[late]\nvolume_driver = mydriver.cinder_volume.driver.'
                    'LIODriver\n[mydriver_privsep_target]\n'
                    'helper_command = doas helper\n')
        found = backends.read([self.conf], (), [folder])
        self.assertEqual(['disks', 'late'], [b.name for b in found])
        self.assertEqual('doas helper',
                         cfg.CONF.mydriver_privsep_target.helper_command)

    def test_an_enabled_section_that_does_not_exist_is_logged(self):
        self.write(commands.CONF.replace('= disks,lvm,plain', '= disks,lvmm'))
        with self.assertLogs('mydriver', 'WARNING') as logged:
            self.assertEqual(['disks'], list(self.read()))
        self.assertIn('[lvmm]', logged.output[0])

    def test_a_wrong_value_names_the_option(self):
        self.write(commands.CONF.replace('target_port = 3261',
                                         'target_port = x'))
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'target_port'):
            _ = self.read()['disks'].settings

    def test_a_section_that_is_no_backends(self):
        for name in ('backend_defaults', 'DEFAULT'):
            self.write(f"""
                [DEFAULT]
                enabled_backends = disks, {name}
            """)
            with self.assertRaisesRegex(
                    exception.ConfigurationError,
                    rf'enabled_backends: \[{name}\] is no section'):
                backends.read([self.conf])

    def test_privsep_is_configured_by_the_same_file(self):
        self.write(commands.CONF + """
            [mydriver_privsep_target]
            helper_command = doas privsep-helper
        """.replace('\n            ', '\n    '))
        self.read()
        self.assertEqual('doas privsep-helper',
                         cfg.CONF.mydriver_privsep_target.helper_command)


class SameAsCinderTest(fakes.CinderTestCase):
    """The declarations, and the values read with them, match Cinder's."""

    def test_declarations(self):
        # Not at the top: Cinder's objects must be registered first.
        cinder_manager = importlib.import_module('cinder.volume.manager')
        theirs = {o.name: o for o in (
            *cinder_driver.volume_opts, *cinder_manager.volume_manager_opts,
            *cinder_manager.volume_backend_opts, *cinder_config.core_opts,
            *cinder_config.global_opts)}
        for opt in (*backends.BACKEND_OPTS, *backends.GLOBAL_OPTS):
            with self.subTest(opt.name):
                their = theirs[opt.name]
                self.assertEqual(
                    (their.default, their.type,
                     [d.name for d in their.deprecated_opts]),
                    (opt.default, opt.type,
                     [d.name for d in opt.deprecated_opts]))

    def test_settings(self):
        self.configure("""
            use_chap_auth = True
            target_secondary_ip_addresses = 192.0.2.2,192.0.2.2,192.0.2.3
        """)
        driver = self.new_driver()
        backend, = backends.read([f'{self.folder}/cinder.conf'])
        self.assertEqual(
            settings.of_service(driver.configuration, fakes.BACKEND),
            backend.settings)

    def test_cinder_is_not_loaded(self):
        script = ("import sys; sys.modules['cinder'] = None\n"
                  'from mydriver.cmd import main\n'
                  "sys.exit(main.main(['restore', '--config-file', "
                  f"'{self.folder}/cinder.conf']))")
        done = subprocess.run([sys.executable, '-c', script], text=True,
                              capture_output=True, check=False)
        path = f'{self.folder}/state/mydriver/disks/journal.sqlite'
        self.assertEqual(
            (0, f'Backend disks has no journal yet at {path}\n'),
            (done.returncode, done.stdout + done.stderr))
