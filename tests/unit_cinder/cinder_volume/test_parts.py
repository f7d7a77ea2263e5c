# SPDX-License-Identifier: Apache-2.0
"""Each part on its own, with a store and an export service."""

import types

from cinder import exception as cinder_exception
from cinder.volume import driver as cinder_driver

from mydriver import events, exception
from mydriver.backend import devices
from mydriver.cinder_volume import (
    connections,
    driver,
    groups,
    manage,
    migrate,
    native,
    parts,
    volumes,
)
from mydriver.stores import names
from mydriver.stores.reflink import store as reflink
from tests.fakes import cinder as fakes
from tests.fakes import exports as exporting
from tests.fakes import filesystem

GIB = 1 << 30


class PartCase(exporting.ServiceCase):
    """A backend without a driver object."""

    def setUp(self):
        super().setUp()
        self.records = fakes.Records()
        self.store = reflink.ReflinkStore(filesystem.folder(self),
                                          filesystem.copy)
        self.devices = devices.StoreDevices(self.store)
        self.restart()
        self.backend = parts.Backend(
            'be', 'host@be', types.SimpleNamespace(
                mydriver_max_extents=0, mydriver_check_block_size=True),
            self.records, self.store, self.service,
            lambda _conf, _name: self.store)
        self.connections = connections.Connections(
            self.backend, native.Native(self.backend))
        self.volumes = volumes.Volumes(self.backend, self.connections)

    def created(self, **fields):
        """Return a new volume."""
        volume = fakes.volume(**fields)
        self.volumes.create_volume(volume)
        return volume

    def attached(self):
        """Return a volume that a host has attached."""
        volume = self.created()
        self.connections.create_export(None, volume, exporting.ALICE)
        self.connections.initialize_connection(volume, exporting.ALICE)
        return volume


class PartsTest(PartCase):
    """What a part does, and which parts it calls."""

    def setUp(self):
        super().setUp()
        # The parts take Cinder's locks.
        fakes.start_coordination(self, self.folder)

    def test_volumes_withdraw_what_they_delete(self):
        volume = self.created()
        self.connections.create_export(None, volume, exporting.ALICE)
        self.volumes.delete_volume(volume)
        self.assertEqual(([], [], []), self.seen())
        self.assertEqual([], list(self.store.names()))

    def test_errors_are_ours(self):
        volume = self.attached()
        with self.assertRaises(exception.TargetInUse):
            self.volumes.delete_volume(volume)
        with self.assertRaises(exception.TargetInUse):
            manage.Manage(self.backend, self.connections).unmanage(volume)
        self.assertEqual([names.of_volume(volume)], list(self.store.names()))

    def test_a_group_calls_down_for_each_member(self):
        free, used = self.created(), self.attached()
        update, members = groups.Groups(
            self.backend, self.volumes).delete_group(
                None, fakes.group(), [free, used])
        self.assertEqual('error_deleting', update['status'])
        self.assertEqual({free.id: 'deleted', used.id: 'error_deleting'},
                         {m['id']: m['status'] for m in members})
        self.assertEqual([names.of_volume(used)], list(self.store.names()))

    def test_a_declined_migration_withdraws_nothing(self):
        volume = self.created()
        self.connections.create_export(None, volume, exporting.ALICE)
        exported = self.seen()
        moving = migrate.Migrate(self.backend, native.Native(self.backend))
        for info in (None, f'LIODriver:elsewhere:{self.store.location}',
                     str(self.backend.place)):
            self.assertEqual((False, None), moving.migrate_volume(
                None, volume, {'host': 'host@other#other', 'capabilities': {
                    'location_info': info}}))
            self.assertEqual(exported, self.seen())


class MadeOfTest(fakes.CinderTestCase):
    """The driver class is a list of parts."""

    def test_two_parts_with_one_method(self):
        class Twice:
            def create_volume(self, volume):
                """Do what Volumes does."""

        with self.assertRaisesRegex(TypeError, 'create_volume'):
            parts.made_of(volumes.Volumes, Twice)(
                type('Driver', (cinder_driver.VolumeDriver,), {}))

    def test_what_cinder_does_not_call_is_no_method_of_the_driver(self):
        self.assertTrue(hasattr(connections.Connections, 'withdraw'))
        self.assertFalse(hasattr(driver.LIODriver, 'withdraw'))
        self.assertTrue(hasattr(volumes.Volumes, 'check_copy'))
        self.assertFalse(hasattr(driver.LIODriver, 'check_copy'))

    def test_a_forwarding_method_reports_its_operation(self):
        made = self.started_driver()
        volume = fakes.volume()
        with self.assertLogs('mydriver.events', 'INFO') as log:
            made.create_volume(volume)
            made.create_export(None, volume, exporting.ALICE)
            made.initialize_connection(volume, exporting.ALICE)
            made.terminate_connection(volume, exporting.ALICE)
            made.retype(None, volume, None, None, None)
            with self.assertRaises(cinder_exception.VolumeDriverException):
                made.create_snapshot(fakes.snapshot(fakes.volume()))
        seen = [events.parse(r.getMessage()) for r in log.records]
        self.assertEqual(
            ['create_volume', 'create_export', 'initialize_connection',
             'terminate_connection', 'create_snapshot'],
            [e.operation for e in seen if not e.phase])
        self.assertEqual({volume.id},
                         {e.volume_id for e in seen if not e.error})
        self.assertEqual(['BackingNotFound'],
                         [e.error for e in seen if e.error])
        self.assertEqual(
            ['lock', 'device', 'target'], [
                e.phase for e in seen
                if e.operation == 'create_export' and e.phase])
        self.assertEqual(
            ['lock', 'target', 'discover'], [
                e.phase for e in seen
                if e.operation == 'initialize_connection' and e.phase])

    def test_a_forwarding_method_translates_errors_and_names_its_part(self):
        made = self.started_driver()
        self.assertEqual(
            volumes.Volumes.create_volume.__doc__,
            driver.LIODriver.create_volume.__doc__)
        missing = fakes.snapshot(fakes.volume())
        with self.assertRaises(cinder_exception.VolumeDriverException):
            made.create_snapshot(missing)
        with self.assertRaises(exception.BackingNotFound):
            made.parts[volumes.Volumes].create_snapshot(missing)
