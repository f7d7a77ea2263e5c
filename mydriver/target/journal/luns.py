# SPDX-License-Identifier: Apache-2.0
"""The allocation of LUNs, within the transactions of the journal."""

import sqlite3
from typing import Any
import uuid

from mydriver import exception, model

#: LUNs that initiators see. LUN 0 stays free: every target answers on it
#: (SAM-5, 4.7.4). Up to 16383, a LUN has a single level in Linux.
FIRST_LUN, LAST_LUN = 1, 16383

#: The highest LUN in a TPG that rtslib accepts (rtslib_fb.target.LUN).
LAST_TPG_LUN = 65535

#: A released LUN is not given to the same initiator at the same target again
#: before this time has passed and all higher ones have been used.
QUARANTINE_S = 24 * 3600


def take(db: sqlite3.Connection, initiator: str, target: str,
         now: int) -> int:
    """Return the next LUN for an initiator at a target.

    LUNs ascend. Once the last one has been used, the one that was released
    longest ago is reused, after its quarantine.

    :param now: seconds since the epoch.
    :raises LunsExhausted: when there is none.
    """
    highest = db.execute(
        'SELECT max(lun) FROM (SELECT max(lun) AS lun FROM mapping '
        'WHERE initiator = ?1 AND target = ?2 UNION ALL SELECT max(lun) '
        'FROM quarantine WHERE initiator = ?1 AND target = ?2)',
        (initiator, target)).fetchone()[0]
    lun = FIRST_LUN if highest is None else int(highest) + 1
    if lun <= LAST_LUN:
        return lun
    row = db.execute(
        'DELETE FROM quarantine WHERE rowid = (SELECT rowid FROM '
        'quarantine WHERE initiator = ? AND target = ? AND '
        'released_at <= ? ORDER BY released_at, lun LIMIT 1) '
        'RETURNING lun', (initiator, target, now - QUARANTINE_S)).fetchone()
    if row is None:
        raise exception.LunsExhausted(
            f'initiator {initiator} at {target}', LAST_LUN)
    return int(row[0])


def free_of_tpg(db: sqlite3.Connection, target: str) -> int:
    """Return the lowest free LUN of a target's TPG.

    :raises LunsExhausted: when there is none.
    """
    row = db.execute(
        'SELECT min(lun) FROM (SELECT 0 AS lun UNION ALL '
        'SELECT tpg_lun + 1 FROM export WHERE target = ?1) AS candidate '
        'WHERE NOT EXISTS (SELECT 1 FROM export e WHERE e.target = ?1 AND '
        'e.tpg_lun = candidate.lun)', (target,)).fetchone()
    if row[0] > LAST_TPG_LUN:
        raise exception.LunsExhausted(target, LAST_TPG_LUN + 1)
    return int(row[0])


def is_plausible(initiator: Any, target: Any, lun: Any, volume_id: Any
                 ) -> bool:
    """Tell whether values read from a damaged journal can be a mapping."""
    try:
        model.Iqn(initiator), model.Iqn(target), uuid.UUID(volume_id)
    except (exception.InvalidIqn, ValueError, AttributeError, TypeError):
        return False
    return isinstance(lun, int) and FIRST_LUN <= lun <= LAST_LUN
