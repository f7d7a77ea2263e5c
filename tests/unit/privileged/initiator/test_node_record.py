# SPDX-License-Identifier: Apache-2.0
"""open-iscsi's node records, in a directory."""

import os
from pathlib import Path
import stat
import tempfile
import time
import unittest
from unittest import mock

import ddt

from mydriver import exception
from mydriver.privileged.initiator import node_record

TARGET = 'iqn.2010-10.org.openstack:mydriver-host-be-0'
SECRET = 'node.session.auth.password'
RECORD = '''# BEGIN RECORD 2.1.8
node.name = iqn.2010-10.org.openstack:mydriver-host-be-0
node.startup = automatic
node.session.auth.authmethod = None
node.session.auth.password_in = old
node.session.timeo.replacement_timeout = 7
# END RECORD
'''


@ddt.ddt
class NodeRecordTest(unittest.TestCase):
    """Finding and changing records."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.nodes = self.folder / 'iscsi/nodes'
        self.enterContext(mock.patch.object(
            node_record, 'NODES_DIRS', (self.folder / 'none', self.nodes)))

    def record(self, name, text=RECORD):
        path = self.nodes / TARGET / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def test_none(self):
        self.assertEqual([], node_record.find(TARGET, '192.0.2.1', 3260))

    def test_made_by_hand_or_by_discovery(self):
        by_hand = self.record('192.0.2.1,3260')
        found = self.record('192.0.2.2,3260,1/default')
        self.record('192.0.2.2,3260,1/iface0')
        self.record('192.0.2.22,3260,1/default')
        v6 = self.record('2001:db8::1,3260,1/default')
        self.assertEqual(
            [by_hand], node_record.find(TARGET, '192.0.2.1', 3260))
        self.assertEqual(
            [found], node_record.find(TARGET, '192.0.2.2', 3260))
        self.assertEqual(
            [v6], node_record.find(TARGET, '2001:db8::1', 3260))
        self.assertEqual([], node_record.find(TARGET, '192.0.2.1', 3261))

    @ddt.data('../../etc', 'iqn.x/../y', '', 'iqn.', 'iqn.a\n', '-T',
              'iqn.2003-01.org.example:stranger', TARGET + '\n', 7, None)
    def test_target_that_is_a_path(self, target):
        with self.assertRaises(exception.RequestRefused):
            node_record.find(target, '192.0.2.1', 3260)

    def test_edited(self):
        text = node_record.edited(RECORD, {
            'node.startup': 'manual', SECRET: 'x = y # z',
            'node.session.auth.password_in': None})
        self.assertEqual([
            '# BEGIN RECORD 2.1.8',
            'node.name = iqn.2010-10.org.openstack:mydriver-host-be-0',
            'node.session.auth.authmethod = None',
            'node.session.timeo.replacement_timeout = 7',
            'node.startup = manual', f'{SECRET} = x = y # z',
            '# END RECORD'], text.splitlines())
        self.assertEqual(text, node_record.edited(text, {
            'node.startup': 'manual', SECRET: 'x = y # z'}))

    @ddt.data(('x = 120', '15'), ('x = 15', None), ('x = 1', None),
              ('x = 0', '15'), ('x = many', '15'), ('x = 5\nx = 99', '15'))
    @ddt.unpack
    def test_number_that_is_too_large(self, line, changed):
        text = node_record.edited(f'{line}\n', {}, {'x': 15})
        self.assertEqual(f'x = {changed}\n' if changed else f'{line}\n', text)

    @ddt.data('', ' x', 'x ', 'a\nnode.startup = automatic', 'x' * 256, '\0')
    def test_value_that_cannot_stand(self, value):
        with self.assertRaises(exception.InitiatorError) as caught:
            node_record.edited(RECORD, {SECRET: value})
        self.assertIn(SECRET, str(caught.exception))
        if value.strip():
            self.assertNotIn(value.strip(), str(caught.exception))

    def test_update(self):
        path = self.record('192.0.2.1,3260')
        path.chmod(0o644)
        node_record.update(path, {SECRET: 'secretsecret'})
        self.assertIn(f'{SECRET} = secretsecret\n', path.read_text())
        self.assertEqual(0o600, stat.S_IMODE(path.stat().st_mode))
        self.assert_only(path)

    def test_update_that_fails(self):
        path = self.record('192.0.2.1,3260')
        with (mock.patch.object(os, 'replace', side_effect=OSError('full')),
              self.assertRaises(OSError)):
            node_record.update(path, {SECRET: 'secretsecret'})
        self.assertEqual(RECORD, path.read_text())
        self.assert_only(path)

    def assert_only(self, path):
        self.assertEqual([path], [
            p for p in self.folder.rglob('*') if p.is_file()])

    def test_folder_of_records_that_is_a_link(self):
        """As on Red Hat's, where both paths may lead to one directory."""
        real = self.folder / 'elsewhere'
        real.mkdir()
        self.nodes.parent.mkdir()
        self.nodes.symlink_to(real)
        (self.folder / 'none').symlink_to(real)
        self.record('192.0.2.1,3260')
        path, = node_record.find(TARGET, '192.0.2.1', 3260)
        node_record.update(path, {SECRET: 'secretsecret'})
        self.assertIn(f'{SECRET} = secretsecret\n', path.read_text())
        self.assert_only(real / TARGET / '192.0.2.1,3260')

    def test_new_text_is_written_on_the_records_own_file_system(self):
        path = self.record('192.0.2.1,3260,1/default')
        seen = []

        def replace(old, new):
            seen.append(Path(old))
            os.rename(old, new)

        with mock.patch.object(os, 'replace', replace):
            node_record.update(path, {SECRET: 'secretsecret'})
        self.assertEqual(self.nodes / TARGET, seen[0].parent)
        # iscsiadm takes nothing without a comma for a portal.
        self.assertNotIn(',', seen[0].name)

    @ddt.data('link', 'fifo', 'other')
    def test_record_that_is_not_roots_own_file(self, kind):
        path = self.record('192.0.2.1,3260')
        if kind == 'other':
            self.enterContext(mock.patch.object(
                os, 'geteuid', return_value=os.geteuid() + 1))
        else:
            path.unlink()
        if kind == 'link':
            path.symlink_to('/etc/passwd')
        elif kind == 'fifo':
            os.mkfifo(path)
        with self.assertRaises((exception.InitiatorError, OSError)):
            node_record.update(path, {SECRET: 'secretsecret'})
        self.assertNotIn('secret', Path('/etc/passwd').read_text())

    def test_remove(self):
        one = self.record('192.0.2.1,3260')
        two = self.record('192.0.2.2,3260,1/default')
        node_record.remove(two)
        self.assert_only(one)
        self.assertEqual([one], list(one.parent.iterdir()))
        node_record.remove(one)
        self.assertEqual([], list(self.nodes.iterdir()))

    def test_what_a_killed_daemon_left_goes(self):
        folder = self.record('192.0.2.1,3260').parent
        for name, age_s in (('.mydriver-old', 3600), ('.mydriver-new', 0)):
            (folder / name).touch()
            os.utime(folder / name, (time.time() - age_s,) * 2)
        node_record.clear(TARGET)
        self.assertEqual(['.mydriver-new', '192.0.2.1,3260'],
                         sorted(p.name for p in folder.iterdir()))
        for path in folder.iterdir():
            path.unlink()
        (folder / '.mydriver-old').touch()
        os.utime(folder / '.mydriver-old', (0, 0))
        node_record.clear(TARGET)
        self.assertFalse(folder.exists())

    def test_update_elsewhere(self):
        path = self.folder / 'x'
        path.write_text(RECORD)
        with self.assertRaises(exception.InitiatorError):
            node_record.update(path, {})
        self.assertEqual(RECORD, path.read_text())
