# SPDX-License-Identifier: Apache-2.0
"""The Cinder driver on the real kernel, with the reflink store."""

import os
from unittest import mock

from cinder import exception as cinder_exception
from cinder.volume import group_types

from mydriver.target import configfs
from mydriver.target import pool as serving
from tests.fakes import cinder as fakes
from tests.functional import base, driving, lio

GIB = driving.GIB
MIB = driving.MIB


class DriverTest(driving.DriverCase):
    """What the API asks for."""

    def test_cinder_connects_a_volume_to_its_own_host(self):
        volume = fakes.volume()
        self.driver.create_volume(volume)
        info, properties = self.attached(volume)
        self.assertEqual(GIB, int(base.run(
            'blockdev', '--getsize64', info['device']['path'])))
        with open(info['device']['path'], 'r+b') as device:
            device.seek(MIB)
            device.write(b'by way of iSCSI')
            device.flush()
            os.fsync(device.fileno())
        self.assertEqual(b'by way of iSCSI', self.read(volume, 15, MIB))
        with self.assertRaises(cinder_exception.VolumeIsBusy):
            self.driver.delete_volume(volume)
        self.detach(volume, info, properties)
        self.assert_nothing_left()
        self.driver.delete_volume(volume)
        self.assertEqual((), self.driver.backend.store.names())

    def test_snapshot_clone_and_extend_in_use(self):
        volume = fakes.volume()
        self.driver.create_volume(volume)
        info, properties = self.attached(volume)
        path = info['device']['path']
        with open(path, 'r+b') as device:
            device.write(b'before')
            device.flush()
            os.fsync(device.fileno())
            snapshot, clone = fakes.snapshot(volume), fakes.volume(2)
            self.driver.create_snapshot(snapshot)
            self.driver.create_cloned_volume(clone, volume)
            device.seek(0)
            device.write(b'after!')
            device.flush()
            os.fsync(device.fileno())
        self.assertEqual((b'before', b'before', b'after!'), tuple(
            self.read(of, 6) for of in (snapshot, clone, volume)))
        self.driver.extend_volume(volume, 3)
        self.assertEqual(3 * GIB, info['connector'].extend_volume(
            info['conn']['data']))
        self.assertEqual(3 * GIB, int(base.run(
            'blockdev', '--getsize64', path)))
        self.detach(volume, info, properties)
        self.assert_nothing_left()

    def test_snapshots_of_a_group_in_use(self):
        group = fakes.group()
        volumes = [fakes.volume(), fakes.volume()]
        attached = []
        for volume in volumes:
            self.driver.create_volume(volume)
            attached.append(self.attached(volume))
        for n, (info, _properties) in enumerate(attached):
            self.put(info['device']['path'], b'member %d' % n)
        whole = fakes.group_snapshot(group)
        parts = [fakes.snapshot(v) for v in volumes]
        made = [fakes.volume(2), fakes.volume(2)]
        # The types of groups are in the database.
        with mock.patch.object(group_types, 'get_group_type_specs',
                               return_value=False):
            self.driver.create_group_snapshot(fakes.context(), whole, parts)
            for info, _properties in attached:
                self.put(info['device']['path'], b'changed!')
            self.driver.create_group_from_src(
                fakes.context(), fakes.group(), made, group_snapshot=whole,
                snapshots=parts)
        for n, (volume, new) in enumerate(zip(volumes, made, strict=True)):
            self.assertEqual(b'member %d' % n, self.read(new, 8))
            self.assertEqual(b'changed!', self.read(volume, 8))
        members, statuses = self.driver.delete_group(
            fakes.context(), group, volumes)
        self.assertEqual({'status': 'error_deleting'}, members)
        self.assertEqual({'error_deleting'}, {s['status'] for s in statuses})
        for volume, (info, properties) in zip(volumes, attached, strict=True):
            self.detach(volume, info, properties)
        self.assert_nothing_left()

    @staticmethod
    def put(path, data):
        """Write to a device, durably."""
        with open(path, 'r+b') as device:
            device.write(data)
            device.flush()
            os.fsync(device.fileno())

    def test_a_target_that_does_not_serve_is_reported(self):
        def state():
            pool, = self.driver.get_volume_stats(refresh=True)['pools']
            return pool['backend_state'], pool['free_capacity_gb'] > 0

        self.assertEqual(('up', True), state())
        target = configfs.ROOT / 'iscsi' / str(
            serving.pool(self.driver.backend.exports._settings)[0]) / 'tpgt_1'
        (target / 'enable').write_text('0')
        self.assertEqual(('down', False), state())
        (target / 'enable').write_text('1')
        self.assertEqual(('up', True), state())
        (target / 'np/127.0.0.2:3260').rmdir()
        with self.assertLogs('mydriver', 'WARNING') as logged:
            self.assertEqual(('up', True), state())  # by the other portal
        self.assertIn('127.0.0.2:3260', '\n'.join(logged.output))
        (target / 'np/127.0.0.1:3260').rmdir()
        self.assertEqual(('down', False), state())
        self.driver.check_for_setup_error()
        self.assertEqual(('up', True), state())

    def test_a_wrong_connector_changes_nothing(self):
        volume = fakes.volume()
        self.driver.create_volume(volume)
        self.driver.create_export(None, volume, fakes.connector())
        before = lio.dump()
        for name in (None, 'not an iqn', 'iqn.1993-08.org.debian:a_b'):
            with self.assertRaises(
                    cinder_exception.InvalidConnectorException):
                self.driver.initialize_connection(
                    volume, fakes.connector(name))
        self.assertEqual(before, lio.dump())

    def test_unreachable_portals_leave_no_acl_behind(self):
        volume = fakes.volume()
        self.driver.create_volume(volume)
        self.driver.create_export(None, volume, fakes.connector())
        before = lio.dump()
        target, = (t for t in serving.pool(
            self.driver.backend.exports._settings)
            if configfs.target(t).exports)
        enable = configfs.ROOT / 'iscsi' / str(target) / 'tpgt_1/enable'
        enable.write_text('0')
        with self.assertRaisesRegex(cinder_exception.VolumeDriverException,
                                    'No portal offers target'):
            self.driver.initialize_connection(volume, fakes.connector())
        enable.write_text('1')
        self.assertEqual(before, lio.dump())

    def test_cinder_volume_starts_again_after_a_boot(self):
        volume = fakes.volume()
        self.driver.create_volume(volume)
        connector = fakes.connector()
        self.driver.create_export(None, volume, connector)
        before = self.driver.initialize_connection(volume, connector)
        lio.clear()
        again = self.new_driver(driving.kernel_driver)
        again.records.volumes = [fakes.volume(
            id=volume.id, status='in-use',
            volume_attachment=[fakes.attachment()])]
        again.do_setup(fakes.context())
        self.addCleanup(again.backend.exports._journal.close)
        again.check_for_setup_error()
        again.ensure_export(fakes.context(), volume)
        self.assertEqual(before,
                         again.initialize_connection(volume, connector))
