# SPDX-License-Identifier: Apache-2.0
"""Attach and detach on a real kernel, by stock os-brick and by ours."""

import dataclasses
import os
from pathlib import Path
import sys
import time

import ddt

from mydriver import connection, model
from mydriver.connection import iscsi
from tests.functional import attaching
from tests.functional.attaching import MIB, Attachment, ours, stock


@ddt.ddt
class BothTest(attaching.AttachTestCase):
    """What stock os-brick and ours do alike."""

    @ddt.data((stock, False), (ours, False), (stock, True), (ours, True))
    @ddt.unpack
    def test_attach_and_detach(self, kind, multipath):
        if multipath:
            self.start_multipathd()
        first, second = (self.attach(kind, multipath) for _ in range(2))
        for attachment in (first, second):
            self.assert_is(attachment.path, attachment.volume_id)
            self.assertEqual(
                '3' + model.naa_id(attachment.volume_id),
                attachment.result['scsi_wwn'])
            if multipath:
                self.assertEqual(2, len(attaching.slaves(attachment.path)))
                self.assertEqual(attachment.result['scsi_wwn'],
                                 attachment.result['multipath_id'])
        self.detach(first)
        self.assert_is(second.path, second.volume_id)
        self.detach(second)
        # os-brick never takes a WWID out of multipathd's list again.
        self.assert_nothing_left(*(['wwids'] if kind is stock else []))

    @ddt.data((stock, False), (ours, False), (stock, True), (ours, True))
    @ddt.unpack
    def test_extend(self, kind, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(kind, multipath)
        self.cloud.grow(attachment.volume_id, 64 * MIB)
        self.assertEqual(64 * MIB, attachment.connector.extend_volume(
            {**attachment.data, 'device_path': attachment.path}))
        self.assertEqual(64 * MIB, attaching.size_bytes(attachment.path))
        self.detach(attachment)

    @ddt.data(stock, ours)
    def test_encrypted_volume_has_a_link_of_its_own(self, kind):
        volume_id = self.cloud.volume()
        data = self.cloud.attach(volume_id, marked=kind is ours)
        data['encrypted'] = True
        attachment = Attachment(volume_id, data, kind(False),
                                kind(False).connect_volume(data))
        self.assertTrue(Path(attachment.path).is_symlink())
        self.assertTrue(attachment.path.startswith('/dev/disk/by-id/os-brick'))
        self.assert_is(attachment.path, volume_id)
        self.detach(attachment)
        self.assertFalse(Path(attachment.path).is_symlink())
        self.assert_nothing_left()

    def test_our_connector_takes_other_backends_volumes(self):
        volume_id = self.cloud.volume()
        data = self.cloud.attach(volume_id, marked=False)
        self.assertFalse(iscsi.is_ours(data))
        attachment = Attachment(volume_id, data, ours(False),
                                ours(False).connect_volume(data))
        self.assert_is(attachment.path, volume_id)
        self.cloud.grow(volume_id, 32 * MIB)
        self.assertEqual(32 * MIB, attachment.connector.extend_volume(data))
        self.detach(attachment)
        self.assert_nothing_left()

    @ddt.data((stock, ours), (ours, stock))
    @ddt.unpack
    def test_change_of_the_compute_driver(self, before, after):
        """What one attached, the other detaches and attaches again."""
        volume_id = self.cloud.volume()
        data = self.cloud.attach(volume_id, marked=True)
        old = Attachment(volume_id, data, after(False),
                         before(False).connect_volume(data))
        again = after(False).connect_volume(data)
        self.assertEqual(old.path, again['path'])
        self.assert_is(old.path, volume_id)
        self.detach(old)
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_times(self, multipath):
        if multipath:
            self.start_multipathd()
        volumes = self.neighbours(4)
        spent = {}
        for kind in (stock, ours):
            spent[kind] = []
            held = []
            for volume_id in volumes:
                data = self.cloud.attach(volume_id, kind is ours)
                connector = kind(multipath)
                began = time.perf_counter()
                result = connector.connect_volume(data)
                spent[kind].append(time.perf_counter() - began)
                held.append(Attachment(volume_id, data, connector, result))
            for attachment in held:
                began = time.perf_counter()
                attachment.disconnect()
                spent[kind].append(time.perf_counter() - began)
        for n, label in enumerate((
                'attach with login', 'attach, session up',
                'attach, session up', 'attach, session up', 'detach',
                'detach', 'detach', 'detach with logout')):
            was, now = spent[stock][n], spent[ours][n]
            print(f'\n{"two paths" if multipath else "one path"}, {label}: '
                  f'stock {was:.3f} s, ours {now:.3f} s, ratio '
                  f'{was / now:.1f}', end='', file=sys.stderr)
        print(file=sys.stderr)
        self.assertLess(sum(spent[ours]), sum(spent[stock]))


class NoChapTest(attaching.AttachTestCase):
    """A target that asks for no secret."""

    chap = False

    def test_attach_and_detach(self):
        for kind in (stock, ours):
            attachment = self.attach(kind)
            self.assertNotIn('auth_password', attachment.data)
            self.assert_is(attachment.path, attachment.volume_id)
            self.detach(attachment)
            self.assert_nothing_left()


@ddt.ddt
class TwoTargetsTest(attaching.AttachTestCase):
    """One volume at two targets, under another LUN at each."""

    chap = False
    LUN = 77

    def spread(self):
        """Return a volume, and connection data with a path to each target."""
        volume_id = self.cloud.volume()
        first = self.parse(self.cloud.attach(volume_id, marked=True))
        while True:
            other_id = self.cloud.volume()
            other = self.parse(self.cloud.attach(other_id, marked=True))
            if other.target != first.target:
                break
        self.cloud.map_beside(volume_id, other_id, self.LUN)
        return volume_id, iscsi.Connection(volume_id, (
            dataclasses.replace(first, portal=attaching.PORTALS[0]),
            iscsi.Path(other.target, attaching.PORTALS[1], self.LUN)),
            wwn=model.naa_id(volume_id)).to_data(
                connection.Capabilities(verifies_wwn=True))

    @staticmethod
    def parse(data):
        return iscsi.Connection.parse(data).paths[0]

    def test_multipath(self):
        self.start_multipathd()
        volume_id, data = self.spread()
        attachment = Attachment(volume_id, data, ours(True),
                                ours(True).connect_volume(data))
        self.assertEqual(2, len(attaching.slaves(attachment.path)))
        self.assertEqual(
            {f'{n}' for n in data['target_luns']},
            {os.path.realpath(f'/sys/block/{name}/device').rpartition(':')[2]
             for name in attaching.slaves(attachment.path)})
        self.assertEqual(2, len(set(data['target_iqns'])))
        self.assert_is(attachment.path, volume_id)
        self.cloud.grow(volume_id, 64 * MIB)
        self.assertEqual(64 * MIB, attachment.connector.extend_volume(
            {**data, 'device_path': attachment.path}))
        self.assertEqual(64 * MIB, attaching.size_bytes(attachment.path))
        attachment.disconnect()
        self.assert_nothing_left()

    @ddt.data(0, 1)
    def test_each_target_alone(self, gone):
        volume_id, data = self.spread()
        data['target_portals'][gone] = '127.0.0.9:3260'
        if not gone:
            data['target_portal'] = '127.0.0.9:3260'
        attachment = Attachment(volume_id, data, ours(False),
                                ours(False).connect_volume(data))
        self.assert_is(attachment.path, volume_id)
        attachment.disconnect()
        self.assert_nothing_left()
