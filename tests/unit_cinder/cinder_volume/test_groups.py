# SPDX-License-Identifier: Apache-2.0
"""Generic volume groups, in the order of Cinder's manager."""

import dataclasses
import os
from unittest import mock

from cinder import exception as cinder_exception
from cinder.volume import group_types

from tests.fakes import cinder as fakes


class GroupCase(fakes.CinderTestCase):
    """A driver and three volumes of a group."""

    def setUp(self):
        super().setUp()
        self.specs = {}
        # The types are in the database.
        patch = mock.patch.object(
            group_types, 'get_group_type_specs',
            lambda _id, key=None: self.specs.get(key, False))
        patch.start()
        self.addCleanup(patch.stop)
        self.driver = self.started_driver()
        self.group = fakes.group()
        self.assertEqual({'status': 'available'}, self.driver.create_group(
            fakes.context(), self.group))
        self.volumes = [fakes.volume(n) for n in (1, 2, 3)]
        for n, volume in enumerate(self.volumes):
            self.driver.create_volume(volume)
            self.write(volume, b'member %d' % n)

    def snapshots(self):
        """Take a snapshot of the group; return it and its parts."""
        whole = fakes.group_snapshot(self.group)
        parts = [fakes.snapshot(v) for v in self.volumes]
        self.assertEqual(
            ({'status': 'available'},
             [{'id': p.id, 'status': 'available'} for p in parts]),
            self.driver.create_group_snapshot(fakes.context(), whole, parts))
        return whole, parts

    def files(self):
        """Return the names in the store."""
        return set(self.stored())


class GroupTest(GroupCase):
    """Groups whose type promises nothing."""

    def test_update_needs_nothing_of_the_store(self):
        before = self.files()
        self.assertEqual((None, None, None), self.driver.update_group(
            fakes.context(), self.group, add_volumes=self.volumes,
            remove_volumes=[]))
        self.assertEqual(before, self.files())

    def test_snapshot_and_group_from_it(self):
        before = self.files()
        whole, parts = self.snapshots()
        for volume in self.volumes:
            self.write(volume, b'changed!')
        made = [fakes.volume(v.size + 1) for v in self.volumes]
        self.assertEqual(
            ({'status': 'available'},
             [{'id': v.id, 'status': 'available'} for v in made]),
            self.driver.create_group_from_src(
                fakes.context(), fakes.group(), made, group_snapshot=whole,
                snapshots=parts))
        for n, volume in enumerate(made):
            self.assertEqual(b'member %d' % n, self.read(volume, 8))
            self.assertEqual(volume.size << 30,
                             os.path.getsize(self.path(volume)))
        for _ in range(2):
            self.assertEqual(
                ({'status': 'deleted'},
                 [{'id': p.id, 'status': 'deleted'} for p in parts]),
                self.driver.delete_group_snapshot(
                    fakes.context(), whole, parts))
        self.assertEqual(before | {f'volume-{v.id}' for v in made},
                         self.files())

    def test_group_from_group(self):
        before = self.files()
        made = [fakes.volume(v.size) for v in self.volumes]
        self.driver.create_group_from_src(
            fakes.context(), fakes.group(), made, source_group=self.group,
            source_vols=self.volumes)
        for n, volume in enumerate(made):
            self.assertEqual(b'member %d' % n, self.read(volume, 8))
        self.assertEqual(before | {f'volume-{v.id}' for v in made},
                         self.files())

    def test_a_member_that_is_lost_leaves_no_snapshot(self):
        os.unlink(self.path(self.volumes[2]))
        before = self.files()
        with self.assertRaises(cinder_exception.VolumeDriverException):
            self.snapshots()
        self.assertEqual(before, self.files())

    def test_delete(self):
        for _ in range(2):
            self.assertEqual(
                ({'status': 'deleted'},
                 [{'id': v.id, 'status': 'deleted'} for v in self.volumes]),
                self.driver.delete_group(
                    fakes.context(), self.group, self.volumes))
        self.assertEqual(set(), self.files())

    def test_a_member_in_use_makes_the_deletion_fail(self):
        used = self.volumes[1]
        self.driver.create_export(fakes.context(), used, fakes.connector())
        self.driver.initialize_connection(used, fakes.connector())
        group, members = self.driver.delete_group(
            fakes.context(), self.group, self.volumes)
        self.assertEqual({'status': 'error_deleting'}, group)
        self.assertEqual(['deleted', 'error_deleting', 'deleted'],
                         [m['status'] for m in members])
        self.assertEqual({f'volume-{used.id}'}, self.files())


class ConsistentGroupTest(GroupCase):
    """Groups whose type promises consistent snapshots."""

    def setUp(self):
        super().setUp()
        self.specs = {'consistent_group_snapshot_enabled': '<is> True'}

    def test_a_store_that_cannot_refuses_it(self):
        before = self.files()
        group, context = self.group, fakes.context()
        for call in (
                lambda: self.driver.create_group(context, group),
                lambda: self.driver.update_group(context, group),
                self.snapshots,
                lambda: self.driver.create_group_from_src(
                    context, group, [fakes.volume()],
                    source_vols=self.volumes[:1])):
            with self.assertRaisesRegex(
                    cinder_exception.VolumeDriverException,
                    'consistent snapshots'):
                call()
        self.assertEqual(before, self.files())
        pool, = self.driver.get_volume_stats(refresh=True)['pools']
        self.assertIs(False, pool['consistent_group_snapshot_enabled'])

    def test_a_store_that_can_keeps_it(self):
        self.driver.backend.store._obj.__class__ = type(
            'Consistent', (type(self.driver.backend.store._obj),),
            {'traits': dataclasses.replace(
                self.driver.backend.store.traits, consistent_groups=True)})
        self.driver.create_group(fakes.context(), self.group)
        self.snapshots()
        pool, = self.driver.get_volume_stats(refresh=True)['pools']
        self.assertIs(True, pool['consistent_group_snapshot_enabled'])

    def test_a_group_of_such_a_type_can_be_deleted(self):
        self.driver.delete_group(fakes.context(), self.group, self.volumes)
        self.assertEqual(set(), self.files())
