# SPDX-License-Identifier: Apache-2.0
"""Compare ways to one device that were measured in turn."""

from collections.abc import Iterator, Mapping, Sequence
import statistics

from tests.bench import fio

#: For each pattern and way, the figures of each round in order.
Results = Mapping[fio.Pattern, Mapping[str, Sequence[fio.Figures]]]

_HEAD = (f'{"pattern":<26} {"way":<7} {"IOPS":>8} {"MiB/s":>8} '
         f'{"median ms":>10} {"99 % ms":>9} {"ratio":>6} {"range":>12}')


def ratios(figures: Sequence[fio.Figures], reference: Sequence[fio.Figures]
           ) -> list[float]:
    """Return the ratio of the rates in each round.

    :param reference: the rounds of the way that is compared with.
    """
    return [f.iops / r.iops
            for f, r in zip(figures, reference, strict=True)]


def table(results: Results, reference: str) -> str:
    """Return a table: medians of the rounds, and the ratios to one way.

    :param reference: the way that is compared with.
    """
    return '\n'.join([_HEAD, *_lines(results, reference)])


def _lines(results: Results, reference: str) -> Iterator[str]:
    for pattern, ways in results.items():
        for way, figures in ways.items():
            found = ratios(figures, ways[reference])
            yield (f'{pattern.name:<26} {way:<7} '
                   f'{statistics.median(f.iops for f in figures):8.0f} '
                   f'{statistics.median(f.rate for f in figures) / 2**20:8.1f}'
                   f' {_ms(f.median_s for f in figures):10.2f}'
                   f' {_ms(f.p99_s for f in figures):9.2f}'
                   f' {statistics.median(found):6.2f}'
                   f' {f"{min(found):.2f}-{max(found):.2f}":>12}')


def _ms(times_s: Iterator[float]) -> float:
    return statistics.median(times_s) * 1000
