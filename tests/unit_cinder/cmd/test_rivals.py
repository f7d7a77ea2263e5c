# SPDX-License-Identifier: Apache-2.0
"""Rival services are found from systemd's files."""

import os
from pathlib import Path
import shutil
import tempfile
import unittest
from unittest import mock

import ddt

from mydriver.cmd import rivals
from mydriver.hostfiles import catalogue

DEBIAN = 'rtslib-fb-targetctl.service'
SYSTEM, ADMIN = 'usr/lib/systemd/system', 'etc/systemd/system'


@ddt.ddt
class RivalsTest(unittest.TestCase):
    """A root filesystem with units."""

    def setUp(self):
        super().setUp()
        self.root = Path(tempfile.mkdtemp(prefix='mydriver-'))
        self.addCleanup(shutil.rmtree, self.root)
        patch = mock.patch.object(rivals, 'ROOT', self.root)
        patch.start()
        self.addCleanup(patch.stop)

    def install(self, unit=DEBIAN, enabled=True):
        """Install a unit as a package does."""
        path = self.root / SYSTEM / unit
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('[Service]\nExecStop=/usr/bin/targetctl clear\n')
        if enabled:
            wants = self.root / ADMIN / 'multi-user.target.wants'
            wants.mkdir(parents=True)
            (wants / unit).symlink_to(f'/{SYSTEM}/{unit}')

    def save(self, name, text):
        """Write a saved configuration."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_none(self):
        self.assertEqual([], list(rivals.warnings()))

    @ddt.data(*rivals.UNITS)
    def test_an_enabled_one(self, unit):
        self.install(unit)
        warning, = rivals.warnings()
        self.assertIn(unit, warning)

    def test_one_that_is_not_enabled(self):
        self.install(enabled=False)
        self.assertEqual([], list(rivals.warnings()))

    def test_one_that_is_masked(self):
        self.install()
        (self.root / ADMIN / DEBIAN).symlink_to('/dev/null')
        self.assertEqual([], list(rivals.warnings()))

    def test_a_link_that_a_removed_package_left(self):
        self.install()
        (self.root / SYSTEM / DEBIAN).unlink()
        self.assertEqual([], list(rivals.warnings()))

    def test_one_that_setup_keeps_from_removing(self):
        self.install()
        name = f'{ADMIN}/{DEBIAN}.d/mydriver.conf'
        self.save(name, '[Service]\nExecStop=/bin/true\n')
        self.assertEqual(1, len(list(rivals.warnings())))
        self.save(name, catalogue.template('rival.conf'))
        self.assertEqual([], list(rivals.warnings()))
        self.save(rivals.SAVED[0], '{"name": "somebodys-disk"}')
        warning, = rivals.warnings()
        self.assertIn(f'restores {self.root}/{rivals.SAVED[0]}', warning)

    @ddt.data(*rivals.SAVED)
    def test_saved_exports_of_this_driver(self, name):
        self.install()
        self.save(name, '{"name": "somebodys-disk"}')
        self.assertEqual(1, len(list(rivals.warnings())))
        self.save(name, '{"name": "mydriver-disks-1"}')
        self.assertIn(name, list(rivals.warnings())[1])

    @ddt.data(*rivals.SAVED)
    def test_a_saved_configuration_that_cannot_be_read(self, name):
        self.install()
        (self.root / name).mkdir(parents=True)
        self.assertIn(f'{self.root}/{name} cannot be read (Is a directory)',
                      list(rivals.warnings())[1])

    def test_a_setting_that_cannot_be_read(self):
        self.install()
        path = self.root / ADMIN / f'{DEBIAN}.d/mydriver.conf'
        path.mkdir(parents=True)
        warning, = rivals.warnings()
        self.assertIn(f'{path} cannot be read', warning)

    def test_units_that_cannot_be_read(self):
        """It is not known whether they are enabled."""
        self.install()
        self.assertEqual(1, len(list(rivals.warnings())))
        os.chmod(self.root, 0o755)
        os.chmod(self.root / ADMIN, 0o700)
        os.setresuid(65534, 65534, 0)
        try:
            found = list(rivals.warnings())
        finally:
            os.setresuid(0, 0, 0)
        self.assertEqual(len(rivals.UNITS), len(found), found)
        for unit, text in zip(rivals.UNITS, found, strict=True):
            self.assertIn('cannot be read (Permission denied): it is not '
                          f'known whether {unit} is enabled', text)

    @ddt.data(
        ('{"storage_objects": [{"name": "mydriver-a"}]}', True),
        (('{"storage_objects": [{"name": "mydriver-a"}], "targets": [{"wwn": '
         '"iqn.2010-10.org.openstack:mydriver-host-files-0"}]}'), True),
        (('{"storage_objects": [{"name": "mydriver-a"}], "targets": [{"wwn": '
         '"iqn.2010-10.org.openstack:volume-0"}]}'), False),
        ('{"storage_objects": [{"name": "mydriver-a"}, {"name": "b"}]}',
         False), ('{"storage_objects": []}', False), ('{}', False),
        ('[]', False), ('{"storage_objects": [{"x": "mydriver-"}]}', False),
        ('"mydriver-', False))
    @ddt.unpack
    def test_whose_exports_are_saved(self, text, is_ours):
        self.assertIs(is_ours, rivals.is_ours_alone(text))

    def test_a_saved_configuration_that_is_not_restored(self):
        self.save(rivals.SAVED[0], '{"name": "mydriver-disks-1"}')
        self.assertEqual([], list(rivals.warnings()))
