# SPDX-License-Identifier: Apache-2.0
"""The journal's file: opening it, and what happens if it is damaged."""

import contextlib
import errno
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys

import fixtures

from mydriver import exception
from mydriver.target.journal import errors, salvage
from tests.fakes import journal
from tests.fakes.journal import ALICE, TARGET


class OpenTest(journal.FileCase):
    """Opening takes no lock from those who have the file open."""

    def test_second_open_does_not_lose_writes(self):
        first = self.open()
        first.add_targets([TARGET])
        self.open()  # a plain open and close drops this process's locks
        # Another process comes and goes. Were it the last one by sqlite's
        # locks, it would remove the write-ahead log at its end.
        script = ('import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); '
                  'db.execute("SELECT count(*) FROM target").fetchall(); '
                  'db.close()')
        subprocess.run([sys.executable, '-c', script, self.path], check=True)
        export = journal.add_export(first)
        script = ('import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); '
                  'print(*db.execute("SELECT volume_id FROM export")'
                  '.fetchone() or ())')
        kept = subprocess.run(
            [sys.executable, '-c', script, self.path], check=True,
            capture_output=True, text=True).stdout.strip()
        self.assertEqual(export.volume_id, kept)
        self.assertTrue(os.path.exists(self.path + '-wal'))

    def test_reading_makes_and_changes_nothing(self):
        with self.assertRaises(exception.JournalError):
            self.open(read_only=True)
        self.assertEqual([], os.listdir(self.folder))
        written = self.open()
        written.add_targets([TARGET])
        export = journal.add_export(written)
        read = self.open(read_only=True)
        self.assertEqual([export], read.exports())
        with self.assertRaises(exception.JournalError):
            journal.add_export(read)
        self.assertEqual([export], written.exports())

    def test_any_name_of_the_folder(self):
        self.folder = os.path.join(self.folder, 'a%41?mode=memory#b')
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, 'journal.sqlite')
        self.open().add_targets([TARGET])
        self.assertEqual([TARGET], self.open(read_only=True).targets())

    def test_older_journal_is_taken_over_and_sealed(self):
        with sqlite3.connect(self.path) as db:
            db.executescript(
                f'{journal.FIRST_SCHEMA} PRAGMA user_version = 1;')
            db.execute('INSERT INTO target VALUES (?)', (str(TARGET),))
        self.assertEqual([TARGET], self.open().targets())
        with sqlite3.connect(self.path) as db:
            db.execute('DELETE FROM target')
        with self.assertRaises(exception.JournalDamaged):
            self.open()


class DamageTest(journal.FileCase):
    """A damaged journal is refused, even if sqlite accepts it."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()
        self.journal.add_targets([TARGET])
        self.exports = [journal.add_export(self.journal) for _ in range(3)]
        self.journal.add_mapping(self.exports[0].volume_id, ALICE,
                                 read_only=False, mutual=False)

    def assert_damaged(self, text):
        """Both ways of opening refuse it and leave it unchanged."""
        for read_only in (False, True):
            with self.assertRaises(exception.JournalDamaged) as caught:
                self.open(read_only=read_only)
            self.assertIn(text, str(caught.exception))

    def run_sql(self, *statements):
        """Change the database behind the journal's back."""
        self.journal.close()
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            for statement in statements:
                db.execute(statement)
            db.commit()

    def test_another_value(self):
        self.run_sql("UPDATE export SET path = '/store/volume-of-another'")
        self.assert_damaged('match their checksum')

    def test_a_missing_row(self):
        self.run_sql('DELETE FROM mapping')
        self.assert_damaged('match their checksum')

    def test_a_row_that_refers_to_nothing(self):
        self.run_sql('DELETE FROM export')
        self.assert_damaged('that does not exist')

    def test_a_value_that_cannot_be(self):
        self.run_sql("UPDATE target SET iqn = 'iqn.2010-10.org_x:y'")
        self.assert_damaged('')

    def test_text_that_is_none(self):
        self.run_sql("UPDATE export SET path = CAST(x'2fff' AS TEXT)")
        self.assert_damaged('decode')

    def test_a_lost_seal(self):
        self.run_sql('DROP TABLE seal')
        self.assert_damaged('header')

    def test_an_empty_file(self):
        self.journal.close()
        os.truncate(self.path, 0)
        self.assert_damaged('it is empty')

    def test_an_old_copy(self):
        self.journal.close()
        shutil.copy(self.path, self.path + '.copy')
        self.journal = self.open()
        journal.add_export(self.journal)
        self.journal.close()
        os.replace(self.path + '.copy', self.path)
        self.assert_damaged('it is an old copy')

    def test_a_copy_beside_a_log_that_is_not_its_own(self):
        self.journal.close()
        shutil.copy(self.path, self.path + '.copy')
        self.journal = self.open()
        for _ in range(20):
            journal.add_export(self.journal)
        log = self.path + '-wal'
        shutil.copy(log, log + '.copy')
        self.journal.close()
        os.replace(self.path + '.copy', self.path)
        with open(log + '.copy', 'rb') as f:
            data = f.read()
        with open(log, 'wb') as f:  # its first half
            f.write(data[:len(data) // 2])
        self.assert_damaged('If you restored a copy')

    def test_a_whole_copy_is_taken(self):
        self.journal.close()
        kept = {end: self.path + end for end in ('', '.mark')}
        for path in kept.values():
            shutil.copy(path, path + '.copy')
        self.journal = self.open()
        journal.add_export(self.journal)
        self.journal.close()
        for path in kept.values():
            os.replace(path + '.copy', path)
        self.assertEqual(self.exports, self.open().exports())

    def test_a_mark_that_is_behind_or_gone_is_no_damage(self):
        before = pathlib.Path(self.path + '.mark').read_bytes()
        self.exports.append(journal.add_export(self.journal))
        self.journal.close()
        mark = pathlib.Path(self.path + '.mark')
        after = mark.read_bytes()
        for found in (before, b'', b'torn' + before[4:], None):
            if found is None:
                mark.unlink()
            else:
                mark.write_bytes(found)
            self.assertEqual(self.exports, self.open(read_only=True).exports())
            opened = self.open()
            self.assertEqual(self.exports, opened.exports())
            self.assertEqual(after, mark.read_bytes())
            opened.close()

    def test_parts_that_were_left_are_not_taken_for_the_new_one_s(self):
        os.unlink(self.path)  # -wal and -shm are in use still
        self.journal._file._mark.close()
        self.assertEqual([], self.open().targets())
        self.assertEqual(3, len([n for n in os.listdir(self.folder)
                                 if '.damaged-' in n]))

    def test_set_aside_and_never_over_another(self):
        self.journal.close()
        names = set()
        for n in range(3):
            with open(self.path, 'w') as f:
                f.write(f'{n}' * 5000)
            self.assert_damaged('not a database')
            names.add(salvage.set_aside(self.path))
        self.assertEqual(['0' * 5000, '1' * 5000, '2' * 5000], sorted(
            pathlib.Path(n).read_text() for n in names))
        self.assertEqual([], self.open().targets())

    def test_not_set_aside_while_another_writes_to_it(self):
        with self.assertRaises(exception.JournalError) as caught:
            salvage.set_aside(self.path)
        self.assertIn('another process is using it', str(caught.exception))
        self.assertEqual(self.exports, self.journal.exports())


class AdviceTest(journal.FileCase):
    """The remedy of an error fits its cause."""

    def test_full(self):
        full = self.open()
        full.add_targets([TARGET])
        pages = full._file.db.execute('PRAGMA page_count').fetchone()[0]
        full._file.db.execute(f'PRAGMA max_page_count = {pages}')
        added = []
        with self.assertRaises(exception.JournalError) as caught:
            for _ in range(500):
                added.append(journal.add_export(full))
        self.assertIn(f'Make room in {self.folder}', str(caught.exception))
        self.assertNotIn('copy', str(caught.exception))
        full._file.db.execute(f'PRAGMA max_page_count = {pages + 100}')
        added.append(journal.add_export(full))
        self.assertEqual(set(added), set(full.exports()))
        full.close()
        self.assertEqual(len(added), len(self.open().exports()))

    def test_locked(self):
        with fixtures.MonkeyPatch(
                'mydriver.target.journal.file._BUSY_TIMEOUT_S', 0.05):
            waiting = self.open()
        with contextlib.closing(sqlite3.connect(
                self.path, isolation_level=None)) as other:
            other.execute('BEGIN IMMEDIATE')
            with self.assertRaises(exception.JournalError) as caught:
                waiting.add_targets([TARGET])
        self.assertIn('fuser', str(caught.exception))
        waiting.add_targets([TARGET])

    def test_of_the_system(self):
        for number, advice in (
                (errno.ENOSPC, 'Make room'), (errno.EDQUOT, 'Make room'),
                (errno.EACCES, 'to the user that cinder-volume runs as'),
                (errno.EROFS, 'for writing'), (errno.EIO, 'kernel log'),
                (errno.ENOENT, 'mydriver_state_path')):
            error = errors.of(self.path, OSError(number, 'why'))
            self.assertIn(advice, str(error))
            self.assertNotIsInstance(error, exception.JournalDamaged)

    def test_newer(self):
        self.open().close()
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            db.execute('PRAGMA user_version = 99')
        for read_only in (False, True):
            with self.assertRaises(exception.JournalError) as caught:
                self.open(read_only=read_only)
            self.assertIn('Install the release', str(caught.exception))
            self.assertNotIsInstance(caught.exception,
                                     exception.JournalDamaged)
