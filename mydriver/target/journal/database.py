# SPDX-License-Identifier: Apache-2.0
"""The open database: transactions, queries, and what rows mean."""

from collections.abc import Callable, Iterator
import contextlib
import functools
import sqlite3
import time
from typing import Any, Concatenate, ParamSpec, TypeVar

from mydriver import exception, model, turns
from mydriver.target.journal import errors, file, schema

_P = ParamSpec('_P')
_R = TypeVar('_R')
_D = TypeVar('_D', bound='Database')

#: How long a call may wait for others to write to the journal. An attach
#: waits twice, for its export and its mapping, and as often for the kernel
#: target (mydriver.privileged.channel): in all less than the 60 s after which
#: Cinder gives up on a call (rpc_response_timeout).
_WAIT_S = 5.0


def translated(method: Callable[Concatenate[_D, _P], _R]
               ) -> Callable[Concatenate[_D, _P], _R]:
    """Raise the errors of sqlite, the system and stored values as ours."""
    @functools.wraps(method)
    def wrapper(self: _D, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(self, *args, **kwargs)
        except (sqlite3.Error, OSError, UnicodeError,
                exception.InvalidIqn) as e:
            raise errors.of(self.path, e) from e
    return wrapper


class Database:
    """An open database.

    :param path: the file; its directory must exist.
    :param run: identifies this run of the service; mappings record it.
    :param clock: returns seconds since the epoch.
    :param read_only: the file must exist, and nothing is changed.
    :raises JournalDamaged: when the file is damaged.
    :raises JournalError: when it cannot be used.
    """

    def __init__(self, path: str, run: str,
                 clock: Callable[[], float] = time.time, *,
                 read_only: bool = False) -> None:
        self.path = path
        self._run = run
        self._clock = clock
        self._turns = turns.Turns(f'the journal {path}', _WAIT_S)
        self._file = (file.open_to_read if read_only
                      else file.open_to_write)(path, schema.SCHEMA)

    def close(self) -> None:
        """Close the database."""
        with self._turns:
            self._file.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._turns, self._file.transaction() as db:
            yield db

    def _rows(self, sql: str, *args: Any) -> list[sqlite3.Row]:
        with self._turns:
            return self._file.db.execute(sql, args).fetchall()

    def _now(self) -> int:
        return int(self._clock())


# -- rows

def export_of(row: sqlite3.Row) -> model.Export:
    """Return the export that a row of the table ``export`` stands for."""
    return model.Export(
        row['volume_id'],
        model.BackingDevice(row['kind'], row['path'], row['size_bytes']),
        model.Iqn(row['target']), row['tpg_lun'])


def kind_of(row: sqlite3.Row) -> model.NodeKind:
    """Return the kind of the NodeACL that a row of ``node`` stands for."""
    portals = row['portals'] or ''
    return model.NodeKind(
        None if row['chap'] is None else bool(row['chap']),
        bool(row['mutual']), row['key'] or '',
        frozenset(p for p in portals.split(',') if p))


def mapped_of(row: sqlite3.Row) -> model.MappedExport:
    """Return what a row of ``mapping``, joined with the others, stands for."""
    mapping = model.Mapping(row['volume_id'], model.Iqn(row['initiator']),
                            row['lun'], bool(row['read_only']))
    return model.MappedExport(mapping, export_of(row), kind_of(row),
                              doomed=bool(row['doomed']))
