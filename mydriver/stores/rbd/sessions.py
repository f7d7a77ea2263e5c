# SPDX-License-Identifier: Apache-2.0
"""Who works on a pool: one session for each connection that changes it.

Intents (:mod:`.intents`) name the session of their operation. A session has a
record in the same object, which its process changes every few seconds. One
that does not change any more may be that of a process that has died, or that
was stopped and goes on later. So a session is not over because it is silent.
It is ended: in one atomic operation, after which no new intent can name it.
If it has left intents, its client is fenced before anybody touches them, so
that nothing of it can be carried out any more (:mod:`.settling`).

Silence is counted in looks, not in seconds: who was stopped itself, or was cut
off from Ceph together with all others, starts to count anew.
"""

from collections.abc import Callable
import dataclasses
import json
import os
import secrets
import threading
import time
from typing import Any
import weakref

from mydriver import exception
from mydriver.ceph import clients, omap

#: The object with the sessions and the intents of a pool.
OBJECT = 'mydriver.intents'

#: Pause between two changes of a record, seconds.
BEAT_S = 5.0
#: After how many looks that found no change a session is over.
MOST_MISSED = 6
#: A look that is late by this factor does not count.
_LATE = 2.5

_LIVE, _ENDED = 'session/', 'ended/'

#: All sessions of this process, of any store that still exists.
_ours: 'weakref.WeakValueDictionary[str, Sessions]' = (
    weakref.WeakValueDictionary())


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """A session, as it is recorded.

    :param token: names it; no two are the same.
    :param service: of whom it is: ``HOST@BACKEND``; empty when unknown.
    :param client: through which all of its changes are made.
    :param text: the record.
    """

    token: str
    service: str
    client: clients.Client
    text: str = dataclasses.field(repr=False)


class Sessions:
    """The sessions of a pool. Thread-safe.

    :param client_of: returns the client of librados' context of the pool.
    """

    def __init__(self, client_of: Callable[[Any], clients.Client]) -> None:
        self._client_of = client_of
        self._lock = threading.Lock()
        self._io: Any = None
        self._token = ''
        self._mine: set[str] = set()
        self._pid = 0
        self._beats = 0
        #: What was seen of others, and in how many looks since.
        self._seen: dict[str, tuple[str, int]] = {}
        self._looked_s = float('-inf')
        #: Whose sessions these are; see :class:`Session`.
        self.service = ''
        self.beat_s = BEAT_S

    # -- of this process

    def token(self, io: Any) -> str:
        """Return the session of a connection, which is begun if necessary.

        :raises CephError: when the connection has been replaced.
        """
        with self._lock:
            if io is not self._io or os.getpid() != self._pid:
                self._token = self._begin(io)
                self._io, self._pid = io, os.getpid()
            return self._token

    def _begin(self, io: Any) -> str:
        token = secrets.token_hex(8)
        # First: whoever reads the record must not take it for another's.
        _ours[token] = self
        self._mine.add(token)
        omap.within(io).write(OBJECT, {
            key_of(token): self._text(self._client_of(io))})
        return token

    def _text(self, client: clients.Client) -> str:
        self._beats += 1
        return json.dumps({'service': self.service, 'client': str(client),
                           'beat': self._beats})

    def is_mine(self, token: str) -> bool:
        """Tell whether a session is, or was, one of this store's."""
        return token in self._mine

    @staticmethod
    def is_ours(token: str) -> bool:
        """Tell whether a session is one of this process, of any store."""
        return token in _ours

    def beat(self, io: Any) -> None:
        """Change the record of this process's session, if there is one."""
        with self._lock:
            if io is not self._io or os.getpid() != self._pid:
                return
            key = key_of(self._token)
            if omap.within(io).write(
                    OBJECT, {key: self._text(self._client_of(io))},
                    where={key: omap.PRESENT}) is not omap.Outcome.DONE:
                self._io = None  # somebody has ended it

    def forget(self, token: str) -> None:
        """Begin another session next time: this one was ended."""
        with self._lock:
            if token == self._token:
                self._io = None

    # -- of others

    def look(self, io: Any) -> list[Session]:
        """Look at the sessions of others; to be called once for each beat.

        :returns: those that are over.
        """
        now_s = time.monotonic()
        is_late = now_s - self._looked_s > _LATE * self.beat_s
        live = self.live(io)
        self._looked_s = now_s
        seen = {}
        for one in live:
            text, missed = self._seen.get(one.token, ('', 0))
            seen[one.token] = one.text, (
                0 if is_late or text != one.text else missed + 1)
        self._seen = seen
        return [s for s in live if seen[s.token][1] >= MOST_MISSED]

    def live(self, io: Any) -> list[Session]:
        """Return the sessions of other processes that nobody has ended."""
        return [s for s in _read(io, _LIVE) if not self.is_ours(s.token)]

    def ended(self, io: Any) -> list[Session]:
        """Return the sessions that were ended, and may have left intents.

        Those of this process are left to others, who know better.
        """
        return [s for s in _read(io, _ENDED) if not self.is_ours(s.token)]

    def clients(self, io: Any) -> frozenset[str]:
        """Return the addresses of all clients that have, or had, a session."""
        return frozenset(str(s.client) for s in (
            *_read(io, _LIVE), *_read(io, _ENDED)))

    def end(self, io: Any, session: Session) -> bool:
        """End a session: from now on it makes no new intents.

        :returns: False when it has changed meanwhile.
        """
        key = key_of(session.token)
        return omap.within(io).write(
            OBJECT, {_ENDED + session.token: session.text}, [key],
            where={key: session.text}) is omap.Outcome.DONE

    def remove(self, io: Any, session: Session) -> None:
        """Remove the record of a session that has left nothing."""
        omap.within(io).write(OBJECT, {}, [_ENDED + session.token])


def key_of(token: str) -> str:
    """Return the key of a session's record."""
    return _LIVE + token


def is_name(key: str) -> bool:
    """Tell whether a key of the object is the name of an image."""
    return '/' not in key


def entries(io: Any, prefix: str = '') -> dict[str, str]:
    """Return the entries of the object whose keys begin with a prefix.

    Those that are there all the time are returned in any case.
    """
    values: dict[str, str] = {}
    todo: tuple[omap.Range, ...] = (omap.Range(prefix),)
    while todo:
        found = omap.within(io).read(OBJECT, ranges=todo)
        if found is None:
            break
        values |= found.values
        todo = found.cut
    return values


def _read(io: Any, prefix: str) -> list[Session]:
    """Return sessions, in the order of their tokens.

    :raises StoreError: when a record is damaged.
    """
    return [_parsed(key, key.removeprefix(prefix), text)
            for key, text in sorted(entries(io, prefix).items())]


def _parsed(key: str, token: str, text: str) -> Session:
    try:
        said = json.loads(text)
        service = said['service']
        if not isinstance(service, str):
            raise ValueError('the service is no text')
        return Session(token, service,
                       clients.Client.parse(said['client']), text)
    except (ValueError, TypeError, KeyError) as e:
        raise exception.StoreError(
            'tell who works on the pool',
            f'entry {key} of object {OBJECT} is damaged: {e}') from e
