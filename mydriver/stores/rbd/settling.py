# SPDX-License-Identifier: Apache-2.0
"""Finish or undo what an intent says, after an error or a crash."""

from collections.abc import Iterable, Iterator
import contextlib
from typing import Any

from oslo_log import log as logging

from mydriver import exception, waiting
from mydriver.ceph import cluster
from mydriver.stores import refusals
from mydriver.stores.rbd import (
    clones,
    images,
    intents,
    local,
    pool,
    reverts,
    sessions,
)

LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def making(its_pool: pool.Pool, io: Any, its_intents: intents.Intents,
           name: str, **more: str) -> Iterator[None]:
    """Make an image of a name in the block, completely or not at all.

    :param more: what undoing it takes: ``source``, the id of an image, and
        ``snap``, the snapshot of it.
    :raises StoreError: when the name is taken, or being worked on.
    """
    with its_intents.held(io, name) as claim:
        if images.id_of(io, name) is not None:
            refusals.refuse_taken(name)
        images.forget_stale(io, name)
        claim.record(intents.MAKE, **more)
        try:
            yield
        except BaseException as e:
            try:
                settle(its_pool, io, name, claim.intent)
            except (exception.MyDriverError, cluster.module('rados').Error,
                    cluster.module('rbd').Error) as undone:
                e.add_note(f'{name} was not removed: {undone}')
            raise


def settle(its_pool: pool.Pool, io: Any, name: str, intent: intents.Intent
           ) -> None:
    """Finish or undo an operation, and remove its intent.

    It can be interrupted, and repeated. The caller works alone on the name.

    :raises StoreError: when it cannot be done yet; the intent stays.
    """
    match intent['do']:
        case intents.CLAIM:
            pass
        case intents.MAKE:
            images.discard(io, name)
            clones.drop_snapshot(io, intent.get('source', ''),
                                 intent.get('snap', ''))
        case intents.RENAME:
            images.rename(io, intent['old'], name)
        case intents.REVERT:
            reverts.settle(its_pool, io, name, intent)
        case other:
            raise exception.StoreError(
                f'finish what was done to {name}',
                f'{exception.shown(other)} is no operation of this version')
    intents.drop(io, name, intent)


def resume(its_pool: pool.Pool, io: Any, its_intents: intents.Intents,
           name: str, intent: intents.Intent) -> None:
    """Settle what an operation has left that has ended.

    Its client may have its images open for a while.

    :raises MyDriverError: when that fails; the intent stays.
    """
    rbd = cluster.module('rbd')
    with its_intents.resumed(io, name, intent) as mine:
        if mine is None:
            return
        LOG.warning('Settling what was interrupted: %s of %s', mine['do'],
                    name)

        def settled() -> bool:
            try:
                settle(its_pool, io, name, mine)
            except rbd.ImageBusy:
                return False
            return True

        with cluster.errors_translated(f'settle {mine["do"]} of {name}'):
            waiting.wait_for(settled, f'clients of {name} that died',
                             local.WATCH_TIMEOUT_S)


def end(its_pool: pool.Pool, io: Any, its_intents: intents.Intents,
        its_sessions: sessions.Sessions, over: Iterable[sessions.Session]
        ) -> list[str]:
    """End sessions, and settle what these and others have left.

    :param over: those to end.
    :returns: what is kept, with the reasons.
    :raises StoreError: when a record is damaged.
    """
    for one in over:
        if its_sessions.end(io, one):
            LOG.warning('The session of %s, Ceph client %s, is over',
                        one.service or 'a cinder-volume', one.client)
    kept = []
    for one in its_sessions.ended(io):
        kept += _wind_up(its_pool, io, its_intents, its_sessions, one)
    return kept


def _wind_up(its_pool: pool.Pool, io: Any, its_intents: intents.Intents,
             its_sessions: sessions.Sessions, session: sessions.Session
             ) -> list[str]:
    """Settle what a session has left that was ended."""
    kept = []
    if _of(io, session):
        try:
            its_pool.fence.fence([session.client])
        except exception.MyDriverError as e:
            return [f'{name}, left by {session.service or "an operation"}: '
                    f'{e}' for name in _of(io, session)]
        # Only now: until it was fenced, it may have gone on.
        for name, intent in sorted(_of(io, session).items()):
            try:
                resume(its_pool, io, its_intents, name, intent)
            except exception.MyDriverError as e:
                kept.append(f'{name}, left by a crash: {e}')
    if not _of(io, session):
        its_sessions.remove(io, session)
    return kept


def _of(io: Any, session: sessions.Session) -> dict[str, intents.Intent]:
    return {name: intent for name, intent in intents.everything(io).items()
            if intent.get('owner') == session.token}
