# SPDX-License-Identifier: Apache-2.0
"""The journal as a sqlite database on the storage node."""

import contextlib
import os
import sqlite3
from urllib import parse

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target.journal import (
    exports,
    file,
    mappings,
    salvage,
    schema,
)

LOG = logging.getLogger(__name__)

#: The database's name in the directory of a backend's state.
FILE_NAME = 'journal.sqlite'


class SqliteJournal(exports.Exports, mappings.Mappings):
    """A :class:`.base.Journal` in a :class:`.database.Database`."""


def open_in(folder: str, run: str, *, replace_damaged: bool
            ) -> SqliteJournal:
    """Open the journal of a backend, however it was left.

    :param folder: of the backend's state.
    :param run: identifies this run of the service.
    :param replace_damaged: set a damaged journal aside and start a new one.
        Only for callers that ask Cinder afterwards what the new one lacks;
        others get a copy in memory of a journal that cannot be written.
    :raises JournalError: when the journal cannot be used.
    """
    path = os.path.join(folder, FILE_NAME)
    try:
        return SqliteJournal(path, run)
    except exception.JournalUnwritable as e:
        if replace_damaged:
            raise
        LOG.error('%s The exports are restored from a copy in memory.', e)
        return SqliteJournal(salvage.copy_to_memory(path), run)
    except exception.JournalDamaged as e:
        if not replace_damaged:
            raise
        aside = salvage.set_aside(path)
        LOG.error('The journal %s is damaged: %s. It was renamed to %s and is '
                  'being rebuilt: what the kernel has is adopted and stays in '
                  "service, the rest comes from Cinder's records.", path,
                  e.reason, aside)
        journal = SqliteJournal(path, run)
        journal.hold_back_luns(aside)
        return journal


def version(path: str) -> tuple[int, int]:
    """Return the version of a journal, and the one that this release writes.

    :param path: of the database, which must exist; nothing is changed.
    :raises JournalDamaged: when it is damaged.
    :raises JournalError: when it cannot be used, or a later release wrote it.
    """
    return file.version_of(path, schema.SCHEMA), schema.VERSION


def targets_in(path: str) -> dict[model.Iqn, bool]:
    """Return the targets in the journal of another backend.

    :returns: for each target, whether volumes are exported on it.
    :raises sqlite3.Error: when the journal cannot be read.
    :raises InvalidIqn: when a name in it is not valid.
    """
    with contextlib.closing(sqlite3.connect(
            f'file:{parse.quote(path)}?mode=ro', uri=True,
            timeout=10)) as db:
        return {model.Iqn(iqn): bool(is_used) for iqn, is_used in db.execute(
            'SELECT iqn, EXISTS (SELECT 1 FROM export WHERE target = iqn) '
            'FROM target')}
