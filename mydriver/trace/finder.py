# SPDX-License-Identifier: Apache-2.0
"""Find the steps of a request in its lines."""

from collections.abc import Iterable
import dataclasses

from mydriver.trace import derived, patterns, record
from mydriver.trace.steps import (
    CALL,
    FAILED,
    OK,
    OPERATION,
    PHASE,
    REQUEST,
    RETURN,
    SERVICE,
    UNKNOWN,
    WAIT,
    Step,
    proof,
)

#: A wait for a lock that is shorter is not shown, seconds.
_WAIT_MIN_S = 0.005
#: What is looked at of a line, characters.
_LOOKED_AT = 4000


class Finder:
    """Finds the steps in the records of one request and those it caused."""

    def __init__(self) -> None:
        self._found: list[Step] = []
        self._open: dict[tuple[str, ...], record.Record] = {}
        self._first: dict[tuple[str, str], record.Record] = {}

    def find(self, records: Iterable[record.Record]) -> list[Step]:
        """Return the steps, in the order of their beginnings.

        :param records: in the order of their times.
        """
        for one in records:
            if len(one.text) > _LOOKED_AT:
                one = dataclasses.replace(one, text=one.text[:_LOOKED_AT])
            key = ('device', one.source.name, one.request_id, one.pid)
            if began := self._open.pop(key, None):
                self._found.append(Step(
                    'attach_device', one.source, began.time, one.time, PHASE,
                    proof(began), UNKNOWN, request_id=one.request_id))
            if patterns.DEVICE.match(one.text):
                self._open[key] = one
            if one.request_id:
                self._first.setdefault((one.source.name, one.request_id), one)
            for look in (self._event, self._nova_api, self._cinder_api,
                         self._lock, self._timed, self._traced, self._command,
                         self._daemon, self._pair, self._manager):
                if look(one):
                    break
        self._unended()
        found = derived.without_doubles(self._found)
        return derived.ordered([*found, *derived.rest_of(found)])

    def _add(self, one: record.Record, name: str, duration: float, kind: int,
             **fields: str) -> None:
        self._found.append(Step(
            name, one.source, one.time - duration, one.time, kind,
            proof(one), request_id=one.request_id, **fields))

    def _event(self, one: record.Record) -> bool:
        event = one.event
        if event is None:
            return False
        if event.phase in ('lock',) and event.duration_ms < _WAIT_MIN_S * 1e3:
            return True
        kind = (OPERATION if not event.phase
                else WAIT if event.phase == 'lock' else PHASE)
        name = (f'{event.operation}: {event.phase}' if event.phase
                else event.operation)
        self._add(one, name, event.duration_ms / 1e3, kind,
                  outcome=event.outcome, error=event.error)
        return True

    def _nova_api(self, one: record.Record) -> bool:
        matched = patterns.NOVA_API.search(one.text)
        if not matched or not one.logger.endswith('requestlog'):
            return False
        method, path, status, duration = matched.groups()
        self._add(one, patterns.api_name(method, path),
                  patterns.number(duration), REQUEST,
                  **patterns.of_status(status))
        return True

    def _cinder_api(self, one: record.Record) -> bool:
        # The answer to a request that failed is logged by another module.
        if not one.logger.startswith('cinder.api.'):
            return False
        if patterns.CINDER_BEGIN.match(one.text):
            self._open['api', one.source.name, one.request_id] = one
            return True
        matched = patterns.CINDER_END.search(one.text)
        if matched is None:
            return False
        began = self._open.pop(('api', one.source.name, one.request_id), None)
        if began is None:
            return False
        method, _, url = began.text.partition(' ')
        self._add(one, patterns.api_name(method, url), one.time - began.time,
                  REQUEST, **patterns.of_status(matched[2]))
        return True

    def _lock(self, one: record.Record) -> bool:
        if matched := patterns.ACQUIRED.match(one.text):
            name = patterns.function(matched[2])
            if (waited := patterns.number(matched[3])) >= _WAIT_MIN_S:
                self._add(one, f'{name}: lock', waited, WAIT)
            if patterns.is_method(one, matched[2]):
                self._open['lock', name, one.source.name,
                           one.request_id] = one
            return True
        matched = patterns.RELEASED.match(one.text)
        if matched is None:
            return False
        # Other locks of the services are of no interest unless waited for.
        if patterns.is_method(one, matched[2]):
            name = patterns.function(matched[2])
            self._open.pop(('lock', name, one.source.name, one.request_id),
                           None)
            self._add(one, name, patterns.number(matched[3]),
                      patterns.kind(matched[2]), outcome=UNKNOWN)
        return True

    def _timed(self, one: record.Record) -> bool:
        if one.logger.startswith('nova.compute.') and (
                took := patterns.TOOK.search(one.text)):
            self._add(one, f'{took[2]} instance', patterns.number(took[1]),
                      SERVICE)
            return True
        matched = patterns.TIMED.search(one.text)
        if matched is None or not one.logger.startswith('mydriver.'):
            return False
        unit = 1e-3 if matched[3] == 'ms' else 1
        self._add(one, patterns.OPERATIONS[matched[1]],
                  patterns.number(matched[2]) * unit, OPERATION)
        return True

    def _traced(self, one: record.Record) -> bool:
        matched = RETURN.match(one.text)
        if matched is None:
            return bool(CALL.match(one.text))
        name = patterns.CALLED_BY.get(matched[1], matched[1])
        self._add(one, name, patterns.number(matched[3]) / 1e3, OPERATION,
                  outcome=OK if matched[2] == 'return' else FAILED)
        return True

    def _command(self, one: record.Record) -> bool:
        matched = patterns.COMMAND.match(one.text)
        if matched is None:
            return False
        if (took := patterns.number(matched[2])) >= patterns.COMMAND_MIN_S:
            self._add(one, f'command {matched[1]}', took, PHASE)
        return True

    def _daemon(self, one: record.Record) -> bool:
        key = ('daemon', one.source.name, one.request_id)
        if matched := patterns.DAEMON.search(one.text):
            self._open[key] = dataclasses.replace(
                one, text=f'start of daemon {matched[1]}')
            return True
        if not patterns.SPAWNED.match(one.text):
            return False
        if began := self._open.pop(key, None):
            self._add(one, began.text, one.time - began.time, PHASE)
        return True

    def _pair(self, one: record.Record) -> bool:
        for begin, end, name in patterns.PAIRS:
            key = ('pair', name, one.source.name, one.request_id)
            if begin.search(one.text):
                self._open[key] = one
                return True
            if end.search(one.text) and (
                    began := self._open.pop(key, None)):
                self._add(one, name, one.time - began.time, OPERATION)
                return True
        return False

    def _manager(self, one: record.Record) -> bool:
        for end, name in patterns.MANAGER_ENDS:
            if (end.search(one.text)
                    and one.logger == 'cinder.volume.manager'):
                first = self._first[one.source.name, one.request_id]
                self._add(one, name, one.time - first.time, SERVICE)
                return True
        return False

    def _unended(self) -> None:
        """Show what no line ends: it may still run, or have been killed."""
        for key, one in self._open.items():
            if key[0] == 'api':
                method, _, url = one.text.partition(' ')
                name, kind, error = (patterns.api_name(method, url), REQUEST,
                                     'no answer is logged')
            elif key[0] == 'lock' and (
                    matched := patterns.ACQUIRED.match(one.text)):
                name, kind, error = (key[1], patterns.kind(matched[2]),
                                     'no end is logged')
            elif key[0] == 'pair' and key[1] in patterns.ENDING:
                name, kind, error = key[1], OPERATION, 'no end is logged'
            elif key[0] == 'daemon':
                name, kind, error = one.text, PHASE, 'no end is logged'
            elif key[0] == 'device':
                name, kind, error = 'attach_device', PHASE, 'no end is logged'
            else:
                continue
            self._found.append(Step(
                name, one.source, one.time, one.time, kind, proof(one),
                UNKNOWN, error, one.request_id))
