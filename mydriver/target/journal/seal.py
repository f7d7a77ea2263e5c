# SPDX-License-Identifier: Apache-2.0
"""The journal's seal: a checksum that detects damage that sqlite does not.

sqlite detects damage to its own structure. It does not detect a changed digit
in a row, nor rows that vanished together with their index entries. So the
table ``seal`` holds a checksum over all rows, which triggers update within
each transaction, and one over the schema. The triggers are temporary and
belong to each connection that writes: rows that are changed by other means
break the seal, which must be noticed as well.
"""

from collections.abc import Callable
import hashlib
import itertools
import json
import secrets
import sqlite3
from typing import Any

from mydriver.target.journal import values

_SEAL = """
CREATE TABLE seal (
    journal TEXT NOT NULL,
    changes INTEGER NOT NULL,
    content INTEGER NOT NULL,
    form INTEGER NOT NULL) STRICT"""

#: Marks a sealed journal in sqlite's header (PRAGMA application_id).
_APPLICATION_ID = 0x6d796472

Damaged = values.Damaged

_encode = json.JSONEncoder().encode


def make(db: sqlite3.Connection) -> None:
    """Seal a journal, within a transaction and after its schema is final."""
    if not _is_sealed(db):
        db.execute(_SEAL)
        db.execute(f'PRAGMA application_id = {_APPLICATION_ID}')
        db.execute('INSERT INTO seal VALUES (?, 0, 0, 0)',
                   (secrets.token_hex(8),))
    db.execute('UPDATE seal SET content = ?, form = ?, changes = changes + 1',
               (_content(db), _form(db)))


def remove(db: sqlite3.Connection) -> None:
    """Remove the seal, for a release that would not keep it."""
    db.execute('DROP TABLE IF EXISTS seal')
    db.execute('PRAGMA application_id = 0')


def keep(db: sqlite3.Connection) -> None:
    """Make this connection update the seal with each change."""
    db.create_function('mydriver_seal', -1, _fold, deterministic=True)
    for table in _tables(db):
        columns = _columns(db, table)
        old, new = (', '.join(f'{row}."{c}"' for c in columns)
                    for row in ('OLD', 'NEW'))
        without = f"mydriver_seal(content, '{table}', {old})"
        for event, content in (
                ('INSERT', f"mydriver_seal(content, '{table}', {new})"),
                ('DELETE', without),
                ('UPDATE', f"mydriver_seal({without}, '{table}', {new})")):
            update = (f'UPDATE seal SET content = {content}, '  # noqa: S608
                      'changes = changes + 1')
            db.execute(
                f'CREATE TEMP TRIGGER seal_{table}_{event} AFTER {event} ON '
                f'main."{table}" BEGIN {update}; END')


def changes(db: sqlite3.Connection) -> tuple[str, int]:
    """Return the id of the journal, and the number of its changes."""
    journal, count = db.execute('SELECT journal, changes FROM seal').fetchone()
    return str(journal), int(count)


def verify(db: sqlite3.Connection) -> bool:
    """Check that a journal is intact, within a transaction.

    :returns: False for one of an earlier release, which has no seal yet.
    :raises Damaged: when it is damaged.
    :raises sqlite3.Error: when it cannot be read.
    """
    found = db.execute('PRAGMA integrity_check(1)').fetchone()[0]
    if found != 'ok':
        raise Damaged(' '.join(str(found).split()))
    orphan = db.execute('PRAGMA foreign_key_check').fetchone()
    if orphan is not None:
        raise Damaged(f'a row of table {orphan[0]} refers to a row of table '
                      f'{orphan[2]} that does not exist')
    sealed = _is_sealed(db)
    content = _content(db, values.CHECKS.get)
    if sealed and (content, _form(db)) != db.execute(
            'SELECT content, form FROM seal').fetchone()[:2]:
        raise Damaged('its rows do not match their checksum')
    return sealed


def _is_sealed(db: sqlite3.Connection) -> bool:
    """Tell whether there is a seal; a damaged one raises Damaged."""
    by_table = db.execute('SELECT count(*) FROM main.sqlite_schema WHERE '
                          "name = 'seal'").fetchone()[0]
    by_header = db.execute('PRAGMA application_id').fetchone()[0]
    if by_table and db.execute('SELECT count(*) FROM seal').fetchone()[0] != 1:
        raise Damaged('it has lost its seal')
    if by_header not in (0, _APPLICATION_ID) or (by_header and not by_table):
        raise Damaged('its header is not that of a journal')
    return bool(by_table)


def _tables(db: sqlite3.Connection) -> list[str]:
    return [name for name, in db.execute(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND "
        "name <> 'seal' ORDER BY name") if not name.startswith('sqlite_')]


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f'PRAGMA main.table_info("{table}")')]


def _form(db: sqlite3.Connection) -> int:
    """Return a checksum of the schema and of its version."""
    version = db.execute('PRAGMA user_version').fetchone()[0]
    return _fold(0, 'sqlite_schema', version, *(
        cell for row in db.execute('SELECT type, name, tbl_name, sql FROM '
                                   'main.sqlite_schema ORDER BY type, name')
        for cell in row))


def _content(db: sqlite3.Connection, check: Callable[
        [str], values.Check | None] = lambda _column: None) -> int:
    """Return a checksum of all rows that does not depend on their order.

    :param check: takes a column, and returns the check of its values.
    :raises Damaged: for the first invalid value.
    """
    content = 0
    for table in _tables(db):
        rows = db.execute(
            f'SELECT * FROM main."{table}"').fetchall()  # noqa: S608
        for column, cells in zip(
                _columns(db, table), zip(*rows, strict=True),
                strict=bool(rows)):
            if valid := check(column):
                for value in itertools.filterfalse(valid, cells):
                    raise Damaged(f'{value!r:.99} is not a valid {column} '
                                  f'(table {table})')
        for row in rows:
            content = _fold(content, table, *row)
    return content


def _fold(content: int, *row: Any) -> int:
    """Add a row to a checksum, or remove it: this is its own inverse."""
    digest = hashlib.blake2b(_encode(row).encode(), digest_size=8).digest()
    return content ^ int.from_bytes(digest, 'big', signed=True)
