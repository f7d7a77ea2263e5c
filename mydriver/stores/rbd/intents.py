# SPDX-License-Identifier: Apache-2.0
"""What is being done to a name, written down before it is begun.

An operation that takes several steps records its intent first, in one object
of the pool, and removes the record at the end. After a crash, the record says
what to finish or to undo. An image whose making is on record does not count.

A name has one intent: whoever claims it first works alone on that name, also
among several processes. A claim alone permits nothing: what is found under
the name is only removed if the record says that it is incomplete.

An intent names the session of its operation (:mod:`.sessions`). It is only
written while that session has not been ended, and only replaced or removed if
it is still what it was.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import itertools
import json
import threading
from typing import Any

from mydriver import exception
from mydriver.ceph import omap
from mydriver.stores.rbd import sessions

_OBJECT = sessions.OBJECT

#: Nothing has been changed yet, or nothing that could not be repeated.
CLAIM = 'claim'
#: The image of that name is being made.
MAKE = 'make'
#: An image gets that name; the intent has its old one.
RENAME = 'rename'
#: The image of that name is being replaced; see :mod:`.reverts`.
REVERT = 'revert'

#: An intent: what is done (``do``), what it takes to finish or undo it, the
#: session that does it (``owner``), and a number that tells intents of one
#: session apart (``turn``).
Intent = dict[str, str]

_OWNERS = ('owner', 'turn')

#: How often a session that was ended is replaced in one call.
_MOST_SESSIONS = 3


class Claim:
    """A name that one operation has for itself.

    :param name: the name.
    :param intent: the present intent.
    :param replace: replaces an intent by another one.
    """

    def __init__(self, name: str, intent: Intent,
                 replace: Callable[[Intent, Intent], None]) -> None:
        self.name = name
        self.intent = intent
        self._replace = replace

    def record(self, do: str, **more: str) -> None:
        """Write down what will be done next, durably.

        :param do: one of the kinds of this module.
        :raises StoreError: when somebody else has taken the name over.
        """
        intent = {'do': do, **more,
                  **{key: self.intent[key] for key in _OWNERS}}
        self._replace(self.intent, intent)
        self.intent = intent


class Intents:
    """The intents of a pool.

    :param its_sessions: the sessions of the same pool.
    """

    def __init__(self, its_sessions: sessions.Sessions) -> None:
        self._sessions = its_sessions
        self._turns = itertools.count(1)
        self._lock = threading.Lock()
        #: The names that operations of this process work on.
        self._running: set[str] = set()

    @contextlib.contextmanager
    def held(self, io: Any, name: str) -> Iterator[Claim]:
        """Claim a name for the block, and give it back after success.

        After an error it is given back if nothing was recorded. Otherwise the
        intent stays, for the caller to settle.

        :raises StoreError: when another operation has the name.
        """
        with self._alone(name):
            intent = self._put(io, name, {'do': CLAIM}, '')
            if intent is None:
                raise busy(name)
            claim = Claim(name, intent, lambda old, new: _replace(
                io, name, old, new))
            try:
                yield claim
            except BaseException:
                if claim.intent['do'] == CLAIM:
                    drop(io, name, claim.intent)
                raise
            drop(io, name, claim.intent)

    @contextlib.contextmanager
    def resumed(self, io: Any, name: str, intent: Intent
                ) -> Iterator[Intent | None]:
        """Take over what an operation has left, for the block.

        The caller knows that the operation has ended: it is one of this
        process, or its client is fenced.

        :param intent: as it was found.
        :returns: a context that gives the intent, now of this process; None
            when it is not there any more.
        :raises StoreError: when another operation has the name.
        """
        with self._alone(name):
            yield self._put(io, name, intent, encoded(intent))

    def is_running(self, name: str) -> bool:
        """Tell whether an operation of this process works on a name."""
        with self._lock:
            return name in self._running

    def is_left(self, name: str, intent: Intent) -> bool:
        """Tell whether an operation of this store failed and left it."""
        return (self._sessions.is_mine(intent.get('owner', ''))
                and not self.is_running(name))

    @contextlib.contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with self._lock:
            if name in self._running:
                raise busy(name)
            self._running.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(name)

    def _put(self, io: Any, name: str, intent: Intent, expected: str
             ) -> Intent | None:
        """Write an intent of this process.

        :param expected: what is there; empty for nothing.
        :returns: it, with its owner; None when something else is there.
        :raises StoreError: when the sessions of this process do not last.
        """
        for _ in range(_MOST_SESSIONS):
            token = self._sessions.token(io)
            session = sessions.key_of(token)
            mine = {**intent, 'owner': token, 'turn': str(next(self._turns))}
            objects = omap.within(io)
            if objects.write(_OBJECT, {name: encoded(mine)}, where={
                    name: expected, session: omap.PRESENT}
                    ) is omap.Outcome.DONE:
                return mine
            found = objects.read(_OBJECT, [session])
            if found and session in found.values:
                return None
            self._sessions.forget(token)
        raise exception.StoreError(
            f'work on {name}', 'others take this cinder-volume for dead')


def _replace(io: Any, name: str, old: Intent, new: Intent) -> None:
    if omap.within(io).write(_OBJECT, {name: encoded(new)}, where={
            name: encoded(old)}) is not omap.Outcome.DONE:
        raise _lost(name)


def drop(io: Any, name: str, intent: Intent) -> None:
    """Remove an intent; fine when the name has none.

    :raises StoreError: when it has another one.
    """
    if omap.within(io).write(_OBJECT, {}, [name], where={
            name: encoded(intent)}) is not omap.Outcome.DONE and (
                find(io, name) is not None):
        raise _lost(name)


def find(io: Any, name: str) -> Intent | None:
    """Return the intent of a name, None when it has none.

    :raises StoreError: when it is damaged.
    """
    found = omap.within(io).read(_OBJECT, [name])
    if found is None or name not in found.values:
        return None
    return _decoded(name, found.values[name])


def everything(io: Any) -> Mapping[str, Intent]:
    """Return all intents, by name.

    :raises StoreError: when one is damaged.
    """
    return {name: _decoded(name, text)
            for name, text in sessions.entries(io).items()
            if sessions.is_name(name)}


def encoded(intent: Intent) -> str:
    """Return an intent as it is stored; the order of its keys counts."""
    return json.dumps(intent)


def _decoded(name: str, text: str) -> Intent:
    try:
        intent = json.loads(text)
    except ValueError:
        intent = None
    if not isinstance(intent, dict) or not all(
            isinstance(v, str) for v in intent.values()):
        raise exception.StoreError(
            f'use {name}', f'its entry in object {_OBJECT} is damaged')
    return intent


def busy(name: str) -> exception.StoreError:
    """Return the error of a name that another operation has."""
    return exception.StoreError(
        f'work on {name}', 'another operation on it is under way. If its '
        'cinder-volume has died, another one finishes or undoes it within a '
        'minute')


def _lost(name: str) -> exception.StoreError:
    return exception.StoreError(
        f'work on {name}', 'another cinder-volume has taken it over, since '
        'this one did not show a sign of life')
