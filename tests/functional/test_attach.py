# SPDX-License-Identifier: Apache-2.0
"""Attach and detach on a real kernel, by stock os-brick and by ours."""

import collections
from concurrent import futures
import os
from pathlib import Path
import shutil
import stat
import subprocess
import sys
import time
from unittest import mock
import uuid

import ddt
import rtslib_fb

from lab import process
from mydriver import connection, exception, model
from mydriver.nova_virt import devices
from tests.functional import attaching, base
from tests.functional.attaching import MIB, Attachment, ours, stock

PATTERN = os.urandom(MIB)


class AttachTestCase(base.NodeTestCase):
    """A node with a target, and ways to attach."""

    chap = True

    def setUp(self):
        super().setUp()
        self.cloud = attaching.Cloud(self, chap=self.chap)
        self.assertEqual({}, attaching.leftovers(), 'left by another test')
        self.addCleanup(self._log_out)

    @staticmethod
    def _log_out():
        """Clear away what a test that failed has left."""
        for command in ('dmsetup remove_all --force',
                        'iscsiadm -m session --logout',
                        'iscsiadm -m node -o delete'):
            subprocess.run(command.split(), check=False, capture_output=True)
        Path('/etc/multipath/wwids').unlink(missing_ok=True)

    def attach(self, kind=ours, multipath=False, volume_id=None):
        volume_id = volume_id or self.cloud.volume()
        data = self.cloud.attach(volume_id, marked=kind is ours)
        connector = kind(multipath)
        return Attachment(volume_id, data, connector,
                          connector.connect_volume(data))

    def detach(self, attachment, **kwargs):
        attachment.disconnect(**kwargs)
        self.cloud.detach(attachment.volume_id)

    def neighbours(self, count=2):
        """Return volumes that are on one target of the pool."""
        by_target = collections.defaultdict(list)
        while True:
            volume_id = self.cloud.volume()
            iqn = self.cloud.attach(volume_id, True)['target_iqn']
            by_target[iqn].append(volume_id)
            if len(by_target[iqn]) == count:
                return by_target[iqn]

    def assert_is(self, path, volume_id):
        """Prove by udev's program and by its content which volume it is."""
        self.assertEqual(model.naa_id(volume_id), attaching.disk_naa(path))
        mark = uuid.UUID(volume_id).bytes * (len(PATTERN) // 16)
        fd = os.open(path, os.O_RDWR)
        try:
            os.pwrite(fd, mark, MIB)
            os.fsync(fd)
        finally:
            os.close(fd)
        with self.cloud.path(volume_id).open('rb') as f:
            self.assertEqual(mark, os.pread(f.fileno(), len(mark), MIB))

    def assert_nothing_left(self, *except_for):
        left = attaching.leftovers()
        self.assertEqual({}, {
            k: v for k, v in left.items() if k not in except_for})


@ddt.ddt
class BothTest(AttachTestCase):
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
        self.assertFalse(connection.is_ours(data))
        attachment = Attachment(volume_id, data, ours(False),
                                ours(False).connect_volume(data))
        self.assert_is(attachment.path, volume_id)
        self.cloud.grow(volume_id, 32 * MIB)
        self.assertEqual(32 * MIB, attachment.connector.extend_volume(data))
        self.detach(attachment)
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


@ddt.ddt
class SecretsTest(AttachTestCase):
    """CHAP, and where its secrets are not."""

    def secrets(self, data):
        chap = connection.Connection.parse(data).chap
        self.assertTrue(chap.password and chap.mutual_password)
        return chap.password, chap.mutual_password

    def test_mutual_chap(self):
        log, arguments = attaching.LogCatcher(self), attaching.Arguments(self)
        attachment = self.attach()
        records = [p for p in Path('/etc/iscsi/nodes').rglob('*')
                   if p.is_file()]
        self.assertEqual(1, len(records))
        self.assertEqual(0o600, stat.S_IMODE(records[0].stat().st_mode))
        secrets = self.secrets(attachment.data)
        for secret in secrets:
            self.assertIn(secret, records[0].read_text())
        self.detach(attachment)
        self.assertIn('--login', arguments.text)
        self.assertIn('Attached volume', log.text)
        for secret in secrets:
            self.assertNotIn(secret, arguments.text)
            self.assertNotIn(secret, log.text)
        self.assert_nothing_left()

    def test_stock_shows_the_secret_in_arguments(self):
        """Show that the watch of the arguments sees, and what stock does."""
        arguments = attaching.Arguments(self)
        attachment = self.attach(stock)
        self.detach(attachment)
        self.assertIn(attachment.data['auth_password'], arguments.text)

    @ddt.data('auth_password', connection._MUTUAL_PASSWORD)
    def test_wrong_secret(self, key):
        volume_id = self.cloud.volume()
        data = self.cloud.attach(volume_id, True)
        log = attaching.LogCatcher(self)
        data[key] = 'wrongwrongwrong1'
        with self.assertRaises(exception.LoginError) as caught:
            ours(False).connect_volume(data)
        print(f'\n{caught.exception}', file=sys.stderr)
        # 24 where the target refuses us, 19 where we refuse the target.
        self.assertRegex(str(caught.exception), 'failed: (24|19) - ')
        self.assertNotIn('wrongwrongwrong1', str(caught.exception))
        self.assertNotIn('wrongwrongwrong1', log.text)
        self.assert_nothing_left()

    def test_changed_secret(self):
        """A record that was left there has the old secret."""
        attachment = self.attach()
        base.run('iscsiadm', '-m', 'session', '--logout')
        record, = (p for p in Path('/etc/iscsi/nodes').rglob('*')
                   if p.is_file())
        password = attachment.data['auth_password']
        text = record.read_text()
        self.assertIn(password, text)
        record.write_text(text.replace(password, 'oldoldoldold1'))
        again = self.attach(volume_id=attachment.volume_id)
        self.assert_is(again.path, again.volume_id)
        self.detach(again)
        self.assert_nothing_left()


class NoChapTest(AttachTestCase):
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
class IdentityTest(AttachTestCase):
    """No device that is not the volume is ever returned."""

    @ddt.data(False, True)
    def test_other_volume_under_the_lun(self, multipath):
        if multipath:
            self.start_multipathd()
        volume_id, other_id = self.neighbours()
        data = self.cloud.attach(volume_id, True)
        self.cloud.swap(volume_id, other_id)
        with self.assertRaises(exception.WrongDevice) as caught:
            ours(multipath).connect_volume(data)
        print(f'\n{caught.exception}', file=sys.stderr)
        self.assertIn(model.naa_id(other_id), str(caught.exception))
        self.assert_nothing_left()

    def test_other_volume_under_the_lun_of_a_device_that_is_there(self):
        volume_id, other_id = self.neighbours()
        attachment = self.attach(volume_id=volume_id)
        self.cloud.swap(volume_id, other_id)
        # The kernel still shows the old volume's name.
        wwid = Path('/sys/block', Path(attachment.path).name, 'device/wwid')
        self.assertEqual(f'naa.{model.naa_id(volume_id)}',
                         wwid.read_text().strip())
        with self.assertRaises(exception.WrongDevice):
            ours(False).connect_volume(attachment.data)
        self.assert_nothing_left()

    def test_old_device_of_a_released_lun(self):
        old_id, new_id = self.neighbours()
        old = self.attach(volume_id=old_id)
        self.cloud.swap(old_id, new_id)      # never disconnected
        data = {**self.cloud.attach(new_id, True),
                'target_lun': old.data['target_lun'],
                'target_luns': old.data['target_luns']}
        connector = ours(False)
        new = Attachment(new_id, data, connector,
                         connector.connect_volume(data))
        self.assert_is(new.path, new_id)
        old.disconnect()                     # too late: it is another's now
        self.assert_is(new.path, new_id)
        new.disconnect()
        self.assert_nothing_left()

    def test_another_volumes_working_device_is_left_alone(self):
        volume_id, other_id = self.neighbours()
        other = self.attach(volume_id=other_id)
        wrong = {**self.cloud.attach(volume_id, True),
                 'target_lun': other.data['target_lun'],
                 'target_luns': other.data['target_luns']}
        with self.assertRaises(exception.WrongDevice):
            ours(False).connect_volume(wrong)
        self.assert_is(other.path, other_id)
        self.detach(other)
        self.assert_nothing_left()

    def test_lun_that_is_not_mapped(self):
        volume_id = self.cloud.volume()
        data = self.cloud.attach(volume_id, True)
        self.cloud.unmap_behind(volume_id)
        self.enterContext(mock.patch.object(devices, 'DEVICE_TIMEOUT_S', 4))
        with self.assertRaises(exception.DeviceNotFound) as caught:
            ours(False).connect_volume(data)
        print(f'\n{caught.exception}', file=sys.stderr)
        self.assert_nothing_left()


@ddt.ddt
class RoughTest(AttachTestCase):
    """Repeats, breakdowns, strangers and crowds."""

    @ddt.data(False, True)
    def test_everything_twice(self, multipath):
        if multipath:
            self.start_multipathd()
        once = self.attach(multipath=multipath)
        twice = self.attach(multipath=multipath, volume_id=once.volume_id)
        self.assertEqual(once.result, twice.result)
        self.assert_is(once.path, once.volume_id)
        self.detach(once)
        self.detach(twice)
        once.disconnect(force=True)
        self.assert_nothing_left()

    def test_second_lun_needs_no_login(self):
        first_id, second_id = self.neighbours()
        first = self.attach(volume_id=first_id)
        before = base.sessions()
        second = self.attach(volume_id=second_id)
        self.assertEqual(before, base.sessions())
        self.detach(first)
        self.assertEqual(before, base.sessions())
        self.assert_is(second.path, second_id)
        self.detach(second)
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_forced_detach_without_lun(self, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(multipath=multipath)
        self.cloud.unmap_behind(attachment.volume_id)
        attachment.disconnect(force=True)
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_detach_without_lun(self, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(multipath=multipath)
        self.cloud.unmap_behind(attachment.volume_id)
        attachment.disconnect()
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_forced_detach_when_the_target_is_gone(self, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(multipath=multipath)
        self.assert_is(attachment.path, attachment.volume_id)
        self.cut_off()
        began = time.perf_counter()
        attachment.disconnect(force=True)
        print(f'\nforced detach without target: '
              f'{time.perf_counter() - began:.2f} s', file=sys.stderr)
        self.assert_nothing_left()

    def cut_off(self):
        """Have every session break, and none come up again."""
        base.run('ip', 'link', 'set', 'lo', 'down')
        self.addCleanup(base.run, 'ip', 'link', 'set', 'lo', 'up')
        process.wait_for(lambda: all(
            (s / 'state').read_text().strip() != 'LOGGED_IN'
            for s in Path('/sys/class/iscsi_session').iterdir()),
            'the sessions to break', 60)

    def test_detach_without_session(self):
        attachment = self.attach()
        base.run('iscsiadm', '-m', 'session', '--logout')
        attachment.disconnect()
        self.assert_nothing_left()

    def test_detach_without_record(self):
        attachment = self.attach()
        shutil.rmtree(Path('/etc/iscsi/nodes', attachment.data['target_iqn']))
        attachment.disconnect()
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_one_portal_down(self, multipath):
        if multipath:
            self.start_multipathd()
        volume_id = self.cloud.volume()
        data = self.cloud.attach(volume_id, True)
        self.close_portals('127.0.0.1')
        connector = ours(multipath)
        attachment = Attachment(volume_id, data, connector,
                                connector.connect_volume(data))
        self.assert_is(attachment.path, volume_id)
        attachment.disconnect()
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_all_portals_down(self, multipath):
        if multipath:
            self.start_multipathd()
        data = self.cloud.attach(self.cloud.volume(), True)
        self.close_portals('127.0.0.*')
        with self.assertRaises(exception.LoginError) as caught:
            ours(multipath).connect_volume(data)
        print(f'\n{caught.exception}', file=sys.stderr)
        self.assert_nothing_left()

    @staticmethod
    def close_portals(address):
        for portal in Path('/sys/kernel/config/target/iscsi').glob(
                f'iqn.*/tpgt_1/np/{address}:*'):
            portal.rmdir()

    def test_strangers_session_and_record_stay(self):
        iqn = self.stranger()
        before = attaching.leftovers()
        self.assertEqual(1, len(before['sessions']))
        attachment = self.attach()
        self.detach(attachment)
        self.assertEqual(before, attaching.leftovers())
        base.run('iscsiadm', '-m', 'node', '-T', iqn, '--logout')
        base.run('iscsiadm', '-m', 'node', '-T', iqn, '-o', 'delete')

    def stranger(self):
        """Log in to a target that has nothing to do with us."""
        iqn = 'iqn.2003-01.org.example:stranger'
        file = self.cloud.folder / 'stranger'
        with file.open('wb') as f:
            f.truncate(MIB)
        tpg = rtslib_fb.TPG(rtslib_fb.Target(
            rtslib_fb.FabricModule('iscsi'), iqn), 1)
        rtslib_fb.NetworkPortal(tpg, '127.0.0.1', 3260)
        rtslib_fb.LUN(tpg, 1, rtslib_fb.FileIOStorageObject(
            'stranger', str(file), MIB))
        rtslib_fb.MappedLUN(
            rtslib_fb.NodeACL(tpg, base.initiator_name()), 1, 1)
        tpg.set_attribute('authentication', '0')
        tpg.enable = True
        node = ('iscsiadm', '-m', 'node', '-T', iqn, '-p', '127.0.0.1:3260')
        base.run(*node, '-o', 'new')
        base.run(*node, '--login')
        return iqn

    @ddt.data(False, True)
    def test_eight_at_a_time(self, multipath):
        if multipath:
            self.start_multipathd()
        volumes = [self.cloud.volume() for _ in range(8)]
        began = time.perf_counter()
        with futures.ThreadPoolExecutor(8) as pool:
            held = list(pool.map(lambda v: self.attach(
                multipath=multipath, volume_id=v), volumes))
        up = time.perf_counter()
        for attachment in held:
            self.assert_is(attachment.path, attachment.volume_id)
        checked = time.perf_counter()
        with futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self.detach, held))
        print(f'\neight at a time, {2 if multipath else 1} paths each: '
              f'attach {up - began:.2f} s, detach '
              f'{time.perf_counter() - checked:.2f} s', file=sys.stderr)
        self.assert_nothing_left()

    def test_attach_and_detach_on_one_session(self):
        """A logout never comes between another attach's login and device."""
        volumes = self.neighbours(3)

        def go(volume_id):
            for _ in range(5):
                self.detach(self.attach(volume_id=volume_id))

        with futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(go, volumes))
        self.assert_nothing_left()
