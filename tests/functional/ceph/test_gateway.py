# SPDX-License-Identifier: Apache-2.0
"""A gateway on a real Ceph and a real kernel, and an initiator that uses it.

All of it is on one node, so there is no other gateway to take over.
"""

import dataclasses
import os
from pathlib import Path
import uuid

from mydriver import exception, model
from mydriver.backend import images
from mydriver.privileged import krbd
from mydriver.privileged.target import backing
from mydriver.stores import names
from mydriver.target import configfs, lio
from mydriver.waiting import wait_for
from tests.functional import base
from tests.functional import lio as tests_lio
from tests.functional.ceph import gateways

ADDRESS = gateways.ADDRESSES[0]
LONG_S = gateways.LONG_S
MIB = gateways.MIB


class GatewayTest(gateways.GatewayCase):
    """One gateway, one cinder-volume, one initiator."""

    def test_attach_write_drain_and_end(self):
        stop = self.start()
        volume_id = self.volume()
        self.service.create_export(volume_id)
        reached = self.service.initialize_connection(volume_id, self.me)
        self.assertEqual((model.Portal(ADDRESS),), reached.portals)
        self.login()
        disk = self.disk(volume_id)
        data = os.urandom(MIB)
        with open(disk, 'r+b', buffering=0) as f:
            f.write(data)
            os.fsync(f.fileno())
        self.logout()
        self.assertFalse(self.service.terminate_connection(
            volume_id, self.me))
        self.assertTrue(self.service.remove_export(volume_id))
        self.assertEqual([], [m for m in krbd.mappings()
                              if names.is_name(m.image.name)])
        # Local use, as of cinder-volume for an image: it is on the image.
        with (self.service.local_device(volume_id) as device,
              open(device.path, 'rb') as f):
            self.assertEqual(data, f.read(MIB))
        stop()
        self.assertEqual([], list(krbd.mappings()))
        self.assertNotIn(ADDRESS, base.run('ip', 'addr'))
        seen = configfs.target(self.target)
        self.assertEqual(((), ()), (tuple(seen.exports),
                                    tuple(seen.mappings)))

    def test_snapshot_and_extension_while_it_is_exported(self):
        self.start()
        volume_id = self.volume()
        self.service.create_export(volume_id)
        self.service.initialize_connection(volume_id, self.me)
        self.login()
        disk = self.disk(volume_id)
        name = names.volume_name(volume_id)
        self.store.snapshot(name, names.snapshot_name(str(uuid.uuid4())))
        self.store.extend(name, 128 * MIB)
        self.service.resize(volume_id, 128 * MIB)
        Path('/sys/block', disk.resolve().name, 'device', 'rescan'
             ).write_text('1')
        self.assertEqual(str(128 * MIB), base.run(
            'blockdev', '--getsize64', disk).strip())

    def test_another_gateway_takes_over_from_a_crashed_process(self):
        """The kernel goes on as if its host were cut off from Ceph only."""
        stop = self.start('gw1')
        volume_id = self.volume()
        self.service.create_export(volume_id)
        client, = {m.client for m in krbd.mappings()}
        stop()
        self.start('gw2')
        self.assertNotIn(client, {m.client for m in krbd.mappings()})
        wait_for(lambda: self.service._target.listening(self.target),
                 'the target to be served', LONG_S)
        self.service.initialize_connection(volume_id, self.me)

    def test_what_is_not_there_cannot_be_attached(self):
        self.start()
        with self.assertRaises(exception.BackingNotFound):
            self.service.create_export(str(uuid.uuid4()))
        self.assertEqual([], self.service.all())

    def test_only_the_device_of_the_image_is_exported(self):
        self.start()
        export, other = (self.service.create_export(self.volume())
                         for _ in range(2))
        mine, theirs = (next(krbd.mappings(names.volume_name(e.volume_id)))
                        for e in (export, other))
        kernel = lio.of_backend(self.settings)
        wanted = dataclasses.replace(export, device=dataclasses.replace(
            export.device, path=mine.device))
        kernel.ensure_export(wanted)
        before = tests_lio.dump()
        for path in (theirs.device, '/dev/rbd99', '/dev/ubda'):
            with self.assertRaises(exception.MyDriverError):
                kernel.ensure_export(dataclasses.replace(
                    export, device=dataclasses.replace(
                        export.device, path=path)))
            self.assertEqual(before, tests_lio.dump())

    def test_a_device_that_was_mapped_again_is_another_one(self):
        self.start()
        volume_id = self.volume()
        gateway_images = images.PoolImages(self.connection, self.target)
        path = gateway_images.map(volume_id).path
        with backing.opened({
                'name': f'mydriver-ceph-{volume_id}', 'kind': 'iblock',
                'volume_id': volume_id, 'path': path, 'size_bytes': 64 * MIB
                }) as found:
            found.check()
            gateway_images.unmap(volume_id)
            with self.assertRaises(exception.TargetError):
                found.check()
            self.assertEqual(path, gateway_images.map(volume_id).path)
            with self.assertRaisesRegex(exception.TargetError, 'meanwhile'):
                found.check()
