# SPDX-License-Identifier: Apache-2.0
"""Tables of measurements, and the time that calls take."""

from collections.abc import Iterator, Sequence
import contextlib
import statistics
import sys
import time
from unittest import mock


class Times:
    """Durations by name, seconds, in the order of their first."""

    def __init__(self):
        self.of = {}

    def add(self, name, duration_s):
        """Note how long something took."""
        self.of.setdefault(name, []).append(duration_s)

    @contextlib.contextmanager
    def measured(self, name) -> Iterator[None]:
        """Measure a block."""
        began_s = time.monotonic()
        yield
        self.add(name, time.monotonic() - began_s)

    def calls_of(self, owner, method, name=None):
        """Return a context in which the calls of a method are measured.

        :param owner: its class or module.
        :param name: of the durations, by default that of the method.
        """
        inner = getattr(owner, method)

        def call(*args, **kwargs):
            with self.measured(name or method):
                return inner(*args, **kwargs)

        return mock.patch.object(owner, method, call)

    def median(self, name):
        """Return the median of the durations, seconds."""
        return statistics.median(self.of[name])


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]
          ) -> None:
    """Print a table; numbers are right-aligned."""
    cells = [[str(c) for c in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f'\n{title}')
    for row in cells:
        print('  '.join(
            c.ljust(w) if n == 0 else c.rjust(w)
            for n, (c, w) in enumerate(zip(row, widths, strict=True)))
            .rstrip())
    sys.stdout.flush()


def ms(duration_s: float) -> str:
    """Return a duration in milliseconds."""
    return f'{duration_s * 1e3:.1f}'
