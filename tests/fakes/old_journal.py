# SPDX-License-Identifier: Apache-2.0
"""A journal as an earlier release left it."""

from mydriver import model

ALICE = model.Iqn('iqn.1993-08.org.debian:01:alice')
TARGET = model.Iqn('iqn.2010-10.org.openstack:mydriver-h-be-0')
VOLUME = '00000000-0000-0000-0000-000000000001'

VERSION_1 = f"""
CREATE TABLE target (iqn TEXT PRIMARY KEY) STRICT;
CREATE TABLE export (
    volume_id TEXT PRIMARY KEY,
    target TEXT NOT NULL REFERENCES target (iqn),
    tpg_lun INTEGER NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, UNIQUE (target, tpg_lun)) STRICT;
CREATE TABLE node (
    initiator TEXT NOT NULL,
    target TEXT NOT NULL REFERENCES target (iqn),
    mutual INTEGER NOT NULL, PRIMARY KEY (initiator, target)) STRICT;
CREATE TABLE mapping (
    volume_id TEXT NOT NULL REFERENCES export (volume_id),
    initiator TEXT NOT NULL, target TEXT NOT NULL, lun INTEGER NOT NULL,
    read_only INTEGER NOT NULL, run TEXT NOT NULL,
    PRIMARY KEY (volume_id, initiator), UNIQUE (initiator, target, lun),
    FOREIGN KEY (initiator, target) REFERENCES node (initiator, target))
    STRICT;
CREATE TABLE quarantine (
    initiator TEXT NOT NULL, target TEXT NOT NULL, lun INTEGER NOT NULL,
    volume_id TEXT NOT NULL, released_at INTEGER NOT NULL,
    PRIMARY KEY (initiator, target, lun)) STRICT;
INSERT INTO target VALUES ('{TARGET}');
INSERT INTO export VALUES ('{VOLUME}', '{TARGET}', 7, 'fileio', '/x', 512);
INSERT INTO node VALUES ('{ALICE}', '{TARGET}', 1);
INSERT INTO mapping VALUES ('{VOLUME}', '{ALICE}', '{TARGET}', 9, 1, 'run');
PRAGMA user_version = 1;
"""
