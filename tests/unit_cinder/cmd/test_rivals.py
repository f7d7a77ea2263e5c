# SPDX-License-Identifier: Apache-2.0
"""Rival services are found from systemd's files; our unit survives them."""

from pathlib import Path
import shutil
import tempfile
import unittest
from unittest import mock

import ddt

from lab import paths
from mydriver.cmd import rivals

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

    @ddt.data(*rivals.SAVED)
    def test_saved_exports_of_this_driver(self, name):
        self.install()
        self.save(name, '{"name": "somebodys-disk"}')
        self.assertEqual(1, len(list(rivals.warnings())))
        self.save(name, '{"name": "mydriver-disks-1"}')
        self.assertIn(name, list(rivals.warnings())[1])

    def test_a_saved_configuration_that_is_not_restored(self):
        self.save(rivals.SAVED[0], '{"name": "mydriver-disks-1"}')
        self.assertEqual([], list(rivals.warnings()))


class UnitCase(unittest.TestCase):
    """A unit.

    :cvar unit: its path.
    """

    unit: str

    def setUp(self):
        super().setUp()
        self.options = {}
        section = None
        unit = paths.ROOT / self.unit
        for line in unit.read_text().splitlines():
            if line.startswith('['):
                section = line.strip('[]')
            elif line and not line.startswith('#'):
                name, value = line.split('=', 1)
                self.options.setdefault((section, name), []).extend(
                    value.split())


class RestoreUnitTest(UnitCase):
    """The unit of ``mydriver restore``."""

    unit = 'etc/systemd/mydriver-restore.service'

    def test_it_is_ordered_after_its_rivals_and_restarts_with_them(self):
        for option in ('After', 'PartOf'):
            self.assertLessEqual({DEBIAN, 'target.service'},
                                 set(self.options['Unit', option]))

    def test_it_finishes_before_cinder_volume(self):
        self.assertIn('cinder-volume.service',
                      self.options['Unit', 'Before'])
        self.assertEqual(['oneshot'], self.options['Service', 'Type'])
        self.assertEqual(['restore'],
                         self.options['Service', 'ExecStart'][1:2])
        self.assertEqual(['yes'], self.options['Service', 'RemainAfterExit'])

    def test_it_is_retried(self):
        self.assertEqual(['on-failure'], self.options['Service', 'Restart'])

    def test_it_can_be_enabled(self):
        self.assertTrue(self.options['Install', 'WantedBy'])


class GatewayUnitTest(UnitCase):
    """The unit of ``mydriver gateway``."""

    unit = 'etc/systemd/mydriver-gateway.service'

    def test_it_stops_before_its_rivals_do_and_outlives_them(self):
        self.assertLessEqual({DEBIAN, 'target.service'},
                             set(self.options['Unit', 'After']))
        self.assertNotIn(('Unit', 'PartOf'), self.options)

    def test_it_is_independent_of_cinder_volume(self):
        self.assertNotIn('cinder', (paths.ROOT / self.unit).read_text(
            ).partition('[Unit]')[2].partition('[Service]')[0])

    def test_it_always_runs(self):
        self.assertEqual(['always'], self.options['Service', 'Restart'])
        self.assertEqual(['0'], self.options['Unit', 'StartLimitIntervalSec'])
        self.assertEqual(['gateway'],
                         self.options['Service', 'ExecStart'][1:2])
        self.assertEqual(['multi-user.target'],
                         self.options['Install', 'WantedBy'])

    def test_it_has_time_to_hand_over(self):
        self.assertGreater(
            int(*self.options['Service', 'TimeoutStopSec']), 30)
        self.assertEqual(['mixed'], self.options['Service', 'KillMode'])

    def test_it_is_installed(self):
        self.assertIn(f'"{self.unit}"',
                      (paths.ROOT / 'pyproject.toml').read_text())
