# SPDX-License-Identifier: Apache-2.0
"""``mydriver journal downgrade``."""

import contextlib
import io
import os
import sqlite3

from mydriver import model
from mydriver.cmd import main
from mydriver.target.journal import schema, sqlite
from tests.fakes.commands import FIRST, HOST, TARGET, CommandTestCase
from tests.fakes.gateways.commands import GatewaysTestCase


class DowngradeTest(CommandTestCase):
    """A backend with its journal on the host."""

    def run_downgrade(self, *argv):
        return self.run_command('journal', 'downgrade', '--to', '1', *argv)

    def use(self):
        """Write to the journal as cinder-volume does, which then stops."""
        journal = sqlite.SqliteJournal(self.backend.journal_path, 'service')
        journal.add_targets([TARGET])
        journal.add_export(FIRST, model.BackingDevice(
            'fileio', '/x', 1 << 30), TARGET)
        journal.add_mapping(FIRST, HOST, read_only=False, mutual=False)
        return journal

    def version(self):
        with contextlib.closing(sqlite3.connect(
                self.backend.journal_path)) as db:
            return db.execute('PRAGMA user_version').fetchone()[0]

    def test_and_up_again(self):
        self.use().close()
        status, out, _ = self.run_downgrade()
        self.assertEqual(0, status)
        self.assertEqual(f'disks: {self.backend.journal_path} had version '
                         f'{schema.VERSION} and has version 1\n', out)
        self.assertEqual(1, self.version())
        status, _, err = self.run_command('show')
        self.assertEqual(1, status)
        self.assertIn('its version is 1, this release reads version '
                      f'{schema.VERSION}', err)
        journal = sqlite.SqliteJournal(self.backend.journal_path, 'again')
        self.addCleanup(journal.close)
        self.assertEqual([FIRST], [m.mapping.volume_id
                                   for m in journal.mappings()])

    def test_in_use(self):
        self.addCleanup(self.use().close)
        status, out, err = self.run_downgrade()
        self.assertEqual((1, ''), (status, out))
        self.assertIn('another process is using it', err)
        self.assertEqual(schema.VERSION, self.version())

    def test_no_journal(self):
        self.assertEqual((0, ''), self.run_downgrade()[:2])
        self.assertFalse(os.path.exists(self.backend.journal_path))

    def test_a_version_that_is_not_earlier(self):
        for wrong in ('0', str(schema.VERSION), 'x'):
            with self.subTest(wrong), self.assertRaises(SystemExit), \
                    contextlib.redirect_stderr(io.StringIO()):
                main.main(['journal', 'downgrade', '--to', wrong,
                           '--config-file', self.conf])


class GatewaysTest(GatewaysTestCase):
    """A backend with its journal in Ceph."""

    def test_it_has_no_earlier_version(self):
        status, out, err = self.run_command('journal', 'downgrade', '--to',
                                            '1')
        self.assertEqual((1, ''), (status, out))
        self.assertIn('its journal is in Ceph and has no earlier version',
                      err)
