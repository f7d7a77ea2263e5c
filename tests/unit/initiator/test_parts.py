# SPDX-License-Identifier: Apache-2.0
"""Sysfs, locks and the client of multipathd."""

import errno
import os
from pathlib import Path
import socket
import sys
import tempfile
import threading
import unittest
from unittest import mock

from mydriver import exception, model
from mydriver.initiator import locks, multipathd, sysfs, verbs
from tests.fakes.initiator import PORTALS, TARGET, VOLUME, FakeHost

KEY = f'{PORTALS[0]}-{TARGET}'


class FolderTestCase(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))


class SysfsTest(FolderTestCase):
    """What the kernel shows, and how it is read."""

    def setUp(self):
        super().setUp()
        self.host = FakeHost(self.folder / 'sys')
        self.sysfs = sysfs.Sysfs(self.folder / 'sys')

    def test_nothing_there(self):
        empty = sysfs.Sysfs(self.folder / 'none')
        self.assertEqual([], empty.sessions(TARGET))
        self.assertIsNone(empty.multipath_map('0' * 32))
        self.assertEqual(0, empty.size_bytes('sda'))
        self.assertFalse(empty.is_live('dm-0'))

    def test_sessions_by_target_and_portal(self):
        self.host.add_session(str(TARGET), PORTALS[0])
        self.host.add_session('iqn.2003-01.org.example:x', PORTALS[1])
        self.host.add_session(str(TARGET), model.Portal('2001:db8::1', 3261))
        self.assertEqual([1, 3], [
            s.sid for s in self.sysfs.sessions(TARGET)])
        self.assertIsNone(self.sysfs.session(TARGET, PORTALS[1]))
        found = self.sysfs.session(TARGET, model.Portal('2001:DB8::1', 3261))
        self.assertEqual((3, 3, 0), (found.sid, found.host, found.target_id))
        self.assertTrue(self.sysfs.works(found))
        self.host.set_state('FAILED')
        self.assertFalse(self.sysfs.works(found))

    def test_portal_that_is_no_address(self):
        self.host.add_session(str(TARGET), PORTALS[0])
        self.host.write('class/iscsi_connection/connection1:0/'
                        'persistent_address', 'san.example.org')
        self.assertIsNone(self.sysfs.sessions(TARGET)[0].portal)

    def test_session_that_is_half_gone(self):
        self.host.add_session(str(TARGET), PORTALS[0])
        (self.folder / 'sys/class/iscsi_session/session1/target_id').unlink()
        self.assertEqual([], self.sysfs.sessions(TARGET))

    def test_session_that_goes_while_it_is_looked_at(self):
        self.host.add_session(str(TARGET), PORTALS[0])
        with mock.patch('os.readlink', side_effect=FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT))):
            self.assertEqual([], self.sysfs.sessions(TARGET))
        self.assertEqual(1, len(self.sysfs.sessions(TARGET)))

    def test_devices(self):
        self.host.connection(lun=300)
        self.host.add_session(str(TARGET), PORTALS[0])
        session, = self.sysfs.sessions(TARGET)
        self.assertIsNone(self.sysfs.device(session, 300))
        self.host.scan(session, 300)
        device = self.sysfs.device(session, 300)
        self.assertEqual(((1, 0, 0, 300), 'sda', 300),
                         (device.hctl, device.name, device.lun))
        self.assertEqual([device], self.sysfs.devices(session))
        self.assertEqual(model.naa_id(VOLUME),
                         self.sysfs.remembered_naa(device))
        self.assertEqual(16 << 20, self.sysfs.size_bytes('sda'))
        self.host.delete(device, model.naa_id(VOLUME))
        self.assertFalse(self.sysfs.exists(device))
        self.assertEqual('', self.sysfs.remembered_naa(device))

    def test_what_cannot_be_looked_at_is_not_gone(self):
        """A service without file descriptors left has not lost its disks."""
        self.host.connection()
        self.host.add_session(str(TARGET), PORTALS[0])
        session, = self.sysfs.sessions(TARGET)
        self.host.scan(session, 1)
        device, = self.sysfs.devices(session)
        naa = model.naa_id(VOLUME)

        def refuse(path, *_args):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

        with (mock.patch.object(Path, 'iterdir', refuse),
              mock.patch.object(Path, 'read_bytes', refuse)):
            for look in (lambda: self.sysfs.sessions(TARGET),
                         lambda: self.sysfs.devices(session),
                         lambda: self.sysfs.works(session),
                         lambda: self.sysfs.remembered_naa(device),
                         lambda: self.sysfs.size_bytes('sda'),
                         lambda: self.sysfs.multipath_map(naa)):
                with self.assertRaisesRegex(exception.InitiatorError,
                                            'Too many open files'):
                    look()

    def test_device_without_disk_yet(self):
        self.host.connection()
        self.host.add_session(str(TARGET), PORTALS[0])
        session, = self.sysfs.sessions(TARGET)
        self.host.scan(session, 1)
        block = self.folder / 'sys/bus/scsi/devices/1:0:0:1/block'
        (block / 'sda').rmdir()
        device = self.sysfs.device(session, 1)
        self.assertIsNone(device.name)
        self.assertEqual('SCSI device 1:0:0:1', str(device))

    def test_map_that_is_suspended_or_empty(self):
        naa = model.naa_id(VOLUME)
        self.host.write('block/dm-0/dm/uuid', 'LVM-abc')
        self.host.write('block/dm-1/dm/uuid', f'mpath-3{naa}')
        self.host.write('block/dm-1/dm/suspended', '1')
        self.host._disk('dm-1', 0)
        self.assertEqual('dm-1', self.sysfs.multipath_map(naa))
        self.assertFalse(self.sysfs.is_live('dm-1'))
        self.host.write('block/dm-1/dm/suspended', '0')
        self.assertFalse(self.sysfs.is_live('dm-1'))
        self.host._disk('dm-1', 1 << 20)
        self.assertTrue(self.sysfs.is_live('dm-1'))


class LocksTest(FolderTestCase):
    """Logins, logouts and attaches on one session."""

    def setUp(self):
        super().setUp()
        self.locks = locks.SessionLocks(self.folder / 'locks')

    def test_attaches_share_a_session(self):
        with (self.locks.attaching(KEY), self.locks.attaching(KEY),
              self.locks.idle(KEY) as idle):
            self.assertFalse(idle)
        with self.locks.idle(KEY) as idle:
            self.assertTrue(idle)

    def test_another_session_is_another_matter(self):
        with self.locks.attaching(KEY), self.locks.idle(
                f'{PORTALS[1]}-{TARGET}') as idle:
            self.assertTrue(idle)

    def test_attach_waits_for_a_logout(self):
        entered = threading.Event()

        def attach():
            with self.locks.attaching(KEY):
                entered.set()

        with self.locks.idle(KEY) as idle:
            self.assertTrue(idle)
            thread = threading.Thread(target=attach)
            thread.start()
            self.assertFalse(entered.wait(0.05))
        thread.join(10)
        self.assertTrue(entered.is_set())

    def test_a_process_that_another_thread_forks_does_not_keep_it(self):
        """Until it executes its program, it has all open files."""
        opened, copies = os.open, []

        def copied(*args, **kwargs):
            fd = opened(*args, **kwargs)
            copies.append(os.dup(fd))
            return fd

        with mock.patch.object(os, 'open', copied), self.locks.attaching(KEY):
            pass
        self.assertEqual(1, len(copies))
        self.addCleanup(os.close, copies[0])
        with self.locks.idle(KEY) as idle:
            self.assertTrue(idle)

    def test_os_brick_takes_the_same_lock_for_a_login(self):
        with self.locks.deciding(KEY):
            pass
        self.assertIn(f'os-brick-connect_to_iscsi_portal-{KEY}',
                      os.listdir(self.folder / 'locks'))

    def test_name_that_is_a_path(self):
        with self.locks.attaching('../../x'):
            self.assertEqual(['mydriver-session-..%2F..%2Fx'],
                             os.listdir(self.folder / 'locks'))

    def test_each_session_has_a_lock_of_its_own(self):
        """Whatever is in the names, and however long they are."""
        iqn = 'iqn.2010-10.org.openstack:' + 'x' * 196
        sessions = ['a/b', 'a_b', 'a%2Fb', 'a b', KEY,
                    '[2001:db8::1]:3260-iqn', '_2001:db8::1_:3260-iqn',
                    f'192.0.2.1:3260-{iqn}a', f'192.0.2.1:3260-{iqn}b']
        for session in sessions:
            with self.locks.attaching(session):
                for other in sessions:
                    with self.locks.idle(other) as idle:
                        self.assertEqual(session != other, idle, other)
        self.assertEqual(len(sessions),
                         len(os.listdir(self.folder / 'locks')))

    def test_name_is_that_of_the_previous_release(self):
        """So that both releases can work on one host."""
        with self.locks.attaching(KEY):
            self.assertEqual([f'mydriver-session-{KEY}'],
                             os.listdir(self.folder / 'locks'))


class MultipathdTest(FolderTestCase):
    """The protocol of multipathd's socket."""

    def serve(self, *answers):
        """Answer one client each; return the socket's address."""
        address = str(self.folder / 'multipathd')
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address)
        listening.listen()
        self.addCleanup(listening.close)
        self.asked = []

        def go():
            for answer in answers:
                client, _ = listening.accept()
                with client:
                    size = int.from_bytes(client.recv(8), sys.byteorder)
                    self.asked.append(client.recv(size))
                    client.sendall(answer)

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10)
        return address

    @staticmethod
    def reply(text):
        return (len(text) + 1).to_bytes(8, sys.byteorder) + text + b'\0'

    def test_paths(self):
        address = self.serve(self.reply(b'sda\nsdb\n'))
        with mock.patch.object(multipathd, 'ADDRESS', address):
            self.assertEqual({'sda', 'sdb'},
                             verbs.PrivilegedVerbs().multipath_paths())
        self.assertEqual([b'show paths raw format %d\0'], self.asked)

    def test_hangs_up(self):
        address = self.serve(b'\1\0\0')
        with (mock.patch.object(multipathd, 'ADDRESS', address),
              self.assertRaisesRegex(exception.InitiatorError, 'closed the')):
            verbs.PrivilegedVerbs().multipath_paths()

    def test_answer_that_is_too_large_to_be_one(self):
        """Anybody may listen at an abstract address that is free."""
        for size in (2 ** 64 - 1, 2 ** 40):
            address = self.serve(size.to_bytes(8, sys.byteorder))
            with (self.subTest(size),
                  mock.patch.object(multipathd, 'ADDRESS', address),
                  self.assertRaisesRegex(OSError, 'announced')):
                multipathd.ask('show paths')
            os.unlink(address)

    def test_does_not_run(self):
        with mock.patch.object(multipathd, 'ADDRESS',
                               str(self.folder / 'none')):
            self.assertIsNone(verbs.PrivilegedVerbs().multipath_paths())
