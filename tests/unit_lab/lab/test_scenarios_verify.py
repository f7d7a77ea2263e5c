# SPDX-License-Identifier: Apache-2.0
"""What the verification reads, and that it would notice."""

import base64
import json
import os
from pathlib import Path
import unittest
from unittest import mock
import uuid

import fixtures

from lab import errors
from lab.cloud import settings
from lab.scenario import probe
from lab.scenario.expect import NotProven
from lab.scenarios.verify import inside, insight, look
from mydriver import model
from mydriver.target import chap
from mydriver.target.journal import sqlite

TARGET = model.Iqn('iqn.2010-10.org.openstack:t-0')


class InsideTest(fixtures.TestWithFixtures):
    """What runs in a node."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.useFixture(fixtures.TempDir()).path)

    def tree(self):
        """Make what stands for configfs."""
        acl = self.folder / 'iscsi/iqn.stranger/tpgt_1/acls/iqn.x'
        (acl / 'auth').mkdir(parents=True)
        (acl / 'info').write_text('No active')
        (acl / 'auth/password').write_text('one')
        os.symlink(self.folder, acl / 'link')
        return acl

    def read(self, *prefixes):
        with mock.patch.object(inside, '_CONFIGFS', self.folder):
            return inside.configfs(*prefixes)

    def test_a_changed_secret_is_noticed_and_not_shown(self):
        acl = self.tree()
        before = self.read('stranger')
        (acl / 'auth/password').write_text('two')
        after = self.read('stranger')
        self.assertEqual({str(acl / 'auth/password')}, {
            k for k in before if before[k] != after[k]})
        self.assertNotIn('two', json.dumps(after))

    def test_a_removed_link_is_noticed(self):
        acl = self.tree()
        before = self.read()
        (acl / 'link').unlink()
        self.assertEqual({str(acl / 'link')},
                         before.keys() - self.read().keys())

    def test_what_sessions_change_is_left_out(self):
        acl = self.tree()
        before = self.read()
        (acl / 'info').write_text('a session')
        self.assertEqual(before, self.read())

    def test_others_are_left_out(self):
        self.tree()
        self.assertEqual({}, self.read('somebody-else'))

    def test_journal_rows(self):
        path = self.folder / 'journal.sqlite'
        written = sqlite.SqliteJournal(str(path), 'run')
        self.addCleanup(written.close)
        written.add_targets([TARGET])
        volume_id = str(uuid.uuid4())
        written.add_export(volume_id, model.BackingDevice(
            'fileio', '/x', 512), TARGET)
        rows = probe.journal(str(path))
        self.assertEqual(f"target: ('{TARGET}',)", rows[0])
        self.assertIn(volume_id, rows[1])

    def test_own_arguments_are_seen(self):
        self.assertTrue(any('python' in line
                            for line in inside.arguments('0.01')))


class Cloud:
    """A cloud whose storage node has one key and one target."""

    key = b'k' * 32
    options = settings.Options()

    def node_exec(self, name, argv, timeout_s=0):
        """Answer what the verification asks."""
        if argv[0] == 'base64':
            return 0, base64.b64encode(self.key).decode()
        if 'journal' in argv:
            return 0, json.dumps([f"target: ('{TARGET}',)"])
        return 1, f'{name} cannot {argv}'


class LookerTest(unittest.TestCase):
    """What is asked of the nodes."""

    def test_secrets_are_those_in_use(self):
        secrets = look.Looker(Cloud()).secrets()
        wanted = chap.ChapKey(Cloud.key).credentials(
            model.Iqn('iqn.1993-08.org.debian:01:compute'), TARGET, True)
        self.assertEqual({wanted.password, wanted.mutual_password},
                         set(secrets.values()))

    def test_a_failed_command_is_an_error(self):
        with self.assertRaises(errors.LabError) as caught:
            look.Looker(Cloud()).run('storage', 'false')
        self.assertIn("storage cannot", str(caught.exception))


class TopTest(unittest.TestCase):
    """What ``top`` has to show of a busy and of an idle volume."""

    BUSY, IDLE = str(uuid.uuid4()), str(uuid.uuid4())

    def printed(self, rows):
        """Return a table as ``top --long`` prints it."""
        return '\n'.join((
            '2026-11-27 06:00:00  10.0 s  2 exports  1 sessions',
            '40 cmd/s  0B/s read  0B/s written',
            '', 'VOLUME  INITIATOR  CMD/S  READ/S  WRITE/S  QUEUE  BACKEND',
            *(f'{v}  iqn.x  {rate}  0  0    mydriver' for v, rate in rows)))

    def check(self, *rows, told=20.0):
        """Check such a table."""
        return insight.check_top(self.printed(rows), self.BUSY, self.IDLE,
                                 told)

    def test_true(self):
        said = self.check((self.BUSY, 40), (self.IDLE, 0))
        self.assertIn(f'{self.BUSY} iqn.x 40', said)

    def test_untrue(self):
        for rows in ([(self.BUSY, 40)], [(self.IDLE, 0), (self.BUSY, 40)],
                     [(self.BUSY, 5), (self.IDLE, 0)],
                     [(self.BUSY, 900), (self.IDLE, 0)],
                     [(self.BUSY, 40), (self.IDLE, 3)]):
            with self.subTest(rows), self.assertRaises(NotProven):
                self.check(*rows)
