# SPDX-License-Identifier: Apache-2.0
"""Where the time went: each moment belongs to the innermost step."""

from collections.abc import Sequence
import dataclasses
import itertools

from mydriver.trace import record, steps

#: What no step covers.
NOTHING = 'no step is logged'

#: A gap that is shorter is not listed, seconds.
_GAP_MIN_S = 0.1
#: The same for pauses, also as a share of all; and how many are listed.
_PAUSE_MIN_S, _PAUSE_MIN_SHARE, _PAUSES = 0.2, 0.05, 3


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """The time that a step had for itself.

    :param name: of the step, :data:`NOTHING` for gaps.
    :param source: name of its log; empty for gaps.
    :param seconds: the sum over all of its moments.
    """

    name: str
    source: str
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """A while that no step below an API request covers.

    :param start: seconds.
    :param seconds: its length.
    :param after: the step that ended before, with its log.
    :param before: the step that began afterwards.
    """

    start: float
    seconds: float
    after: str
    before: str


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    """The longest while after a line and without another in a step's time.

    :param step: its name.
    :param source: name of its log.
    :param start: seconds.
    :param seconds: its length.
    :param after: the line before.
    """

    step: str
    source: str
    start: float
    seconds: float
    after: str


def shares(found: Sequence[steps.Step], start: float, end: float
           ) -> list[Share]:
    """Return how the time between start and end is distributed.

    :returns: the longest first; their sum is ``end - start``.
    """
    sums: dict[tuple[str, str], float] = {}
    for one, length in _moments(found, start, end):
        key = (one.name, one.source.name) if one else (NOTHING, '')
        sums[key] = sums.get(key, 0.0) + length
    return sorted((Share(*key, seconds) for key, seconds in sums.items()),
                  key=lambda s: (-s.seconds, s.name))


def gaps(found: Sequence[steps.Step], start: float, end: float
         ) -> list[Gap]:
    """Return the longest periods that no step covers, longest first."""
    listed: list[Gap] = []
    at = start
    for one, length in _moments(found, start, end, merged=True):
        if one is None and length >= _GAP_MIN_S:
            listed.append(Gap(at, length, _last_before(found, at),
                              _first_after(found, at + length)))
        at += length
    return sorted(listed, key=lambda g: -g.seconds)


def pauses(found: Sequence[steps.Step], records: Sequence[record.Record],
           start: float, end: float) -> list[Pause]:
    """Return the longest pauses of the steps that took most, longest first.

    :param records: in the order of their times.
    """
    least = max(_PAUSE_MIN_S, (end - start) * _PAUSE_MIN_SHARE)
    listed: list[Pause] = []
    at = start
    for one, length in _moments(found, start, end, merged=True):
        if one is not None and length >= least:
            lines = [r for r in records
                     if r.source == one.source and at <= r.time < at + length]
            times = [at, *(r.time for r in lines), at + length]
            seconds, n = max((right - left, n) for n, (left, right)
                             in enumerate(itertools.pairwise(times)))
            if seconds >= least and n:
                listed.append(Pause(one.name, one.source.name, times[n],
                                    seconds, steps.proof(lines[n - 1])))
        at += length
    return sorted(listed, key=lambda p: -p.seconds)[:_PAUSES]


def _moments(found: Sequence[steps.Step], start: float, end: float, *,
             merged: bool = False
             ) -> list[tuple[steps.Step | None, float]]:
    """Return what is innermost, moment after moment.

    :param merged: join adjacent moments of one step.
    """
    edges = sorted({start, end, *(
        min(max(t, start), end) for s in found for t in (s.start, s.end))})
    moments: list[tuple[steps.Step | None, float]] = []
    for left, right in itertools.pairwise(edges):
        middle = (left + right) / 2
        inside = [s for s in found if s.start <= middle < s.end]
        one = max(inside, key=_depth) if inside else None
        if merged and moments and moments[-1][0] is one:
            moments[-1] = one, moments[-1][1] + right - left
        else:
            moments.append((one, right - left))
    return moments


def _depth(step: steps.Step) -> tuple[float, int]:
    """Order steps that run at once: the one that began last is innermost."""
    return (-step.duration, step.kind)


def _last_before(found: Sequence[steps.Step], at: float) -> str:
    ended = [s for s in found if s.end <= at + 1e-6]
    return _shown(max(ended, key=lambda s: s.end)) if ended else ''


def _first_after(found: Sequence[steps.Step], at: float) -> str:
    later = [s for s in found if s.start >= at - 1e-6]
    return _shown(min(later, key=lambda s: s.start)) if later else ''


def _shown(step: steps.Step) -> str:
    return f'{step.source.name}: {step.name}'
