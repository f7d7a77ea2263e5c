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
from mydriver.privileged import initiator, node_record, scsi
from tests.unit.nova_virt.fakes import OTHER, VOLUME, page83

TARGET = 'iqn.2010-10.org.openstack:pool-0'
NAA = model.naa_id(VOLUME)
HCTL = [3, 0, 0, 300]
CHAP = ['user', 'secretsecret1', 'target', 'mutualmutual1']

# Makes and deletes records as open-iscsi does; logs in as FAIL says.
ISCSIADM = '''#!/bin/sh
echo "$*" >> "$HERE/calls"
record="$HERE/iscsi/nodes/$4/192.0.2.1,3260"
case "$*" in
*"-o new") mkdir -p "${record%/*}"
    printf '%s\\n' '# BEGIN' 'node.startup = automatic' '# END RECORD' > "$record";;
*"-o delete") [ ! -e "$HERE/busy" ] || { rm "$HERE/busy"; exit 6; }
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
        self.enterContext(mock.patch.object(scsi, 'SYS', self.sys))
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
        initiator.login(target, address, 3260, chap, 10)

    # Sessions

    def test_login(self):
        self.login()
        seen = (self.folder / 'seen').read_text()
        for line in ('node.startup = manual', 'node.session.scan = manual',
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

    def test_refused_login_keeps_a_record_that_was_there(self):
        self.login()
        self.say('iscsiadm: what now', 8)
        with self.assertRaisesRegex(exception.LoginError, 'what now .*8'):
            self.login()
        self.assertTrue(node_record.find(TARGET, '192.0.2.1', 3260))

    def test_login_that_takes_too_long(self):
        slow = self.folder / 'iscsiadm'
        slow.write_text(slow.read_text().replace(
            '*--login)', '*--login) exec sleep 60;;\nx)'))
        with self.assertRaisesRegex(exception.LoginError, 'within 1 s'):
            initiator.login(TARGET, '192.0.2.1', 3260, CHAP, 1)
        self.assertEqual([], list((self.folder / 'iscsi/nodes').iterdir()))

    def test_no_iscsiadm(self):
        (self.folder / 'iscsiadm').unlink()
        with (mock.patch.dict(os.environ, {'PATH': str(self.folder)}),
              self.assertRaisesRegex(
                  exception.InitiatorError, 'run iscsiadm: No such file')):
            self.login()

    @ddt.data(('../x', '192.0.2.1'), (TARGET, 'localhost'),
              (TARGET, '192.0.2.1/../..'))
    @ddt.unpack
    def test_login_to_what_is_no_target(self, target, address):
        with self.assertRaises(exception.MyDriverError):
            self.login(target=target, address=address)
        self.assertEqual('', self.calls.read_text())

    def test_logout(self):
        self.write('class/iscsi_session/session5/targetname', TARGET + '\n')
        initiator.logout(5, TARGET)
        initiator.logout(5, TARGET)
        self.assertEqual('-m session -r 5 --logout\n', self.calls.read_text())

    def test_logout_of_anothers_session(self):
        self.write('class/iscsi_session/session5/targetname', 'iqn.x:y\n')
        with self.assertRaisesRegex(exception.InitiatorError, 'iqn.x:y'):
            initiator.logout(5, TARGET)
        self.assertEqual('', self.calls.read_text())

    def test_forget(self):
        self.login()
        (self.folder / 'busy').touch()      # another iscsiadm is at it
        for _ in range(2):
            initiator.forget(TARGET, '192.0.2.1', 3260)
        self.assertEqual([], node_record.find(TARGET, '192.0.2.1', 3260))
        self.assertEqual(2, self.calls.read_text().count('-o delete'))

    # SCSI devices

    def device(self, naa=NAA):
        self.write('bus/scsi/devices/3:0:0:300/vpd_pg83', page83(naa))
        for name in ('delete', 'rescan'):
            self.write(f'bus/scsi/devices/3:0:0:300/{name}', '')
        return self.sys / 'bus/scsi/devices/3:0:0:300'

    def test_scan(self):
        scan = self.write('class/scsi_host/host3/scan', '')
        initiator.scan(3, 0, 0, 300)
        self.assertEqual('0 0 300', scan.read_text())

    @ddt.data((3, '0 0', 0, 1), (3, 0, 0, -1), ('3', 0, 0, 1),
              (3, 0, 0, True))
    def test_scan_of_what_is_no_number(self, hctl):
        scan = self.write('class/scsi_host/host3/scan', '')
        with self.assertRaises(exception.InitiatorError):
            initiator.scan(*hctl)
        self.assertEqual('', scan.read_text())

    def test_scan_without_host(self):
        with self.assertRaisesRegex(exception.InitiatorError, 'LUN 1'):
            initiator.scan(3, 0, 0, 1)

    def test_delete(self):
        folder = self.device()
        initiator.delete_device(HCTL, NAA)
        self.assertEqual('1', (folder / 'delete').read_text())

    def test_delete_of_another_volume(self):
        folder = self.device(model.naa_id(OTHER))
        for naa in (NAA, ''):
            with self.assertRaises(exception.WrongDevice):
                initiator.delete_device(HCTL, naa)
        self.assertEqual('', (folder / 'delete').read_text())

    def test_delete_of_what_cannot_be_looked_at(self):
        folder = self.device(model.naa_id(OTHER))

        def refuse(path):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

        with (mock.patch.object(Path, 'read_bytes', refuse),
              self.assertRaisesRegex(exception.InitiatorError, 'Too many')):
            initiator.delete_device(HCTL, '')
        self.assertEqual('', (folder / 'delete').read_text())

    def test_delete_of_what_is_gone(self):
        initiator.delete_device(HCTL, NAA)

    @ddt.data(['..', 0, 0, 0], [1, 2, 3], [0, 0, 0, '1/../x'])
    def test_delete_of_what_is_no_device(self, hctl):
        with self.assertRaises(exception.InitiatorError):
            initiator.delete_device(hctl, NAA)

    def test_rescan_of_what_does_not_answer(self):
        folder = self.device()
        with self.assertRaisesRegex(exception.NoAnswer, '3:0:0:300'):
            initiator.rescan_device(HCTL, NAA)
        self.assertEqual('', (folder / 'rescan').read_text())

    def test_identity_is_not_taken_from_the_kernels_memory(self):
        self.device()
        with self.assertRaises(exception.NoAnswer):
            initiator.read_naa(HCTL)

    @ddt.data('sda/../sdb', '../mem', 'sda1', 'nvme0n1', '', 'dm-', 'sda\n')
    def test_flush_of_what_is_no_disk(self, name):
        with self.assertRaisesRegex(exception.InitiatorError, 'not valid'):
            initiator.flush(name)

    def test_flush_of_a_disk_that_is_not_there(self):
        with self.assertRaisesRegex(exception.InitiatorError, 'flush sdx'):
            initiator.flush('sdx')

    def test_node_in_dev_that_is_another_devices(self):
        self.write('class/block/sda/dev', '8:0\n')
        (self.folder / 'sda').touch()
        with (mock.patch.object(scsi, 'DEV', self.folder),
              self.assertRaisesRegex(exception.InitiatorError, '8:0')):
            scsi.open_block_device('sda')

    # Multipath

    def map(self, naa=NAA):
        self.write('block/dm-7/dm/uuid', f'mpath-3{naa}\n')
        self.write('block/dm-7/dm/name', 'mpatha\n')

    def test_claim(self):
        initiator.multipath_claim(NAA)
        initiator.multipath_unclaim(NAA)
        self.assertEqual(f'multipath -a 3{NAA}\nmultipath -w 3{NAA}\n',
                         self.calls.read_text())

    @ddt.data('', '-a', NAA.upper(), NAA + '0', '../' + NAA)
    def test_claim_of_what_is_no_volume(self, naa):
        for verb in (initiator.multipath_claim, initiator.multipath_unclaim,
                     initiator.multipath_resize_map):
            with self.assertRaisesRegex(
                    exception.InitiatorError, 'not valid'):
                verb(naa)
        self.assertEqual('', self.calls.read_text())

    def test_paths(self):
        initiator.multipath_add_path('sda')
        initiator.multipath_del_path('sdaa')
        self.assertEqual(
            'multipathd add path sda\nmultipathd del path sdaa\n',
            self.calls.read_text())
        for verb in (initiator.multipath_add_path,
                     initiator.multipath_del_path):
            with self.assertRaises(exception.InitiatorError):
                verb('dm-0')

    def test_remove_map(self):
        self.map()
        for _ in range(2):
            initiator.multipath_remove_map(NAA, False)
        self.assertEqual('multipath -f mpatha\n', self.calls.read_text())

    def test_remove_map_by_force(self):
        self.map()
        initiator.multipath_remove_map(NAA, True)
        self.assertEqual('multipathd disablequeueing map mpatha\n'
                         'multipath -f mpatha\n', self.calls.read_text())

    def test_remove_map_that_is_open(self):
        self.map()
        (self.folder / 'busy').touch()
        with self.assertRaisesRegex(exception.InitiatorError, 'in use'):
            initiator.multipath_remove_map(NAA, False)

    def test_another_volumes_map_stays(self):
        self.map(model.naa_id(OTHER))
        initiator.multipath_remove_map(NAA, True)
        self.assertEqual('', self.calls.read_text())

    def test_resize_map(self):
        with self.assertRaisesRegex(exception.InitiatorError, 'none'):
            initiator.multipath_resize_map(NAA)
        self.map()
        self.say('ok\n')
        initiator.multipath_resize_map(NAA)
        self.say('fail\n')
        with self.assertRaisesRegex(exception.InitiatorError, 'fail'):
            initiator.multipath_resize_map(NAA)
