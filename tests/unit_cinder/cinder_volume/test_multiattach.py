# SPDX-License-Identifier: Apache-2.0
"""Volumes that several servers have at once, to write or only to read.

The records are changed as Cinder's API and manager change them: a connector
is recorded after ``initialize_connection``, a record goes after
``terminate_connection``.
"""

import concurrent.futures
import itertools
import threading

from cinder import context as cinder_context
from cinder import exception as cinder_exception
import ddt

from tests.fakes import cinder as fakes

OTHER = 'iqn.1993-08.org.debian:01:other'


class MultiattachCase(fakes.CinderTestCase):
    """A volume and its attachments."""

    def setUp(self):
        super().setUp()
        self.removing = threading.Lock()
        self.driver = self.started_driver()
        self.volume = fakes.volume(multiattach=True)
        self.driver.create_volume(self.volume)
        self.driver.records.volumes.append(self.volume)

    @property
    def records(self):
        """The attachments that Cinder has on record."""
        return self.volume.volume_attachment.objects

    def attach(self, initiator=fakes.INITIATOR, mode='rw'):
        """Do what the manager does; return the record."""
        connector = {**fakes.connector(initiator), 'mode': mode}
        self.driver.create_export(fakes.context(), self.volume, connector)
        self.driver.initialize_connection(self.volume, connector)
        record = fakes.attachment(**connector)
        self.records.append(record)  # other threads may append now, too
        return record

    def detach(self, record):
        """Do what the manager does; return what the driver said."""
        shared = self.driver.terminate_connection(
            self.volume, record.connector, force=False)
        if not shared:
            self.driver.remove_export(fakes.context(), self.volume)
        # list.remove() compares, and misses the record if another thread
        # removes one meanwhile.
        with self.removing:
            self.records.remove(record)
        return shared

    def mapped(self):
        """Return whether each mapping only reads, by initiator."""
        return {i: read_only
                for _v, i, read_only in self.driver.engine.mapped()}


@ddt.ddt
class MultiattachTest(MultiattachCase):
    """The remaining servers keep the volume."""

    @ddt.data(*itertools.permutations(range(4)))
    def test_any_order(self, order):
        made = [self.attach(i) for i in (
            fakes.INITIATOR, OTHER, fakes.INITIATOR, OTHER)]
        for n in order:
            shared = self.detach(made[n])
            self.assertEqual({a.connector['initiator']
                              for a in self.records}, set(self.mapped()))
            self.assertIs(bool(self.records), shared)
        self.assertEqual({}, self.driver.engine.exported())

    def test_the_last_host_lets_go_in_the_middle_of_an_attach(self):
        last = self.attach()
        connector = fakes.connector(OTHER)
        self.driver.create_export(fakes.context(), self.volume, connector)
        self.detach(last)
        self.assertEqual({}, self.driver.engine.exported())
        self.driver.initialize_connection(self.volume, connector)
        self.assertEqual({OTHER: False}, self.mapped())

    def under_way(self):
        """Begin an attach of which Cinder has no connector yet."""
        record = fakes.attachment(None, attach_status='attaching')
        self.records.append(record)
        self.driver.create_export(fakes.context(), self.volume, {})
        self.driver.initialize_connection(self.volume, fakes.connector())
        return record

    def test_one_server_attaches_while_another_on_its_host_detaches(self):
        first = self.attach()
        second = self.under_way()
        self.assertIs(True, self.detach(first))
        self.assertEqual({fakes.INITIATOR: False}, self.mapped())
        second.connector = fakes.connector()
        self.assertIs(False, self.detach(second))
        self.assertEqual({}, self.driver.engine.exported())

    def test_setting_up_again_forgets_no_attach(self):
        first = self.attach()
        self.under_way()
        self.driver.do_setup(None)
        self.assertIs(True, self.detach(first))
        self.assertEqual({fakes.INITIATOR: False}, self.mapped())

    def test_the_record_is_made_behind_the_detachs_back(self):
        first, second = self.attach(), self.under_way()
        fresh = [first, fakes.attachment()]
        fresh[1].id = second.id
        self.driver.records.attachments = lambda _volume_id: fresh
        self.assertIs(True, self.detach(first))
        self.assertEqual({fakes.INITIATOR: False}, self.mapped())

    def test_an_attach_that_ended_elsewhere_keeps_nothing(self):
        for becomes in (fakes.attachment(OTHER), None):
            first, second = self.attach(), self.under_way()
            self.records.remove(second)
            if becomes:
                becomes.id = second.id
                self.records.append(becomes)
            self.assertIs(False, self.detach(first))
            self.assertEqual({}, self.mapped())
            self.records.clear()

    def test_a_reservation_keeps_nothing(self):
        first = self.attach()
        self.records.append(fakes.attachment(None, attach_status='reserved'))
        self.assertIs(False, self.detach(first))
        self.assertEqual({}, self.mapped())

    def test_the_last_two_of_a_host_detach_at_the_same_time(self):
        made = [self.attach(), self.attach()]
        for record in made:
            self.assertIs(True, self.driver.terminate_connection(
                self.volume, record.connector, force=False))
        self.records.clear()
        self.driver.delete_volume(self.volume)
        self.assertEqual({}, self.driver.engine.exported())
        self.assertEqual([], self.stored())

    def test_who_is_on_record_keeps_the_volume_from_being_deleted(self):
        first, _second = self.attach(), self.attach()
        self.detach(first)
        with self.assertRaises(cinder_exception.VolumeIsBusy):
            self.driver.delete_volume(self.volume)
        self.assertEqual({fakes.INITIATOR: False}, self.mapped())

    def test_hosts_come_and_go_at_the_same_time(self):
        def come_and_go(n):
            for _ in range(10):
                self.detach(self.attach(f'{OTHER}{n}'))
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(come_and_go, n) for n in range(6)]:
                done.result()
        self.assertEqual({}, self.driver.engine.exported())
        self.assertEqual([], self.driver.engine.journal.mappings())


@ddt.ddt
class ReadOnlyTest(MultiattachCase):
    """Read-only attachments cannot write, unless their host must."""

    def test_each_host_has_what_it_asked_for(self):
        self.attach(mode='ro')
        self.attach(OTHER, mode='rw')
        self.assertEqual({fakes.INITIATOR: True, OTHER: False},
                         self.mapped())

    @ddt.data(('ro', 'rw'), ('rw', 'ro'))
    def test_a_host_that_has_both_may_write_as_long_as_it_has(self, modes):
        made = {mode: self.attach(mode=mode) for mode in modes}
        self.assertEqual({fakes.INITIATOR: False}, self.mapped())
        self.assertIs(True, self.detach(made['rw']))
        self.assertEqual({fakes.INITIATOR: True}, self.mapped())
        self.assertIs(False, self.detach(made['ro']))
        self.assertEqual({}, self.driver.engine.exported())

    def test_the_reader_leaves_the_writer_alone(self):
        writer, reader = self.attach(), self.attach(mode='ro')
        self.assertIs(True, self.detach(reader))
        self.assertEqual({fakes.INITIATOR: False}, self.mapped())
        self.detach(writer)

    def test_a_writer_that_cinder_did_not_record_yet_goes_on(self):
        self.attach()
        self.records.clear()
        self.attach(mode='ro')
        self.assertEqual({fakes.INITIATOR: False}, self.mapped())

    def test_the_volumes_flag_is_for_all(self):
        self.volume.admin_metadata = {'readonly': 'True'}
        self.attach(mode='rw')
        self.attach(OTHER, mode='rw')
        self.assertEqual({fakes.INITIATOR: True, OTHER: True}, self.mapped())

    def test_cinder_says_ro_of_a_flag_that_is_false(self):
        self.volume.admin_metadata = {'readonly': 'False'}
        self.attach(mode='ro')
        self.assertEqual({fakes.INITIATOR: False}, self.mapped())

    def as_a_user(self, **metadata):
        """Let Cinder know of the metadata, and a user attach the volume."""
        known = fakes.volume(id=self.volume.id, admin_metadata=metadata)
        self.driver.records.volumes = [known]
        self.volume._context = cinder_context.RequestContext(
            'user', 'project', is_admin=False)

    def test_the_flag_holds_for_a_user_who_does_not_see_it(self):
        self.as_a_user(readonly='True')
        self.attach(mode='ro')
        self.assertEqual({fakes.INITIATOR: True}, self.mapped())
        # What the manager makes Nova's access_mode of.
        self.assertEqual({'readonly': 'True'}, self.volume.admin_metadata)
        self.assertNotIn('admin_metadata', self.volume.obj_get_changes())

    def test_a_user_may_write_again_when_the_flag_is_false(self):
        self.as_a_user(readonly='False')
        self.attach(mode='ro')
        self.assertEqual({fakes.INITIATOR: False}, self.mapped())

    def test_read_only_outlives_the_service(self):
        self.attach(mode='ro')
        self.attach(OTHER)
        self.driver.engine.target.targets.clear()
        self.driver.check_for_setup_error()
        self.assertEqual({fakes.INITIATOR: True, OTHER: False},
                         self.mapped())
