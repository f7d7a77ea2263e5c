# SPDX-License-Identifier: Apache-2.0
"""Volumes that hosts use natively, and never over iSCSI at the same time."""

import contextlib
import itertools
import random
from unittest import mock

from cinder import exception as cinder_exception
from cinder import objects
import ddt

from mydriver import exception, model
from mydriver.cinder_volume import attachments, connections, migrate
from mydriver.cinder_volume import native as native_part
from mydriver.connection import HostName
from tests.fakes import cinder as fakes
from tests.fakes import cinder_manager as managing
from tests.fakes import cinder_native as hosts
from tests.fakes import native
from tests.fakes.cinder_native import ISCSI, RBD, able, diskless, stock

SECRET = native.FSID
OTHER = '00000000-0000-4000-8000-000000000001'
PART = native_part.__name__


class AttachTest(hosts.NativeCase):
    """A host that can."""

    def test_attach_and_detach(self):
        volume = self.created()
        record = self.attach(volume, able())
        self.assertEqual(
            {'driver_volume_type': 'rbd',
             'name': f'volumes/volume-{volume.id}',
             'hosts': ['192.0.2.50'], 'ports': ['6789'],
             'cluster_name': 'ceph', 'auth_enabled': True,
             'auth_username': 'cinder', 'secret_type': 'ceph',
             'secret_uuid': SECRET, 'volume_id': volume.id, 'discard': True,
             'encrypted': False, 'access_mode': 'rw'},
            record.connection_info)
        self.assertEqual(('able',), self.noted(volume))
        self.assertEqual({}, self.driver.engine.exported())
        self.assertIs(False, self.detach(volume, record))
        self.assertEqual((), self.noted(volume))
        self.driver.delete_volume(volume)
        self.assertEqual([], self.stored())

    def test_detach_twice(self):
        volume = self.created()
        record = self.attach(volume, able())
        for _ in range(2):
            self.assertIs(False, self.driver.terminate_connection(
                volume, record.connector))

    def test_a_host_without_open_iscsi(self):
        volume = self.created()
        record = self.attach(volume, diskless())
        self.assertEqual(RBD, self.protocol(record))
        for _ in range(2):
            self.assertIs(False, self.driver.terminate_connection(
                volume, record.connector))
        self.assertEqual((), self.noted(volume))

    def test_encrypted_and_read_only(self):
        volume = self.created(encryption_key_id=OTHER,
                              admin_metadata={'readonly': 'True'})
        info = self.attach(volume, able()).connection_info
        self.assertEqual((True, 'ro'),
                         (info['encrypted'], info['access_mode']))
        self.assertNotIn('discard', info)

    def test_a_migrated_volume_is_found_by_its_backing(self):
        volume = self.created(_name_id=OTHER)
        self.assertEqual(f'volumes/volume-{OTHER}',
                         self.attach(volume, able()).connection_info['name'])

    def test_extend(self):
        volume = self.created()
        self.attach(volume, able())
        self.driver.extend_volume(volume, 2)
        self.assertEqual(2 << 30, self.store.device(
            f'volume-{volume.id}').size_bytes)

    def test_what_an_earlier_attach_left_is_withdrawn(self):
        volume = self.created()
        self.driver.create_export(None, volume, stock())
        self.assertEqual([volume.id], list(self.driver.engine.exported()))
        self.attach(volume, able())
        self.assertEqual({}, self.driver.engine.exported())

    def test_a_store_that_fails_leaves_no_note(self):
        volume = self.created()
        with (mock.patch.object(
                self.driver.backend.exports, 'remove_export',
                side_effect=exception.TargetError('x', 'y')),
              self.assertRaises(cinder_exception.VolumeDriverException)):
            self.driver.initialize_connection(volume, able())
        self.assertEqual((), self.noted(volume))

    def test_a_volume_that_is_gone(self):
        with self.assertRaisesRegex(
                cinder_exception.VolumeDriverException, 'is not in'):
            self.connect(fakes.volume(), able())


@ddt.ddt
class ChoiceTest(hosts.NativeCase):
    """Which hosts get which protocol: the option and the volume type."""

    def choose(self, policy, connector, secret=None, **fields):
        fakes.CONF.set_override(
            'mydriver_rbd_native', policy, fakes.BACKEND)
        fakes.CONF.set_override(
            'mydriver_rbd_secret_uuid', secret, fakes.BACKEND)
        for name in ('native', 'secret_uuid'):
            self.addCleanup(fakes.CONF.clear_override,
                            f'mydriver_rbd_{name}', fakes.BACKEND)
        return self.protocol(self.attach(self.created(**fields), connector))

    @ddt.data(
        ('plugin', able(), None, RBD),
        ('plugin', able(secret=OTHER), None, ISCSI),
        ('plugin', able(secret=OTHER), OTHER, RBD),
        ('plugin', able(), OTHER, ISCSI),
        ('plugin', stock(), None, ISCSI),
        ('always', able(), None, RBD),
        ('always', able(secret=OTHER), None, RBD),
        ('always', stock(), None, RBD),
        ('never', able(), None, ISCSI),
        ('never', stock(), None, ISCSI))
    @ddt.unpack
    def test_option(self, policy, connector, secret, expected):
        self.assertEqual(expected, self.choose(policy, connector, secret))

    @ddt.data(('plugin', able()), ('always', stock()), ('never', able()))
    @ddt.unpack
    def test_a_type_that_wants_iscsi(self, policy, connector):
        self.assertEqual(ISCSI, self.choose(
            policy, connector, protocol='iscsi'))

    @ddt.data(('plugin', able()), ('always', stock()))
    @ddt.unpack
    def test_a_type_that_wants_rbd(self, policy, connector):
        self.assertEqual(RBD, self.choose(policy, connector, protocol='rbd'))

    @ddt.data(
        ('plugin', stock(), f'the libvirt secret {SECRET}'),
        ('plugin', able(secret=OTHER), f'the libvirt secret {SECRET}'),
        ('never', able(), 'mydriver_rbd_native of the backend is never'))
    @ddt.unpack
    def test_a_type_that_wants_what_the_host_cannot(
            self, policy, connector, said):
        with self.assertRaises(
                cinder_exception.InvalidConnectorException) as caught:
            self.choose(policy, connector, protocol='rbd')
        self.assertIn(f'Host {connector["host"]} cannot use the volume '
                      'natively (rbd): ', str(caught.exception))
        self.assertIn(said, str(caught.exception))
        self.assertEqual({}, self.driver.engine.exported())

    def test_a_type_that_wants_something_else(self):
        with self.assertRaisesRegex(
                cinder_exception.InvalidConfigurationValue,
                "'nvme' is not iscsi or rbd"):
            self.choose('plugin', able(), protocol='nvme')

    def cinders(self, policy, connector, **fields):
        """Attach a volume as Cinder does for itself: without a record."""
        fakes.CONF.set_override(
            'mydriver_rbd_native', policy, fakes.BACKEND)
        self.addCleanup(fakes.CONF.clear_override, 'mydriver_rbd_native',
                        fakes.BACKEND)
        volume = self.created(**fields)
        info = self.connect(volume, connector)
        self.driver.terminate_connection(volume, connector)
        self.assertEqual((), self.noted(volume))
        return info['driver_volume_type']

    @ddt.data('plugin', 'always', 'never')
    def test_cinders_own_services_prefer_iscsi(self, policy):
        self.assertEqual(ISCSI, self.cinders(policy, stock()))
        self.assertEqual(ISCSI, self.cinders(
            policy, stock(), protocol='rbd', status='backing-up'))

    def test_they_can_do_without(self):
        self.assertEqual(RBD, self.cinders(
            'always', {**stock(), 'initiator': None}))

    def test_connectors_that_can_nothing(self):
        for connector in ({}, {'host': ''}, None):
            with self.assertRaises(
                    cinder_exception.InvalidConnectorException):
                self.driver.validate_connector(connector)
        self.driver.validate_connector(diskless())
        self.driver.validate_connector(stock())


@ddt.ddt
class NeverBothTest(hosts.NativeCase):
    """All hosts of a volume use one protocol."""

    def refused(self, volume, connector, said):
        before = self.noted(volume), self.mapped(volume)
        with self.assertRaises(
                cinder_exception.InvalidConnectorException) as caught:
            self.attach(volume, connector)
        self.assertIn(said, str(caught.exception))
        self.assertIn('all hosts of a volume use one protocol',
                      str(caught.exception))
        self.assertEqual(before, (self.noted(volume), self.mapped(volume)))

    def test_natively_first(self):
        volume = self.created(multiattach=True)
        first = self.attach(volume, able())
        self.refused(volume, stock(), 'is in use over rbd by able, and')
        self.detach(volume, first)
        self.assertEqual(ISCSI, self.protocol(self.attach(volume, stock())))

    def test_over_iscsi_first(self):
        volume = self.created(multiattach=True)
        first = self.attach(volume, stock())
        self.refused(volume, diskless(),
                     f'is in use over iscsi by {hosts.IQN}stock, and')
        self.detach(volume, first)
        self.assertEqual(RBD, self.protocol(self.attach(volume, diskless())))

    def test_who_can_do_both_joins(self):
        """So a migration from a stock host to one with our plugin works."""
        volume = self.created()
        source = self.attach(volume, stock())
        target = self.attach(volume, able())
        self.assertEqual(ISCSI, self.protocol(target))
        self.assertEqual(['able', 'stock'], self.mapped(volume))
        self.detach(volume, source)
        self.assertEqual(['able'], self.mapped(volume))
        self.detach(volume, target)
        self.assertEqual(RBD, self.protocol(self.attach(volume, able())))

    def test_live_migration_between_hosts_that_can(self):
        volume = self.created()
        source = self.attach(volume, able('a'))
        target = self.attach(volume, able('b'))
        self.assertEqual(('a', 'b'), self.noted(volume))
        self.assertIs(True, self.detach(volume, source))
        self.assertEqual(('b',), self.noted(volume))
        self.assertIs(False, self.detach(volume, target))

    def test_live_migration_to_a_host_that_cannot(self):
        volume = self.created()
        self.attach(volume, able('a'))
        self.refused(volume, stock('b'), 'Host b cannot join them: its nova-c')
        self.assertEqual(('a',), self.noted(volume))

    @ddt.data('never', 'plugin', 'always')
    def test_settings_do_not_reach_a_volume_in_use(self, policy):
        volume = self.created(multiattach=True)
        self.attach(volume, able('a'))
        fakes.CONF.set_override(
            'mydriver_rbd_native', policy, fakes.BACKEND)
        self.addCleanup(fakes.CONF.clear_override, 'mydriver_rbd_native',
                        fakes.BACKEND)
        volume.volume_type.extra_specs = {'mydriver:protocol': 'iscsi'}
        self.assertEqual(RBD, self.protocol(self.attach(volume, able('b'))))

    def test_nor_one_that_is_mapped(self):
        volume = self.created(multiattach=True)
        self.attach(volume, stock('a'))
        volume.volume_type.extra_specs = {'mydriver:protocol': 'rbd'}
        self.assertEqual(ISCSI, self.protocol(self.attach(volume, able('b'))))

    def test_two_attaches_at_once_native_first(self):
        volume = self.created()
        under_way = self.reserve(volume)
        info = self.connect(volume, able())
        with self.assertRaises(cinder_exception.InvalidConnectorException):
            self.attach(volume, stock())
        self.record(under_way, able(), info)
        self.refused(volume, stock(), 'over rbd by able')

    def test_two_attaches_at_once_iscsi_first(self):
        volume = self.created()
        under_way = self.reserve(volume)
        info = self.connect(volume, stock())
        with self.assertRaises(cinder_exception.InvalidConnectorException):
            self.attach(volume, diskless())
        self.record(under_way, stock(), info)
        self.refused(volume, diskless(), 'over iscsi by')

    def test_natively_between_export_and_connection(self):
        volume = self.created()
        self.reserve(volume)
        self.driver.create_export(None, volume, stock())
        self.attach(volume, able())
        self.assertEqual({}, self.driver.engine.exported())
        with self.assertRaises(cinder_exception.InvalidConnectorException):
            self.driver.initialize_connection(volume, stock())
        self.assertEqual({}, self.driver.engine.exported())

    def test_an_old_client_that_has_no_record(self):
        """In this process, the attach is remembered without one."""
        volume = self.created()
        self.reserve(volume)
        self.connect(volume, able())
        with self.assertRaises(cinder_exception.InvalidConnectorException):
            self.connect(volume, stock())
        self.assertEqual(('able',), self.noted(volume))

    def test_another_process_under_another_lock(self):
        """It lets a host in while this one maps the volume."""
        volume = self.created()
        exports = self.driver.backend.exports
        real = exports.initialize_connection

        def late(*args, **kwargs):
            found = real(*args, **kwargs)
            self.store.add_native_user(f'volume-{volume.id}', 'elsewhere')
            return found
        with (mock.patch.object(exports, 'initialize_connection', late),
              self.assertRaises(cinder_exception.VolumeIsBusy)):
            self.connect(volume, stock())
        self.assertEqual([], self.mapped(volume))
        self.assertEqual({}, self.driver.engine.exported())

    def test_another_process_maps_while_this_one_lets_a_host_in(self):
        volume = self.created()
        part = self.driver.parts[connections.Connections]
        offer = part._native.offer(volume)
        self.attach(volume, stock())
        with (mock.patch.object(part._native, 'offer', return_value=offer),
              self.assertRaisesRegex(
                  cinder_exception.InvalidConnectorException,
                  'about to use the volume natively')):
            self.driver.initialize_connection(volume, able())
        self.assertEqual((), self.noted(volume))
        self.assertEqual(['stock'], self.mapped(volume))

    def test_nobody_reads_the_volume_on_this_host(self):
        volume = self.created()
        self.attach(volume, able())
        with self.assertRaisesRegex(
                cinder_exception.VolumeIsBusy,
                r'used natively \(rbd\) by able\. Detach'):
            self.driver.copy_volume_to_image(
                fakes.context(), volume, fakes.ImageService(), {'id': OTHER})


@ddt.ddt
class LiveUsersTest(hosts.NativeCase):
    """What must not be done to a volume in use."""

    def setUp(self):
        super().setUp()
        self.volume = self.created()
        self.attached = self.attach(self.volume, able())

    def kept(self, call, *args):
        with self.assertRaisesRegex(cinder_exception.VolumeIsBusy,
                                    'used natively'):
            call(*args)
        self.assertEqual([f'volume-{self.volume.id}'], [
            n for n in self.stored() if n.startswith('volume-')])
        self.assertEqual(('able',), self.noted(self.volume))

    def test_delete_unmanage_and_revert(self):
        snapshot = fakes.snapshot(self.volume)
        self.driver.create_snapshot(snapshot)
        self.kept(self.driver.delete_volume, self.volume)
        self.kept(self.driver.unmanage, self.volume)
        self.kept(self.driver.revert_to_snapshot, None, self.volume, snapshot)

    def test_cinder_does_not_answer(self):
        self.volume.volume_attachment.objects.clear()
        self.driver.records.broken = True
        with self.assertLogs('mydriver', 'WARNING'):
            self.kept(self.driver.delete_volume, self.volume)

    def test_remove_export_takes_nothing(self):
        self.driver.remove_export(None, self.volume)
        self.assertEqual(('able',), self.noted(self.volume))

    def test_forced_detach_of_all(self):
        self.assertIs(False, self.driver.terminate_connection(
            self.volume, None, force=True))
        self.assertEqual((), self.noted(self.volume))

    def test_a_migrated_volume_keeps_its_name(self):
        moved = fakes.volume()
        self.assertEqual(
            {'_name_id': self.volume.id}, self.driver.update_migrated_volume(
                None, moved, self.volume, 'in-use'))

    def test_a_migration_is_left_to_cinder(self):
        other = native.NativeStore(self.store_path)
        part = self.driver.parts[migrate.Migrate]
        with mock.patch.object(part, '_target', return_value=('', other)):
            self.assertEqual((False, None), self.driver.migrate_volume(
                None, self.volume, {'host': 'x@y#z'}))
        self.assertEqual(('able',), self.noted(self.volume))


class LeftoverTest(hosts.NativeCase):
    """Notes of attaches that a crash ended."""

    def left(self, **fields):
        volume = self.created(**fields)
        record = self.reserve(volume)
        self.connect(volume, able())
        volume.volume_attachment.objects.remove(record)
        volume.status = 'available'
        self.restarted()
        return volume

    def test_it_keeps_nobody_from_attaching(self):
        volume = self.left()
        with self.assertLogs(PART, 'WARNING') as logs:
            self.assertEqual(ISCSI, self.protocol(
                self.attach(volume, stock())))
        self.assertIn('has no attachment of that host: removing the note',
                      logs.output[0])
        self.assertEqual((), self.noted(volume))

    def test_nor_from_deleting(self):
        volume = self.left()
        self.driver.delete_volume(volume)
        self.assertEqual([], self.stored())

    def test_it_stays_while_another_attach_may_be_its(self):
        volume = self.left(multiattach=True)
        self.reserve(volume)
        with self.assertRaises(cinder_exception.InvalidConnectorException):
            self.attach(volume, stock())
        self.assertEqual(('able',), self.noted(volume))

    def test_it_stays_while_cinder_may_use_the_volume_itself(self):
        volume = self.left()
        volume.status = 'backing-up'
        with self.assertRaises(cinder_exception.InvalidConnectorException):
            self.connect(volume, stock())
        self.assertEqual(('able',), self.noted(volume))

    def test_a_mapping_of_an_earlier_run_keeps_nobody_out(self):
        volume = self.created()
        record = self.reserve(volume)
        self.connect(volume, stock())
        # Cinder cannot tell at the next start.
        self.driver.records.broken = True
        self.restarted()
        self.driver.records.broken = False
        volume.volume_attachment.objects.remove(record)
        self.assertEqual(['stock'], self.mapped(volume))
        self.assertEqual(RBD, self.protocol(self.attach(volume, diskless())))
        self.assertEqual([], self.mapped(volume))


class StartTest(hosts.NativeCase):
    """Start-up exports nothing that hosts use natively."""

    def test_ensure_export(self):
        volume = self.created()
        record = self.attach(volume, able())
        self.restarted().ensure_export(None, volume)
        self.assertEqual({}, self.driver.engine.exported())
        self.assertEqual(('able',), self.noted(volume))
        self.detach(volume, record)
        self.assertEqual((), self.noted(volume))

    def test_lost_notes_are_made_again_from_cinders_records(self):
        volume = self.created()
        self.attach(volume, able())
        self.store.forget()
        self.restarted()
        with self.assertLogs(PART, 'WARNING') as logs:
            self.driver.ensure_export(None, volume)
        self.assertIn('uses it natively by the records of Cinder',
                      logs.output[0])
        self.assertEqual(('able',), self.noted(volume))
        self.assertEqual({}, self.driver.engine.exported())

    def test_but_not_from_those_of_another_driver(self):
        volume = self.created()
        record = self.attach(volume, able())
        record.connection_info['name'] = f'volumes/volume-{OTHER}'
        self.store.forget()
        self.restarted().ensure_export(None, volume)
        self.assertEqual((), self.noted(volume))
        record.connection_info['hosts'] = None
        self.driver.ensure_export(None, volume)
        self.assertEqual((), self.noted(volume))

    def test_an_export_that_a_crash_left(self):
        """The note was made, the export was not withdrawn yet."""
        volume = self.created()
        self.driver.create_export(None, volume, stock())
        self.store.add_native_user(f'volume-{volume.id}', 'able')
        record = self.reserve(volume)
        self.record(record, able(), {
            'driver_volume_type': 'rbd', 'data': {'name': 'x'}})
        volume.status = 'in-use'
        with self.assertLogs('mydriver', 'ERROR') as logs:
            self.restarted()
        self.assertIn('used natively (rbd) by able', logs.output[0])
        self.assertEqual({}, self.driver.engine.exported())
        self.assertEqual([], self.driver.engine.journal.exports())

    def test_iscsi_comes_back_as_ever(self):
        volume = self.created()
        self.attach(volume, stock())
        self.restarted().ensure_export(None, volume)
        self.assertEqual(['stock'], self.mapped(volume))


@ddt.ddt
class MultiattachTest(hosts.NativeCase):
    """Several servers, on one host and on several."""

    @ddt.data(*itertools.permutations(range(4)))
    def test_any_order(self, order):
        volume = self.created(multiattach=True)
        made = [self.attach(volume, able(h)) for h in 'abab']
        for n in order:
            shared = self.detach(volume, made[n])
            self.assertEqual(
                sorted({a.connector['host'] for a in
                        volume.volume_attachment}), [*self.noted(volume)])
            self.assertIs(bool(volume.volume_attachment.objects), shared)

    def test_one_server_attaches_while_another_on_its_host_detaches(self):
        volume = self.created(multiattach=True)
        first = self.attach(volume, able())
        second = self.reserve(volume)
        info = self.connect(volume, able())
        self.assertIs(True, self.detach(volume, first))
        self.assertEqual(('able',), self.noted(volume))
        self.record(second, able(), info)
        self.assertIs(False, self.detach(volume, second))
        self.assertEqual((), self.noted(volume))

    def test_the_last_two_of_a_host_detach_at_the_same_time(self):
        volume = self.created(multiattach=True)
        made = [self.attach(volume, able()) for _ in range(2)]
        for record in made:
            self.assertIs(True, self.driver.terminate_connection(
                volume, record.connector, force=False))
        volume.volume_attachment.objects.clear()
        self.driver.delete_volume(volume)
        self.assertEqual([], self.stored())


class AnyOrderTest(hosts.NativeCase):
    """Attaches, detaches, crashes and restarts in any order."""

    def step(self, chance, volume, attached):
        kind = chance.choice(('attach', 'attach', 'detach', 'crash', 'start'))
        if kind == 'attach':
            connector = chance.choice((able, stock, diskless))(
                chance.choice('abc'))
            try:
                attached.append(self.attach(volume, connector))
            except (cinder_exception.InvalidConnectorException,
                    cinder_exception.VolumeIsBusy):
                return
        elif kind == 'detach' and attached:
            record = attached.pop(chance.randrange(len(attached)))
            self.detach(volume, record)
        elif kind == 'crash':
            record = self.reserve(volume)
            with contextlib.suppress(
                    cinder_exception.InvalidConnectorException,
                    cinder_exception.VolumeIsBusy):
                self.connect(volume, chance.choice((able, stock))('d'))
            volume.volume_attachment.objects.remove(record)
            self.restarted().ensure_export(None, volume)
        elif kind == 'start':
            self.restarted().ensure_export(None, volume)

    def test_never_both_and_nobody_is_forgotten(self):
        chance = random.Random(11)
        for _ in range(12):
            volume, attached = self.created(multiattach=True), []
            for _ in range(25):
                self.step(chance, volume, attached)
                noted, mapped = self.noted(volume), self.mapped(volume)
                self.assertFalse(noted and mapped, (noted, mapped))
                for record in attached:
                    used = (noted if self.protocol(record) == RBD else mapped)
                    self.assertIn(record.connector['host'], used)
            for record in attached:
                self.detach(volume, record)
            self.driver.delete_volume(volume)
            self.driver.records.volumes.clear()
        self.assertEqual([], self.stored())


class ReportTest(hosts.NativeCase):
    """What the scheduler and operators are told."""

    def stats(self):
        said = self.driver.get_volume_stats(refresh=True)
        return said['storage_protocol'], said['pools'][0].get(
            'storage_protocol')

    def test_protocols(self):
        self.assertEqual(('iSCSI', ['iSCSI', 'iscsi', 'ceph']), self.stats())
        fakes.CONF.set_override('mydriver_rbd_native', 'never',
                                fakes.BACKEND)
        self.addCleanup(fakes.CONF.clear_override, 'mydriver_rbd_native',
                        fakes.BACKEND)
        self.assertEqual(('iSCSI', None), self.stats())

    def test_vendor_properties(self):
        self.driver.init_capabilities()
        found = self.driver.capabilities['properties']['mydriver:protocol']
        self.assertEqual(['iscsi', 'rbd'], found['enum'])


@ddt.ddt
class RecordTest(fakes.CinderTestCase):
    """Of which user an attachment is."""

    HOST, IQN = HostName('able'), model.Iqn(f'{hosts.IQN}able')

    @ddt.data(('rbd', True, False), ('iscsi', False, True),
              # The connector was recorded, the connection not yet.
              (None, True, True))
    @ddt.unpack
    def test_by_its_protocol(self, protocol, natively, mapped):
        record = fakes.attachment(f'{hosts.IQN}able', host='able', info=(
            protocol and {'driver_volume_type': protocol, 'data': {}}))
        self.assertEqual((natively, mapped), tuple(
            attachments.is_of(record, user) for user in (self.HOST, self.IQN)))

    def test_others(self):
        for record in (fakes.attachment(None),
                       fakes.attachment(f'{hosts.IQN}b', host='b')):
            for user in (self.HOST, self.IQN):
                self.assertFalse(attachments.is_of(record, user))


class NoNativeStoreTest(fakes.CinderTestCase):
    """A store that has no native access."""

    def test_hosts_that_can_use_iscsi_there(self):
        driver = self.started_driver()
        volume = fakes.volume()
        driver.create_volume(volume)
        driver.create_export(None, volume, able())
        self.assertEqual(ISCSI, driver.initialize_connection(
            volume, able())['driver_volume_type'])
        with self.assertRaises(cinder_exception.InvalidConnectorException):
            driver.validate_connector(diskless())
        self.assertNotIn('storage_protocol', driver.get_volume_stats(
            refresh=True)['pools'][0])

    def test_a_type_that_wants_rbd(self):
        driver = self.started_driver()
        volume = fakes.volume()
        volume.volume_type.extra_specs = {'mydriver:protocol': 'rbd'}
        driver.create_volume(volume)
        driver.create_export(None, volume, able())
        with self.assertRaisesRegex(
                cinder_exception.InvalidConnectorException,
                "the backend's store cannot be used without a target"):
            driver.initialize_connection(volume, able())


class ManagerTest(managing.ManagerTestCase):
    """What Cinder's own manager makes of it, with its database."""

    kind = 'tests.fakes.cinder_native.manager_driver'

    def reserved(self, volume, instance=1):
        """Return a new attachment, as the API makes it."""
        record = objects.VolumeAttachment(
            self.context, volume_id=volume.id, attach_status='reserved',
            instance_uuid=f'{instance:08}-0000-4000-8000-000000000000')
        record.create()
        volume.update({'status': 'reserved'})
        volume.save()
        return record

    def attach(self, volume, connector, instance=1):
        """Attach as the API does; return the attachment."""
        record = self.reserved(volume, instance)
        fresh = objects.Volume.get_by_id(self.context, volume.id)
        record.connection_info = self.disks.attachment_update(
            self.context, fresh, dict(connector), record.id)
        record.save()
        return record

    def noted(self, volume):
        return self.disks.driver.backend.store.native_users(
            f'volume-{volume.id}')

    def test_attach_and_detach(self):
        volume = self.created()
        record = self.attach(volume, able())
        self.assertEqual(
            ('rbd', 'rw', False, None), tuple(
                record.connection_info[key] for key in (
                    'driver_volume_type', 'access_mode', 'encrypted',
                    'qos_specs')))
        self.assertEqual(('able',), self.noted(volume))
        fresh = objects.Volume.get_by_id(self.context, volume.id)
        self.disks.attachment_delete(self.context, record.id, fresh)
        self.assertEqual((), self.noted(volume))

    def test_live_migration(self):
        volume = self.created()
        source = self.attach(volume, able('a'))
        target = self.attach(volume, able('b'))
        self.assertEqual('rbd', target.connection_info['driver_volume_type'])
        self.disks.attachment_delete(
            self.context, source.id,
            objects.Volume.get_by_id(self.context, volume.id))
        self.assertEqual(('b',), self.noted(volume))

    def test_the_text_reaches_the_user(self):
        volume = self.created()
        self.attach(volume, able())
        record = self.reserved(volume)
        fresh = objects.Volume.get_by_id(self.context, volume.id)
        with self.assertRaises(
                cinder_exception.VolumeBackendAPIException) as caught:
            self.disks.attachment_update(
                self.context, fresh, stock(), record.id)
        self.assertIn('is in use over rbd by able, and all hosts of a volume '
                      'use one protocol. Host stock cannot join them: ',
                      caught.exception.msg)
        self.assertEqual(('able',), self.noted(volume))
        self.assertEqual({}, self.disks.driver.engine.exported())

    def test_a_connector_that_nothing_can_be_done_with_is_the_callers(self):
        volume = self.created()
        with self.assertRaisesRegex(cinder_exception.InvalidInput,
                                    'none of the protocols'):
            self.attach(volume, {'ip': '192.0.2.9'})

    def test_cinders_own_attach(self):
        """As cinder-backup does, without an attachment."""
        volume = self.created()
        volume.update({'status': 'backing-up'})
        volume.save()
        fakes.CONF.set_override('mydriver_rbd_native', 'always', 'disks')
        self.addCleanup(fakes.CONF.clear_override, 'mydriver_rbd_native',
                        'disks')
        info = self.disks.initialize_connection(
            self.context, volume, stock())
        self.assertEqual('iscsi', info['driver_volume_type'])
        self.disks.terminate_connection(self.context, volume.id, stock())
        self.assertEqual(ISCSI, info['driver_volume_type'])
        stocks = self.attach(volume, stock())
        self.assertEqual(RBD, stocks.connection_info['driver_volume_type'])

    def test_start_up(self):
        """init_host asks for the exports of volumes in use."""
        volume = self.created()
        self.attach(volume, able())
        fresh = objects.Volume.get_by_id(self.context, volume.id)
        self.disks.driver.ensure_export(self.context, fresh)
        self.assertEqual({}, self.disks.driver.engine.exported())
        self.assertEqual(('able',), self.noted(volume))
