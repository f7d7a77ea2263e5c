# SPDX-License-Identifier: Apache-2.0
"""The journal's file: how it is created, opened, checked and written.

Nothing but sqlite opens the database. POSIX locks belong to the process:
closing any descriptor of the file drops those of sqlite's other connections
in this process, and another process may then remove the write-ahead log that
they still write to (sqlite.org/howtocorrupt.html, 2.2).
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import os
import sqlite3
import tempfile
from typing import Any
import urllib.parse

from oslo_log import log as logging

from mydriver import exception
from mydriver.target.journal import errors, salvage, seal
from mydriver.target.journal import mark as journal_mark

LOG = logging.getLogger(__name__)

_BUSY_TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a journal.

    :param version: of the schema; 0 is an empty database.
    :param upgrade: takes a connection and the version found, and brings the
        tables to this version, within the transaction that is open already.
    """

    version: int
    upgrade: Callable[[sqlite3.Connection, int], None]


def run_script(db: sqlite3.Connection, script: str) -> None:
    """Run statements within the open transaction (executescript ends it)."""
    for statement in filter(str.strip, script.split(';')):
        db.execute(statement)


def open_to_write(path: str, schema: Schema) -> 'JournalFile':
    """Open a journal to write; create or upgrade it first if necessary.

    :param path: of the database; its directory must exist.
    :raises JournalDamaged: when it is damaged.
    :raises JournalError: when it cannot be used.
    """
    with errors.translated(path):
        is_new = not os.path.exists(path)
        if is_new:
            _create(path, schema)
        mark = journal_mark.Mark.lock(path)
        try:
            return _open_to_write(path, schema, mark, is_new)
        except BaseException:
            mark.close()
            raise


def open_to_read(path: str, schema: Schema) -> 'JournalFile':
    """Open an existing journal to read, and change nothing.

    :param path: of the database.
    :raises JournalDamaged: when it is damaged.
    :raises JournalError: when it cannot be used, or has another version.
    """
    with errors.translated(path):
        least = journal_mark.read(path)
        db = _connect(path, 'ro')
        with _closed_on_error(db):
            with _snapshot(db):
                _check(path, db, schema, least)
                found = _version(db)
            if found != schema.version:
                raise exception.JournalUnusable(
                    path, f'its version is {found}, this release reads '
                    f'version {schema.version}', 'Start cinder-volume of this '
                    'release, or run mydriver restore: that upgrades it.')
        return JournalFile(path, db, None)


def version_of(path: str, schema: Schema) -> int:
    """Return the version of an existing journal, and change nothing.

    :param path: of the database.
    :raises JournalDamaged: when it is damaged.
    :raises JournalError: when it cannot be used, or a later release wrote it.
    """
    with errors.translated(path):
        least = journal_mark.read(path)
        with contextlib.closing(_connect(path, 'ro')) as db, _snapshot(db):
            _check(path, db, schema, least)
            return _version(db)


@contextlib.contextmanager
def alone(path: str, schema: Schema) -> Iterator[sqlite3.Connection]:
    """Open a journal that nobody uses, for one transaction without its mark.

    What the block does is committed, or rolled back when it fails.

    :param path: of the database, which must exist.
    :raises JournalDamaged: when it is damaged.
    :raises JournalError: when it is in use, or cannot be used.
    """
    with errors.translated(path):
        mark = journal_mark.Mark.lock(path, alone=True)
        try:
            least = journal_mark.read(path)
            with contextlib.closing(_connect(path, 'rw')) as db:
                db.execute('BEGIN IMMEDIATE')
                _check(path, db, schema, least)
                yield db
                # First: a journal without a mark is used, one that does not
                # match its mark is not.
                mark.clear()
                db.execute('COMMIT')
        finally:
            mark.close()


def readable(path: str, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a damaged journal, as far as they can be read.

    They may be wrong, and others may be missing.

    :param query: a SELECT statement.
    """
    with contextlib.suppress(sqlite3.Error, ValueError), contextlib.closing(
            _connect(path, 'ro')) as db:
        yield from db.execute(query)


class JournalFile:
    """An open journal.

    :param path: of the database.
    :param db: its only connection.
    :param mark: its mark, None for a journal that is only read.
    """

    def __init__(self, path: str, db: sqlite3.Connection,
                 mark: journal_mark.Mark | None) -> None:
        self.path = path
        self.db = db
        self.db.row_factory = sqlite3.Row
        self._mark = mark

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, or roll it back when it fails."""
        self.db.execute('BEGIN IMMEDIATE')
        try:
            yield self.db
            changes = seal.changes(self.db)
            self.db.execute('COMMIT')
        except BaseException:
            if self.db.in_transaction:  # sqlite rolls some back by itself
                self.db.execute('ROLLBACK')
            raise
        if self._mark is not None:
            self._mark.write(*changes)

    def close(self) -> None:
        """Close the database, then release the mark."""
        self.db.close()
        if self._mark is not None:
            self._mark.close()


# -- creating

def _create(path: str, schema: Schema) -> None:
    """Create a database under a temporary name, and link it when complete.

    So an empty file under the final name is a damaged journal.
    """
    if any(os.path.lexists(path + end) for end in salvage.BESIDE):
        # sqlite would put an older log's contents into the new database.
        LOG.error('The journal %s is missing, but files that belong to it '
                  'exist: renamed to %s*', path, salvage.set_aside(path))
    folder = os.path.dirname(path)
    # Exclusively, and with mode 0600.
    descriptor, temporary = tempfile.mkstemp(prefix='.journal-', dir=folder)
    os.close(descriptor)
    try:
        with contextlib.closing(_connect(temporary, 'rw')) as db:
            db.execute('PRAGMA journal_mode = WAL')
            _upgrade(db, schema)
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    salvage.flush(folder)


# -- opening

def _connect(path: str, mode: str) -> sqlite3.Connection:
    name = urllib.parse.quote(os.fsencode(os.path.abspath(path)))
    db = sqlite3.connect(
        f'file:{name}?mode={mode}', uri=True, timeout=_BUSY_TIMEOUT_S,
        isolation_level=None, check_same_thread=False)
    with _closed_on_error(db):
        db.execute('PRAGMA synchronous = FULL')
        db.execute('PRAGMA foreign_keys = ON')
        db.execute('PRAGMA recursive_triggers = ON')  # for the seal's
        db.execute('PRAGMA temp_store = MEMORY')
    return db


def _open_to_write(path: str, schema: Schema, mark: journal_mark.Mark,
                   is_new: bool) -> JournalFile:
    least = journal_mark.read(path)
    db = _connect(path, 'rw')
    with _closed_on_error(db):
        with _snapshot(db):
            sealed = _check(path, db, schema, least)
            found = _version(db)
        if not sealed or found != schema.version:
            _upgrade(db, schema)
            LOG.info('Upgraded the journal %s to version %d', path,
                     schema.version)
        elif least is None and not is_new:
            LOG.warning('The journal %s has no mark; it is unknown whether '
                        'its last changes are missing', path)
        seal.keep(db)
        mark.write(*seal.changes(db))
    return JournalFile(path, db, mark)


def _upgrade(db: sqlite3.Connection, schema: Schema) -> None:
    """Bring a journal to this version and seal it, in one transaction."""
    db.execute('BEGIN IMMEDIATE')
    found = _version(db)
    if found != schema.version:
        schema.upgrade(db, found)
        db.execute(f'PRAGMA user_version = {schema.version}')
    seal.make(db)
    db.execute('COMMIT')


def _check(path: str, db: sqlite3.Connection, schema: Schema,
           least: tuple[str, int] | None) -> bool:
    """Check that a journal is intact and of a known version.

    :param least: what its mark says: which journal it is, and how many
        changes it had at least.
    :returns: whether it has a seal.
    :raises JournalDamaged: when it is damaged.
    :raises JournalError: when a later release wrote it.
    """
    found = _version(db)
    if found > schema.version:
        raise exception.JournalUnusable(
            path, f'its version is {found}, this release knows version '
            f'{schema.version}', 'Install the release that wrote it. To go '
            'back to this one, run there: mydriver journal downgrade --to '
            f'{schema.version}.')
    try:
        if found < 1:
            raise seal.Damaged('it is empty')
        sealed = seal.verify(db)
        if least is not None:
            _compare(seal.changes(db) if sealed else ('', 0), least)
    except (sqlite3.Error, seal.Damaged) as e:
        raise errors.of(path, e, is_whole=False) from e
    return sealed


def _compare(found: tuple[str, int], least: tuple[str, int]) -> None:
    """Compare a journal with its mark."""
    if found[0] != least[0]:
        raise seal.Damaged('its mark belongs to another journal')
    if found[1] < least[1]:
        raise seal.Damaged(
            f'it lacks its last {least[1] - found[1]} changes: it is an old '
            'copy, or its write-ahead log was damaged or lost')


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute('PRAGMA user_version').fetchone()[0])


@contextlib.contextmanager
def _snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Read within one transaction, since others may be writing."""
    db.execute('BEGIN')
    yield
    db.execute('ROLLBACK')


@contextlib.contextmanager
def _closed_on_error(db: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        db.close()
        raise
