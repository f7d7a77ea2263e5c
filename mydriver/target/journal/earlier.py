# SPDX-License-Identifier: Apache-2.0
"""The way back: turn a journal into one that an earlier release can use."""

import sqlite3

from mydriver import exception
from mydriver.target.journal import file, schema, seal

#: Versions of earlier releases that a journal can be brought back to.
VERSIONS = range(1, schema.VERSION)

#: Without what version 1 cannot say.
_TO_1 = """
ALTER TABLE node DROP COLUMN chap;
ALTER TABLE node DROP COLUMN key;
ALTER TABLE node DROP COLUMN portals;
ALTER TABLE mapping DROP COLUMN doomed;
"""


def downgrade(path: str, version: int) -> int:
    """Bring a journal back to an earlier version, completely or not at all.

    Exports and mappings are kept. An earlier release does not keep the seal,
    so that and the mark are removed.

    :param path: of the database, which must exist and must not be in use.
    :param version: one of :data:`VERSIONS`.
    :returns: the version found.
    :raises JournalDamaged: when the journal is damaged.
    :raises JournalError: when it is in use, cannot be used, or contains what
        the earlier version cannot express.
    """
    with file.alone(path, schema.SCHEMA) as db:
        found = int(db.execute('PRAGMA user_version').fetchone()[0])
        if found > version:
            _refuse_doomed(path, db)
            file.run_script(db, _TO_1)
            seal.remove(db)
            db.execute(f'PRAGMA user_version = {version}')
    return found


def _refuse_doomed(path: str, db: sqlite3.Connection) -> None:
    """Refuse failed attaches: version 1 would serve them.

    :raises JournalUnusable: when there is one.
    """
    doomed, = db.execute(
        'SELECT count(*) FROM mapping WHERE doomed').fetchone()
    if doomed:
        raise exception.JournalUnusable(
            path, f'{doomed} failed attaches in it have yet to be undone',
            'Start cinder-volume of this release, which undoes them before it '
            'does anything else with the volume; stop it, and try again.')
