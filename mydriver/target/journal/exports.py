# SPDX-License-Identifier: Apache-2.0
"""The tables ``target`` and ``export``."""

from collections.abc import Sequence
import dataclasses
import sqlite3

from mydriver import exception, model
from mydriver.target.journal import database, luns, values


class Exports(database.Database):
    """Targets and exports; see :class:`.base.Journal`."""

    @database.translated
    def add_targets(self, targets: Sequence[model.Iqn]) -> list[model.Iqn]:
        """See :meth:`.base.Journal.add_targets`."""
        with self._transaction() as db:
            db.executemany('INSERT OR IGNORE INTO target VALUES (?)',
                           [(str(t),) for t in targets])
        return self.targets()

    @database.translated
    def targets(self) -> list[model.Iqn]:
        """See :meth:`.base.Journal.targets`."""
        return [model.Iqn(r['iqn']) for r in self._rows(
            'SELECT iqn FROM target ORDER BY iqn')]

    @database.translated
    def remove_target(self, target: model.Iqn) -> bool:
        """See :meth:`.base.Journal.remove_target`."""
        with self._transaction() as db:
            return db.execute(
                'DELETE FROM target WHERE iqn = ?1 AND NOT EXISTS '
                '(SELECT 1 FROM export WHERE target = ?1) AND NOT EXISTS '
                '(SELECT 1 FROM node WHERE target = ?1)',
                (str(target),)).rowcount == 1

    @database.translated
    def add_export(self, volume_id: str, device: model.BackingDevice,
                   target: model.Iqn) -> model.Export:
        """See :meth:`.base.Journal.add_export`."""
        with self._transaction() as db:
            try:
                known = find(db, volume_id)
            except exception.ExportNotFound:
                lun = luns.free_of_tpg(db, str(target))
                db.execute(
                    'INSERT INTO export VALUES (?, ?, ?, ?, ?, ?)',
                    (volume_id, str(target), lun, device.kind, device.path,
                     device.size_bytes))
                return model.Export(volume_id, device, target, lun)
            if device != known.device:
                db.execute(
                    'UPDATE export SET kind = ?, path = ?, size_bytes = ? '
                    'WHERE volume_id = ?', (device.kind, device.path,
                                            device.size_bytes, volume_id))
            return dataclasses.replace(known, device=device)

    @database.translated
    def export(self, volume_id: str) -> model.Export:
        """See :meth:`.base.Journal.export`."""
        rows = self._rows('SELECT * FROM export WHERE volume_id = ?',
                          volume_id)
        return _only(rows, volume_id)

    @database.translated
    def exports(self) -> list[model.Export]:
        """See :meth:`.base.Journal.exports`."""
        return [database.export_of(r) for r in self._rows(
            'SELECT * FROM export ORDER BY target, tpg_lun')]

    @database.translated
    def remove_export(self, volume_id: str) -> None:
        """See :meth:`.base.Journal.remove_export`."""
        with self._transaction() as db:
            users = [r[0] for r in db.execute(
                'SELECT initiator FROM mapping WHERE volume_id = ?',
                (volume_id,))]
            if users:
                raise exception.TargetInUse(volume_id, ', '.join(users))
            db.execute('DELETE FROM export WHERE volume_id = ?',
                       (volume_id,))

    @database.translated
    def adopt_export(self, export: model.Export) -> bool:
        """See :meth:`.base.Journal.adopt_export`."""
        device = export.device
        if not values.is_uuid(export.volume_id):
            return False
        with self._transaction() as db:
            return db.execute(
                'INSERT OR IGNORE INTO export VALUES (?, ?, ?, ?, ?, ?)',
                (export.volume_id, str(export.target), export.lun,
                 device.kind, device.path, device.size_bytes)).rowcount == 1


def find(db: sqlite3.Connection, volume_id: str) -> model.Export:
    """Return an export, within a transaction.

    :raises ExportNotFound: when the volume is not exported.
    """
    return _only(db.execute('SELECT * FROM export WHERE volume_id = ?',
                            (volume_id,)).fetchall(), volume_id)


def _only(rows: list[sqlite3.Row], volume_id: str) -> model.Export:
    if not rows:
        raise exception.ExportNotFound(volume_id)
    return database.export_of(rows[0])
