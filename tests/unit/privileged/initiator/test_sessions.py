# SPDX-License-Identifier: Apache-2.0
"""Logins, logouts and node records, as root."""

import os
from unittest import mock

import ddt

from mydriver import exception
from mydriver.privileged.initiator import command, node_record, sessions
from tests.fakes.privileged_initiator import (
    CHAP,
    STRANGER,
    TARGET,
    PrivilegedTestCase,
)


@ddt.ddt
class SessionsTest(PrivilegedTestCase):
    """Sessions and node records."""

    def login(self, chap=CHAP, address='192.0.2.1', target=TARGET):
        sessions.login(target, address, 3260, chap, 10)

    def test_login(self):
        self.login()
        seen = (self.folder / 'seen').read_text()
        for line in ('node.startup = manual', 'node.session.scan = manual',
                     'node.session.initial_login_retry_max = 1',
                     'node.conn[0].timeo.login_timeout = 15',
                     'node.session.auth.authmethod = CHAP',
                     'node.session.auth.username = user',
                     'node.session.auth.password = secretsecret1',
                     'node.session.auth.username_in = target',
                     'node.session.auth.password_in = mutualmutual1'):
            self.assertIn(f'{line}\n', seen)
        self.assertNotIn('automatic', seen)
        calls = self.calls.read_text()
        self.assertIn('-p 192.0.2.1:3260 -I default --login', calls)
        self.assertNotIn('secretsecret1', calls)

    @ddt.data((0, 'No space left'), (7, 'make a node record'))
    @ddt.unpack
    def test_login_on_a_full_file_system(self, status, text):
        """iscsiadm leaves an empty record, and fails over it later."""
        self.enterContext(mock.patch.object(sessions, '_RECORDS_PAUSE_S', 0))
        (self.folder / 'full').write_text(str(status))
        self.enterContext(mock.patch.object(
            node_record, 'write', side_effect=OSError(28, 'No space left')))
        with self.assertRaisesRegex(exception.InitiatorError, text):
            sessions.login(TARGET, '192.0.2.1', 3260, CHAP, 9)
        self.assertEqual([], list((self.folder / 'iscsi/nodes').iterdir()))

    def test_login_without_chap(self):
        self.login(())
        self.assertNotIn('auth', (self.folder / 'seen').read_text())

    def test_login_without_mutual_chap_drops_an_old_secret(self):
        self.login()
        self.login([*CHAP[:2], None, None])
        seen = (self.folder / 'seen').read_text()
        self.assertNotIn('mutual', seen)
        self.assertEqual(1, self.calls.read_text().count('-o new'))

    def test_session_that_is_there_already(self):
        self.say('iscsiadm: already exists', 15)
        self.login()

    def test_refused_login_leaves_no_record(self):
        self.say('iscsiadm: Could not login\niscsiadm: initiator reported '
                 'error (24 - iSCSI login failed due to authorization failure)'
                 '\niscsiadm: Could not log into all portals\n', 24)
        with self.assertRaises(exception.LoginError) as caught:
            self.login()
        self.assertEqual(
            f'Login to {TARGET} at 192.0.2.1:3260 failed: 24 - iSCSI login '
            'failed due to authorization failure.', str(caught.exception))
        self.assertEqual([], list((self.folder / 'iscsi/nodes').iterdir()))

    def test_refused_login_leaves_a_record_that_was_there_as_it_was(self):
        self.login()
        record, = node_record.find(TARGET, '192.0.2.1', 3260)
        before = '# BEGIN\nnode.startup = automatic\n# END RECORD\n'
        record.write_text(before)
        self.say('iscsiadm: what now', 8)
        with self.assertRaisesRegex(exception.LoginError, 'what now .*8'):
            self.login()
        self.assertEqual(before, record.read_text())

    def test_login_that_iscsiadm_takes_for_a_failure(self):
        """As when it finds no room for a record afterwards."""
        self.say('iscsiadm: no room', 6)
        self.write('class/iscsi_session/session5/targetname', TARGET + '\n')
        self.write('class/iscsi_session/session5/state', 'LOGGED_IN\n')
        connection = 'class/iscsi_connection/connection5:0'
        self.write(f'{connection}/persistent_port', '3260\n')
        for address in ('192.0.2.2', '192.0.2.1'):
            self.write(f'{connection}/persistent_address', address + '\n')
            if address == '192.0.2.2':
                with self.assertRaisesRegex(exception.LoginError, 'no room'):
                    self.login()
        self.login()
        self.assertTrue(node_record.find(TARGET, '192.0.2.1', 3260))

    def test_record_for_which_there_is_no_room(self):
        """iscsiadm may get no further than to the directories."""
        program = self.folder / 'iscsiadm'
        program.write_text('#!/bin/sh\nmkdir -p '
                           '"$HERE/iscsi/nodes/$4/192.0.2.1,3260"\n')
        with self.assertRaisesRegex(exception.InitiatorError, 'made none'):
            self.login()
        self.assertEqual([], list((self.folder / 'iscsi/nodes').iterdir()))

    def test_clean_up_does_not_hide_why_a_login_failed(self):
        self.say('iscsiadm: what now', 8)
        (self.folder / 'stuck').touch()
        with self.assertRaisesRegex(exception.LoginError, 'what now'):
            self.login()

    @ddt.data(OSError(28, 'No space left on device', '/etc/iscsi/x'),
              OSError(36, 'File name too long'))
    def test_errors_of_the_system_are_the_initiators(self, error):
        with (mock.patch.object(node_record, 'write', side_effect=error),
              self.assertRaisesRegex(
                  exception.InitiatorError, error.strerror)):
            self.login()

    def test_login_that_takes_too_long(self):
        slow = self.folder / 'iscsiadm'
        slow.write_text(slow.read_text().replace(
            '*--login)', '*--login) exec sleep 60;;\nx)'))
        with self.assertRaisesRegex(exception.LoginError, 'within 1 s'):
            sessions.login(TARGET, '192.0.2.1', 3260, CHAP, 1)
        self.assertEqual([], list((self.folder / 'iscsi/nodes').iterdir()))

    def test_login_that_came_when_nobody_waited_any_more(self):
        """iscsid was slow: iscsiadm is gone and the session there."""
        self.session()
        self.write('class/iscsi_session/session5/state', 'LOGGED_IN\n')
        connection = 'class/iscsi_connection/connection5:0'
        self.write(f'{connection}/persistent_port', '3260\n')
        self.write(f'{connection}/persistent_address', '192.0.2.1\n')
        slow = self.folder / 'iscsiadm'
        slow.write_text(slow.read_text().replace(
            '*--login)', '*--login) exec sleep 60;;\nx)'))
        sessions.login(TARGET, '192.0.2.1', 3260, CHAP, 0.5)
        self.assertTrue(node_record.find(TARGET, '192.0.2.1', 3260))

    def test_no_iscsiadm(self):
        (self.folder / 'iscsiadm').unlink()
        with (mock.patch.dict(os.environ, {'PATH': str(self.folder)}),
              self.assertRaisesRegex(
                  exception.InitiatorError, 'run iscsiadm: No such file')):
            self.login()

    @ddt.data({'target': '../x'}, {'address': 'localhost'},
              {'address': '192.0.2.1/../..'}, {'address': 'fe80::1%/../x'},
              {'address': b'\x7f\0\0\1'}, {'address': 7},
              {'target': STRANGER},
              {'target': TARGET + '/..'}, {'target': [TARGET]},
              {'target': 'x' * 10 ** 6}, {'target': {'x': [TARGET] * 10 ** 5}},
              {'port': 0}, {'port': 65536}, {'port': '3260'}, {'port': True},
              {'timeout_s': 0}, {'timeout_s': 61}, {'timeout_s': float('nan')},
              {'timeout_s': '5'}, {'chap': CHAP[:2]}, {'chap': 'four'},
              {'chap': ['u', 'a\nnode.startup = automatic', None, None]},
              {'chap': ['u', None, None, None]},
              {'chap': [7, 'x', None, None]},
              {'chap': ['u', 'x', 'y', None]}, {'chap': None},
              {'chap': ['u', 'x' * 256, None, None]},
              {'chap': ['\udc80', 'x', None, None]})
    def test_login_with_hostile_values(self, wrong):
        values = {'target': TARGET, 'address': '192.0.2.1', 'port': 3260,
                  'chap': CHAP, 'timeout_s': 10, **wrong}
        with self.assertRaises(exception.RequestRefused) as caught:
            sessions.login(*values.values())
        self.assertNotIn('secretsecret1', str(caught.exception))
        self.assertLess(len(str(caught.exception)), 250)
        self.assertEqual('', self.calls.read_text())
        self.assertFalse((self.folder / 'iscsi/nodes').exists())

    def test_logout(self):
        self.write('class/iscsi_session/session5/targetname', TARGET + '\n')
        sessions.logout(5, TARGET)
        sessions.logout(5, TARGET)
        self.assertEqual('-m session -r 5 --logout\n', self.calls.read_text())

    def test_logout_that_ends_nothing(self):
        """As without iscsid, when iscsiadm says that all is well."""
        self.write('class/iscsi_session/session5/targetname', TARGET + '\n')
        self.enterContext(mock.patch.object(sessions, '_LOGGED_OUT_S', 0.1))
        program = self.folder / 'iscsiadm'
        for said, text in (
                ('odd', 'odd.*still'),
                ('error (20 - could not connect to iscsid)', 'start iscsid')):
            program.write_text(f'#!/bin/sh\necho "{said}" >&2; exit 21\n')
            with self.assertRaisesRegex(
                    exception.InitiatorError,
                    f'log out of session 5: it is still there; .*{text}'):
                sessions.logout(5, TARGET)

    def test_logout_that_iscsiadm_takes_for_a_failure(self):
        self.write('class/iscsi_session/session5/targetname', TARGET + '\n')
        program = self.folder / 'iscsiadm'
        program.write_text(program.read_text() + 'exit 8\n')
        sessions.logout(5, TARGET)

    def test_logout_that_takes_too_long(self):
        """What counts is whether the session is gone."""
        self.enterContext(mock.patch.multiple(
            command, TIMEOUT_S=0.5))
        self.enterContext(mock.patch.object(sessions, '_LOGGED_OUT_S', 0.1))
        program = self.folder / 'iscsiadm'
        there = 'class/iscsi_session/session5/targetname'
        for gone in (True, False):
            self.write(there, TARGET + '\n')
            remove = f'rm {self.sys}/{there};' if gone else ''
            program.write_text(f'#!/bin/sh\n{remove} exec sleep 60\n')
            if gone:
                sessions.logout(5, TARGET)
                continue
            with self.assertRaisesRegex(
                    exception.InitiatorError, 'still there; .*no answer'):
                sessions.logout(5, TARGET)

    def test_logout_of_anothers_session(self):
        self.write('class/iscsi_session/session5/targetname', STRANGER + '\n')
        with self.assertRaisesRegex(exception.InitiatorError, STRANGER):
            sessions.logout(5, TARGET)
        with self.assertRaisesRegex(exception.RequestRefused, STRANGER):
            sessions.logout(5, STRANGER)
        self.assertEqual('', self.calls.read_text())

    def test_logout_of_a_session_that_has_a_device(self):
        self.device()
        with self.assertRaisesRegex(exception.InitiatorError, '3:0:0:300'):
            sessions.logout(5, TARGET)
        self.assertEqual('', self.calls.read_text())

    def test_forget(self):
        self.login()
        (self.folder / 'busy').touch()      # another iscsiadm is at it
        for _ in range(2):
            sessions.forget(TARGET, '192.0.2.1', 3260)
        self.assertEqual([], node_record.find(TARGET, '192.0.2.1', 3260))
        self.assertEqual(2, self.calls.read_text().count('-o delete'))

    def test_record_that_iscsiadm_cannot_read(self):
        """As it makes one on a full file system."""
        self.login()
        record, = node_record.find(TARGET, '192.0.2.1', 3260)
        record.write_bytes(b'')
        program = self.folder / 'iscsiadm'
        program.write_text('#!/bin/sh\necho "No records found" >&2; exit 21\n')
        sessions.forget(TARGET, '192.0.2.1', 3260)
        self.assertEqual([], list((self.folder / 'iscsi/nodes').iterdir()))
