# SPDX-License-Identifier: Apache-2.0
"""The journal's file: made whole, opened by sqlite alone, checked, set aside.

Nothing but sqlite opens the database. POSIX locks are the process's: closing
any descriptor of the file drops those that sqlite's other connections of this
process hold, and another process may then remove the write-ahead log that
they go on writing to (sqlite.org/howtocorrupt.html, 2.2).
"""

import atexit
from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import os
import shutil
import sqlite3
import tempfile
import time
from typing import Any
import urllib.parse

from oslo_log import log as logging

from mydriver import exception
from mydriver.target.journal import errors, seal
from mydriver.target.journal import mark as journal_mark

LOG = logging.getLogger(__name__)

#: What is beside a database, and useless or harmful without it.
_BESIDE = ('-wal', '-shm', '-journal', journal_mark.END)
#: A filesystem in memory, which is there early at boot.
_MEMORY = '/dev/shm'  # noqa: S108, mkdtemp makes a folder there
_BUSY_TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """What a release keeps in a journal.

    :param version: of the schema; 0 is an empty database.
    :param upgrade: takes a connection and the version that it finds, and
        makes this version of it, within a transaction that is open already.
    """

    version: int
    upgrade: Callable[[sqlite3.Connection, int], None]


def run_script(db: sqlite3.Connection, script: str) -> None:
    """Run statements within the open transaction (executescript ends it)."""
    for statement in filter(str.strip, script.split(';')):
        db.execute(statement)


def open_to_write(path: str, schema: Schema) -> 'JournalFile':
    """Open a journal, made or upgraded where need be.

    :param path: of the database; its folder must be there.
    :raises JournalDamaged: when it is not whole.
    :raises JournalError: when it cannot be used.
    """
    with _errors(path):
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
    """Open a journal that is there, and change nothing.

    :param path: of the database.
    :raises JournalDamaged: when it is not whole.
    :raises JournalError: when it cannot be used, or has another version.
    """
    with _errors(path):
        least = journal_mark.read(path)
        db = _connect(path, 'ro')
        with _closed_on_error(db):
            with _snapshot(db):
                _check(path, db, schema, least)
                found = _version(db)
            if found != schema.version:
                raise exception.JournalError(
                    path, f'its version is {found}, this release reads '
                    f'version {schema.version}', 'Start cinder-volume of this '
                    'release, or run mydriver restore: that upgrades it.')
        return JournalFile(path, db, None)


def set_aside(path: str) -> str:
    """Rename a damaged journal and what is beside it.

    :returns: the database's new path.
    :raises JournalError: while another process writes to it.
    """
    with _errors(path):
        mark = journal_mark.Mark.lock(path, alone=True)
        try:
            return _set_aside(path)
        finally:
            mark.close()


def copy_to_memory(path: str) -> str:
    """Copy a journal to where it can be opened, for as long as this runs.

    Call it while this process does not have it open: closing the copied file
    would drop its locks. Whether another process wrote meanwhile, the check of
    the copy tells.

    :returns: the path of the copy.
    :raises JournalError: when it cannot be copied.
    """
    with _errors(path):
        folder = tempfile.mkdtemp(prefix='mydriver-', dir=_MEMORY)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        copy = os.path.join(folder, os.path.basename(path))
        for end in ('', '-wal', journal_mark.END):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path + end, copy + end)
        return copy


def readable(path: str, query: str) -> Iterator[tuple[Any, ...]]:
    """Give the rows of a damaged journal, as far as they can be read.

    They may be wrong, and others may be missing.
    """
    with contextlib.suppress(sqlite3.Error, ValueError), contextlib.closing(
            _connect(path, 'ro')) as db:
        yield from db.execute(query)


class JournalFile:
    """An open journal.

    :param path: of the database.
    :param db: the only connection.
    :param mark: of a journal that is written to.
    """

    def __init__(self, path: str, db: sqlite3.Connection,
                 mark: journal_mark.Mark | None) -> None:
        self.path = path
        self.db = db
        self.db.row_factory = sqlite3.Row
        self._mark = mark

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, or undo it if it fails."""
        self.db.execute('BEGIN IMMEDIATE')
        try:
            yield self.db
            changes = seal.changes(self.db)
            self.db.execute('COMMIT')
        except BaseException:
            if self.db.in_transaction:  # sqlite undoes some by itself
                self.db.execute('ROLLBACK')
            raise
        if self._mark is not None:
            self._mark.write(*changes)

    def close(self) -> None:
        """Close the database, then let go of the mark."""
        self.db.close()
        if self._mark is not None:
            self._mark.close()


# -- making one

def _create(path: str, schema: Schema) -> None:
    """Make a database under another name, and link it when it is whole.

    So one that is there and empty is a damaged one.
    """
    if any(os.path.lexists(path + end) for end in _BESIDE):
        # sqlite would put an older log's contents into the new database.
        LOG.error('The journal %s is missing, but files that belong to one '
                  'are there: renamed to %s*', path, set_aside(path))
    folder = os.path.dirname(path)
    # Exclusively, and with mode 0600.
    descriptor, temporary = tempfile.mkstemp(prefix='.journal-', dir=folder)
    os.close(descriptor)
    try:
        with contextlib.closing(_connect(temporary, 'rw')) as db:
            db.execute('PRAGMA journal_mode = WAL')
            _upgrade(db, schema)
        with contextlib.suppress(FileExistsError):  # another was first
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    _flush(folder)


def _set_aside(path: str) -> str:
    stamp = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
    aside, number = f'{path}.damaged-{stamp}', 0
    while any(os.path.lexists(aside + end) for end in ('', *_BESIDE)):
        number += 1
        aside = f'{path}.damaged-{stamp}-{number}'
    for end in ('', *_BESIDE):  # the database first: see _create
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + end, aside + end)
    _flush(os.path.dirname(path))
    return aside


def _flush(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- opening one

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
            LOG.info('The journal %s is of version %d now', path,
                     schema.version)
        elif least is None and not is_new:
            LOG.warning('The journal %s has no mark, so it is not known '
                        'whether its last changes are missing', path)
        seal.keep(db)
        mark.write(*seal.changes(db))
    return JournalFile(path, db, mark)


def _upgrade(db: sqlite3.Connection, schema: Schema) -> None:
    """Bring a journal to our version and seal it, in one transaction."""
    db.execute('BEGIN IMMEDIATE')
    found = _version(db)
    if found != schema.version:
        schema.upgrade(db, found)
        db.execute(f'PRAGMA user_version = {schema.version}')
    seal.make(db)
    db.execute('COMMIT')


def _check(path: str, db: sqlite3.Connection, schema: Schema,
           least: tuple[str, int] | None) -> bool:
    """See that a journal is whole and of a version that we know.

    :param least: what its mark says.
    :returns: whether it has a seal.
    :raises JournalError: when it is not.
    """
    found = _version(db)
    if found > schema.version:
        raise exception.JournalError(
            path, f'its version is {found}, this release knows version '
            f'{schema.version}', 'Install the release that wrote it.')
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
    """Read within one transaction: others may be writing."""
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


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, seal.Damaged) as e:
        raise errors.of(path, e) from e
