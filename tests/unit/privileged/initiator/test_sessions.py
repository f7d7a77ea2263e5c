# SPDX-License-Identifier: Apache-2.0
"""The privileged verbs, on a sysfs that is a folder and programs of ours.

The programs are shell scripts in ``PATH``: what they are given, and what they
find in the node records, is what is tested.
"""

import errno
import os
from pathlib import Path
import tempfile
import unittest
from unittest import mock

import ddt

from mydriver import exception, model, privileged
from mydriver.privileged.initiator import (
    inquiry,
    node_record,
    owned,
    sessions,
)
from tests.fakes.initiator import OTHER, VOLUME, page83

STRANGER = 'iqn.2003-01.org.example:stranger'
TARGET = 'iqn.2010-10.org.openstack:mydriver-host-be-0'
NAA = model.naa_id(VOLUME)
HCTL = [3, 0, 0, 300]
CHAP = ['user', 'secretsecret1', 'target', 'mutualmutual1']

# Makes and deletes records as open-iscsi does; logs in as FAIL says.
ISCSIADM = '''#!/bin/sh
echo "$*" >> "$HERE/calls"
record="$HERE/iscsi/nodes/$4/192.0.2.1,3260"
case "$*" in
*"-o new") mkdir -p "${record%/*}"
    [ ! -e "$HERE/full" ] || { : > "$record"; exit "$(cat "$HERE/full")"; }
    printf '%s\\n' '# BEGIN' 'node.startup = automatic' '# END RECORD' > "$record";;
*"-o delete") [ -s "$record" ] || exit 6; [ ! -e "$HERE/stuck" ] || exit 15; [ ! -e "$HERE/busy" ] || { rm "$HERE/busy"; exit 6; }
    rm "$record" && rmdir "${record%/*}";;
*--login) cp "$record" "$HERE/seen"; cat "$HERE/say" >&2; exit "$(cat "$HERE/status")";;
*--logout) rm -r "$HERE/sys/class/iscsi_session/session$4";;
esac
'''  # noqa: E501

# multipath -f removes the map, unless it is open.
MULTIPATH = '''#!/bin/sh
echo "$(basename "$0") $*" >> "$HERE/calls"
case "$*" in
-f*) [ -e "$HERE/busy" ] && { echo 'map in use' >&2; exit 1; }
    rm -r "$HERE/sys/block/dm-7";;
resize*) cat "$HERE/say";;
esac
'''


@ddt.ddt
class VerbsTest(unittest.TestCase):
    """Verbs, called as the daemon calls them."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.sys = self.folder / 'sys'
        self.calls = self.folder / 'calls'
        self.calls.touch()
        for name, text in (('iscsiadm', ISCSIADM), ('multipath', MULTIPATH),
                           ('multipathd', MULTIPATH)):
            program = self.folder / name
            program.write_text(text)
            program.chmod(0o755)
        self.say('', 0)
        self.enterContext(mock.patch.dict(os.environ, {
            'PATH': f'{self.folder}:{os.environ["PATH"]}',
            'HERE': str(self.folder)}))
        self.enterContext(mock.patch.object(inquiry, 'SYS', self.sys))
        self.enterContext(mock.patch.object(
            node_record, 'NODES_DIRS', (self.folder / 'iscsi/nodes',)))
        privileged.initiator_context.set_client_mode(False)
        self.addCleanup(privileged.initiator_context.set_client_mode, True)

    def say(self, text, status=0):
        (self.folder / 'say').write_text(text)
        (self.folder / 'status').write_text(str(status))

    def write(self, path, value):
        file = self.sys / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(value if isinstance(value, bytes)
                         else value.encode())
        return file

    def login(self, chap=CHAP, address='192.0.2.1', target=TARGET):
        sessions.login(target, address, 3260, chap, 10)

    # Sessions

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
        """iscsiadm may get no further than to the folders."""
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
        with self.assertRaises(exception.InitiatorError) as caught:
            sessions.login(*values.values())
        self.assertNotIn('secretsecret1', str(caught.exception))
        self.assertLess(len(str(caught.exception)), 200)
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
            sessions, COMMAND_TIMEOUT_S=0.5, _LOGGED_OUT_S=0.1))
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
        for target in (TARGET, STRANGER):
            with self.assertRaisesRegex(exception.InitiatorError, STRANGER):
                sessions.logout(5, target)
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

    # SCSI devices

    def session(self, target=TARGET, host=3):
        """Make a session whose number is the host's and two."""
        session = f'class/iscsi_session/session{host + 2}'
        self.write(f'{session}/targetname', target + '\n')
        self.write(f'{session}/target_id', '0\n')
        real = self.sys / f'devices/platform/host{host}/session{host + 2}'
        real.mkdir(parents=True)
        (self.sys / session / 'device').symlink_to(real)
        return real

    def device(self, naa=NAA, target=TARGET, host=3, name='sda'):
        """Make a disk on a session of its own."""
        hctl = f'{host}:0:0:300'
        folder = self.session(target, host) / f'target{host}:0:0' / hctl
        self.write(folder / 'vpd_pg83', page83(naa))
        for attribute in ('delete', 'rescan'):
            self.write(folder / attribute, '')
        block = folder / 'block' / name
        (block / 'holders').mkdir(parents=True)
        self.write(block / 'dev', f'8:{ord(name[-1]) - ord("a")}\n')
        for link, to in ((f'class/block/{name}', block),
                         (f'bus/scsi/devices/{hctl}', folder)):
            (self.sys / link).parent.mkdir(parents=True, exist_ok=True)
            (self.sys / link).symlink_to(to)
        (block / 'device').symlink_to(folder)
        return folder

    def test_scan(self):
        self.session()
        scan = self.write('class/scsi_host/host3/scan', '')
        sessions.scan(3, 0, 0, 300)
        self.assertEqual('0 0 300', scan.read_text())

    @ddt.data((3, '0 0', 0, 1), (3, 0, 0, -1), ('3', 0, 0, 1),
              (3, 0, 0, True), (3, 1, 0, 1), (3, 0, 1, 1), (4, 0, 0, 1),
              (3, 0, 0, 1 << 16), (3, None, None, None))
    def test_scan_of_what_is_no_lun_of_a_session(self, hctl):
        self.session()
        self.write('class/scsi_host/host4/scan', '')
        scan = self.write('class/scsi_host/host3/scan', '')
        with self.assertRaises(exception.InitiatorError):
            sessions.scan(*hctl)
        self.assertEqual('', scan.read_text())

        self.assertEqual('', (
            self.sys / 'class/scsi_host/host4/scan').read_text())

    def test_scan_of_a_strangers_host(self):
        self.session(STRANGER)
        scan = self.write('class/scsi_host/host3/scan', '')
        with self.assertRaisesRegex(exception.InitiatorError, 'host 3'):
            sessions.scan(3, 0, 0, 1)
        self.assertEqual('', scan.read_text())

    def test_scan_without_host(self):
        self.session()
        with self.assertRaisesRegex(exception.InitiatorError, 'LUN 1'):
            sessions.scan(3, 0, 0, 1)

    def test_delete(self):
        folder = self.device()
        sessions.delete_device(HCTL, NAA)
        self.assertEqual('1', (folder / 'delete').read_text())

    def test_delete_of_another_volume(self):
        folder = self.device(model.naa_id(OTHER))
        for naa in (NAA, ''):
            with self.assertRaises(exception.WrongDevice):
                sessions.delete_device(HCTL, naa)
        self.assertEqual('', (folder / 'delete').read_text())

    def test_delete_of_a_strangers_disk(self):
        other = model.naa_id(OTHER)
        for folder, naa in ((self.device(NAA, STRANGER), NAA),
                            (self.device('5000c500' + NAA[8:], host=4,
                                         name='sdb'), '5000c500' + NAA[8:]),
                            (self.device(other, host=6, name='sdc'), NAA)):
            hctl = [int(n) for n in folder.name.split(':')]
            with self.assertRaises(exception.MyDriverError):
                sessions.delete_device(hctl, naa)
            self.assertEqual('', (folder / 'delete').read_text())

    def use(self, mounts='', swaps=''):
        for name, text in (('MOUNTS', mounts),
                           ('SWAPS', 'Filename\n' + swaps)):
            file = self.folder / name
            file.write_text(text)
            self.enterContext(mock.patch.object(owned, name, file))

    @ddt.data('8:0', '8:1', '253:7', '0:99')
    def test_delete_of_what_the_host_has_mounted(self, number):
        """The disk, its partition, the map on it, and a btrfs on the map."""
        folder = self.device()
        self.map()
        (folder / 'block/sda/holders/dm-7').symlink_to(
            self.sys / 'block/dm-7')
        self.write(folder / 'block/sda/sda1/partition', '1')
        self.write(folder / 'block/sda/sda1/dev', '8:1')
        self.use(f'29 1 {number} / /srv/data rw - btrfs /dev/dm-7 rw\n'
                 if number == '0:99' else
                 f'29 1 {number} / /srv/data rw shared:1 - xfs /dev/x rw\n')
        with self.assertRaisesRegex(
                exception.InitiatorError, 'mounted on /srv/data'):
            sessions.delete_device(HCTL, NAA)
        self.assertEqual('', (folder / 'delete').read_text())

    def test_map_that_the_host_has_mounted(self):
        self.map()
        self.use('29 1 253:7 / /srv/data rw shared:1 - xfs /dev/x rw\n')
        with self.assertRaisesRegex(
                exception.InitiatorError, 'mounted on /srv/data'):
            sessions.multipath_remove_map(NAA, True)
        self.assertEqual('', self.calls.read_text())

    def test_delete_of_swap_space(self):
        folder = self.device()
        self.use(swaps='/dev/sda partition 99 0 -2\n')
        with self.assertRaisesRegex(exception.InitiatorError, 'swap'):
            sessions.delete_device(HCTL, NAA)
        self.assertEqual('', (folder / 'delete').read_text())

    def test_delete_below_a_map_that_nobody_mounted(self):
        folder = self.device()
        self.map()
        (folder / 'block/sda/holders/dm-7').symlink_to(
            self.sys / 'block/dm-7')
        self.use('29 1 9:9 / / rw - xfs /dev/x rw\n'
                 '30 1 0:5 / /p rw - proc p rw\n')
        sessions.delete_device(HCTL, NAA)
        self.assertEqual('1', (folder / 'delete').read_text())

    def test_delete_of_what_somebody_claimed(self):
        folder = self.device()
        self.write(folder / 'state', 'running\n')
        self.enterContext(mock.patch.object(owned, '_CLAIMS_PAUSE_S', 0))
        self.enterContext(mock.patch.object(
            inquiry, 'open_block_device', side_effect=OSError(16, 'busy')))
        with self.assertRaisesRegex(exception.InitiatorError, 'claimed sda'):
            sessions.delete_device(HCTL, NAA)
        self.write(folder / 'state', 'transport-offline\n')
        sessions.delete_device(HCTL, NAA)
        self.assertEqual('1', (folder / 'delete').read_text())

    def test_disk_that_takes_no_commands_is_not_opened(self):
        """To open one whose session is down may take minutes."""
        folder = self.device()
        opened = self.enterContext(mock.patch.object(
            inquiry, 'open_block_device', side_effect=OSError(16, 'busy')))
        for state, claimed in (('blocked', False), ('running', True),
                               ('transport-offline', False)):
            self.write(folder / 'state', state + '\n')
            self.assertIs(claimed, sessions.is_claimed(HCTL, NAA), state)
        self.assertEqual(1, opened.call_count)

    def test_delete_of_what_cannot_be_looked_at(self):
        folder = self.device(model.naa_id(OTHER))

        def refuse(path):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

        with (mock.patch.object(Path, 'read_bytes', refuse),
              self.assertRaisesRegex(exception.InitiatorError, 'Too many')):
            sessions.delete_device(HCTL, '')
        self.assertEqual('', (folder / 'delete').read_text())

    def test_delete_of_what_is_gone(self):
        sessions.delete_device(HCTL, NAA)

    @ddt.data(['..', 0, 0, 0], [1, 2, 3], [0, 0, 0, '1/../x'], None, '3:0',
              [3, 0, 0, True], [3, 0, 0, -1], {})
    def test_delete_of_what_is_no_device(self, hctl):
        with self.assertRaises(exception.InitiatorError):
            sessions.delete_device(hctl, NAA)

    def test_rescan_of_what_does_not_answer(self):
        folder = self.device()
        with self.assertRaisesRegex(exception.NoAnswer, '3:0:0:300'):
            sessions.rescan_device(HCTL, NAA)
        self.assertEqual('', (folder / 'rescan').read_text())

    def test_what_a_strangers_device_is_stays_its_own(self):
        folder = self.device(target=STRANGER)
        for verb in (lambda: sessions.read_naa(HCTL),
                     lambda: sessions.rescan_device(HCTL, NAA),
                     lambda: sessions.flush('sda')):
            with self.assertRaisesRegex(exception.InitiatorError, '3:0:0:300'):
                verb()
        self.assertEqual('', (folder / 'rescan').read_text())

    @ddt.data('LVM-' + 'x' * 64, 'mpath-35000c500' + NAA[8:], '')
    def test_flush_of_a_strangers_map(self, uuid):
        self.write('block/dm-7/dm/uuid', uuid)
        with self.assertRaisesRegex(exception.InitiatorError, 'flush'):
            sessions.flush('dm-7')

    def test_identity_is_not_taken_from_the_kernels_memory(self):
        self.device()
        with self.assertRaises(exception.NoAnswer):
            sessions.read_naa(HCTL)

    @ddt.data('sda/../sdb', '../mem', 'sda1', 'nvme0n1', '', 'dm-', 'sda\n')
    def test_flush_of_what_is_no_disk(self, name):
        with self.assertRaisesRegex(exception.InitiatorError, 'not a valid'):
            sessions.flush(name)

    def test_flush_of_a_disk_that_is_not_there(self):
        with self.assertRaisesRegex(exception.InitiatorError, "flush 'sdx'"):
            sessions.flush('sdx')

    @ddt.data('file', 'fifo')
    def test_node_in_dev_that_is_no_device(self, kind):
        self.write('class/block/sda/dev', '8:0\n')
        if kind == 'fifo':
            os.mkfifo(self.folder / 'sda')
        else:
            (self.folder / 'sda').touch()
        with (mock.patch.object(inquiry, 'DEV', self.folder),
              self.assertRaisesRegex(exception.InitiatorError, '8:0')):
            inquiry.open_block_device('sda')

    def test_link_in_dev(self):
        self.write('class/block/sda/dev', '1:3\n')
        (self.folder / 'sda').symlink_to('/dev/null')
        with (mock.patch.object(inquiry, 'DEV', self.folder),
              self.assertRaises(OSError)):
            inquiry.open_block_device('sda')

    # Multipath

    def map(self, naa=NAA):
        self.write('block/dm-7/dm/uuid', f'mpath-3{naa}\n')
        self.write('block/dm-7/dm/name', 'mpatha\n')
        self.write('block/dm-7/dev', '253:7\n')
        (self.sys / 'class/block').mkdir(parents=True, exist_ok=True)
        (self.sys / 'class/block/dm-7').symlink_to(self.sys / 'block/dm-7')

    def test_claim(self):
        wwids = self.folder / 'wwids'
        pid = self.folder / 'pid'
        self.enterContext(mock.patch.multiple(
            sessions, _WWIDS=wwids, _MULTIPATHD_PID=pid))
        sessions.multipath_claim(NAA)
        claimed = f'multipath -a 3{NAA}\n'
        sessions.multipath_unclaim(NAA)        # there is no multipathd
        wwids.write_text(f'# Multipath wwids\n/3{model.naa_id(OTHER)}/\n')
        sessions.multipath_unclaim(NAA)        # it was not in there
        self.assertEqual(claimed, self.calls.read_text())
        wwids.write_text(f'# Multipath wwids\n/3{NAA}/\n')
        sessions.multipath_unclaim(NAA)
        self.assertEqual(f'{claimed}multipath -w 3{NAA}\n',
                         self.calls.read_text())
        wwids.unlink()
        pid.touch()
        sessions.multipath_unclaim(NAA)
        self.assertEqual(2, self.calls.read_text().count('-w'))

    @ddt.data('', '-a', NAA.upper(), NAA + '0', '../' + NAA, 7, None,
              '5000c500' + NAA[8:], [NAA])
    def test_claim_of_what_is_no_volume(self, naa):
        for verb in (sessions.multipath_claim, sessions.multipath_unclaim,
                     sessions.multipath_resize_map):
            with self.assertRaisesRegex(
                    exception.InitiatorError, 'not an NAA id'):
                verb(naa)
        self.assertEqual('', self.calls.read_text())

    def test_strangers_volume_with_an_id_as_ours(self):
        """Any target of the kernel's makes such."""
        self.device(target=STRANGER)
        self.map()
        for verb, *args in (
                (sessions.multipath_claim, NAA),
                (sessions.multipath_unclaim, NAA),
                (sessions.multipath_resize_map, NAA),
                (sessions.multipath_remove_map, NAA, False),
                (sessions.multipath_remove_map, NAA, True),
                (sessions.flush, 'dm-7')):
            with self.assertRaisesRegex(exception.InitiatorError, '3:0:0:300'):
                verb(*args)
        self.assertEqual('', self.calls.read_text())

    def test_paths(self):
        self.device()
        sessions.multipath_add_path('sda')
        sessions.multipath_add_path('sdaa')    # it is not there
        sessions.multipath_del_path('sdaa')
        self.assertEqual(
            'multipathd add path sda\nmultipathd del path sdaa\n',
            self.calls.read_text())
        for verb in (sessions.multipath_add_path,
                     sessions.multipath_del_path):
            with self.assertRaises(exception.InitiatorError):
                verb('dm-0')

    def test_strangers_paths(self):
        self.device(target=STRANGER)
        self.device(host=4, name='sdb', naa='5000c500' + NAA[8:])
        for name in ('sda', 'sdb'):
            for verb in (sessions.multipath_add_path,
                         sessions.multipath_del_path):
                with self.assertRaises(exception.InitiatorError):
                    verb(name)
        self.assertEqual('', self.calls.read_text())

    def test_remove_map(self):
        self.map()
        for _ in range(2):
            sessions.multipath_remove_map(NAA, False)
        self.assertEqual('multipath -f mpatha\n', self.calls.read_text())

    def test_remove_map_by_force(self):
        self.map()
        sessions.multipath_remove_map(NAA, True)
        self.assertEqual('multipathd disablequeueing map mpatha\n'
                         'multipath -f mpatha\n', self.calls.read_text())

    def test_remove_map_that_is_open(self):
        self.map()
        (self.folder / 'busy').touch()
        with self.assertRaisesRegex(exception.InitiatorError, 'in use'):
            sessions.multipath_remove_map(NAA, False)

    def test_another_volumes_map_stays(self):
        self.map(model.naa_id(OTHER))
        sessions.multipath_remove_map(NAA, True)
        self.assertEqual('', self.calls.read_text())

    def test_resize_map(self):
        with self.assertRaisesRegex(exception.InitiatorError, 'none'):
            sessions.multipath_resize_map(NAA)
        self.map()
        self.say('ok\n')
        sessions.multipath_resize_map(NAA)
        self.say('fail\n')
        with self.assertRaisesRegex(exception.InitiatorError, 'fail'):
            sessions.multipath_resize_map(NAA)
