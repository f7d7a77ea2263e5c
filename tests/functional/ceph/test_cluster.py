# SPDX-License-Identifier: Apache-2.0
"""What goes through one service of a cluster is known to the other one.

Services that die are tested by :mod:`.crash_shared_rbd`, and in the lab's
cloud; those that stand still by :mod:`.test_overtaken`.
"""

import threading

import rbd

from mydriver.cinder_volume import clustering, inflight
from mydriver.target.journal.rados import keys
from tests.fakes import cinder as fakes
from tests.functional.ceph import base as ceph_base
from tests.functional.ceph import clustered

LONG_S = clustered.LONG_S


class ClusterTest(clustered.ClusterCase):
    """What goes through one service is known to the other one."""

    def attach(self, service, volume, host='compute'):
        """Attach a volume as the manager does; nothing is on record yet."""
        connector = fakes.connector(
            f'iqn.1993-08.org.debian:01:{host}', host)
        service.create_export(None, volume, connector)
        service.initialize_connection(volume, connector)
        return connector

    def recorded(self, volume, connector):
        """Record an attachment."""
        one = fakes.attachment(connector['initiator'], host=connector['host'])
        volume.volume_attachment.objects.append(one)
        return one

    def mapped(self):
        """Return the volumes and initiators of all mappings."""
        return sorted((m.mapping.volume_id, str(m.mapping.initiator))
                      for m in self.one.backend.exports._journal.mappings())

    def test_each_step_through_another_service(self):
        volume = fakes.volume()
        self.records.volumes = [volume]
        self.one.create_volume(volume)
        connector = self.attach(self.two, volume)
        one = self.recorded(volume, connector)
        self.one.extend_volume(volume, 2)
        snapshot = fakes.snapshot(volume)
        self.two.create_snapshot(snapshot)
        clone = fakes.volume(2)
        self.one.create_volume_from_snapshot(clone, snapshot)
        self.assertFalse(self.one.terminate_connection(volume, connector))
        volume.volume_attachment.objects.remove(one)
        self.two.remove_export(None, volume)
        self.two.delete_snapshot(snapshot)
        self.one.delete_volume(volume)
        self.two.delete_volume(clone)
        self.assertEqual([], self.mapped())
        self.assertEqual([], self.one.backend.exports.all())
        self.assertEqual([], [n for n in rbd.RBD().list(self.io)
                              if not n.startswith('mydriver.')])
        self.assertEqual([], list(rbd.RBD().trash_list(self.io)))

    def test_an_attach_in_flight_keeps_the_mapping(self):
        volume = fakes.volume(multiattach=True)
        self.records.volumes = [volume]
        self.one.create_volume(volume)
        first = self.recorded(volume, self.attach(self.one, volume))
        second = fakes.attachment(None)
        volume.volume_attachment.objects.append(second)
        connector = self.attach(self.two, volume)
        self.assertTrue(self.one.terminate_connection(volume, connector))
        self.assertEqual(1, len(self.mapped()))
        volume.volume_attachment.objects.remove(first)
        second.connector = connector
        self.assertFalse(self.two.terminate_connection(volume, connector))
        self.assertEqual([], self.mapped())
        volume.volume_attachment.objects.clear()
        self.two.delete_volume(volume)
        self.assertEqual({}, self.ceph.omaps(
            ceph_base.VOLUMES, keys.namespace(fakes.BACKEND),
            inflight.OBJECT)[inflight.OBJECT])

    def test_a_start_leaves_what_is_under_way(self):
        volume, detached = fakes.volume(), fakes.volume()
        self.records.volumes = [volume, detached]
        for one in (volume, detached):
            self.one.create_volume(one)
        self.attach(self.two, volume)
        before = self.mapped()
        third = self.service('three')
        self.assertEqual(before, self.mapped())
        # Cinder listed it as in use, and it has been detached since.
        third.ensure_export(None, detached)
        self.assertEqual([volume.id], [
            e.volume_id for e in self.one.backend.exports.all()])

    def test_two_services_wait_for_the_same_lock(self):
        volume = fakes.volume()
        self.one.create_volume(volume)
        with clustering.exclusively(volume.name_id):
            thread = threading.Thread(target=self.two.delete_volume,
                                      args=(volume,))
            thread.start()
            thread.join(2)
            self.assertTrue(thread.is_alive())
            self.assertTrue(self.one.backend.store.exists(volume.name))
        thread.join(LONG_S)
        self.assertFalse(self.one.backend.store.exists(volume.name))
