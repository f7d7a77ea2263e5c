# SPDX-License-Identifier: Apache-2.0
"""Counts of the driver's and the plugin's operations, made from events.

Events come from logs, where anybody may write anything. So there are limits
to how many names a label can have; what exceeds them is counted as
:data:`OTHER`.
"""

import bisect
from collections.abc import Collection, Iterable, Iterator
import dataclasses
import itertools
import re
from typing import Any

from mydriver import events

#: Upper bounds of the buckets for durations, seconds; one without follows.
BOUNDS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
            300.0)

#: Stands for a name that is too much.
OTHER = 'other'

#: How many services, and names of a kind for each, are told apart.
_SERVICES_MAX, _NAMES_MAX = 10, 60

_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_-]{0,79}')

Key = tuple[str, ...]

#: Kinds of what is counted.
ENDED, FAILURES, DURATIONS, PHASES = 'ended', 'failures', 'durations', 'phases'


@dataclasses.dataclass(slots=True)
class Durations:
    """How long operations took that succeeded.

    :param counts: how many in each bucket, of that bucket alone.
    :param sum_s: of all durations, seconds.
    """

    counts: list[int] = dataclasses.field(
        default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Yield upper bounds, and how many durations do not exceed them."""
        return zip((*map(str, BOUNDS_S), '+Inf'),
                   itertools.accumulate(self.counts), strict=True)


@dataclasses.dataclass(slots=True)
class Sum:
    """How long phases took.

    :param count: how many.
    :param sum_s: of all durations, seconds.
    """

    count: int = 0
    sum_s: float = 0.0


class Tally:
    """What was counted; it only grows.

    :ivar ended: operations, by service, operation and outcome.
    :ivar failures: failed ones, by service, operation and error.
    :ivar durations: of the others, by service and operation.
    :ivar phases: by service, operation and phase.
    """

    def __init__(self) -> None:
        self.ended: dict[Key, int] = {}
        self.failures: dict[Key, int] = {}
        self.durations: dict[Key, Durations] = {}
        self.phases: dict[Key, Sum] = {}
        self._names: dict[Key, set[str]] = {}

    def keys(self) -> set[Key]:
        """Return what was counted, each beginning with its kind."""
        return {(kind, *key) for kind, counted in (
            (ENDED, self.ended), (FAILURES, self.failures),
            (DURATIONS, self.durations), (PHASES, self.phases))
            for key in counted}

    def begun(self, known: Collection[Key]) -> set[Key]:
        """Return the keys that are new, and did not begin with zero.

        :param known: the others.
        """
        return {key for key in self.keys().difference(known)
                if key[0] != ENDED or self.ended[key[1:]]}

    def services(self) -> set[str]:
        """Return the services that operations were counted of."""
        return {key[0] for key in (*self.ended, *self.phases)}

    def expect(self, service: str, operations: Iterable[str]) -> None:
        """Begin with zero, so that the first operation is an increase."""
        for operation in operations:
            for outcome in (events.OK, events.FAILED):
                self.ended.setdefault((service, operation, outcome), 0)

    def add(self, service: str, event: events.Event) -> None:
        """Count an event."""
        service = self._known('service', '', service, _SERVICES_MAX)
        operation = self._known('operation', service, event.operation)
        seconds = event.duration_ms / 1e3
        if event.phase:
            phase = self.phases.setdefault(
                (service, operation,
                 self._known('phase', service, event.phase)), Sum())
            phase.count += 1
            phase.sum_s += seconds
            return
        self.expect(service, (operation,))
        self.ended[service, operation, event.outcome] += 1
        if event.outcome == events.FAILED:
            key = (service, operation,
                   self._known('error', service, event.error))
            self.failures[key] = self.failures.get(key, 0) + 1
        else:
            its = self.durations.setdefault((service, operation), Durations())
            its.counts[bisect.bisect_left(BOUNDS_S, seconds)] += 1
            its.sum_s += seconds

    def merge(self, other: 'Tally', as_zero: Collection[Key] = ()) -> None:
        """Add what another tally has counted.

        :param as_zero: what is added as zero, as :meth:`keys` returns it.
        """
        for kind, mine, its in ((ENDED, self.ended, other.ended),
                                (FAILURES, self.failures, other.failures)):
            for key, count in its.items():
                mine[key] = mine.get(key, 0) + (
                    0 if (kind, *key) in as_zero else count)
        for key, durations in other.durations.items():
            known = self.durations.setdefault(key, Durations())
            if (DURATIONS, *key) in as_zero:
                continue
            known.counts = [a + b for a, b in zip(
                known.counts, durations.counts, strict=True)]
            known.sum_s += durations.sum_s
        for key, phase in other.phases.items():
            found = self.phases.setdefault(key, Sum())
            if (PHASES, *key) in as_zero:
                continue
            found.count += phase.count
            found.sum_s += phase.sum_s

    def _known(self, kind: str, service: str, name: str,
               most: int = _NAMES_MAX) -> str:
        """Return a label's value, or :data:`OTHER`."""
        names = self._names.setdefault((kind, service), set())
        if name not in names:
            if len(names) >= most or not _NAME.fullmatch(name):
                return OTHER
            names.add(name)
        return name

    def primitives(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            'bounds_s': list(BOUNDS_S),
            'ended': [[*key, n] for key, n in self.ended.items()],
            'failures': [[*key, n] for key, n in self.failures.items()],
            'durations': [[*key, d.counts, d.sum_s]
                          for key, d in self.durations.items()],
            'phases': [[*key, p.count, p.sum_s]
                       for key, p in self.phases.items()]}

    @classmethod
    def of_primitives(cls, found: dict[str, Any]) -> 'Tally':
        """Return a tally that was kept.

        :raises ValueError, TypeError, KeyError: when it is damaged.
        """
        tally = cls()
        for service, operation, outcome, count in found['ended']:
            tally.ended[tally._key(service, operation, outcome)] = _count(
                count)
        for service, operation, error, count in found['failures']:
            tally.failures[tally._key(service, operation, error=error)] = (
                _count(count))
        for service, operation, phase, count, sum_s in found['phases']:
            tally.phases[tally._key(service, operation, phase=phase)] = Sum(
                _count(count), float(sum_s))
        if found['bounds_s'] != list(BOUNDS_S):
            return tally  # of another release; durations begin with zero
        for service, operation, counts, sum_s in found['durations']:
            its = Durations([_count(c) for c in counts], float(sum_s))
            if len(its.counts) != len(BOUNDS_S) + 1:
                raise ValueError('durations')
            tally.durations[tally._key(service, operation)] = its
        return tally

    def _key(self, service: str, operation: str, *outcome: str,
             **more: str) -> Key:
        """Return a key that was kept; remember its names."""
        found = (self._known('service', '', service, _SERVICES_MAX),
                 self._known('operation', service, operation), *outcome,
                 *(self._known(kind, service, name)
                   for kind, name in more.items()))
        if outcome and outcome[0] not in (events.OK, events.FAILED):
            raise ValueError('outcome')
        return found


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError('count')
    return value
