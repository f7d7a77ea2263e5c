# SPDX-License-Identifier: Apache-2.0
"""Silent portals, misplaced records, services that are down."""

import os
from pathlib import Path
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import ddt

from lab import process
from mydriver import exception, model
from mydriver.privileged.initiator import sessions
from tests.functional import attaching, base
from tests.functional.attaching import Attachment, ours

#: Where the target does not listen.
SILENT = model.Portal('127.0.0.9')


class Silence:
    """A portal that accepts connections and never answers.

    :param test: whose clean-up closes it.
    """

    def __init__(self, test, portal=SILENT):
        self._server = socket.create_server((portal.address, portal.port))
        self._taken = []
        threading.Thread(target=self._take, daemon=True).start()
        test.addCleanup(self.close)

    def _take(self):
        while True:
            try:
                self._taken.append(self._server.accept()[0])
            except OSError:
                return

    def close(self):
        """Listen no longer; closing alone does not end an accept."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for one in self._taken:
            one.close()


@ddt.ddt
class SilentPortalTest(attaching.AttachTestCase):
    """A portal that accepts TCP connections and never answers."""

    def data(self, *portals):
        """Map a volume; return its connection data, over these portals."""
        volume_id = self.cloud.volume()
        data = self.cloud.attach(volume_id, True)
        data['target_portal'] = str(portals[0])
        for key in ('target_portals', 'target_iqns', 'target_luns'):
            data.pop(key, None)
        if len(portals) > 1:
            data['target_portals'] = [str(p) for p in portals]
            data['target_iqns'] = [data['target_iqn']] * len(portals)
            data['target_luns'] = [data['target_lun']] * len(portals)
        return volume_id, data

    def timed(self, what, function, *args):
        began = time.perf_counter()
        try:
            return function(*args), time.perf_counter() - began
        finally:
            print(f'\n{what}: {time.perf_counter() - began:.1f} s',
                  file=sys.stderr)

    def test_only_portal(self):
        """The attach ends, says why, and leaves nothing."""
        Silence(self)
        _, data = self.data(SILENT)
        began = time.perf_counter()
        with self.assertRaises(exception.LoginError) as caught:
            ours(False).connect_volume(data)
        took_s = time.perf_counter() - began
        print(f'\n{took_s:.1f} s: {caught.exception}', file=sys.stderr)
        self.assertIn(str(SILENT), str(caught.exception))
        self.assertLess(took_s, 25)
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_first_portal(self, multipath):
        if multipath:
            self.start_multipathd()
        Silence(self)
        volume_id, data = self.data(SILENT, attaching.PORTALS[0])
        connector = ours(multipath)
        result, first_s = self.timed(
            'first attach', connector.connect_volume, data)
        attachment = Attachment(volume_id, data, connector, result)
        self.assert_is(attachment.path, volume_id)
        self.assertLess(first_s, 15)
        # Whoever comes next does not wait for it as long again.
        other_id, other = self.data(SILENT, attaching.PORTALS[0])
        result, second_s = self.timed(
            'second attach', connector.connect_volume, other)
        self.assertLess(second_s, 10)
        second = Attachment(other_id, other, connector, result)
        self.assert_is(second.path, other_id)
        self.timed('detach', attachment.disconnect)
        second.disconnect()
        self.assert_nothing_left()

    def test_session_that_somebody_else_is_still_making(self):
        """As os-brick does, with more patience than a login of ours has."""
        Silence(self)
        volume_id, data = self.data(SILENT, attaching.PORTALS[0])
        node = ('iscsiadm', '-m', 'node', '-T', data['target_iqn'],
                '-p', str(SILENT))
        base.run(*node, '-o', 'new')
        base.run(*node, '-o', 'update', '-v', '3', '-n',
                 'node.session.initial_login_retry_max')
        login = subprocess.Popen([*node, '--login'],
                                 stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        self.addCleanup(login.wait)
        self.addCleanup(login.kill)
        process.wait_for(lambda: base.sessions(), 'a session', 30)
        connector = ours(False)
        result, took_s = self.timed(
            'attach', connector.connect_volume, data)
        attachment = Attachment(volume_id, data, connector, result)
        self.assert_is(attachment.path, volume_id)
        self.assertLess(took_s, 15)
        _, took_s = self.timed('detach', attachment.disconnect)
        self.assertLess(took_s, 15)
        self.assertEqual(set(), base.scsi_devices())
        process.wait_for(self.ended, 'iscsid to give up', 90)

    @staticmethod
    def ended():
        subprocess.run(('iscsiadm', '-m', 'session', '--logout'),
                       check=False, capture_output=True)
        return not base.sessions()

    def test_iscsid_gives_up_by_itself(self):
        """A portal that answers what we ask and then no login of iscsid's."""
        Silence(self)
        _, data = self.data(SILENT)
        connector = ours(False)
        connector.host.verbs.reach = lambda portal, timeout_s: None
        began = time.perf_counter()
        with self.assertRaises(exception.LoginError) as caught:
            connector.connect_volume(data)
        took_s = time.perf_counter() - began
        print(f'\n{took_s:.1f} s: {caught.exception}', file=sys.stderr)
        self.assertLess(took_s, 30)
        self.assert_nothing_left()


class RecordsTest(attaching.AttachTestCase):
    """Node records in odd places."""

    def setUp(self):
        super().setUp()
        self.nodes = Path('/etc/iscsi/nodes')
        self.nodes.mkdir(exist_ok=True)

    def attach_and_detach(self):
        attachment = self.attach()
        self.assert_is(attachment.path, attachment.volume_id)
        self.detach(attachment)
        self.assert_nothing_left()

    def test_file_system_of_their_own(self):
        base.run('mount', '-t', 'tmpfs', 'nodes', self.nodes)
        self.addCleanup(base.run, 'umount', self.nodes)
        self.attach_and_detach()

    def test_bind_mount(self):
        folder = self.cloud.folder / 'nodes'
        folder.mkdir()
        base.run('mount', '--bind', folder, self.nodes)
        self.addCleanup(base.run, 'umount', self.nodes)
        self.attach_and_detach()

    def test_link(self):
        folder = tempfile.mkdtemp(dir='/dev/shm')
        self.addCleanup(os.rmdir, folder)
        shutil.rmtree(self.nodes)
        self.nodes.symlink_to(folder)
        self.addCleanup(self.nodes.mkdir)
        self.addCleanup(self.nodes.unlink)
        self.attach_and_detach()

    def test_full(self):
        """A full file system is reported as such; nothing is left behind."""
        base.run('mount', '-t', 'tmpfs', '-o', 'size=64k', 'nodes', self.nodes)
        self.addCleanup(base.run, 'umount', self.nodes)
        filler = self.nodes / 'iqn.filler'
        log = attaching.LogCatcher(self)
        failed = 0
        for free_bytes in range(0, 5 * 4096, 4096):
            filler.write_bytes(b'')
            filler.write_bytes(b'\0' * (65536 - free_bytes))
            try:
                self.detach(self.attach())
            except exception.MyDriverError as e:
                print(f'\n{free_bytes} bytes free: {e}', file=sys.stderr)
                failed += 1
            filler.unlink()
            self.assert_nothing_left('node records')
            self.assertEqual([], [p for p in self.nodes.rglob('*')
                                  if p.is_file()])
        self.assertTrue(failed)
        self.assertNotIn('was lost', log.text)

    def test_record_that_was_there_stays_as_it_was(self):
        """An operator's record survives a login that fails."""
        data = self.cloud.attach(self.cloud.volume(), True)
        iqn, portal = data['target_iqn'], attaching.PORTALS[0]
        node = ('iscsiadm', '-m', 'node', '-T', iqn, '-p', str(portal),
                '-I', 'default')
        base.run(*node, '-o', 'new')
        base.run(*node, '-o', 'update', '-n', 'node.startup', '-v',
                 'automatic')
        record, = (p for p in self.nodes.rglob('*') if p.is_file())
        before = record.read_text()
        with self.assertRaises(exception.LoginError):
            sessions.login(iqn, portal.address, portal.port, [
                data['auth_username'], 'wrongwrongwrong1', None, None], 30)
        self.assertEqual(before, record.read_text())


class DownTest(attaching.AttachTestCase):
    """Services of the host that do not run."""

    def test_logout_without_iscsid(self):
        """The error names the session, which is still there."""
        attachment = self.attach()
        base.run('pkill', '-9', 'iscsid')
        try:
            with self.assertRaises(exception.InitiatorError) as caught:
                attachment.disconnect()
            print(f'\n{caught.exception}', file=sys.stderr)
            self.assertIn('log out of session', str(caught.exception))
            self.assertIn('iscsid', str(caught.exception))
            self.assertEqual(set(), base.scsi_devices())
        finally:
            base.run('iscsid')
        process.wait_for(self._logs_out, 'iscsid to end the session', 60)

    @staticmethod
    def _logs_out():
        return not subprocess.run(
            ('iscsiadm', '-m', 'session', '--logout'), check=False,
            capture_output=True).returncode

    def test_blacklisted(self):
        """multipathd leaves these disks alone: its list stays as it was."""
        self.start_multipathd()
        with Path('/etc/multipath.conf').open('a') as f:
            f.write('blacklist {\n    device {\n        vendor "LIO-ORG"\n'
                    '        product ".*"\n    }\n}\n')
        base.run('multipathd', 'reconfigure')
        wwids = Path('/etc/multipath/wwids')
        before = wwids.read_text() if wwids.exists() else ''
        for _ in range(2):
            attachment = self.attach(multipath=True)
            self.assertNotIn('multipath_id', attachment.result)
            self.assert_is(attachment.path, attachment.volume_id)
            self.detach(attachment)
        after = wwids.read_text() if wwids.exists() else ''
        print(f'\nlines in wwids: {len(before.splitlines())} before, '
              f'{len(after.splitlines())} after', file=sys.stderr)
        self.assertEqual(
            [line for line in before.splitlines() if line[:1] == '/'],
            [line for line in after.splitlines() if line[:1] == '/'])
        self.assert_nothing_left()
