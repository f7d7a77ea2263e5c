# SPDX-License-Identifier: Apache-2.0
"""The journal's tables, and the upgrade from earlier releases."""

import sqlite3

from mydriver.target.journal import file

VERSION = 2

_TABLES = """
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

#: Version 1 had none of these columns.
_FROM_1 = """
ALTER TABLE node ADD COLUMN chap INTEGER;
ALTER TABLE node ADD COLUMN key TEXT;
ALTER TABLE node ADD COLUMN portals TEXT;
ALTER TABLE mapping ADD COLUMN doomed INTEGER NOT NULL DEFAULT 0;
"""


def _upgrade(db: sqlite3.Connection, found: int) -> None:
    """Create this version's tables in an empty database, or upgrade 1."""
    file.run_script(db, _FROM_1 if found else _TABLES)


#: The schema of this release.
SCHEMA = file.Schema(VERSION, _upgrade)
