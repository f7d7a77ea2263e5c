# SPDX-License-Identifier: Apache-2.0
"""A journal is upgraded and brought back, completely or not at all."""

from concurrent import futures
import contextlib
import os
from pathlib import Path
import shutil
import sqlite3
from unittest import mock

from mydriver import exception, model
from mydriver.target.journal import earlier, file, mark, schema, sqlite
from tests.fakes import journal
from tests.fakes.old_journal import ALICE, TARGET, VERSION_1, VOLUME


class VersionTest(journal.FileCase):
    """A file as an earlier release left it."""

    def setUp(self):
        super().setUp()
        self.write(VERSION_1)

    def write(self, script):
        db = sqlite3.connect(self.path)
        db.executescript(script)
        db.close()

    def read(self):
        opened = sqlite.SqliteJournal(self.path, 'now')
        self.addCleanup(opened.close)
        return opened

    def dump(self):
        db = sqlite3.connect(self.path)
        self.addCleanup(db.close)
        return (db.execute('PRAGMA user_version').fetchone()[0],
                list(db.iterdump()))

    def test_all_is_kept(self):
        for _ in range(2):
            placed, = self.read().mappings()
            self.assertEqual(
                (model.Mapping(VOLUME, ALICE, 9, True), 7, True, False),
                (placed.mapping, placed.export.lun, placed.kind.mutual,
                 placed.doomed))
            self.assertEqual(model.NodeKind(None, True), placed.kind)

    def test_commands_that_only_read_say_who_upgrades_it(self):
        before = self.dump()
        with self.assertRaises(exception.JournalUnusable) as caught:
            sqlite.SqliteJournal(self.path, 'show', read_only=True)
        for part in ('its version is 1', 'this release reads version 2',
                     'Start cinder-volume', 'mydriver restore'):
            self.assertIn(part, str(caught.exception))
        self.assertEqual(before, self.dump())

    def test_it_is_as_a_new_one(self):
        old = self.read()
        old.doom(VOLUME, ALICE)
        old.add_targets([model.Iqn(f'{TARGET}1')])
        new = sqlite.SqliteJournal(f'{self.path}.new', 'now')
        self.addCleanup(new.close)
        columns = [[(r['name'], r['type'], r['notnull']) for r in db._rows(
            f'PRAGMA table_info({table})')] for table in (
                'node', 'mapping', 'export') for db in (old, new)]
        self.assertEqual(columns[::2], columns[1::2])

    def test_two_processes_at_a_time(self):
        with futures.ThreadPoolExecutor(8) as pool:
            opened = list(pool.map(lambda _: self.read(), range(8)))
        self.assertEqual([1] * 8, [len(j.mappings()) for j in opened])

    def test_a_failure_leaves_version_1(self):
        self.write('ALTER TABLE mapping ADD COLUMN doomed INTEGER NOT NULL '
                   'DEFAULT 0')
        before = self.dump()
        self.assertEqual(1, before[0])
        with self.assertRaisesRegex(Exception, 'duplicate column'):
            self.read()
        self.assertEqual(before, self.dump())
        self.assertTrue(os.path.exists(self.path))


class BackTest(journal.FileCase):
    """The way back to a release that only knows version 1."""

    def setUp(self):
        super().setUp()
        self.state = Path(self.folder) / 'state'
        self.state.mkdir()
        self.path = str(self.state / 'journal.sqlite')
        db = sqlite3.connect(self.path)
        db.executescript(VERSION_1)
        db.close()

    def earlier(self, opening):
        """Open it as the earlier release does; return its mappings."""
        opened = opening(self.path, file.Schema(1, lambda *_: None))
        rows = opened.db.execute(
            'SELECT volume_id, initiator, lun FROM mapping').fetchall()
        opened.close()
        return [tuple(row) for row in rows]

    def upgrade(self):
        """Start this release, which removes what version 1 has recorded."""
        journal = sqlite.SqliteJournal(self.path, 'new')
        journal.remove_mapping(VOLUME, ALICE, quarantine=True)
        journal.close()

    def contents(self):
        return {p.name: p.read_bytes() for p in self.state.iterdir()}

    def test_the_earlier_release_refuses_it_and_changes_nothing(self):
        self.upgrade()
        before = self.contents()
        for opening in (file.open_to_write, file.open_to_read):
            with self.assertRaises(exception.JournalUnusable) as caught:
                self.earlier(opening)
            for part in ('its version is 2, this release knows version 1',
                         'Install the release that wrote it. To go back',
                         'run there: mydriver journal downgrade --to 1.'):
                self.assertIn(part, str(caught.exception))
        self.assertEqual(before['journal.sqlite'],
                         self.contents()['journal.sqlite'])
        again = sqlite.SqliteJournal(self.path, 'again', read_only=True)
        self.addCleanup(again.close)
        self.assertEqual([], again.mappings())

    def test_a_copy_can_be_put_back(self):
        shutil.copytree(self.state, f'{self.folder}/copy')
        self.upgrade()
        shutil.rmtree(self.state)
        shutil.copytree(f'{self.folder}/copy', self.state)
        self.assertEqual([(VOLUME, str(ALICE), 9)],
                         self.earlier(file.open_to_write))


class DowngradeTest(journal.FileCase):
    """A journal of this release is brought back to version 1."""

    OTHER = VOLUME[:-1] + '2'

    def setUp(self):
        super().setUp()
        self.old_path = f'{self.folder}/old.sqlite'
        for path in (self.path, self.old_path):
            with contextlib.closing(sqlite3.connect(path)) as db:
                db.executescript(VERSION_1)

    @contextlib.contextmanager
    def new(self):
        """This release uses the journal."""
        journal = sqlite.SqliteJournal(self.path, 'new')
        try:
            yield journal
        finally:
            journal.close()

    def attach_another(self):
        """This release exports and maps a volume that version 1 has not."""
        with self.new() as journal:
            journal.add_export(self.OTHER, model.BackingDevice(
                'fileio', '/y', 1024), TARGET)
            journal.add_mapping(self.OTHER, ALICE, read_only=False,
                                mutual=True)

    def rows(self, path, table='mapping'):
        with contextlib.closing(sqlite3.connect(path)) as db:
            return sorted(db.execute(f'SELECT * FROM {table}'))

    def form(self, path):
        """Return what there is beside the rows."""
        with contextlib.closing(sqlite3.connect(path)) as db:
            names = sorted(name for name, in db.execute(
                'SELECT name FROM sqlite_schema'))
            return [(n, db.execute(f'PRAGMA table_info("{n}")').fetchall())
                    for n in names] + [
                db.execute(f'PRAGMA {p}').fetchone() for p in (
                    'user_version', 'application_id')]

    def test_it_is_as_the_earlier_release_left_it(self):
        with self.new():
            pass
        self.assertNotEqual(self.form(self.old_path), self.form(self.path))
        self.assertEqual(2, earlier.downgrade(self.path, 1))
        self.assertEqual(self.form(self.old_path), self.form(self.path))
        for table in ('target', 'export', 'node', 'mapping', 'quarantine'):
            self.assertEqual(self.rows(self.old_path, table),
                             self.rows(self.path, table))

    def test_it_keeps_what_the_new_release_has_attached(self):
        self.attach_another()
        earlier.downgrade(self.path, 1)
        self.assertEqual([VOLUME, self.OTHER],
                         [row[0] for row in self.rows(self.path)])

    def test_old_new_old_new(self):
        self.attach_another()
        earlier.downgrade(self.path, 1)
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            db.execute('DELETE FROM mapping WHERE volume_id = ?', (VOLUME,))
            db.commit()
        with self.new() as journal:
            placed, = journal.mappings()
            self.assertEqual(self.OTHER, placed.mapping.volume_id)
            self.assertEqual({VOLUME, self.OTHER}, {
                e.volume_id for e in journal.exports()})
        with self.new() as journal:  # the mark belongs to it again
            self.assertEqual(1, len(journal.mappings()))

    def test_twice(self):
        with self.new():
            pass
        self.assertEqual(2, earlier.downgrade(self.path, 1))
        before = self.form(self.path)
        self.assertEqual(1, earlier.downgrade(self.path, 1))
        self.assertEqual(before, self.form(self.path))

    def refused(self, *parts, error=exception.JournalUnusable):
        """Expect an error, and that nothing is changed."""
        before = self.form(self.path), self.rows(self.path)
        with self.assertRaises(error) as caught:
            earlier.downgrade(self.path, 1)
        for part in parts:
            self.assertIn(part, str(caught.exception))
        self.assertEqual(before, (self.form(self.path), self.rows(self.path)))

    def test_failed_attaches_are_undone_first(self):
        with self.new() as journal:
            journal.doom(VOLUME, ALICE)
        self.refused('1 failed attaches in it have yet to be undone',
                     'Start cinder-volume of this release')
        with self.new() as journal:
            self.assertTrue(journal.mappings()[0].doomed)

    def test_one_in_use(self):
        with self.new():
            self.refused('another process is using it', 'Stop it')

    def test_a_damaged_one(self):
        with self.new():
            pass
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            db.execute('UPDATE mapping SET lun = 8')
            db.commit()
        self.refused('do not match their checksum',
                     error=exception.JournalDamaged)

    def test_one_of_a_later_release(self):
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            db.execute(f'PRAGMA user_version = {schema.VERSION + 1}')
        self.refused('Install the release that wrote it')

    def test_a_failure_in_between(self):
        with self.new():
            pass
        run_script = file.run_script

        def half(db, script):
            run_script(db, script.partition(';')[0])
            raise OSError(5, 'Input/output error')
        with mock.patch.object(file, 'run_script', half):
            self.refused('Input/output error', error=exception.JournalError)
        with self.new() as journal:
            self.assertEqual(1, len(journal.mappings()))

    def test_a_failure_after_the_mark_was_cleared(self):
        with self.new():
            pass
        with mock.patch.object(mark.Mark, 'clear', autospec=True,
                               side_effect=self.clear_and_fail):
            self.refused('No space left', error=exception.JournalError)
        with self.new() as journal:
            self.assertEqual(1, len(journal.mappings()))

    def clear_and_fail(self, its):
        os.ftruncate(its._descriptor, 0)
        raise OSError(28, 'No space left on device')
