# SPDX-License-Identifier: Apache-2.0
"""Attach, detach and extend on a fake host."""

from concurrent import futures
import dataclasses
import itertools
from pathlib import Path
import string
import tempfile
import threading
import unittest
from unittest import mock

from mydriver import exception, model
from mydriver.connection import iscsi
from mydriver.initiator import (
    attach,
    detach,
    devices,
    extend,
    host,
    multipath,
    sessions,
    sysfs,
    usage,
)
from tests.fakes.initiator import (
    MIB,
    OTHER,
    PORTALS,
    TARGET,
    VOLUME,
    FakeHost,
    Lun,
    page83,
)

NAA = model.naa_id(VOLUME)


class AttachTestCase(unittest.TestCase):
    """A host, and the use cases on it."""

    def setUp(self):
        super().setUp()
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.host = FakeHost(folder / 'sys')
        # Most tests give a device 0.1 s to answer, which a busy machine may
        # take from one attempt to the next.
        self.host.probe_attempts = 0
        kernel = sysfs.Sysfs(folder / 'sys')
        compute = host.Host(self.host, folder / 'locks', kernel,
                            usage.Usage(kernel, folder / 'proc'))
        self.connect = attach.Attacher(compute).connect
        self.disconnect = detach.Detacher(compute).disconnect
        self.extend = extend.Extender(compute).extend
        for module, name in (
                (devices, 'DEVICE_TIMEOUT_S'), (devices, 'REMOVAL_TIMEOUT_S'),
                (multipath, 'MAP_TIMEOUT_S'), (multipath, '_UNASKED_S'),
                (multipath, 'PATHS_TIMEOUT_S'),
                (multipath, 'ASKED_PATHS_TIMEOUT_S'),
                (multipath, 'FORGET_TIMEOUT_S'),
                (devices, 'ANSWER_TIMEOUT_S'), (detach, 'USERS_TIMEOUT_S'),
                (detach, 'FORCED_ANSWER_TIMEOUT_S'),
                (detach, 'FORCED_REMOVAL_TIMEOUT_S'),
                (multipath, 'REMOVAL_TIMEOUT_S'),
                (sessions, 'RECOVERY_TIMEOUT_S'),
                (sessions, 'PATH_RECOVERY_TIMEOUT_S'),
                (extend, 'RESIZE_TIMEOUT_S')):
            self.enterContext(mock.patch.object(module, name, 0.1))


class SinglePathTest(AttachTestCase):
    """One portal is enough."""

    def test_attach_and_detach(self):
        connection = self.host.connection()
        attached = self.connect(connection, False)
        self.assertEqual(attach.Attached('sda', NAA, False), attached)
        self.assertEqual(['session1'],
                         self.host.names('class/iscsi_session'))
        self.disconnect(connection)
        self.assertEqual(['sda'], self.host.flushed)
        self.assertEqual({}, self.host.left)

    def test_again_changes_nothing(self):
        connection = self.host.connection()
        first = self.connect(connection, False)
        before = self.host.left
        self.assertEqual(first, self.connect(connection, False))
        self.assertEqual(before, self.host.left)
        for _ in range(2):
            self.disconnect(connection)
            self.assertEqual({}, self.host.left)

    def test_credentials_reach_the_record(self):
        chap = model.ChapCredentials('u', 'secret', 'mu', 'mutual')
        connection = dataclasses.replace(self.host.connection(), chap=chap)
        self.connect(connection, False)
        self.assertEqual({(str(TARGET), PORTALS[0]): chap},
                         self.host.records)

    def test_second_volume_shares_the_session(self):
        first = self.host.connection()
        second = self.host.connection(OTHER, 2)
        self.connect(first, False)
        self.connect(second, False)
        self.assertEqual(['session1'],
                         self.host.names('class/iscsi_session'))
        self.disconnect(first)
        self.assertEqual(['1:0:0:2'], self.host.names('bus/scsi/devices'))
        self.assertEqual(['session1'],
                         self.host.names('class/iscsi_session'))
        self.disconnect(second)
        self.assertEqual({}, self.host.left)

    def test_next_portal_where_one_is_down(self):
        self.host.down = {PORTALS[0]}
        connection = self.host.connection()
        self.assertEqual(
            'sda', self.connect(connection, False).device)
        self.assertEqual([(str(TARGET), PORTALS[1])],
                         list(self.host.records))

    def patience(self, long_s, short_s):
        self.enterContext(mock.patch.multiple(
            sessions, RECOVERY_TIMEOUT_S=long_s,
            PATH_RECOVERY_TIMEOUT_S=short_s))

    def test_silent_portal_is_asked_last_for_a_while(self):
        self.patience(30, 5)
        self.host.silent = {PORTALS[0]}
        for volume_id, lun in ((VOLUME, 1), (OTHER, 2)):
            self.connect(self.host.connection(volume_id, lun), False)
        self.assertEqual([(PORTALS[0], 5)], self.host.waited_s)
        self.enterContext(mock.patch.object(sessions, 'FAILED_LATELY_S', 0))
        self.connect(self.host.connection(), False)
        self.assertEqual([(PORTALS[0], 5)] * 2, self.host.waited_s)

    def login_that_waits(self):
        """Let one attach wait for a portal; return how to end that."""
        asked, go_on = threading.Event(), threading.Event()

        def reach(portal, timeout_s):
            if portal == PORTALS[0] and not asked.is_set():
                asked.set()
                go_on.wait(20)
                raise TimeoutError('no answer in time')

        self.host.reach = reach
        other = self.host.connection(OTHER, 2, PORTALS[:1])
        pool = self.enterContext(futures.ThreadPoolExecutor(4))
        attach = pool.submit(self.connect, other, False)
        self.addCleanup(go_on.set)
        self.assertTrue(asked.wait(10))
        return pool, attach, go_on

    def test_detach_does_not_wait_for_anothers_login(self):
        """At a portal that takes connections and then says nothing."""
        self.host.down = {PORTALS[0]}
        connection = self.host.connection()
        self.connect(connection, False)
        pool, attach, go_on = self.login_that_waits()
        try:
            pool.submit(self.disconnect, connection).result(5)
            self.assertFalse(attach.done())
        finally:
            go_on.set()
        self.assertRaises(exception.LoginError, attach.result)
        self.assertEqual({}, self.host.left)

    def test_attaches_in_line_wait_for_a_silent_portal_once(self):
        self.enterContext(mock.patch.multiple(
            sessions, RECOVERY_TIMEOUT_S=30, ANSWER_TIMEOUT_S=16))
        pool, attach, go_on = self.login_that_waits()
        self.host.reach = type(self.host).reach.__get__(self.host)
        self.host.silent = {PORTALS[0]}
        third = self.host.connection(VOLUME, 1, PORTALS[:1])
        waiting = pool.submit(self.connect, third, False)
        self.assertRaises(futures.TimeoutError, waiting.result, 0.3)
        go_on.set()
        for one in (attach, waiting):
            self.assertRaises(exception.LoginError, one.result)
        self.assertEqual([(PORTALS[0], sessions.AGAIN_TIMEOUT_S)],
                         self.host.waited_s)
        self.assertRaises(exception.LoginError, self.connect, third, False)
        self.assertEqual((PORTALS[0], 16), self.host.waited_s[-1])

    def test_silent_portal_that_is_the_only_one(self):
        self.patience(30, 5)
        self.host.silent = {PORTALS[0]}
        connection = self.host.connection(portals=PORTALS[:1])
        for _ in range(2):
            with self.assertRaisesRegex(exception.LoginError, 'no answer'):
                self.connect(connection, False)
        self.assertEqual([(PORTALS[0], sessions.ANSWER_TIMEOUT_S)] * 2,
                         self.host.waited_s)
        self.assertEqual({}, self.host.left)

    def test_session_that_comes_back_late(self):
        """The other portal is down, so that it is worth the wait."""
        self.patience(0.5, 0.1)
        self.connect(self.host.connection(OTHER, 2), False)
        self.host.down = {PORTALS[1]}
        self.host.set_state('FAILED')
        timer = threading.Timer(0.3, self.host.set_state, ['LOGGED_IN'])
        timer.start()
        self.addCleanup(timer.join)
        self.assertEqual(
            'sdb', self.connect(self.host.connection(), False).device)

    def test_all_portals_down(self):
        self.host.down = set(PORTALS)
        with self.assertRaises(exception.LoginError) as caught:
            self.connect(self.host.connection(), False)
        self.assertIn('192.0.2.1:3260', str(caught.exception))
        self.assertIn('Connection refused', str(caught.exception))
        self.assertEqual({}, self.host.left)

    def test_login_refused(self):
        self.host.refuse = '24 - authorization failure'
        with self.assertRaisesRegex(exception.LoginError, '24 - author'):
            self.connect(self.host.connection(), False)
        self.assertEqual({}, self.host.left)

    def test_session_that_is_down(self):
        connection = self.host.connection(portals=PORTALS[:1])
        self.connect(connection, False)
        self.host.set_state('FAILED')
        with self.assertRaisesRegex(exception.LoginError, 'LOGGED_IN'):
            self.connect(connection, False)

    def test_lun_that_does_not_come(self):
        connection = self.host.connection()
        del self.host.luns[1]
        with self.assertRaises(exception.DeviceNotFound) as caught:
            self.connect(connection, False)
        self.assertIn('LUN 1', str(caught.exception))
        self.assertEqual({}, self.host.left)

    def test_session_that_somebody_ended_meanwhile(self):
        connection = self.host.connection(portals=PORTALS[:1])
        scan, once = self.host.scan, []

        def end_first(session, lun):
            if not once:
                once.append(session)
                self.host.drop_session(session)
            else:
                scan(session, lun)

        self.host.scan = end_first
        self.assertEqual(
            'sda', self.connect(connection, False).device)
        self.assertEqual(['session2'],
                         self.host.names('class/iscsi_session'))

    def test_without_an_id_there_is_no_way(self):
        connection = dataclasses.replace(self.host.connection(), wwn=None)
        for call in (lambda: self.connect(connection, False),
                     lambda: self.disconnect(connection),
                     lambda: self.extend(connection)):
            with self.assertRaises(exception.InvalidConnectionData):
                call()


class IdentityTest(AttachTestCase):
    """The device at the LUN is not always the volume."""

    def test_other_volume(self):
        connection = self.host.connection()
        self.host.luns[1] = Lun.of(OTHER)
        with self.assertRaises(exception.WrongDevice) as caught:
            self.connect(connection, False)
        self.assertIn(model.naa_id(OTHER), str(caught.exception))
        self.assertIn(NAA, str(caught.exception))
        # The other portal was not tried, nor could it be right.
        self.assertNotIn(str(PORTALS[1]), str(caught.exception))
        self.assertEqual({}, self.host.left)

    def test_other_volume_under_a_device_that_is_there(self):
        connection = self.host.connection()
        self.connect(connection, False)
        self.host.luns[1] = Lun.of(OTHER)
        with self.assertRaises(exception.WrongDevice):
            self.connect(connection, False)
        self.assertEqual({}, self.host.left)

    def test_old_device_of_a_released_lun(self):
        old = self.host.connection(OTHER)
        self.connect(old, False)
        new = self.host.connection(VOLUME, size_bytes=32 * MIB)
        attached = self.connect(new, False)
        self.assertEqual('sdb', attached.device)
        self.assertEqual(['sdb'], self.host.names('block'))
        self.disconnect(old)
        self.assertEqual(['sdb'], self.host.names('block'))

    def test_old_device_that_answers_no_more(self):
        old = self.host.connection(OTHER)
        self.connect(old, False)
        del self.host.luns[1]
        with self.assertRaises(exception.DeviceNotFound):
            self.connect(dataclasses.replace(
                old, volume_id=VOLUME, wwn=NAA), False)
        self.assertEqual({}, self.host.left)

    def test_another_volumes_working_device_is_left_alone(self):
        other = self.host.connection(OTHER)
        self.connect(other, False)
        before = self.host.left
        with self.assertRaises(exception.WrongDevice):
            self.connect(dataclasses.replace(
                other, volume_id=VOLUME, wwn=NAA), False)
        self.assertEqual(before, {**self.host.left,
                                  'records': before['records']})
        self.assertEqual('sda', self.connect(other, False).device)

    def test_volume_that_came_back_under_another_lun(self):
        self.connect(self.host.connection(lun=1), False)
        del self.host.luns[1]
        connection = self.host.connection(lun=9)
        self.assertEqual(
            'sdb', self.connect(connection, False).device)
        self.assertEqual(['1:0:0:9'], self.host.names('bus/scsi/devices'))

    def test_volume_that_grew_while_it_was_attached(self):
        connection = self.host.connection()
        self.connect(connection, False)
        self.host.luns[1].size_bytes = 64 * MIB
        self.connect(connection, False)
        self.assertEqual(str(64 * MIB // 512), (
            self.host.root / 'block/sda/size').read_text().strip())


class SilentTest(AttachTestCase):
    """A device that does not answer may still be the volume."""

    FOREVER = 1 << 30

    def be_patient(self):
        """Give devices as long as on a real host."""
        self.enterContext(mock.patch.object(devices, 'ANSWER_TIMEOUT_S', 10))

    def test_disk_that_can_be_asked_a_moment_later(self):
        connection = self.host.connection()
        self.host.speechless = {1: 2}
        self.be_patient()
        # The first one, not one of a second scan.
        self.assertEqual('sda', self.connect(connection, False).device)

    def test_new_disk_that_can_be_opened_a_moment_later(self):
        self.be_patient()
        self.host.probe_attempts = 5
        attached = self.connect(self.host.connection(), False)
        self.assertEqual('sda', attached.device)

    def test_new_disk_that_can_never_be_opened(self):
        connection = self.host.connection(portals=PORTALS[:1])
        self.host.probe_attempts = self.FOREVER
        with self.assertRaisesRegex(
                exception.NoAnswer,
                "No such device or address: '/dev/sda'; tried for 0.1 s"):
            self.connect(connection, False)
        self.assertEqual({}, self.host.left)

    def test_extend_when_a_path_can_be_opened_a_moment_later(self):
        connection = self.host.connection()
        self.connect(connection, False)
        self.host.luns[1].size_bytes = 64 * MIB
        self.host.probing = {'sda': 3}
        self.be_patient()
        self.assertEqual(64 * MIB, self.extend(connection))

    def test_extend_of_a_path_that_can_never_be_opened(self):
        connection = self.host.connection()
        self.connect(connection, False)
        self.host.probing = {'sda': self.FOREVER}
        with self.assertRaisesRegex(exception.NoAnswer, 'tried for 0.1 s'):
            self.extend(connection)

    def test_new_disk_that_never_answers(self):
        connection = self.host.connection(portals=PORTALS[:1])
        self.host.speechless = {1: self.FOREVER}
        with self.assertRaisesRegex(exception.NoAnswer, 'no node in /dev'):
            self.connect(connection, False)
        self.assertEqual({}, self.host.left)

    def test_disk_that_was_there_stays(self):
        connection = self.host.connection(portals=PORTALS[:1])
        self.connect(connection, False)
        before = self.host.left
        self.host.speechless = {1: self.FOREVER}
        with self.assertRaises(exception.NoAnswer):
            self.connect(connection, False)
        self.assertEqual(before, self.host.left)

    def test_old_path_stays(self):
        self.connect(self.host.connection(lun=1), False)
        self.host.speechless = {1: self.FOREVER}
        self.connect(self.host.connection(lun=9), False)
        self.assertEqual(['1:0:0:1', '1:0:0:9'],
                         self.host.names('bus/scsi/devices'))

    def test_detach_writes_out_a_moment_later(self):
        for multi in (False, True):
            with self.subTest(multipath=multi):
                self.host.multipathd = multi
                connection = self.host.connection()
                self.connect(connection, multi)
                self.host.speechless = {1: 3}
                self.be_patient()
                self.disconnect(connection)
                self.assertEqual(1, len(self.host.flushed))
                self.assertEqual({}, self.host.left)
                self.host.flushed.clear()

    def test_detach_of_what_never_answers(self):
        connection = self.host.connection()
        self.connect(connection, False)
        before = self.host.left
        self.host.speechless = {1: self.FOREVER}
        with self.assertRaises(exception.NoAnswer):
            self.disconnect(connection)
        self.assertEqual(before, self.host.left)
        with self.assertLogs(detach.LOG, 'WARNING') as log:
            self.disconnect(connection, force=True)
        self.assertIn('no node in /dev', '\n'.join(log.output))
        self.assertEqual({}, self.host.left)


class NamelessTest(AttachTestCase):
    """The kernel could not read the identity when the device came up."""

    def setUp(self):
        super().setUp()
        self.connection = self.host.connection(portals=PORTALS[:1])
        self.connect(self.connection, False)
        self.page = self.host.root / 'bus/scsi/devices/1:0:0:1/vpd_pg83'
        self.page.write_bytes(b'')

    def test_it_is_used(self):
        self.assertEqual('sda', self.connect(self.connection, False).device)
        self.assertEqual(page83(NAA), self.page.read_bytes())

    def test_it_is_detached(self):
        self.disconnect(self.connection)
        self.assertEqual(['sda'], self.host.flushed)
        self.assertEqual({}, self.host.left)

    def test_it_is_detached_when_it_can_be_opened_a_moment_later(self):
        self.host.probing = {'sda': 3}
        with mock.patch.object(devices, 'ANSWER_TIMEOUT_S', 10):
            self.disconnect(self.connection)
        self.assertEqual({}, self.host.left)

    def test_new_one_gets_its_identity(self):
        self.disconnect(self.connection)
        scan = self.host.scan

        def scan_badly(session, lun):
            scan(session, lun)
            next(self.host.root.glob(
                'bus/scsi/devices/*/vpd_pg83')).write_bytes(b'')

        self.host.scan = scan_badly
        self.connect(self.connection, False)
        self.disconnect(self.connection)
        self.assertEqual({}, self.host.left)

    def test_it_stays_while_it_cannot_be_asked(self):
        before = self.host.left
        self.host.speechless = {1: 1 << 30}
        with self.assertRaises(exception.NoAnswer):
            self.disconnect(self.connection)
        self.assertEqual(before, self.host.left)

    def test_nobody_is_asked_over_a_session_that_is_down(self):
        """It would answer only once the session is given up, if at all."""
        def hang(device):
            if device.lun == 1:
                raise exception.PrivilegedError('read_naa', 'no answer')
            return mapped.naa

        other = self.host.connection(OTHER, 2, PORTALS[1:])
        mapped = self.host.luns[2]
        self.host.set_state('FAILED')
        self.host.read_naa = hang
        self.connect(other, False)
        self.disconnect(other)
        with self.assertRaises(exception.NoAnswer):
            self.disconnect(self.connection)
        self.assertEqual(['1:0:0:1'], self.host.names('bus/scsi/devices'))

    def test_one_that_hangs_does_not_speak_for_the_others(self):
        """A portal that just stopped answering: its session looks alive."""
        connection = self.host.connection(OTHER, 2)
        self.host.multipathd = True
        self.connect(connection, True)
        session = min(self.host.names('class/iscsi_session'))
        read = self.host.read_naa

        def hang(device):
            if device.hctl[0] == int(session.removeprefix('session')):
                raise exception.PrivilegedError('read_naa', 'no answer')
            return read(device)

        self.host.read_naa = hang
        self.disconnect(connection)
        self.assertEqual(['1:0:0:1'], self.host.names('bus/scsi/devices'))

    def test_another_volumes_attach_goes_on(self):
        self.host.multipathd = True
        self.host.speechless = {1: 1 << 30}
        other = self.host.connection(OTHER, 2, PORTALS[:1])
        self.assertTrue(self.connect(other, True).multipath)
        self.disconnect(other)
        self.assertEqual(['1:0:0:1'], self.host.names('bus/scsi/devices'))


class UsersTest(AttachTestCase):
    """Others on this host use the guest's disk."""

    def test_holder_of_a_disk(self):
        connection = self.host.connection()
        self.connect(connection, False)
        self.host.hold('sda', 'dm-7', 'guest-root')
        before = self.host.left
        with self.assertRaisesRegex(exception.DeviceInUse,
                                    r'/dev/sda is .* guest-root \(dm-7\)'):
            self.disconnect(connection)
        self.assertEqual(([], before), (self.host.flushed, self.host.left))
        with self.assertRaisesRegex(exception.DeviceInUse, 'guest-root'):
            self.disconnect(connection, force=True)
        self.assertEqual({'disks': ['dm-7']}, self.host.left)

    def test_user_that_cannot_be_seen(self):
        connection = self.host.connection()
        self.connect(connection, False)
        self.host.exclusive = {'sda'}
        before = self.host.left
        with self.assertRaisesRegex(exception.DeviceInUse, 'in a container'):
            self.disconnect(connection)
        self.assertEqual(before, self.host.left)
        self.host.exclusive = set()
        self.disconnect(connection)
        self.assertEqual({}, self.host.left)

    def test_holder_of_a_map(self):
        self.host.multipathd = True
        connection = self.host.connection()
        self.connect(connection, True)
        self.host.hold('dm-0', 'dm-7', 'guest-root')
        self.host.busy = {NAA}
        before = self.host.left
        with self.assertRaisesRegex(exception.DeviceInUse,
                                    r'/dev/dm-0 is .* guest-root \(dm-7\)'):
            self.disconnect(connection)
        self.assertEqual(before, self.host.left)
        with self.assertRaisesRegex(exception.DeviceInUse, 'guest-root'):
            self.disconnect(connection, force=True)
        self.assertEqual({'disks': ['dm-0', 'dm-7']}, self.host.left)
        # Once the user has closed it, the rest is removed as well.
        self.host.busy = set()
        (self.host.root / 'block/dm-0/holders/dm-7').rmdir()
        self.disconnect(connection)
        self.assertEqual({'disks': ['dm-7']}, self.host.left)


class MultipathTest(AttachTestCase):
    """Two portals, one device."""

    def setUp(self):
        super().setUp()
        self.host.multipathd = True

    def test_attach_and_detach(self):
        connection = self.host.connection()
        attached = self.connect(connection, True)
        self.assertEqual(attach.Attached('dm-0', NAA, True), attached)
        self.assertEqual(['sda', 'sdb'], self.host.names('block/dm-0/slaves'))
        self.assertEqual(attached, self.connect(connection, True))
        self.disconnect(connection)
        self.assertEqual(['dm-0'], self.host.flushed)
        self.assertEqual({}, self.host.left)

    def test_multipathd_that_takes_only_what_it_is_told(self):
        self.host.picky = True
        self.assertTrue(self.connect(
            self.host.connection(), True).multipath)
        self.assertEqual(['sda', 'sdb'], self.host.names('block/dm-0/slaves'))

    def test_multipathd_that_makes_no_map(self):
        self.host.picky = True
        self.host.multipath_claim = lambda naa: None
        attached = self.connect(self.host.connection(), True)
        self.assertEqual(attach.Attached('sda', NAA, False), attached)

    def test_multipathd_that_does_not_answer_when_asked(self):
        """As one that is stopped: the volume gets a single path."""
        def hang(name):
            raise exception.InitiatorError('run multipathd', 'no answer')

        self.host.picky = True
        self.host.multipath_add_path = hang
        connection = self.host.connection()
        attached = self.connect(connection, True)
        self.assertEqual(('sda', False),
                         (attached.device, attached.multipath))
        self.disconnect(connection)
        self.assertEqual({}, self.host.left)

    def test_multipathd_that_leaves_these_disks_alone(self):
        self.host.picky = True
        self.host.multipath_add_path = lambda name: None
        connection = self.host.connection()
        for _ in range(2):
            self.assertFalse(self.connect(connection, True).multipath)
            self.assertEqual([NAA], self.host.left['claims'])
            self.disconnect(connection)
            self.assertEqual({}, self.host.left)

    def test_silent_portal_is_waited_for_only_once(self):
        self.enterContext(mock.patch.multiple(
            sessions, RECOVERY_TIMEOUT_S=30, PATH_RECOVERY_TIMEOUT_S=5))
        self.host.silent = {PORTALS[0]}
        for _ in range(2):
            self.assertEqual('dm-0', self.connect(
                self.host.connection(), True).device)
        self.assertEqual([(PORTALS[0], 5),
                          (PORTALS[0], sessions.AGAIN_TIMEOUT_S)],
                         self.host.waited_s)

    def test_one_portal_down(self):
        self.host.down = {PORTALS[1]}
        connection = self.host.connection()
        self.assertEqual('dm-0', self.connect(
            connection, True).device)
        self.assertEqual(['sda'], self.host.names('block/dm-0/slaves'))
        self.host.down = set()
        self.connect(connection, True)
        self.assertEqual(['sda', 'sdb'], self.host.names('block/dm-0/slaves'))
        self.disconnect(connection)
        self.assertEqual({}, self.host.left)

    def test_a_map_that_stays_read_only_without_its_paths_is_no_good(self):
        connection = self.host.connection()
        self.connect(connection, True)
        block = self.host.root / 'class/block'
        (block / 'dm-0/ro').write_text('1\n')
        (block / 'sda/ro').write_text('1\n')
        self.assertEqual('dm-0', self.connect(connection, True).device)
        (block / 'sda/ro').write_text('0\n')
        with self.assertRaisesRegex(exception.WaitTimeout, 'writable'):
            self.connect(connection, True)
        self.disconnect(connection)
        self.assertEqual({}, self.host.left)

    def test_all_portals_down(self):
        self.host.down = set(PORTALS)
        with self.assertRaises(exception.LoginError):
            self.connect(self.host.connection(), True)
        self.assertEqual({}, self.host.left)

    def test_other_volume(self):
        connection = self.host.connection()
        self.host.luns[1] = Lun.of(OTHER)
        with self.assertRaises(exception.WrongDevice):
            self.connect(connection, True)
        self.assertEqual({}, self.host.left)

    def test_strange_path_in_the_map(self):
        connection = self.host.connection()
        add = self.host._add_to_map

        def with_stranger(name, mapped):
            add(name, mapped)
            (self.host.root / 'block/dm-0/slaves/sdz').mkdir(exist_ok=True)

        self.host._add_to_map = with_stranger
        with self.assertRaisesRegex(exception.WrongDevice, 'sdz'):
            self.connect(connection, True)
        self.assertEqual({}, self.host.left)

    def test_failure_of_a_second_attach_leaves_the_first(self):
        connection = self.host.connection()
        self.connect(connection, True)
        before = self.host.left
        (self.host.root / 'block/dm-0/slaves/sdz').mkdir()
        with self.assertRaises(exception.WrongDevice):
            self.connect(connection, True)
        self.assertEqual(before, self.host.left)

    def test_map_that_is_open(self):
        connection = self.host.connection()
        self.connect(connection, True)
        before = self.host.left
        self.host.busy = {NAA}
        with self.assertRaisesRegex(exception.WaitTimeout, NAA):
            self.disconnect(connection)
        self.assertEqual(before, self.host.left)

    def size_of(self, name):
        return 512 * int((self.host.root / 'block' / name / 'size'
                          ).read_text())

    def test_map_of_a_volume_that_grew(self):
        connection = self.host.connection()
        self.connect(connection, True)
        for size_bytes in (64 * MIB, 32 * MIB):
            self.host.luns[1].size_bytes = size_bytes
            self.connect(connection, True)
            self.assertEqual(size_bytes, self.size_of('dm-0'))

    def test_new_path_of_a_volume_that_grew(self):
        connection = self.host.connection()
        self.host.down = {PORTALS[1]}
        self.connect(connection, True)
        self.host.down = set()
        self.host.luns[1].size_bytes = 64 * MIB
        self.connect(connection, True)
        self.assertEqual(64 * MIB, self.size_of('dm-0'))
        self.assertEqual(['sda', 'sdb'],
                         self.host.names('block/dm-0/slaves'))

    def test_map_never_outgrows_a_path(self):
        connection = self.host.connection()
        self.connect(connection, True)
        rescan = self.host.rescan
        self.host.rescan = lambda device, naa: (
            None if device.name == 'sdb' else rescan(device, naa))
        self.host.luns[1].size_bytes = 64 * MIB
        with self.assertLogs(multipath.LOG, 'WARNING') as log:
            self.connect(connection, True)
        self.assertEqual(16 * MIB, self.size_of('dm-0'))
        self.assertIn('sda 67108864, sdb 16777216', log.output[0])

    def test_map_that_cannot_be_resized_is_better_than_none(self):
        connection = self.host.connection()
        self.connect(connection, True)

        def refuse(naa):
            raise exception.InitiatorError('resize', 'no memory')

        self.host.multipath_resize_map = refuse
        self.host.luns[1].size_bytes = 64 * MIB
        with self.assertLogs(multipath.LOG, 'WARNING') as log:
            self.assertTrue(self.connect(connection, True).multipath)
        self.assertIn('no memory', log.output[0])

    def test_path_that_multipathd_passed_over(self):
        self.host.late = {'sdb'}
        self.connect(self.host.connection(), True)
        self.assertEqual(['sda', 'sdb'],
                         self.host.names('block/dm-0/slaves'))

    def test_path_that_multipathd_never_takes(self):
        self.host.blacklisted = {'sdb'}
        with self.assertLogs(multipath.LOG, 'WARNING') as log:
            self.connect(self.host.connection(), True)
        self.assertIn("dm-0 has only the paths ['sda']", log.output[0])
        self.assertIn('sdb (16777216 bytes): blacklisted', log.output[0])

    def test_multipathd_that_does_not_answer_counts_as_running(self):
        def refuse():
            raise exception.InitiatorError('ask multipathd', 'timed out')

        connection = self.host.connection()
        maps = multipath.Multipath(self.host, sysfs.Sysfs(self.host.root))
        self.host.multipath_paths = refuse
        self.assertTrue(maps.runs())
        told = []
        self.host.multipath_del_path = told.append
        self.connect(connection, True)
        self.disconnect(connection)
        self.assertEqual(['sda', 'sdb'], sorted(told))

    def test_extend(self):
        connection = self.host.connection()
        self.connect(connection, True)
        self.host.luns[1].size_bytes = 64 * MIB
        self.assertEqual(64 * MIB, self.extend(connection))
        self.assertEqual(str(64 * MIB // 512), (
            self.host.root / 'block/dm-0/size').read_text().strip())


class TwoTargetsTest(AttachTestCase):
    """Each path leads to a target of its own, and to another LUN there."""

    FIRST = iscsi.Path(TARGET, PORTALS[0], 1)
    SECOND = iscsi.Path(
        model.Iqn('iqn.2010-10.org.openstack:pool-1'), PORTALS[1], 5)

    def setUp(self):
        super().setUp()
        self.connection = iscsi.Connection(
            VOLUME, (self.FIRST, self.SECOND), wwn=NAA)
        # At each target, the other one's LUN is another volume.
        self.host.luns_at = {
            str(self.FIRST.target): {1: Lun.of(VOLUME), 5: Lun.of(OTHER)},
            str(self.SECOND.target): {1: Lun.of(OTHER), 5: Lun.of(VOLUME)}}

    def test_multipath(self):
        self.host.multipathd = True
        for _ in range(2):
            attached = self.connect(self.connection, True)
            self.assertEqual(attach.Attached('dm-0', NAA, True), attached)
        self.assertEqual(['1:0:0:1', '2:0:0:5'],
                         sorted(self.luns_of_sessions()))
        self.assertEqual(2, len(self.host.names('block/dm-0/slaves')))
        self.assertEqual({(str(p.target), p.portal) for p in
                          self.connection.paths}, set(self.host.records))
        self.disconnect(self.connection)
        self.assertEqual(['dm-0'], self.host.flushed)
        self.assertEqual({}, self.host.left)

    def luns_of_sessions(self):
        """Yield devices, the host's number being that of the path."""
        kernel = sysfs.Sysfs(self.host.root)
        for number, path in enumerate(self.connection.paths, 1):
            session = kernel.session(path.target, path.portal)
            for device in kernel.devices(session):
                yield ':'.join(map(str, (number, *device.hctl[1:])))

    def test_no_path_is_sought_at_the_other_target(self):
        self.connect(self.connection, False)
        self.assertEqual([(str(TARGET), PORTALS[0])],
                         list(self.host.records))
        self.disconnect(self.connection)
        self.assertEqual({}, self.host.left)

    def test_one_target_is_down(self):
        self.host.down = {PORTALS[0]}
        for multi in (False, True):
            with self.subTest(multipath=multi):
                self.host.multipathd = multi
                self.connect(self.connection, multi)
                self.assertEqual(
                    [(str(self.SECOND.target), PORTALS[1])],
                    list(self.host.records))
                self.disconnect(self.connection)
                self.assertEqual({}, self.host.left)

    def test_wrong_volume_at_one_target(self):
        """Another target may be right, another portal of it may not."""
        self.host.luns_at[str(TARGET)][1] = Lun.of(OTHER)
        connection = dataclasses.replace(self.connection, paths=(
            self.FIRST, dataclasses.replace(self.FIRST, portal=PORTALS[1]),
            self.SECOND))
        self.connect(connection, False)
        self.assertEqual([(str(self.SECOND.target), PORTALS[1])],
                         list(self.host.records))
        self.disconnect(connection)
        self.assertEqual({}, self.host.left)
        self.host.luns_at[str(self.SECOND.target)].clear()
        with self.assertRaises(exception.WrongDevice):
            self.connect(connection, False)
        self.assertEqual({}, self.host.left)

    def test_detach_misses_no_path_without_an_identity(self):
        """Whose LUN is the volume's at its own target, and only there."""
        self.host.multipathd = True
        self.connect(self.connection, True)
        kernel = sysfs.Sysfs(self.host.root)
        second = kernel.session(self.SECOND.target, PORTALS[1])
        device, = kernel.devices(second)
        page = (self.host.root / 'bus/scsi/devices'
                / ':'.join(map(str, device.hctl)) / 'vpd_pg83')
        page.write_bytes(b'')
        self.host.speechless = {5: 1 << 30}
        with self.assertRaises(exception.NoAnswer):
            self.disconnect(self.connection)
        # LUN 5 of the first target is none of ours.
        self.host.speechless = {}
        first = kernel.session(TARGET, PORTALS[0])
        self.host.scan(first, 5)
        other = kernel.device(first, 5)
        page = (self.host.root / 'bus/scsi/devices'
                / ':'.join(map(str, other.hctl)) / 'vpd_pg83')
        page.write_bytes(b'')
        read = self.host.read_naa

        def hang(asked):
            if asked.hctl == other.hctl:
                raise exception.NoAnswer('ask', 'no answer')
            return read(asked)

        self.host.read_naa = hang
        self.disconnect(self.connection)
        self.assertEqual([':'.join(map(str, other.hctl))],
                         self.host.names('bus/scsi/devices'))

    def test_extend(self):
        self.host.multipathd = True
        self.connect(self.connection, True)
        self.host.luns_at[str(TARGET)][1].size_bytes = 64 * MIB
        self.host.luns_at[str(self.SECOND.target)][5].size_bytes = 64 * MIB
        self.assertEqual(64 * MIB, self.extend(self.connection))
        self.assertEqual(str(64 * MIB // 512), (
            self.host.root / 'block/dm-0/size').read_text().strip())


class DetachTest(AttachTestCase):
    """Detaching a volume that is partly gone."""

    def test_write_out_fails(self):
        connection = self.host.connection()
        self.connect(connection, False)
        before = self.host.left
        self.host.unflushed = {'sda'}
        with self.assertRaisesRegex(exception.InitiatorError, 'flush sda'):
            self.disconnect(connection)
        self.assertEqual(before, self.host.left)
        self.disconnect(connection, force=True)
        self.assertEqual({}, self.host.left)

    def test_lun_is_gone(self):
        for force in (False, True):
            for multi in (False, True):
                with self.subTest(force=force, multipath=multi):
                    self.host.multipathd = multi
                    connection = self.host.connection()
                    self.connect(connection, multi)
                    self.host.luns.clear()
                    self.disconnect(connection, force)
                    self.assertEqual([], self.host.flushed)
                    self.assertEqual({}, self.host.left)

    def test_session_is_down(self):
        connection = self.host.connection()
        self.connect(connection, False)
        self.host.set_state('FAILED')
        before = self.host.left
        with self.assertRaisesRegex(exception.WaitTimeout, str(TARGET)):
            self.disconnect(connection)
        self.assertEqual(before, self.host.left)
        self.disconnect(connection, force=True)
        self.assertEqual({}, self.host.left)

    def test_session_is_gone(self):
        connection = self.host.connection()
        self.connect(connection, False)
        for session in sysfs.Sysfs(self.host.root).sessions(TARGET):
            self.host.drop_session(session)
        self.disconnect(connection)
        self.assertEqual({}, self.host.left)

    def test_logout_fails(self):
        connection = self.host.connection()
        self.connect(connection, False)

        def refuse(session):
            raise exception.InitiatorError('log out', 'no answer')

        self.host.logout = refuse
        with self.assertRaisesRegex(exception.InitiatorError, 'log out'):
            self.disconnect(connection)
        self.assertEqual([], self.host.names('bus/scsi/devices'))

    def test_logout_at_a_portal_without_a_device_fails(self):
        """A session that somebody else is making cannot be ended."""
        connection = self.host.connection()
        self.connect(dataclasses.replace(
            connection, paths=connection.paths[1:]), False)
        self.host.add_session(str(TARGET), PORTALS[0])
        logout = self.host.logout

        def refuse(session):
            if session.portal == PORTALS[0]:
                raise exception.InitiatorError('log out', 'invalid state')
            logout(session)

        self.host.logout = refuse
        self.disconnect(connection)
        self.assertEqual({'sessions': ['session2']}, self.host.left)

    def test_other_targets_stay(self):
        strange = 'iqn.2003-01.org.example:other'
        self.host.add_session(strange, PORTALS[0])
        connection = self.host.connection()
        self.connect(connection, False)
        self.disconnect(connection)
        self.assertEqual({'sessions': ['session1']}, self.host.left)


class ExtendTest(AttachTestCase):
    """A volume that grew."""

    def test_extend(self):
        connection = self.host.connection()
        self.connect(connection, False)
        self.host.luns[1].size_bytes = 64 * MIB
        self.assertEqual(64 * MIB, self.extend(connection))

    def test_not_attached(self):
        with self.assertRaises(exception.DeviceNotFound):
            self.extend(self.host.connection())

    def test_path_is_down(self):
        connection = self.host.connection()
        self.connect(connection, False)
        self.host.set_state('FAILED')
        with self.assertRaisesRegex(exception.InitiatorError, 'is down'):
            self.extend(connection)

    def test_other_volume(self):
        connection = self.host.connection()
        self.connect(connection, False)
        self.host.luns[1] = Lun.of(OTHER, 64 * MIB)
        with self.assertRaises(exception.WrongDevice):
            self.extend(connection)


class CrowdTest(AttachTestCase):
    """Many attaches at once, on the same sessions."""

    def test_attach_and_detach(self):
        self.host.disk_names = (f'sd{a}{b}' for a, b in itertools.product(
            string.ascii_lowercase, repeat=2))

        def go(lun):
            connection = self.host.connection(
                f'9480dfc5-bffe-464e-96{lun:02d}-22036e7a43fc', lun)
            for _ in range(5):
                attached = self.connect(connection, False)
                self.assertEqual(connection.wwn, attached.naa)
                self.disconnect(connection)

        with futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(go, range(1, 5)))
        self.assertEqual({}, self.host.left)
