# SPDX-License-Identifier: Apache-2.0
"""The tables ``node``, ``mapping`` and ``quarantine``.

Versions of mappings are in memory: no other process attaches volumes, and this
one forgets what it has read when it ends.
"""

import dataclasses
import itertools
import sqlite3
from typing import Any

from mydriver import exception, model
from mydriver.target.journal import database, exports, file, luns

_MAPPED = ('SELECT * FROM mapping JOIN export USING (volume_id, target) '
           'JOIN node USING (initiator, target) ')

_IDENTITIES = {
    'targets': 'SELECT iqn FROM target',
    'exports': 'SELECT target, tpg_lun, volume_id FROM export',
    'mappings': 'SELECT target, initiator, lun, tpg_lun, read_only FROM '
                'mapping JOIN export USING (volume_id, target)'}


class Mappings(database.Database):
    """Mappings, NodeACLs, LUNs in quarantine; see :class:`.base.Journal`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._versions: dict[tuple[str, str], str] = {}
        self._numbers = itertools.count(1)

    @database.translated
    def add_mapping(self, volume_id: str, initiator: model.Iqn, *,
                    read_only: bool, mutual: bool,
                    keep_writable: bool = False,
                    kind: model.NodeKind | None = None,
                    version: str | None = None) -> model.MappedExport:
        """See :meth:`.base.Journal.add_mapping`."""
        key = (volume_id, str(initiator))
        with self._transaction() as db:
            export = exports.find(db, volume_id)
            node = (str(initiator), str(export.target))
            row = db.execute(
                'SELECT lun, read_only, doomed FROM mapping WHERE '
                'volume_id = ? AND initiator = ?', key).fetchone()
            self._refuse_other(key, version, is_gone=row is None)
            _add_node(db, node, dataclasses.replace(
                kind or model.NodeKind(), mutual=mutual))
            if row is None:
                lun = luns.take(db, *node, self._now())
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
            kept = database.kind_of(db.execute(
                'SELECT * FROM node WHERE initiator = ? AND target = ?',
                node).fetchone())
            new_version = self._renew(key)
        return model.MappedExport(
            model.Mapping(volume_id, initiator, lun, read_only), export, kept,
            created=row is None or bool(row['doomed']), version=new_version)

    @database.translated
    def mappings(self, volume_id: str | None = None
                 ) -> list[model.MappedExport]:
        """See :meth:`.base.Journal.mappings`."""
        return [self._mapped_of(r) for r in self._rows(
            f'{_MAPPED} WHERE volume_id = ? OR ? IS NULL '
            'ORDER BY volume_id, initiator', volume_id, volume_id)]

    @database.translated
    def identities(self) -> dict[str, set[tuple[str | int, ...]]]:
        """Return what identifies all objects, in a fifth of their time.

        :returns: by kind: of ``targets`` their names; of ``exports`` target,
            LUN and volume; of ``mappings`` target, initiator, its LUN, the
            target's, and whether it is read-only.
        """
        return {kind: set(map(tuple, self._rows(sql)))
                for kind, sql in _IDENTITIES.items()}

    @database.translated
    def earlier_mappings(self) -> list[model.MappedExport]:
        """See :meth:`.base.Journal.earlier_mappings`."""
        return [self._mapped_of(r) for r in self._rows(
            f'{_MAPPED} WHERE run <> ? ORDER BY volume_id, initiator',
            self._run)]

    @database.translated
    def doom(self, volume_id: str, initiator: model.Iqn, *,
             version: str | None = None) -> None:
        """See :meth:`.base.Journal.doom`."""
        key = (volume_id, str(initiator))
        with self._transaction() as db:
            if db.execute('UPDATE mapping SET doomed = 1 WHERE volume_id = ? '
                          'AND initiator = ?', key).rowcount:
                self._refuse_other(key, version)

    @database.translated
    def remove_mapping(self, volume_id: str, initiator: model.Iqn, *,
                       quarantine: bool = True, version: str | None = None
                       ) -> None:
        """See :meth:`.base.Journal.remove_mapping`."""
        key = (volume_id, str(initiator))
        with self._transaction() as db:
            row = db.execute('SELECT * FROM mapping WHERE volume_id = ? AND '
                             'initiator = ?', key).fetchone()
            if row is None:
                return
            self._refuse_other(key, version)
            db.execute('DELETE FROM mapping WHERE volume_id = ? AND '
                       'initiator = ?', key)
            node = (row['initiator'], row['target'])
            if quarantine:
                db.execute('INSERT OR REPLACE INTO quarantine VALUES '
                           '(?, ?, ?, ?, ?)',
                           (*node, row['lun'], volume_id, self._now()))
            _remove_unused(db, node)
            self._versions.pop(key, None)

    @database.translated
    def adopt_mapping(self, export: model.Export, mapping: model.Mapping,
                      mutual: bool, kind: model.NodeKind | None = None
                      ) -> bool:
        """See :meth:`.base.Journal.adopt_mapping`."""
        node = (str(mapping.initiator), str(export.target))
        with self._transaction() as db:
            _add_node(db, node, dataclasses.replace(
                kind or model.NodeKind(), mutual=mutual))
            db.execute('DELETE FROM quarantine WHERE initiator = ? AND '
                       'target = ? AND lun = ?', (*node, mapping.lun))
            adopted = db.execute(
                'INSERT OR IGNORE INTO mapping SELECT volume_id, ?, target, '
                "?, ?, 'adopted', 0 FROM export WHERE volume_id = ? AND "
                'target = ? AND tpg_lun = ?',
                (str(mapping.initiator), mapping.lun, mapping.read_only,
                 mapping.volume_id, str(export.target), export.lun)
            ).rowcount == 1
            _remove_unused(db, node)
            if adopted:
                self._renew((mapping.volume_id, node[0]))
            return adopted

    @database.translated
    def nodes(self) -> list[model.Node]:
        """See :meth:`.base.Journal.nodes`."""
        return [model.Node(model.Iqn(r['initiator']), model.Iqn(r['target']),
                           database.kind_of(r)) for r in self._rows(
            'SELECT * FROM node ORDER BY target, initiator')]

    @database.translated
    def set_kind(self, node: model.Node) -> None:
        """See :meth:`.base.Journal.set_kind`."""
        kind = node.kind
        with self._transaction() as db:
            db.execute(
                'UPDATE node SET mutual = ?, chap = ?, key = ?, portals = ? '
                'WHERE initiator = ? AND target = ?',
                (kind.mutual, kind.chap, kind.key,
                 ','.join(sorted(kind.portals)), str(node.initiator),
                 str(node.target)))

    @database.translated
    def hold_back_luns(self, damaged: str) -> None:
        """Put the LUNs of a damaged journal into quarantine.

        A host may still have an old device under such a LUN. Nothing else is
        read from that journal: a LUN that is wrongly in quarantine is merely
        not handed out. Mappings that are adopted
        afterwards keep their LUNs.

        :param damaged: path of that journal.
        """
        now = self._now()
        columns = 'SELECT initiator, target, lun, volume_id FROM '
        rows = [(*row, now) for table in ('mapping', 'quarantine')
                for row in file.readable(damaged, columns + table)
                if luns.is_plausible(*row)]
        with self._transaction() as db:
            db.executemany('INSERT OR IGNORE INTO quarantine VALUES '
                           '(?, ?, ?, ?, ?)', rows)


    def _mapped_of(self, row: sqlite3.Row) -> model.MappedExport:
        found = database.mapped_of(row)
        version = self._versions.get((row['volume_id'], row['initiator']), '')
        return dataclasses.replace(found, version=version
                                   ) if version else found

    def _renew(self, key: tuple[str, str]) -> str:
        self._versions[key] = str(next(self._numbers))
        return self._versions[key]

    def _refuse_other(self, key: tuple[str, str], version: str | None,
                      *, is_gone: bool = False) -> None:
        """Check that a mapping still has the version that it was read with.

        :raises Overtaken: when it has another one, or is gone.
        """
        if version is not None and (
                is_gone or version != self._versions.get(key, '')):
            raise exception.Overtaken.by_attach(*key)


def _add_node(db: sqlite3.Connection, node: tuple[str, str],
              kind: model.NodeKind) -> None:
    """Record how an initiator logs in, unless that is recorded already.

    Only portals are added: the initiator is told the present ones with each
    volume, and may be using all of them.
    """
    row = db.execute('SELECT * FROM node WHERE initiator = ? AND target = ?',
                     node).fetchone()
    if row is None:
        db.execute('INSERT INTO node VALUES (?, ?, ?, ?, ?, ?)',
                   (*node, kind.mutual, kind.chap, kind.key,
                    ','.join(sorted(kind.portals))))
        return
    known = database.kind_of(row).portals
    if kind.portals - known:
        db.execute(
            'UPDATE node SET portals = ? WHERE initiator = ? AND target = ?',
            (','.join(sorted(kind.portals | known)), *node))


def _remove_unused(db: sqlite3.Connection, node: tuple[str, str]) -> None:
    """Remove a NodeACL's row together with its last mapping."""
    db.execute(
        'DELETE FROM node WHERE initiator = ? AND target = ? AND '
        'NOT EXISTS (SELECT 1 FROM mapping m WHERE '
        'm.initiator = node.initiator AND m.target = node.target)', node)
