# SPDX-License-Identifier: Apache-2.0
"""Draw recorded metrics, as for the picture in doc/source/monitoring.rst.

::

    python doc/plot_metrics.py RECORDING PICTURE.svg

The recording is the output of several runs of ``mydriver metrics``, one after
the other; other lines are left out. Needs matplotlib, which nothing else here
does: install it where this runs.
"""

import collections
from collections.abc import Iterator, Sequence
import itertools
from pathlib import Path
import re
import sys

from matplotlib import pyplot

_SAMPLE = re.compile(r'^(mydriver_\w+)(\{[^}]*\})? ([0-9.e+-]+)$')
_TIME = 'mydriver_scrape_timestamp_seconds'
_MIB = 1 << 20

#: Title, metric, unit, whether it is a counter, and what to divide by.
PANELS = (
    ('Commands', 'mydriver_export_commands_total', 'per s', True, 1),
    ('Written', 'mydriver_export_written_bytes_total', 'MiB/s', True, _MIB),
    ('Read', 'mydriver_export_read_bytes_total', 'MiB/s', True, _MIB),
    ('Data of the thin pool', 'mydriver_pool_data_used_bytes', 'MiB', False,
     _MIB),
)

Series = dict[str, list[tuple[float, float]]]


def read(text: str) -> dict[str, Series]:
    """Return time and value of each sample, by metric and labels."""
    found: dict[str, Series] = collections.defaultdict(
        lambda: collections.defaultdict(list))
    at_s = 0.0
    for name, labels, value in samples(text):
        if name == _TIME:
            at_s = value
        elif at_s:
            found[name][labels].append((at_s, value))
    return found


def samples(text: str) -> Iterator[tuple[str, str, float]]:
    """Yield the samples of a recording."""
    for line in text.splitlines():
        if match := _SAMPLE.match(line):
            yield match[1], match[2] or '', float(match[3])


def rate(points: Sequence[tuple[float, float]]
         ) -> list[tuple[float, float]]:
    """Return the increase per second between neighbours."""
    return [(b[0], (b[1] - a[1]) / (b[0] - a[0]))
            for a, b in itertools.pairwise(points) if b[0] > a[0]]


def draw(found: dict[str, Series], picture: Path) -> None:
    """Draw the panels; the same recording gives the same file."""
    pyplot.switch_backend('svg')
    pyplot.rcParams.update({'svg.fonttype': 'none',
                            'svg.hashsalt': 'mydriver'})
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 5), sharex=True,
                                   constrained_layout=True)
    start_s = min(points[0][0] for series in found.values()
                  for points in series.values())
    for axis, (title, name, unit, is_counter, scale) in zip(
            axes.flat, PANELS, strict=True):
        for labels, points in sorted(found.get(name, {}).items()):
            shown = rate(points) if is_counter else points
            volume = re.search('volume_id="([^"]{13})', labels)
            axis.plot([at - start_s for at, _ in shown],
                      [value / scale for _, value in shown],
                      label=volume[1] if volume else labels)
        axis.set_title(f'{title} ({unit})', fontsize=10)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8)
    for axis in axes[1]:
        axis.set_xlabel('s')
    figure.savefig(picture, metadata={'Date': None})


if __name__ == '__main__':
    draw(read(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
