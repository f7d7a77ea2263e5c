# SPDX-License-Identifier: Apache-2.0
"""The desired state of the exports, in sqlite.

What stands here shall be in the kernel; :mod:`.target` makes it so. Each
change is one transaction, on disk before it is applied. No secret is ever in
it: CHAP credentials are derived anew (see :mod:`.chap`).
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import functools
import sqlite3
import time
from typing import Any, Concatenate, ParamSpec, TypeVar

from mydriver import exception, model, turns
from mydriver.target.journal import errors, file, luns, seal

_P = ParamSpec('_P')
_R = TypeVar('_R')

SCHEMA_VERSION = 2

#: How long a call may wait for others to write to the journal. An attach
#: waits twice, for its export and its mapping, and as often for the kernel
#: target (mydriver.privileged.channel): in all less than the 60 s after which
#: Cinder gives a call up (rpc_response_timeout).
_WAIT_S = 5.0

_SCHEMA = """
CREATE TABLE target (
    iqn TEXT PRIMARY KEY) STRICT;
CREATE TABLE export (
    volume_id TEXT PRIMARY KEY,
    target TEXT NOT NULL REFERENCES target (iqn),
    tpg_lun INTEGER NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    UNIQUE (target, tpg_lun)) STRICT;
CREATE TABLE node (
    initiator TEXT NOT NULL,
    target TEXT NOT NULL REFERENCES target (iqn),
    mutual INTEGER NOT NULL,
    chap INTEGER,
    key TEXT,
    portals TEXT,
    PRIMARY KEY (initiator, target)) STRICT;
CREATE TABLE mapping (
    volume_id TEXT NOT NULL REFERENCES export (volume_id),
    initiator TEXT NOT NULL,
    target TEXT NOT NULL,
    lun INTEGER NOT NULL,
    read_only INTEGER NOT NULL,
    run TEXT NOT NULL,
    doomed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (volume_id, initiator),
    UNIQUE (initiator, target, lun),
    FOREIGN KEY (initiator, target) REFERENCES node (initiator, target))
    STRICT;
CREATE TABLE quarantine (
    initiator TEXT NOT NULL,
    target TEXT NOT NULL,
    lun INTEGER NOT NULL,
    volume_id TEXT NOT NULL,
    released_at INTEGER NOT NULL,
    PRIMARY KEY (initiator, target, lun)) STRICT;
"""

#: From version 1, which had these columns nowhere.
_FROM_1 = """
ALTER TABLE node ADD COLUMN chap INTEGER;
ALTER TABLE node ADD COLUMN key TEXT;
ALTER TABLE node ADD COLUMN portals TEXT;
ALTER TABLE mapping ADD COLUMN doomed INTEGER NOT NULL DEFAULT 0;
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What an initiator was told at a target, which its sessions depend on.

    It is settled with the first mapping of the NodeACL and holds until the
    last one goes, whatever the settings are by then.

    :param chap: the target asks for CHAP; None where it is not known, as in a
        journal of version 1.
    :param mutual: for mutual CHAP.
    :param key: fingerprint of the key that the secrets come from; empty where
        none of ours is known to be it.
    :param portals: where it was told to log in, ``ADDRESS:PORT``.
    """

    chap: bool | None = None
    mutual: bool = False
    key: str = ''
    portals: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """An initiator with mappings at a target.

    :param initiator: its name.
    :param target: the target's name.
    :param kind: what it was told.
    """

    initiator: model.Iqn
    target: model.Iqn
    kind: Kind


def _upgrade(db: sqlite3.Connection, found: int) -> None:
    """Make this version's schema of an empty database, or of version 1."""
    file.run_script(db, _FROM_1 if found else _SCHEMA)


_OURS = file.Schema(SCHEMA_VERSION, _upgrade)


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """A mapping with all that it stands on.

    :param mapping: the mapping.
    :param export: its export.
    :param mutual: the NodeACL asks for mutual CHAP.
    :param created: nobody used it before this very call.
    :param kind: all that the initiator was told; ``mutual`` is part of it.
    :param doomed: the attach failed and so did its undoing: nobody uses it.
    """

    mapping: model.Mapping
    export: model.Export
    mutual: bool
    created: bool = False
    kind: Kind = Kind()
    doomed: bool = False


def _translated(method: Callable[Concatenate['Journal', _P], _R]
                ) -> Callable[Concatenate['Journal', _P], _R]:
    @functools.wraps(method)
    def wrapper(self: 'Journal', /, *args: _P.args, **kwargs: _P.kwargs
                ) -> _R:
        try:
            return method(self, *args, **kwargs)
        except (sqlite3.Error, OSError, UnicodeError,
                exception.InvalidIqn) as e:
            raise errors.of(self.path, e) from e
    return wrapper


class Journal:
    """The journal of one backend.

    :param path: the database's file; its folder must be there.
    :param run: names this run of the service; mappings remember it.
    :param clock: seconds since the epoch.
    :param read_only: it must be there, and nothing is changed.
    :raises JournalDamaged: at once, when it is not whole.
    :raises JournalError: from every method, when it cannot be used.
    """

    def __init__(self, path: str, run: str,
                 clock: Callable[[], float] = time.time, *,
                 read_only: bool = False) -> None:
        self.path = path
        self._run = run
        self._clock = clock
        self._turns = turns.Turns(f'the journal {path}', _WAIT_S)
        self._file = (file.open_to_read if read_only
                      else file.open_to_write)(path, _OURS)

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

    # -- what a damaged journal is good for

    @_translated
    def hold_back_luns(self, damaged: str) -> None:
        """Put LUN numbers of a damaged journal into quarantine.

        A host may have an old device under such a number. Nothing else of
        what can be read there is used: these may be wrong, but do no more
        harm then than to be left out. Mappings that are taken over afterwards
        keep theirs.

        :param damaged: path of that journal.
        """
        now = int(self._clock())
        columns = 'SELECT initiator, target, lun, volume_id FROM '
        rows = [(*row, now) for table in ('mapping', 'quarantine')
                for row in file.readable(damaged, columns + table)
                if luns.may_be(*row)]
        with self._transaction() as db:
            db.executemany('INSERT OR IGNORE INTO quarantine VALUES '
                           '(?, ?, ?, ?, ?)', rows)

    # -- targets

    @_translated
    def add_targets(self, targets: list[model.Iqn]) -> list[model.Iqn]:
        """Add targets of the pool; return all, those of earlier runs too."""
        with self._transaction() as db:
            db.executemany('INSERT OR IGNORE INTO target VALUES (?)',
                           [(str(t),) for t in targets])
        return self.targets()

    @_translated
    def targets(self) -> list[model.Iqn]:
        """Return the targets of the pool, those of earlier runs too."""
        return [model.Iqn(r['iqn']) for r in self._rows(
            'SELECT iqn FROM target ORDER BY iqn')]

    @_translated
    def remove_target(self, target: model.Iqn) -> bool:
        """Forget a target.

        :returns: False while it has exports or mappings, and it is kept then.
        """
        with self._transaction() as db:
            return db.execute(
                'DELETE FROM target WHERE iqn = ?1 AND NOT EXISTS '
                '(SELECT 1 FROM export WHERE target = ?1) AND NOT EXISTS '
                '(SELECT 1 FROM node WHERE target = ?1)',
                (str(target),)).rowcount == 1

    # -- exports

    @_translated
    def add_export(self, volume_id: str, device: model.BackingDevice,
                   target: model.Iqn) -> model.Export:
        """Say that a volume shall be exported, with this very device.

        :param target: the target of the pool for a new export.
        :raises LunsExhausted: when the target is full.
        """
        with self._transaction() as db:
            row = db.execute('SELECT * FROM export WHERE volume_id = ?',
                             (volume_id,)).fetchone()
            if row is None:
                lun = luns.free_of_tpg(db, str(target))
                db.execute(
                    'INSERT INTO export VALUES (?, ?, ?, ?, ?, ?)',
                    (volume_id, str(target), lun, device.kind, device.path,
                     device.size_bytes))
                return model.Export(volume_id, device, target, lun)
            export = dataclasses.replace(_export(row), device=device)
            if export != _export(row):
                db.execute(
                    'UPDATE export SET kind = ?, path = ?, size_bytes = ? '
                    'WHERE volume_id = ?', (device.kind, device.path,
                                            device.size_bytes, volume_id))
            return export

    @_translated
    def export(self, volume_id: str) -> model.Export:
        """Return an export.

        :raises ExportNotFound: when the volume is not exported.
        """
        rows = self._rows('SELECT * FROM export WHERE volume_id = ?',
                          volume_id)
        if not rows:
            raise exception.ExportNotFound(volume_id)
        return _export(rows[0])

    @_translated
    def exports(self) -> list[model.Export]:
        """Return all exports."""
        return [_export(r) for r in self._rows(
            'SELECT * FROM export ORDER BY target, tpg_lun')]

    @_translated
    def remove_export(self, volume_id: str) -> None:
        """Say that a volume shall not be exported any more.

        :raises TargetInUse: while it is mapped.
        """
        with self._transaction() as db:
            users = [r[0] for r in db.execute(
                'SELECT initiator FROM mapping WHERE volume_id = ?',
                (volume_id,))]
            if users:
                raise exception.TargetInUse(volume_id, ', '.join(users))
            db.execute('DELETE FROM export WHERE volume_id = ?',
                       (volume_id,))

    # -- mappings

    @_translated
    def add_mapping(self, volume_id: str, initiator: model.Iqn, *,
                    read_only: bool, mutual: bool,
                    keep_writable: bool = False,
                    kind: Kind | None = None) -> Placed:
        """Say that an initiator shall see an export.

        An existing mapping keeps its LUN. A NodeACL keeps its kind as long as
        it has mappings, since live sessions depend on it.

        :param mutual: whether a new NodeACL asks for mutual CHAP.
        :param keep_writable: leave a mapping writable that is so already,
            since another user on the same host may be writing.
        :param kind: all else of a new NodeACL.
        :raises ExportNotFound: when the volume is not exported.
        :raises LunsExhausted: when the initiator has no LUN left.
        """
        export = self.export(volume_id)
        key = (volume_id, str(initiator))
        node = (str(initiator), str(export.target))
        with self._transaction() as db:
            row = db.execute(
                'SELECT lun, read_only, doomed FROM mapping WHERE '
                'volume_id = ? AND initiator = ?', key).fetchone()
            _add_node(db, node, dataclasses.replace(
                kind or Kind(), mutual=mutual))
            if row is None:
                lun = luns.take(db, *node, int(self._clock()))
                db.execute(
                    'INSERT INTO mapping VALUES (?, ?, ?, ?, ?, ?, 0)',
                    (volume_id, *node, lun, read_only, self._run))
            else:
                lun = row['lun']
                read_only = read_only and not (
                    keep_writable and not row['read_only']
                    and not row['doomed'])
                db.execute('UPDATE mapping SET read_only = ?, run = ?, '
                           'doomed = 0 WHERE volume_id = ? AND initiator = ?',
                           (read_only, self._run, *key))
            settled = _kind(db.execute(
                'SELECT * FROM node WHERE initiator = ? AND target = ?',
                node).fetchone())
        return Placed(model.Mapping(volume_id, initiator, lun, read_only),
                      export, settled.mutual,
                      created=row is None or bool(row['doomed']),
                      kind=settled)

    @_translated
    def doom(self, volume_id: str, initiator: model.Iqn) -> None:
        """Say that a mapping is to go, though the kernel has it still."""
        with self._transaction() as db:
            db.execute('UPDATE mapping SET doomed = 1 WHERE volume_id = ? '
                       'AND initiator = ?', (volume_id, str(initiator)))

    @_translated
    def remove_mapping(self, volume_id: str, initiator: model.Iqn, *,
                       quarantine: bool = True) -> None:
        """Say that an initiator shall not see an export any more.

        :param quarantine: False only where no host ever heard of the LUN.
        """
        key = (volume_id, str(initiator))
        with self._transaction() as db:
            row = db.execute('SELECT * FROM mapping WHERE volume_id = ? AND '
                             'initiator = ?', key).fetchone()
            if row is None:
                return
            db.execute('DELETE FROM mapping WHERE volume_id = ? AND '
                       'initiator = ?', key)
            node = (row['initiator'], row['target'])
            if quarantine:
                db.execute('INSERT OR REPLACE INTO quarantine VALUES '
                           '(?, ?, ?, ?, ?)',
                           (*node, row['lun'], volume_id,
                            int(self._clock())))
            _remove_unused(db, node)

    @_translated
    def mappings(self, volume_id: str | None = None) -> list[Placed]:
        """Return the mappings of one volume, or all."""
        return [_placed(r) for r in self._rows(
            'SELECT * FROM mapping JOIN export USING (volume_id, target) '
            'JOIN node USING (initiator, target) '
            'WHERE volume_id = ? OR ? IS NULL ORDER BY volume_id, initiator',
            volume_id, volume_id)]

    @_translated
    def earlier_mappings(self) -> list[Placed]:
        """Return the mappings that an earlier run made or last confirmed."""
        return [_placed(r) for r in self._rows(
            'SELECT * FROM mapping JOIN export USING (volume_id, target) '
            'JOIN node USING (initiator, target) '
            'WHERE run <> ? ORDER BY volume_id, initiator', self._run)]

    # -- what the kernel has and the journal lost

    @_translated
    def adopt_export(self, export: model.Export) -> bool:
        """Take over an export that the kernel has.

        :returns: False when it contradicts the journal, or cannot be ours.
        """
        device = export.device
        if not seal.is_uuid(export.volume_id):
            return False
        with self._transaction() as db:
            return db.execute(
                'INSERT OR IGNORE INTO export VALUES (?, ?, ?, ?, ?, ?)',
                (export.volume_id, str(export.target), export.lun,
                 device.kind, device.path, device.size_bytes)).rowcount == 1

    @_translated
    def adopt_mapping(self, export: model.Export, mapping: model.Mapping,
                      mutual: bool, kind: Kind | None = None) -> bool:
        """Take over a mapping that the kernel has, as one of an earlier run.

        :param mutual: whether its NodeACL asks for mutual CHAP.
        :param kind: all else that is known of the NodeACL.
        :returns: False when it contradicts the journal.
        """
        node = (str(mapping.initiator), str(export.target))
        with self._transaction() as db:
            _add_node(db, node, dataclasses.replace(
                kind or Kind(), mutual=mutual))
            db.execute('DELETE FROM quarantine WHERE initiator = ? AND '
                       'target = ? AND lun = ?', (*node, mapping.lun))
            taken = db.execute(
                'INSERT OR IGNORE INTO mapping SELECT volume_id, ?, target, '
                "?, ?, 'adopted', 0 FROM export WHERE volume_id = ? AND "
                'target = ? AND tpg_lun = ?',
                (str(mapping.initiator), mapping.lun, mapping.read_only,
                 mapping.volume_id, str(export.target), export.lun)
            ).rowcount == 1
            _remove_unused(db, node)
            return taken

    # -- what initiators were told

    @_translated
    def nodes(self) -> list[Node]:
        """Return the initiators that have mappings, a node for each target."""
        return [Node(model.Iqn(r['initiator']), model.Iqn(r['target']),
                     _kind(r)) for r in self._rows(
            'SELECT * FROM node ORDER BY target, initiator')]

    @_translated
    def settle_kind(self, node: Node) -> None:
        """Write down what was found out about a NodeACL."""
        kind = node.kind
        with self._transaction() as db:
            db.execute(
                'UPDATE node SET mutual = ?, chap = ?, key = ?, portals = ? '
                'WHERE initiator = ? AND target = ?',
                (kind.mutual, kind.chap, kind.key,
                 ','.join(sorted(kind.portals)), str(node.initiator),
                 str(node.target)))


def _add_node(db: sqlite3.Connection, node: tuple[str, str],
              kind: Kind) -> None:
    """Settle what an initiator is told, unless it is settled already.

    It is told of new portals with each volume, and may be using all of them.
    """
    row = db.execute('SELECT * FROM node WHERE initiator = ? AND target = ?',
                     node).fetchone()
    if row is None:
        db.execute('INSERT INTO node VALUES (?, ?, ?, ?, ?, ?)',
                   (*node, kind.mutual, kind.chap, kind.key,
                    ','.join(sorted(kind.portals))))
    elif kind.portals - _kind(row).portals:
        db.execute(
            'UPDATE node SET portals = ? WHERE initiator = ? AND target = ?',
            (','.join(sorted(kind.portals | _kind(row).portals)), *node))


def _remove_unused(db: sqlite3.Connection, node: tuple[str, str]) -> None:
    """Forget what an initiator was told with its last mapping."""
    db.execute(
        'DELETE FROM node WHERE initiator = ? AND target = ? AND '
        'NOT EXISTS (SELECT 1 FROM mapping m WHERE '
        'm.initiator = node.initiator AND m.target = node.target)', node)


def _kind(row: sqlite3.Row) -> Kind:
    portals = row['portals'] or ''
    return Kind(None if row['chap'] is None else bool(row['chap']),
                bool(row['mutual']), row['key'] or '',
                frozenset(p for p in portals.split(',') if p))


def _export(row: sqlite3.Row) -> model.Export:
    return model.Export(
        row['volume_id'],
        model.BackingDevice(row['kind'], row['path'], row['size_bytes']),
        model.Iqn(row['target']), row['tpg_lun'])


def _placed(row: sqlite3.Row) -> Placed:
    mapping = model.Mapping(row['volume_id'], model.Iqn(row['initiator']),
                            row['lun'], bool(row['read_only']))
    return Placed(mapping, _export(row), bool(row['mutual']),
                  kind=_kind(row), doomed=bool(row['doomed']))
