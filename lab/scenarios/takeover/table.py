# SPDX-License-Identifier: Apache-2.0
"""The results: a row for each run, and what they must be."""

from collections.abc import Sequence
import dataclasses
import statistics

from lab.scenario.expect import expect

#: Goals for the guest's longest pause, seconds.
MEDIAN_S = 8.0
LONGEST_S = 15.0
PLANNED_S = 2.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One run.

    :param case: for people.
    :param is_planned: the gateway handed its targets over.
    :param moved: from which gateway to which.
    :param pause_ms: longest pause of the guest's writes.
    :param back_ms: the same while the lost gateway came back.
    :param records: number of the last record that was checked.
    :param load: of the machine, over one minute.
    """

    case: str
    is_planned: bool
    moved: str
    pause_ms: int
    back_ms: int
    records: int
    load: float


def text(rows: Sequence[Row]) -> str:
    """Return the table."""
    head = (f'{"":32}{"moved":>12}{"pause":>9}{"back":>9}{"records":>9}'
            f'{"load":>6}')
    lines = [head]
    lines += [f'{r.case:32}{r.moved:>12}{r.pause_ms / 1000:7.1f} s'
              f'{r.back_ms / 1000:7.1f} s{r.records:>9}{r.load:6.1f}'
              for r in rows]
    return '\n'.join(lines)


def check(rows: Sequence[Row]) -> str:
    """Check the pauses against the goals.

    :returns: a summary.
    :raises NotProven: when one is missed.
    """
    lost = [r.pause_ms / 1000 for r in rows if not r.is_planned]
    planned = [r.pause_ms / 1000 for r in rows if r.is_planned]
    told = []
    if lost:
        told.append(f'{len(lost)} takeovers: median '
                    f'{statistics.median(lost):.1f} s, longest '
                    f'{max(lost):.1f} s')
    if planned:
        told.append(f'{len(planned)} planned moves: longest '
                    f'{max(planned):.1f} s')
    summary = '; '.join(told)
    expect(not lost or (statistics.median(lost) < MEDIAN_S
                        and max(lost) <= LONGEST_S),
           f'the goals are {MEDIAN_S:g} s and {LONGEST_S:g} s: {summary}')
    expect(not planned or max(planned) < PLANNED_S,
           f'the goal is {PLANNED_S:g} s: {summary}')
    return summary
