# SPDX-License-Identifier: Apache-2.0
"""Objects of other backends and hosts are left alone."""

import dataclasses
import os
from pathlib import Path
import unittest
from unittest import mock

from cinder import exception as cinder_exception
import fixtures
from oslo_concurrency import lockutils

from mydriver import exception, model
from mydriver.target import adoption, chap, exports, ownership
from mydriver.target import pool as serving
from mydriver.target.journal import sqlite
from tests.fakes import cinder as fakes
from tests.fakes import connecting, devices
from tests.fakes import exports as exporting
from tests.fakes.target import MemoryTarget
from tests.unit.target.test_exports import ALICE, BOB

PORTALS = (model.Portal('127.0.0.1'),)
HOST = 'h'


def old_pool(backend):
    """Return what earlier releases called the targets of a backend."""
    plain = backend.replace('_', '-')
    return [model.Iqn(f'iqn.2010-10.org.openstack:mydriver-{HOST}-{plain}-{n}')
            for n in range(4)]


class HostCase(unittest.TestCase):
    """A host with several backends and one kernel."""

    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir())
        lockutils.set_defaults(self.folder)
        self.targets = {}
        self.devices = devices.MemoryDevices()
        self.name_host(HOST)

    def useFixture(self, fixture):
        fixture.setUp()
        self.addCleanup(fixture.cleanUp)
        return fixture.path

    def name_host(self, name):
        patched = mock.patch('socket.gethostname', return_value=name)
        patched.start()
        self.addCleanup(patched.stop)

    def backend(self, name, folder=None):
        """Return a backend's service, not started."""
        path = os.path.join(self.folder, folder or name)
        os.makedirs(path, exist_ok=True)
        target = MemoryTarget(name, PORTALS, chap=True)
        target.targets = self.targets
        kept = sqlite.SqliteJournal(f'{path}/journal.sqlite',
                                     os.urandom(4).hex())
        self.addCleanup(kept.close)
        made = exports.ExportService(
            serving.Settings(name, 'iqn.2010-10.org.openstack:', PORTALS,
                             True, path), kept, target,
            chap.KeyRing.load(path), target.name_prefix, self.devices,
            lambda _target, _initiator, portals, _timeout_s: tuple(portals))
        made.journal, made.target = kept, target
        return made

    def started(self, name):
        made = self.backend(name)
        made.reconciler.start()
        return made

    def old(self, name):
        """Return a backend as an earlier release left it."""
        made = self.backend(name)
        pool = made.journal.add_targets(old_pool(name))
        made.target.ensure_pool(pool)
        made.reconciler.pool = pool
        return made

    def attached(self, of, connector=ALICE):
        """Return a volume that a host has."""
        volume_id, _device = exporting.ServiceCase.volume(self)
        of.create_export(volume_id)
        connecting.connect(of, volume_id, connector)
        return volume_id

    def mapped(self):
        """Return the volumes that the kernel serves, with their targets."""
        return {target.luns[tpg_lun][1].volume_id: iqn
                for iqn, target in self.targets.items()
                for acl in target.acls.values()
                for tpg_lun, _ in acl.luns.values()}

    def assert_refused(self, made, *texts):
        before = repr(self.targets)
        with self.assertRaises(exception.ConfigurationError) as caught:
            made.reconciler.start()
        for text in texts:
            self.assertIn(text, str(caught.exception))
        self.assertEqual(before, repr(self.targets))


class PoolTest(HostCase):
    """Targets of several backends."""

    def test_names_that_were_the_same(self):
        first, second = self.started('ssd_fast'), self.started('ssd-fast')
        volumes = [self.attached(b) for b in (first, second) * 4]
        self.assertEqual(set(volumes), set(self.mapped()))
        self.assertEqual(8, len(self.targets))

    def test_names_in_use_stay(self):
        old = self.old('ssd_fast')
        volume_id = self.attached(old)
        again = self.started('ssd_fast')
        self.assertEqual({str(t) for t in old_pool('ssd_fast')},
                         set(self.targets))
        self.attached(again)
        self.assertIn(volume_id, self.mapped())

    def test_who_has_no_volumes_there_takes_other_names(self):
        first, second = self.old('ssd_fast'), self.old('ssd-fast')
        volume_id = self.attached(first)
        second = self.started('ssd-fast')
        self.attached(second)
        first = self.started('ssd_fast')
        self.attached(first)
        self.assertEqual(3, len(self.mapped()))
        self.assertEqual(8, len(self.targets))
        self.assertIn(self.mapped()[volume_id],
                      {str(t) for t in old_pool('ssd_fast')})

    def test_a_live_volume_of_another_backend_is_not_touched(self):
        first, second = self.old('ssd_fast'), self.old('ssd-fast')
        self.attached(first)
        volume_id, device = exporting.ServiceCase.volume(self)
        # The second one got this far.
        second.journal.add_export(volume_id, device, old_pool('ssd_fast')[0])
        self.assert_refused(self.backend('ssd-fast'), '[ssd-fast]',
                            '[ssd_fast]', 'mydriver-h-ssd-fast-')

    def test_before_the_first_one_is_up(self):
        # After a boot the kernel tells nothing, but the journals do.
        first, second = self.old('ssd_fast'), self.old('ssd-fast')
        volumes = [self.attached(first) for _ in range(8)]
        second.journal.add_export(
            *exporting.ServiceCase.volume(self), old_pool('ssd_fast')[0])
        self.targets.clear()
        self.assert_refused(self.backend('ssd-fast'), '[ssd_fast]')
        self.assertEqual(8, len(volumes))

    def test_a_journal_that_cannot_be_read_is_none(self):
        os.mkdir(os.path.join(self.folder, 'other'))
        Path(self.folder, 'other', 'journal.sqlite').write_text('x' * 99)
        self.attached(self.started('ssd'))
        self.assertEqual(1, len(self.mapped()))

    def test_a_host_that_is_renamed_again_and_again(self):
        first = self.started('disks')
        volume_id = self.attached(first)
        used = self.mapped()[volume_id]
        for n in range(5):
            self.name_host(f'renamed{n}')
            again = self.started('disks')
            self.assertEqual({volume_id: used}, self.mapped())
            self.assertEqual(5, len(self.targets), self.targets.keys())
            self.assertEqual(5, len(again.journal.targets()))
        connecting.disconnect(again, volume_id, ALICE)
        again.remove_export(volume_id)
        self.started('disks')
        self.assertEqual(4, len(self.targets))

    def test_a_lost_journal_of_a_renamed_host(self):
        lost = self.started('disks')
        volume_id = self.attached(lost)
        before = self.mapped()
        lost.journal.close()
        os.unlink(f'{self.folder}/disks/journal.sqlite')
        self.name_host('renamed')
        again = self.started('disks')
        self.assertEqual(before, self.mapped())
        self.assertTrue(again.is_exported(volume_id))

    def test_strangers_targets_are_not_ours(self):
        stranger = model.Iqn('iqn.2003-01.org.linux-iscsi.x:disk')
        made = self.backend('disks')
        made.target.ensure_pool([stranger])
        volume_id, device = exporting.ServiceCase.volume(self)
        made.target.ensure_export(model.Export(volume_id, device, stranger,
                                               0))
        self.assertEqual([], adoption.unknown_targets(
            [], made.target.name_prefix, made.target))
        made.reconciler.start()
        self.assertNotIn(stranger, made.journal.targets())


class PlaceTest(fakes.CinderTestCase):
    """The stores of two backends."""

    def refusal(self, path):
        os.makedirs(f'{self.folder}/b', exist_ok=True)
        os.symlink(self.store_path, f'{self.folder}/link')
        self.configure(f"""
            [fast]
            volume_driver = mydriver.cinder_volume.driver.LIODriver
            mydriver_store_path = {self.folder}/{path}
            [lvm]
            mydriver_store_path = {self.store_path}
            [DEFAULT]
            enabled_backends = disks, fast, lvm
        """)
        made = self.new_driver()
        made.do_setup(None)
        self.addCleanup(made.engine.journal.close)
        try:
            made.check_for_setup_error()
        except cinder_exception.InvalidConfigurationValue as e:
            return str(e)
        return None

    def test_one_place_under_two_names(self):
        text = self.refusal('link')
        for part in ('[disks]', '[fast]', '/link'):
            self.assertIn(part, text)

    def test_two_places(self):
        self.assertIsNone(self.refusal('b'))


class ClaimTest(HostCase):
    """Whose a directory is."""

    def setUp(self):
        super().setUp()
        self.settings = dataclasses.replace(
            self.backend('disks')._settings)
        self.machine = Path(self.folder, 'machine-id')

    def claim(self, host, machine, **changed):
        self.machine.write_text(machine)
        ownership.claim(dataclasses.replace(self.settings, **changed), host,
                        self.machine)

    def test_a_rename_and_new_hardware(self):
        self.claim('one', 'a')
        self.claim('two', 'a')
        self.claim('two', 'b')
        self.claim('three', 'b')

    def test_another_host(self):
        self.claim('one', 'a')
        for _ in range(2):
            with self.assertRaises(exception.ConfigurationError) as caught:
                self.claim('two', 'b')
            for text in ('host one', 'this is two', 'disks/owner'):
                self.assertIn(text, str(caught.exception))
        self.claim('one', 'a')

    def test_another_host_takes_over(self):
        self.claim('one', 'a')
        os.unlink(f'{self.folder}/disks/owner')
        self.claim('two', 'b')

    def test_a_machine_that_nothing_identifies(self):
        self.machine = Path(self.folder, 'nothing', 'there')
        for host in ('one', 'two'):
            ownership.claim(self.settings, host, self.machine)

    def test_another_backend(self):
        self.claim('one', 'a')
        with self.assertRaises(exception.ConfigurationError) as caught:
            self.claim('one', 'a', backend='fast')
        for text in ('[disks]', '[fast]'):
            self.assertIn(text, str(caught.exception))

    def test_a_damaged_file_is_named(self):
        for text in ('', '[]', '{}', '\\x00'):
            Path(self.folder, 'disks', 'owner').write_text(text)
            with self.assertRaisesRegex(exception.ConfigurationError,
                                        'disks/owner'):
                self.claim('one', 'a')

    def test_the_machine_id_stays_secret(self):
        self.claim('one', 'c0ffee')
        text = Path(self.folder, 'disks', 'owner').read_text()
        self.assertNotIn('c0ffee', text)
        self.assertIn('"host": "one"', text)

    def test_a_started_backend_says_so(self):
        self.started('disks')
        self.assertTrue(Path(self.folder, 'disks', 'owner').exists())
        self.assert_refused(self.backend('fast', 'disks'), '[disks]')
        self.attached(self.started('disks'), BOB)
