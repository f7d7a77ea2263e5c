# SPDX-License-Identifier: Apache-2.0
"""The driver as Cinder's manager uses it: the resulting state."""

import os
import threading
import uuid

from cinder import exception as cinder_exception
import ddt

from mydriver import exception
from mydriver.stores.reflink import store as reflink
from mydriver.target import exports
from tests.fakes import cinder as fakes

GIB = 1024 ** 3
OTHER = 'iqn.1993-08.org.debian:01:other'


class UnavailableEngine(fakes.MemoryEngine):
    """The engine of a host whose target does not serve."""

    def exports_of(self, conf, wanted, store):
        made = super().exports_of(conf, wanted, store)
        self.target.check = self._fail
        return made

    @staticmethod
    def _fail():
        raise exception.ConfigurationError(
            'Kernel target', 'configfs is not mounted', 'Mount it.')


@ddt.ddt
class SetupTest(fakes.CinderTestCase):
    """do_setup and check_for_setup_error."""

    def test_the_constructor_touches_nothing(self):
        before = threading.active_count()
        self.new_driver()
        self.assertEqual(before, threading.active_count())
        self.assertEqual([], os.listdir(f'{self.folder}/state'))
        self.assertEqual([], self.stored())

    def test_it_is_not_ready_before_it_is_set_up(self):
        driver = self.new_driver()
        for call in (lambda: driver.create_volume(fakes.volume()),
                     lambda: driver.remove_export(None, fakes.volume())):
            with self.assertRaises(cinder_exception.DriverNotInitialized):
                call()

    def test_set_up_twice_is_once(self):
        driver = self.started_driver()
        volume = fakes.volume()
        driver.create_volume(volume)
        driver.create_export(None, volume, fakes.connector())
        driver.initialize_connection(volume, fakes.connector())
        driver.do_setup(None)
        driver.check_for_setup_error()
        self.assertEqual({volume.id: GIB}, driver.engine.exported())

    def test_state_is_in_a_folder_of_the_backend(self):
        self.started_driver()
        path = f'{self.folder}/state/mydriver/disks'
        self.assertIn('journal.sqlite', os.listdir(path))
        self.assertEqual(0o700, os.stat(path).st_mode & 0o777)

    def test_a_later_try_succeeds_once_the_mistake_is_mended(self):
        os.rmdir(self.store_path)
        driver = self.new_driver()
        driver.do_setup(None)
        self.addCleanup(lambda: driver.engine.journal.close())
        with self.assertRaises(cinder_exception.InvalidConfigurationValue):
            driver.check_for_setup_error()
        os.mkdir(self.store_path)
        driver.do_setup(None)
        driver.check_for_setup_error()
        driver.create_volume(fakes.volume())

    def refusal(self, **parts):
        """Return the text with which set up fails."""
        driver = self.new_driver(**parts)
        with self.assertRaises(
                cinder_exception.InvalidConfigurationValue) as caught:
            driver.do_setup(None)
            self.addCleanup(driver.engine.journal.close)
            driver.check_for_setup_error()
        return str(caught.exception)

    @ddt.data(
        ('mydriver_store_path =', 'mydriver_store_path: it is not set'),
        ('mydriver_store_path = here', "'here' is not an absolute path"),
        ('mydriver_store_path = /nonexistent/x', 'does not exist'),
        ('mydriver_store_path = /etc/passwd', 'is not a directory'),
        ('mydriver_state_path = here', 'mydriver_state_path: '),
        ('mydriver_state_path = /proc/nowhere', 'mydriver_state_path: '),
        ('target_prefix = iqn.2026-11.lab:', 'target_prefix: '),
        ('target_ip_address = storage', 'target_ip_address: '),
        ('target_secondary_ip_addresses = 192.0.2.2:3260',
         'target_secondary_ip_addresses: '),
        ('target_protocol = iser', 'target_protocol: iser is not supported'),
    )
    @ddt.unpack
    def test_a_wrong_setting_is_named(self, option, text):
        self.configure(option)
        self.assertIn(text, self.refusal())

    def test_a_filesystem_without_reflink_is_named(self):
        text = self.refusal(engine=fakes.MemoryEngine(clone=None))
        self.assertIn(f'mydriver_store_path: {self.store_path} is on a '
                      'filesystem that cannot share extents', text)
        self.assertIn('reflink=1', text)

    def test_what_the_target_lacks_is_named(self):
        self.assertEqual('Kernel target: configfs is not mounted. Mount it.',
                         self.refusal(engine=UnavailableEngine()))

    def test_a_mapping_that_cinder_has_no_attachment_of_is_dropped(self):
        driver = self.started_driver()
        kept, lost = fakes.volume(), fakes.volume()
        for volume in (kept, lost):
            driver.create_volume(volume)
            driver.create_export(None, volume, fakes.connector())
            driver.initialize_connection(volume, fakes.connector())
        # The next run of the service, on the same target.
        again = self.new_driver()
        again.records.volumes = [fakes.volume(
            id=kept.id, status='in-use',
            volume_attachment=[fakes.attachment()]),
            fakes.volume(id=lost.id)]
        again.do_setup(None)
        self.addCleanup(again.engine.journal.close)
        again.engine.target.targets = driver.engine.target.targets
        again.check_for_setup_error()
        self.assertEqual([(kept.id, fakes.INITIATOR, False)],
                         again.engine.mapped())
        self.assertEqual({kept.id: GIB}, again.engine.exported())

    def test_options_are_listed_with_cinders_own(self):
        listed = {o.name for o in fakes.driver.LIODriver.get_driver_options()}
        self.assertLessEqual(
            {'mydriver_store', 'mydriver_store_path', 'target_prefix',
             'target_ip_address', 'use_chap_auth'}, listed)


class VolumeTest(fakes.CinderTestCase):
    """Volumes and snapshots."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver()
        self.volume = fakes.volume()
        self.driver.create_volume(self.volume)

    def test_create_and_delete(self):
        self.assertEqual(GIB, os.path.getsize(self.path(self.volume)))
        self.driver.delete_volume(self.volume)
        self.driver.delete_volume(self.volume)
        self.assertEqual([], self.stored())

    def test_a_migrated_volume_is_found_under_its_name_id(self):
        name_id = str(uuid.uuid4())
        volume = fakes.volume(_name_id=name_id)
        self.driver.create_volume(volume)
        self.driver.create_export(None, volume, fakes.connector())
        data = self.driver.initialize_connection(
            volume, fakes.connector())['data']
        self.assertEqual(name_id, data['volume_id'])
        self.assertIn(f'volume-{name_id}', self.stored())
        self.assertEqual({name_id: GIB}, self.driver.engine.exported())

    def test_a_mapped_volume_is_not_deleted(self):
        self.driver.create_export(None, self.volume, fakes.connector())
        self.driver.initialize_connection(self.volume, fakes.connector())
        with self.assertRaises(cinder_exception.VolumeIsBusy):
            self.driver.delete_volume(self.volume)
        self.assertTrue(os.path.exists(self.path(self.volume)))
        self.assertEqual(1, len(self.driver.engine.mapped()))

    def test_delete_withdraws_an_export_that_nobody_uses(self):
        self.driver.create_export(None, self.volume, fakes.connector())
        self.driver.delete_volume(self.volume)
        self.assertEqual({}, self.driver.engine.exported())
        self.assertEqual([], self.stored())

    def test_extend_offline(self):
        self.write(self.volume, b'kept')
        self.driver.extend_volume(self.volume, 3)
        self.assertEqual(3 * GIB, os.path.getsize(self.path(self.volume)))
        self.assertEqual(b'kept', self.read(self.volume, 4))
        self.assertEqual({}, self.driver.engine.exported())

    def test_extend_in_use_tells_the_target(self):
        self.driver.create_export(None, self.volume, fakes.connector())
        self.driver.extend_volume(self.volume, 2)
        self.assertEqual({self.volume.id: 2 * GIB},
                         self.driver.engine.exported())

    def test_a_target_that_cannot_be_told_leaves_the_volume_extended(self):
        self.driver.create_export(None, self.volume, fakes.connector())

        def fail(verb):
            raise exception.TargetError('resize', 'it is stuck')
        self.driver.engine.target.on_change = fail
        with self.assertRaises(cinder_exception.TargetUpdateFailed):
            self.driver.extend_volume(self.volume, 2)
        self.assertEqual(2 * GIB, os.path.getsize(self.path(self.volume)))
        # The next attach puts it right.
        self.driver.engine.target.on_change = lambda verb: None
        self.driver.create_export(None, self.volume, fakes.connector())
        self.assertEqual({self.volume.id: 2 * GIB},
                         self.driver.engine.exported())

    def test_snapshot_and_volume_from_it(self):
        self.write(self.volume, b'before')
        snapshot = fakes.snapshot(self.volume)
        self.driver.create_snapshot(snapshot)
        self.write(self.volume, b'after!')
        same, larger = fakes.volume(), fakes.volume(2)
        self.driver.create_volume_from_snapshot(same, snapshot)
        self.driver.create_volume_from_snapshot(larger, snapshot)
        self.driver.delete_snapshot(snapshot)
        self.driver.delete_snapshot(snapshot)
        for volume in (same, larger):
            self.assertEqual(b'before', self.read(volume, 6))
            self.assertEqual(volume.size * GIB,
                             os.path.getsize(self.path(volume)))
        self.assertEqual(b'after!', self.read(self.volume, 6))
        self.assertFalse(os.path.exists(self.path(snapshot)))

    def test_a_snapshot_of_a_migrated_volume(self):
        volume = fakes.volume(_name_id=str(uuid.uuid4()))
        self.driver.create_volume(volume)
        self.write(volume, b'moved')
        snapshot = fakes.snapshot(volume)
        self.driver.create_snapshot(snapshot)
        self.assertEqual(b'moved', self.read(snapshot, 5))

    def test_clone(self):
        self.write(self.volume, b'same')
        same, larger = fakes.volume(), fakes.volume(4)
        self.driver.create_cloned_volume(same, self.volume)
        self.driver.create_cloned_volume(larger, self.volume)
        for volume in (same, larger):
            self.assertEqual(b'same', self.read(volume, 4))
            self.assertEqual(volume.size * GIB,
                             os.path.getsize(self.path(volume)))

    def test_revert_to_a_snapshot(self):
        self.write(self.volume, b'before')
        snapshot = fakes.snapshot(self.volume)
        self.driver.create_snapshot(snapshot)
        self.write(self.volume, b'after!')
        self.driver.create_export(None, self.volume, fakes.connector())
        for _ in range(2):
            self.driver.revert_to_snapshot(None, self.volume, snapshot)
            self.assertEqual(b'before', self.read(self.volume, 6))
        self.assertEqual({}, self.driver.engine.exported(),
                         'the old file is gone')
        self.assertIs(False, self.driver.snapshot_revert_use_temp_snapshot())

    def test_revert_after_it_was_extended(self):
        snapshot = fakes.snapshot(self.volume)
        self.driver.create_snapshot(snapshot)
        self.driver.extend_volume(self.volume, 3)
        self.write(self.volume, b'later', 2 * GIB)
        self.driver.revert_to_snapshot(None, self.volume, snapshot)
        self.assertEqual(3 * GIB, os.path.getsize(self.path(self.volume)))
        self.assertEqual(bytes(5), self.read(self.volume, 5, 2 * GIB))

    def test_a_mapped_volume_is_not_reverted(self):
        snapshot = fakes.snapshot(self.volume)
        self.driver.create_snapshot(snapshot)
        self.write(self.volume, b'in use')
        self.driver.create_export(None, self.volume, fakes.connector())
        self.driver.initialize_connection(self.volume, fakes.connector())
        with self.assertRaises(cinder_exception.VolumeIsBusy):
            self.driver.revert_to_snapshot(None, self.volume, snapshot)
        self.assertEqual(b'in use', self.read(self.volume, 6))
        self.assertEqual(1, len(self.driver.engine.mapped()))

    def test_a_lost_source_is_cinders_error_with_our_text(self):
        gone = fakes.volume()
        with self.assertRaisesRegex(cinder_exception.VolumeDriverException,
                                    f'volume-{gone.id} is not in'):
            self.driver.create_cloned_volume(fakes.volume(), gone)

    def test_retype_changes_nothing(self):
        self.assertEqual((True, None), self.driver.retype(
            None, self.volume, None, {}, None))


class ConnectionTest(fakes.CinderTestCase):
    """Exports and connections, in the order of Cinder's manager."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver()
        self.volume = fakes.volume()
        self.driver.create_volume(self.volume)

    def attach(self, volume=None, connector=None):
        """Do what the manager does (_connection_create)."""
        volume = volume or self.volume
        connector = connector or fakes.connector()
        self.driver.validate_connector(connector)
        self.driver.create_export(fakes.context(), volume, connector)
        try:
            return self.driver.initialize_connection(volume, connector)
        except Exception:
            self.driver.remove_export(fakes.context(), volume)
            raise

    def detach(self, connector):
        """Do what the manager does (attachment_delete)."""
        if not self.driver.terminate_connection(self.volume, connector,
                                                force=False):
            self.driver.remove_export(fakes.context(), self.volume)

    def test_attach_and_detach(self):
        info = self.attach()
        self.assertEqual('iscsi', info['driver_volume_type'])
        data = info['data']
        self.assertEqual(list(fakes.PORTALS), data['target_portals'])
        self.assertEqual(self.volume.id, data['volume_id'])
        self.assertEqual(('rw', False),
                         (data['access_mode'], data['encrypted']))
        self.assertEqual([(self.volume.id, fakes.INITIATOR, False)],
                         self.driver.engine.mapped())
        self.detach(fakes.connector())
        self.assertEqual([], self.driver.engine.mapped())
        self.assertEqual({}, self.driver.engine.exported())

    def test_attach_twice_is_once(self):
        self.assertEqual(self.attach(), self.attach())
        self.assertEqual(1, len(self.driver.engine.mapped()))

    def test_two_hosts_as_in_a_live_migration(self):
        self.attach()
        self.attach(connector=fakes.connector(OTHER, 'other'))
        self.assertEqual(2, len(self.driver.engine.mapped()))
        self.detach(fakes.connector())
        self.assertEqual([(self.volume.id, OTHER, False)],
                         self.driver.engine.mapped())
        self.detach(fakes.connector(OTHER, 'other'))
        self.assertEqual({}, self.driver.engine.exported())

    def test_a_failed_attach_leaves_the_other_attachment_alone(self):
        self.attach()
        self.driver.engine.unreachable = True
        with self.assertRaisesRegex(cinder_exception.VolumeDriverException,
                                    'No portal offers target'):
            self.attach(connector=fakes.connector(OTHER, 'other'))
        self.assertEqual([(self.volume.id, fakes.INITIATOR, False)],
                         self.driver.engine.mapped())

    def test_a_failed_attach_leaves_nothing(self):
        self.driver.engine.unreachable = True
        with self.assertRaises(cinder_exception.VolumeDriverException):
            self.attach()
        self.assertEqual([], self.driver.engine.mapped())
        self.assertEqual({}, self.driver.engine.exported())

    def test_a_host_that_has_it_twice_keeps_it_once(self):
        self.attach()
        self.volume.volume_attachment.objects = [
            fakes.attachment(), fakes.attachment(),
            fakes.attachment(initiator=OTHER)]
        self.assertIs(True, self.driver.terminate_connection(
            self.volume, fakes.connector()))
        self.assertEqual(1, len(self.driver.engine.mapped()))
        self.volume.volume_attachment.objects.pop(0)
        self.driver.terminate_connection(self.volume, fakes.connector())
        self.assertEqual([], self.driver.engine.mapped())

    def test_no_connector_means_all_hosts(self):
        self.attach()
        self.attach(connector=fakes.connector(OTHER, 'other'))
        self.driver.terminate_connection(self.volume, None, force=True)
        self.assertEqual([], self.driver.engine.mapped())

    def test_detach_twice_is_once(self):
        self.attach()
        self.detach(fakes.connector())
        self.detach(fakes.connector())
        self.assertEqual({}, self.driver.engine.exported())

    def test_a_wrong_connector_is_refused_and_nothing_changed(self):
        for connector in (fakes.connector(None), {'host': 'x'},
                          fakes.connector('not an iqn'),
                          fakes.connector('iqn.1993-08.org.debian:a_b')):
            with self.assertRaises(
                    cinder_exception.InvalidConnectorException):
                self.attach(connector=connector)
            with self.assertRaises(
                    cinder_exception.InvalidConnectorException):
                self.driver.initialize_connection(self.volume, connector)
        self.assertEqual({}, self.driver.engine.exported())
        self.assertEqual([], self.driver.engine.mapped())

    def test_a_volume_that_hosts_may_only_read_is_write_protected(self):
        volume = fakes.volume(admin_metadata={'readonly': 'True'})
        self.driver.create_volume(volume)
        info = self.attach(volume)
        self.assertEqual('ro', info['data']['access_mode'])
        self.assertEqual([(volume.id, fakes.INITIATOR, True)],
                         self.driver.engine.mapped())

    def test_an_encrypted_volume_is_marked(self):
        volume = fakes.volume(encryption_key_id=str(uuid.uuid4()))
        self.driver.create_volume(volume)
        self.assertIs(True, self.attach(volume)['data']['encrypted'])

    def test_ensure_export_restores_what_the_target_lost(self):
        self.attach()
        before = self.driver.engine.mapped()
        self.driver.engine.target.targets.clear()
        self.driver.check_for_setup_error()
        self.driver.ensure_export(fakes.context(), self.volume)
        self.assertEqual(before, self.driver.engine.mapped())

    def test_a_lost_volume_cannot_be_exported(self):
        lost = fakes.volume()
        for call in (
                lambda: self.driver.ensure_export(fakes.context(), lost),
                lambda: self.attach(lost)):
            with self.assertRaisesRegex(
                    cinder_exception.VolumeDriverException, 'is not in'):
                call()

    def test_a_volume_is_locked_while_its_users_change(self):
        inside, free = threading.Event(), threading.Event()
        seen = []

        def wait(verb):
            if not inside.is_set():
                inside.set()
                free.wait(10)
        self.driver.engine.target.on_change = wait
        connector = fakes.connector()
        first = threading.Thread(target=self.driver.create_export,
                                 args=(None, self.volume, connector))
        first.start()
        self.addCleanup(first.join)
        self.addCleanup(free.set)
        self.assertTrue(inside.wait(10))
        second = threading.Thread(target=lambda: (
            self.driver.delete_volume(self.volume), seen.append('deleted')))
        second.start()
        self.addCleanup(second.join)
        second.join(0.2)
        self.assertEqual([], seen)
        free.set()
        second.join(10)
        self.assertEqual(['deleted'], seen)

    def test_the_lock_leaves_no_file_behind(self):
        self.attach()
        self.detach(fakes.connector())
        self.driver.delete_volume(self.volume)
        self.driver.clean_volume_file_locks(self.volume.id)
        self.assertEqual([], [n for n in os.listdir(f'{self.folder}/locks')
                              if self.volume.id in n])

    def test_backup_uses_a_clone_whatever_is_configured(self):
        self.configure('backup_use_temp_snapshot = True')
        self.assertIs(False, self.driver.backup_use_temp_snapshot())


class StatsTest(fakes.CinderTestCase):
    """What is reported to the scheduler."""

    def test_a_backend_in_order(self):
        self.configure("""
            reserved_percentage = 10
            max_over_subscription_ratio = auto
            filter_function = volume.size < 100
        """)
        driver = self.started_driver()
        volume = fakes.volume(5)
        driver.create_volume(volume)
        driver.create_snapshot(fakes.snapshot(volume))
        stats = driver.get_volume_stats(refresh=True)
        pool, = stats['pools']
        self.assertEqual(
            ('fast', 'iSCSI', True, True),
            tuple(stats[k] for k in (
                'volume_backend_name', 'storage_protocol', 'shared_targets',
                'sparse_copy_volume')))
        self.assertEqual(
            {'pool_name': 'fast', 'provisioned_capacity_gb': 10.0,
             'total_volumes': 2, 'reserved_percentage': 10,
             'max_over_subscription_ratio': 'auto', 'backend_state': 'up',
             'filter_function': 'volume.size < 100',
             'thin_provisioning_support': True, 'multiattach': True,
             'online_extend_support': True},
            {k: pool[k] for k in (
                'pool_name', 'provisioned_capacity_gb', 'total_volumes',
                'reserved_percentage', 'max_over_subscription_ratio',
                'backend_state', 'filter_function',
                'thin_provisioning_support', 'multiattach',
                'online_extend_support')})
        room = os.statvfs(self.store_path)
        self.assertEqual(round(room.f_blocks * room.f_frsize / 2 ** 30, 2),
                         pool['total_capacity_gb'])
        # Others write there as well; it may also be all but empty.
        self.assertAlmostEqual(room.f_bavail * room.f_frsize / 2 ** 30,
                               pool['free_capacity_gb'], delta=4)
        self.assertTrue(pool['location_info'].startswith('LIODriver:'))
        self.assertTrue(pool['location_info'].endswith(self.store_path))
        self.assertEqual('fast', driver.get_pool(volume))

    def test_a_store_that_went_away_is_down(self):
        driver = self.started_driver()
        os.rename(self.store_path, f'{self.folder}/elsewhere')
        pool, = driver.get_volume_stats(refresh=True)['pools']
        self.assertEqual(('down', 0, 0), tuple(pool[k] for k in (
            'backend_state', 'free_capacity_gb', 'total_capacity_gb')))


class RealPartsTest(fakes.CinderTestCase):
    """The parts that the other tests replace are the ones that are used."""

    def test_the_driver_puts_the_real_ones_together(self):
        driver = self.new_driver(fakes.driver.LIODriver)
        driver.do_setup(None)
        self.addCleanup(driver.backend.exports._journal.close)
        self.assertIsInstance(driver.backend.exports, exports.ExportService)
        self.assertIsInstance(driver.backend.store._obj, reflink.ReflinkStore)
        self.assertIs(reflink.ficlone, driver.backend.store._obj._clone)
