# SPDX-License-Identifier: Apache-2.0
"""Explicit-state search: every state that a model can get into."""

from collections.abc import Hashable, Iterator
import dataclasses
import time
from typing import Generic, Protocol, TypeVar

S = TypeVar('S', bound=Hashable)


class Model(Protocol[S]):
    """Something with a first state, and steps from each to others."""

    def first(self) -> S:
        """Return the state that it all begins with."""

    def following(self, state: S) -> Iterator[tuple[str, S]]:
        """Yield what may happen next: its name, and the state after it."""

    def wrong(self, state: S) -> str:
        """Return which promise a state breaks, or an empty text."""


class Broken(Exception):
    """A step broke a promise at once, whatever the state after it."""


@dataclasses.dataclass(frozen=True)
class Report(Generic[S]):
    """What a search found.

    :param states: how many different ones there are.
    :param steps: how many steps lead from one to another.
    :param seconds: how long the search took.
    :param wrong: the promise that was broken, or an empty text.
    :param trace: the shortest way there.
    :param seen: the names of everything that happened in some state.
    """

    states: int
    steps: int
    seconds: float
    wrong: str
    trace: tuple[str, ...]
    seen: frozenset[str]

    def __str__(self) -> str:
        text = f'{self.states} states, {self.steps} steps'
        if self.wrong:
            way = '\n  '.join(self.trace)
            text += f'; {self.wrong}:\n  {way}'
        return text


def search(model: Model[S], most: int = 3_000_000) -> Report[S]:
    """Visit every state that can be reached, breadth first.

    :param most: how many states there may be.
    :raises OverflowError: when there are more; then nothing is proven.
    """
    began = time.perf_counter()
    first = model.first()
    came_from: dict[S, tuple[S, str] | None] = {first: None}
    level, steps = [first], 0
    seen: set[str] = set()

    def report(wrong: str, state: S | None, last: str = '') -> Report[S]:
        trace = [last] if last else []
        while state is not None and (before := came_from[state]) is not None:
            state = before[0]
            trace.append(before[1])
        return Report(len(came_from), steps, time.perf_counter() - began,
                      wrong, tuple(reversed(trace)), frozenset(
                          label.split(': ')[-1] for label in seen))

    while level:
        upcoming: list[S] = []
        for state in level:
            label = ''
            try:
                for label, after in model.following(state):
                    steps += 1
                    seen.add(label)
                    if after in came_from:
                        continue
                    came_from[after] = state, label
                    wrong = model.wrong(after)
                    if wrong:
                        return report(wrong, after)
                    upcoming.append(after)
            except Broken as e:
                return report(str(e), state, f'then: {e}')
        if len(came_from) > most:
            raise OverflowError(f'more than {most} states')
        level = upcoming
    return report('', None)
