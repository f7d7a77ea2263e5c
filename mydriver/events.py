# SPDX-License-Identifier: Apache-2.0
"""Structured events: one log line for each operation and for each phase.

A line is :data:`MARK` and a JSON object, at INFO::

    mydriver event: {"operation": "connect_volume", "phase": "login",
    "volume_id": "...", "duration_ms": 153.2, "outcome": "ok"}

``phase`` is only there for a part of an operation, ``error`` only where the
outcome is ``failed``. All durations are in milliseconds, measured with the
monotonic clock. The line is written when the operation or phase ends. Nothing
else is in it: no arguments, no connection, no secrets.

Operations are the driver's and the plugin's public methods. They and their
phases belong to the thread, or green thread, that began them; a helper thread
takes part if it runs in a copy of its context (:mod:`contextvars`).
"""

from collections.abc import Iterator
import contextlib
import contextvars
import dataclasses
import json
import time
from typing import Any

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

#: What an event's text begins with.
MARK = 'mydriver event: '

OK, FAILED = 'ok', 'failed'

#: Longest name, identifier or error class in an event, characters.
_TEXT_MAX = 80


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """An operation, or a phase of one, that has ended.

    :param operation: name of the driver's or the plugin's method.
    :param duration_ms: milliseconds.
    :param outcome: :data:`OK` or :data:`FAILED`.
    :param volume_id: UUID; empty where the operation concerns none.
    :param phase: name of the phase; empty for the whole operation.
    :param error: class of the error; empty if there was none.
    """

    operation: str
    duration_ms: float
    outcome: str
    volume_id: str = ''
    phase: str = ''
    error: str = ''

    def text(self) -> str:
        """Return the line, without what a log adds in front of it."""
        fields = {'operation': self.operation, 'phase': self.phase,
                  'volume_id': self.volume_id,
                  'duration_ms': round(self.duration_ms, 1),
                  'outcome': self.outcome, 'error': self.error}
        return MARK + json.dumps(
            {key: value for key, value in fields.items() if value != ''})


@dataclasses.dataclass(frozen=True, slots=True)
class _Running:
    """The operation that a thread is in."""

    operation: str
    volume_id: str
    began: float


_RUNNING: contextvars.ContextVar[_Running | None] = contextvars.ContextVar(
    'mydriver_operation', default=None)


@contextlib.contextmanager
def operation(name: str, volume_id: object = '') -> Iterator[None]:
    """Report an operation when it ends; its error passes through.

    :param name: of the public method.
    :param volume_id: UUID of the volume, if there is one.
    """
    running = _Running(name, _shown(volume_id), time.monotonic())
    token = _RUNNING.set(running)
    try:
        with _reported(running, ''):
            yield
    finally:
        _RUNNING.reset(token)


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Report a phase of the operation that runs, if one does."""
    running = _RUNNING.get()
    if running is None:
        yield
        return
    with _reported(dataclasses.replace(running, began=time.monotonic()),
                   name):
        yield


def waited(name: str) -> None:
    """Report the time since the operation began as a phase of its own.

    Called first in a method that runs under a lock: it is the wait for it.
    """
    if running := _RUNNING.get():
        _write(running, name, None)


def parse(text: str) -> Event | None:
    """Return the event in a line of a log.

    :param text: the line, or its part from :data:`MARK` on.
    :returns: None if it holds none, or one that is damaged.
    """
    _, mark, rest = text.partition(MARK)
    if not mark:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(rest)
        return _from_dict(found)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError,
            RecursionError):
        return None


def _from_dict(found: dict[str, Any]) -> Event:
    duration_ms = float(found['duration_ms'])
    if not 0 <= duration_ms < float('inf'):
        raise ValueError('no duration')
    if found['outcome'] not in (OK, FAILED):
        raise ValueError('no outcome')
    return Event(
        _shown(found['operation']), duration_ms, found['outcome'],
        **{key: _shown(found.get(key, ''))
           for key in ('volume_id', 'phase', 'error')})


@contextlib.contextmanager
def _reported(running: _Running, name: str) -> Iterator[None]:
    try:
        yield
    except BaseException as e:
        _write(running, name, e)
        raise
    _write(running, name, None)


def _write(running: _Running, name: str, error: BaseException | None
           ) -> None:
    LOG.info('%s', Event(
        running.operation, (time.monotonic() - running.began) * 1e3,
        FAILED if error else OK, running.volume_id, name,
        type(error).__name__ if error else '').text())


def _shown(value: object) -> str:
    """Return a name or an identifier; nothing else fits into an event."""
    return value[:_TEXT_MAX] if isinstance(value, str) else ''
