# SPDX-License-Identifier: Apache-2.0
"""Absence is not proof: empty answers of Cinder's database.

Each test restarts cinder-volume while a host has a volume attached.
"""

import os
import unittest
from unittest import mock
import uuid

from cinder import exception as cinder_exception
from cinder import objects
import ddt

from mydriver import exception, model
from mydriver.cinder_volume import manage, startup, users
from tests.fakes import cinder as fakes
from tests.fakes import cinder_manager as managing

HOST = model.Iqn(fakes.INITIATOR)
OTHER = 'iqn.1993-08.org.debian:01:other'
USERS = users.__name__
GIB = 1024 ** 3


def volume(*attached, **fields):
    """Return a volume with these attachments."""
    return fakes.volume(volume_attachment=list(attached), **fields)


class Records:
    """Cinder's database, which can be broken in several ways.

    :param volumes: what it has.
    :param deleted: ids of what it had.
    """

    def __init__(self, *volumes, deleted=()):
        self.volumes = volumes
        self.gone = set(deleted)
        #: How many rows the first answer has; None means all of them.
        self.half = None
        self.error = None

    def of_backings(self, ids):
        if self.error:
            raise self.error
        found = [v for v in self.volumes
                 if not {v.id, v.name_id}.isdisjoint(ids)]
        most, self.half = self.half, None
        return found[:most]

    def deleted(self, ids):
        return self.gone & set(ids)


@ddt.ddt
class UsersTest(unittest.TestCase):
    """Which hosts may be using a volume, with and without doubt."""

    def users(self, *volumes, backings=(), stored=(), **more):
        self.records = Records(*volumes, **more)
        return users.Users(self.records, {
            *backings, *(v.name_id for v in volumes)}, stored)

    @ddt.data(
        # The attach was completed, or is being undone by its owner.
        (volume(fakes.attachment(), status='in-use'), True),
        (volume(fakes.attachment(attach_status='error_detaching'),
                status='detaching'), True),
        # A crash in the middle of an attach: no connector was recorded yet.
        (volume(fakes.attachment(None, attach_status='reserved'),
                status='reserved'), False),
        (volume(fakes.attachment(None, attach_status='attaching'),
                status='attaching'), False),
        (volume(status='available'), False),
        # Another host has it now.
        (volume(fakes.attachment(OTHER), status='in-use'), False),
        # Old clients leave no connector behind.
        (volume(fakes.attachment(None), status='in-use'), True),
        # Others than Nova connect without an attachment.
        (volume(status='backing-up'), True),
        (volume(status='restoring-backup'), True),
        (volume(status='available', migration_status='migrating'), True),
        (volume(status='available', migration_status=f'target:{HOST}'), True),
        (volume(status='available', migration_status='success'), False),
    )
    @ddt.unpack
    def test_who_stays_at_start(self, record, expected):
        users = self.users(volume(), record)
        self.assertIs(expected, users.may_use(record.name_id, HOST))

    def test_any_host_at_all(self):
        used, free = volume(fakes.attachment(OTHER)), volume(
            fakes.attachment(None, attach_status='reserved'))
        users = self.users(used, free)
        self.assertTrue(users.may_use(used.id, None))
        self.assertFalse(users.may_use(free.id, None))

    def test_a_volume_is_found_under_its_backing(self):
        moved = volume(fakes.attachment(), _name_id=fakes.volume().id)
        users = self.users(moved)
        self.assertTrue(users.may_use(moved.name_id, HOST))
        self.assertFalse(users.may_use(moved.id, HOST))

    def test_a_volume_that_was_deleted_has_no_users(self):
        gone = fakes.volume().id
        self.assertFalse(self.users(
            backings=[gone], deleted=[gone]).may_use(gone, HOST))

    def test_an_unknown_volume_has_none_where_others_are_known(self):
        users = self.users(volume())
        self.assertFalse(users.may_use(fakes.volume().id, HOST))

    @ddt.data(True, False)
    def test_but_not_where_it_is_in_the_store(self, tells):
        younger = fakes.volume().id
        users = self.users(volume(), stored=[younger] if tells else None)
        with self.assertLogs(USERS, 'WARNING') as logs:
            self.assertTrue(users.may_use(younger, HOST))
        self.assertIn('an old copy', logs.output[0])

    def test_a_database_that_knows_nothing_proves_nothing(self):
        backings = [fakes.volume().id for _ in range(3)]
        users = self.users(backings=backings)
        with self.assertLogs(USERS, 'WARNING') as logs:
            self.assertTrue(users.may_use(backings[0], HOST))
        self.assertIn('knows none of the 3 volumes', logs.output[0])

    def test_an_error_is_no_answer(self):
        users = self.users(volume(fakes.attachment()))
        self.records.error = RuntimeError('lost connection')
        with self.assertLogs(USERS, 'WARNING') as logs:
            self.assertTrue(users.may_use(fakes.volume().id, HOST))
            self.assertEqual([], users.recorded(fakes.BACKEND))
        self.assertIn('lost connection', logs.output[0])

    def test_half_an_answer_is_asked_for_again(self):
        first, second = (volume(fakes.attachment()) for _ in range(2))
        users = self.users(first, second)
        self.records.half = 1
        self.assertTrue(users.may_use(first.id, HOST))
        self.assertTrue(users.may_use(second.id, HOST))


@ddt.ddt
class RestartTest(fakes.CinderTestCase):
    """cinder-volume restarts, and something is missing."""

    options = 'use_chap_auth = True'

    def setUp(self):
        super().setUp()
        self.configure(self.options)
        self.driver = self.started_driver()
        self.volume = self.attached()

    def attached(self, initiator=fakes.INITIATOR, volume=None, **fields):
        """Return a volume, as Cinder has it once a host attached it."""
        volume = volume or fakes.volume()
        self.driver.create_volume(volume)
        self.driver.create_export(None, volume, {})
        info = self.driver.initialize_connection(
            volume, fakes.connector(initiator))
        record = fakes.volume(
            id=volume.id, status='in-use', volume_attachment=[
                *volume.volume_attachment,
                fakes.attachment(initiator, info=info)], **fields)
        self.driver.records.volumes.append(record)
        return record

    def restart(self, rebooted=False, **changed):
        """Restart it with changed records; return the driver."""
        again = self.new_driver()
        again.records.volumes = self.driver.records.volumes
        for name, value in changed.items():
            setattr(again.records, name, value)
        self.driver.engine.journal.close()
        again.do_setup(None)
        self.addCleanup(again.engine.journal.close)
        if not rebooted:
            again.engine.target.targets = self.driver.engine.target.targets
        again.check_for_setup_error()
        self.driver = again
        return again

    def lose_state(self, *names):
        """Remove files of the backend's state."""
        self.driver.engine.journal.close()
        folder = os.path.dirname(self.driver.engine.journal.path)
        for name in os.listdir(folder):
            if name.startswith(names):
                os.unlink(os.path.join(folder, name))

    def told(self):
        """Return what Cinder's records say of LUNs and secrets."""
        return sorted(
            (v.id, a.connector['initiator'], a.connection_info['target_iqn'],
             a.connection_info['target_lun'],
             a.connection_info.get('auth_password'))
            for v in self.driver.records.volumes for a in v.volume_attachment)

    def there(self):
        """Return the same of the target."""
        found = []
        for iqn, target in self.driver.engine.target.targets.items():
            for initiator, acl in target.acls.items():
                found += [
                    (target.luns[tpg_lun][1].volume_id, initiator, iqn, lun,
                     acl.secrets and acl.secrets.password)
                    for lun, (tpg_lun, _) in acl.luns.items()]
        return sorted(found)

    def test_a_database_that_is_down(self):
        before = self.there()
        self.restart(broken=True)
        self.assertEqual(before, self.there())

    def test_a_volume_that_was_in_doubt_can_be_deleted(self):
        other = self.attached()
        self.volume.volume_attachment.objects.clear()
        self.restart(broken=True)
        with self.assertRaises(cinder_exception.VolumeIsBusy):
            self.driver.delete_volume(self.volume)
        self.driver.records.broken = False
        with self.assertRaises(cinder_exception.VolumeIsBusy):
            self.driver.delete_volume(other)
        self.driver.delete_volume(self.volume)
        self.assertEqual([(other.id, fakes.INITIATOR, False)],
                         self.driver.engine.mapped())

    def test_the_database_of_another_cloud(self):
        before = self.there()
        self.restart(volumes=[fakes.volume()])
        self.assertEqual(before, self.there())
        self.assertEqual({self.volume.id: GIB}, self.driver.engine.exported())

    def test_what_is_known_to_have_ended(self):
        ended = self.attached(OTHER)
        ended.volume_attachment.objects.clear()
        self.restart()
        self.assertEqual([(self.volume.id, fakes.INITIATOR, False)],
                         self.driver.engine.mapped())

    @ddt.data('journal', '')
    def test_a_lost_journal_after_a_boot(self, lost):
        self.attached(OTHER)
        self.attached(OTHER, self.volume)
        self.attached()
        self.driver.records.volumes.pop(2)
        gone = self.attached()
        self.driver.terminate_connection(gone, fakes.connector())
        self.driver.records.volumes.remove(gone)
        self.attached()
        told = self.told()
        self.assertEqual(4, len({t[:2] for t in told}))
        self.lose_state(lost)
        self.restart(rebooted=True)
        self.assertEqual(told, [t for t in self.there() if t in told])
        self.assertEqual(len(told), len(self.there()))

    def test_a_new_attach_after_a_lost_journal(self):
        self.lose_state('journal')
        self.restart(rebooted=True)
        new = self.attached()
        luns = [t[3] for t in self.told() if t[2] == self.told()[0][2]]
        self.assertEqual(len(luns), len(set(luns)))
        self.assertIn(new.id, {t[0] for t in self.there()})

    def test_a_lun_that_another_volume_has_now(self):
        other = self.attached()
        data = other.volume_attachment[0].connection_info
        data.update({k: v for k, v in self.volume.volume_attachment[0]
                     .connection_info.items()
                     if k in ('target_iqn', 'target_lun')})
        data.pop('target_iqns', None)
        data.pop('target_luns', None)
        self.lose_state('journal')
        self.restart(rebooted=True)
        self.assertEqual(1, len(self.there()))

    def test_a_record_that_makes_no_sense_keeps_nothing_down(self):
        self.volume.volume_attachment[0].connection_info = {
            'driver_volume_type': 'iscsi', 'target_lun': '\u0663'}
        before = self.there()
        self.restart()
        self.assertEqual(before, self.there())

    def test_a_volume_that_moved_to_another_host(self):
        # The one that it came from has the backing still, and no journal.
        other = 'iqn.2010-10.org.openstack:mydriver-b-disks-0'
        self.volume.volume_attachment[0].connection_info.update(
            target_iqn=other, target_iqns=[other],
            target_portals=['198.51.100.1:3260'])
        before = set(self.driver.engine.target.targets)
        self.lose_state('journal')
        self.restart(rebooted=True)
        self.assertEqual([], self.driver.engine.mapped())
        self.assertEqual(before, set(self.driver.engine.target.targets))

    def test_portals_that_changed_meanwhile(self):
        data = self.volume.volume_attachment[0].connection_info
        data['target_portals'] = ['192.0.2.1:3260', '192.0.2.7:3262']
        self.lose_state('journal')
        self.restart(rebooted=True)
        self.assertIn('192.0.2.7:3262', {
            p for t in self.driver.engine.target.targets.values()
            for p in t.portals})

    def test_read_only_as_recorded(self):
        self.volume.volume_attachment[0].connector['mode'] = 'ro'
        self.lose_state('journal')
        self.restart(rebooted=True)
        self.assertEqual([(self.volume.id, fakes.INITIATOR, True)],
                         self.driver.engine.mapped())

    def test_one_that_the_target_does_not_let_go(self):
        ended = self.attached(OTHER)
        ended.volume_attachment.objects.clear()
        target = self.driver.engine.target

        def refuse(*_args):
            raise exception.TargetError('unmap', 'it is busy')
        again = self.new_driver()
        again.records.volumes = self.driver.records.volumes
        self.driver.engine.journal.close()
        again.do_setup(None)
        self.addCleanup(again.engine.journal.close)
        again.engine.target.targets = target.targets
        again.engine.target.drop_mapping = refuse
        again.check_for_setup_error()
        self.assertEqual(2, len(again.engine.mapped()))

    def test_an_old_copy_of_the_database(self):
        # It was restored: of the younger volume Cinder has never heard.
        younger = self.attached(OTHER)
        before = self.there()
        self.driver.records.volumes.remove(younger)
        self.restart()
        self.assertEqual(before, self.there())
        self.driver.records.volumes.append(younger)
        self.restart()
        self.assertEqual(before, self.there())

    def test_a_store_that_does_not_tell_what_it_has(self):
        younger = self.attached(OTHER)
        before = self.there()
        self.driver.records.volumes.remove(younger)
        again = self.new_driver()
        again.records.volumes = self.driver.records.volumes
        self.driver.engine.journal.close()
        again.do_setup(None)
        self.addCleanup(again.engine.journal.close)
        again.engine.target.targets = self.driver.engine.target.targets
        again.backend.exports.reconciler.start()
        with mock.patch.object(
                again.backend.store._obj, 'names',
                side_effect=exception.StoreError('list', 'it is away')):
            startup.Startup(again.backend).settle()
        self.driver = again
        self.assertEqual(before, self.there())

    def test_a_volume_of_another_backend_of_this_host(self):
        # A migration was cut off, so that an old backing of it is here; the
        # other backend's state is lost as well.
        other = 'iqn.2010-10.org.openstack:mydriver-storage-other-0'
        self.volume.host = 'storage@other#slow'
        self.volume.volume_attachment[0].connection_info.update(
            target_iqn=other, target_iqns=[other] * 2)
        self.lose_state('journal')
        self.restart(rebooted=True)
        self.assertEqual([], self.driver.engine.mapped())
        self.assertNotIn(other, self.driver.engine.target.targets)

    def test_one_record_that_cannot_be_read(self):
        class Broken:
            id = name_id = self.attached(OTHER).id
            host = fakes.HOST

            @property
            def volume_attachment(self):
                raise RuntimeError('lost connection')
        self.driver.records.volumes[1] = Broken()
        told = [t for t in self.there() if t[0] == self.volume.id]
        self.driver.records.volumes.reverse()
        self.lose_state('journal')
        self.restart(rebooted=True)
        self.assertEqual(told, self.there())

    def rotate_key(self):
        """Replace the key of new mappings."""
        folder = os.path.dirname(self.driver.engine.journal.path)
        with open(os.path.join(folder, 'chap.key'), 'r+b') as f:
            f.write(os.urandom(32))
        return sorted(n for n in os.listdir(folder)
                      if n.startswith('chap.key.'))

    def test_secrets_of_a_replaced_key_and_a_lost_journal(self):
        # The kernel has the secret, and does not tell of which key.
        told = self.told()
        self.rotate_key()
        self.lose_state('journal')
        self.restart(broken=True)
        self.assertEqual(told, self.there())
        self.restart()
        self.restart(rebooted=True, broken=True)
        self.assertEqual(told, self.there())

    def test_a_replaced_key_is_kept_while_nothing_is_known(self):
        told, kept = self.told(), self.rotate_key()
        self.lose_state('journal')
        self.restart(rebooted=True, broken=True)
        self.assertEqual([], self.there())
        self.restart(broken=False)
        self.restart(rebooted=True, broken=True)
        self.assertEqual(told, self.there())
        self.volume.volume_attachment.objects.clear()
        self.restart(broken=False)
        self.assertEqual([], self.there())
        self.restart()
        folder = os.path.dirname(self.driver.engine.journal.path)
        self.assertFalse(set(kept) & set(os.listdir(folder)))


class RenamedHostTest(managing.ManagerTestCase):
    """With Cinder's own database."""

    def attached(self):
        volume = self.created()
        driver = self.disks.driver
        driver.create_export(None, volume, {})
        info = driver.initialize_connection(volume, fakes.connector())
        record = objects.VolumeAttachment(
            self.context, volume_id=volume.id, attach_status='attached',
            connector=fakes.connector())
        record.create()
        record.connection_info = {
            **info['data'], 'driver_volume_type': 'iscsi'}
        record.save()
        volume.update({'status': 'in-use'})
        volume.save()
        return volume

    def restart(self, rebooted=False):
        """Start the driver as that of a host of another name."""
        again = self.new_driver(fakes.manager_driver)
        again.host = f'{uuid.uuid4().hex}@disks'
        again.do_setup(None)
        self.addCleanup(again.engine.journal.close)
        if not rebooted:
            target = self.disks.driver.engine.target
            again.engine.target.targets = target.targets
        again.check_for_setup_error()
        return again

    def test_a_volume_stays_mapped(self):
        volume = self.attached()
        self.assertEqual([(volume.id, fakes.INITIATOR, False)],
                         self.restart().engine.mapped())

    def test_a_volume_that_was_unmapped_is_mapped_again(self):
        volume = self.attached()
        # What earlier releases did when the host was renamed.
        self.disks.driver.backend.exports.terminate_connection(
            volume.id, model.Iqn(fakes.INITIATOR))
        self.disks.driver.backend.exports.remove_export(volume.id)
        self.assertEqual([], self.disks.driver.engine.mapped())
        self.assertEqual([(volume.id, fakes.INITIATOR, False)],
                         self.restart().engine.mapped())

    def test_an_attachment_that_is_gone(self):
        volume = self.attached()
        for record in objects.VolumeAttachmentList.get_all_by_volume_id(
                self.context, volume.id):
            record.destroy()
        driver = self.restart()
        engine = driver.engine
        self.assertEqual(([], {}), (engine.mapped(), engine.exported()))

    def test_a_volume_of_a_cluster_and_of_another_project(self):
        volume = self.attached()
        volume.update({'cluster_name': 'c@disks#fast', 'host': None,
                       'project_id': uuid.uuid4().hex})
        volume.save()
        self.assertEqual([(volume.id, fakes.INITIATOR, False)],
                         self.restart().engine.mapped())

    def test_a_deleted_volume_is_known_to_be_gone(self):
        volume = self.created()
        records = self.disks.driver.records
        self.assertEqual([volume.id], [
            v.id for v in records.of_backings([volume.id])])
        volume.destroy()
        self.assertEqual([], records.of_backings([volume.id]))
        self.assertEqual({volume.id}, records.deleted([volume.id, HOST.name]))

    def test_a_backing_of_another_id(self):
        volume = self.created()
        name_id = str(uuid.uuid4())
        volume.update({'_name_id': name_id})
        volume.save()
        driver = self.restart()
        self.assertEqual([volume.id], [
            v.id for v in driver.records.of_backings([name_id])])
        self.assertTrue(driver.parts[manage.Manage]._is_managed(
            'volume', name_id))
