# SPDX-License-Identifier: Apache-2.0
"""Measure a scrape of the metrics, on a copied tree of a kernel target.

Between two scrapes, the log of a service grows by events and other lines, and
the journal changes or does not.

::

    python -m tests.bench.scrape [EXPORTS]

Prints the time of this process's CPU for a scrape, and its parts.
"""

import argparse
import contextlib
import cProfile
import dataclasses
import itertools
import json
import os
from pathlib import Path
import statistics as figures
import tempfile
import time
from unittest import mock
import uuid

import prometheus_client
from prometheus_client import parser

from mydriver import events, model
from mydriver.cmd import backends
from mydriver.cmd.monitoring import (
    backend,
    collector,
    kept,
    operations,
)
from mydriver.stores import base
from mydriver.stores.reflink import store as reflink
from mydriver.target import statistics
from mydriver.target.journal import sqlite
from tests.fakes import kernel_tree

_TARGETS = [model.Iqn(f'iqn.2010-10.org.openstack:mydriver-host-disks-{n}')
            for n in range(4)]
_HOSTS = [model.Iqn(f'iqn.1993-08.org.debian:01:host{n}') for n in range(10)]
_HEAD = '2026-11-27 05:00:00.123 7'
#: How long after its last change a journal counts as unchanged, seconds.
_SETTLED_S = 2.5

_CONF = """\
[DEFAULT]
state_path = {folder}/state
my_ip = 192.0.2.1
enabled_backends = disks
[disks]
volume_driver = mydriver.cinder_volume.driver.LIODriver
mydriver_store_path = {folder}/store
"""


def make(folder: Path, exports: int) -> tuple[
        backends.Backend, statistics.Statistics, sqlite.SqliteJournal]:
    """Make a backend whose exports are all mapped, and its kernel target.

    :returns: the journal is open, as cinder-volume has it.
    """
    conf = folder / 'cinder.conf'
    conf.write_text(_CONF.format(folder=folder))
    found, = backends.read([str(conf)])
    os.makedirs(found.state_path, mode=0o700)
    (folder / 'store').mkdir()
    tree = kernel_tree.Tree(folder)
    journal = sqlite.SqliteJournal(found.journal_path, 'bench')
    journal.add_targets(_TARGETS)
    for target in _TARGETS:
        tree.target(str(target), sessions=len(_HOSTS))
    for n in range(exports):
        volume_id = str(uuid.uuid4())
        path = folder / 'store' / f'volume-{volume_id}'
        path.touch()
        export = journal.add_export(
            volume_id, model.BackingDevice('iblock', str(path), 1 << 30),
            _TARGETS[n % 4])
        tree.export(str(export.target), export.lun, 'disks', volume_id,
                    device=(253, n), io=(n, n, n))
        host = _HOSTS[n % len(_HOSTS)]
        placed = journal.add_mapping(volume_id, host, read_only=False,
                                     mutual=False)
        tree.mapping(str(export.target), str(host), placed.mapping.lun,
                     export.lun)
        tree.session(str(export.target), str(host))
    return found, tree.statistics(), journal


class Log:
    """A log of cinder-volume that grows between two scrapes.

    :param path: of the log.
    :param count: events at once, each among ten other lines.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        names = itertools.cycle(operations.OPERATIONS['cinder-volume'])
        other = f'{_HEAD} INFO cinder.volume.manager [-] {"x" * 150}\n' * 10
        self._text = ''.join(
            other + f'{_HEAD} INFO mydriver.events [None req-{uuid.uuid4()} '
            f'u p] {event.text()}\n' for event in (events.Event(
                next(names), 10.0 * n, events.OK, str(uuid.uuid4()),
                'lock' if n % 3 else '') for n in range(count)))
        path.touch()

    def grow(self) -> None:
        """Add lines."""
        with self.path.open('a') as f:
            f.write(self._text)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What was measured.

    :param figures: in ms of CPU and bytes.
    :param text: the metrics of the last scrape.
    """

    figures: dict[str, float]
    text: str


def measure(exports: int, rounds: int, count: int,
            profile: str | None = None) -> Result:
    """Return figures of a scrape.

    :param count: events since the last scrape.
    """
    with tempfile.TemporaryDirectory(dir='/dev/shm') as name:
        folder = Path(name)
        found, seen, journal = make(folder, exports)
        log = Log(folder / 'cinder-volume.log', count)
        registry = prometheus_client.CollectorRegistry()
        its = collector.Collector([
            backend.BackendSource(found),
            operations.OperationsSource(
                [operations.FileLog(str(log.path))],
                kept.Kept(folder / 'events.json'))])
        registry.register(its)
        spent: list[float] = []
        time.sleep(_SETTLED_S)
        # The values of what is new are there at the next scrape.
        with (contextlib.closing(journal),
              mock.patch.object(operations, 'HELD_S', 0),
              mock.patch.object(statistics, 'HOST', seen),
              mock.patch.object(reflink.ReflinkStore, 'capacity', _no_room)):
            profiler = cProfile.Profile()
            for n in range(2 * rounds):
                if n >= rounds:
                    os.utime(found.journal_path)  # as if it had changed
                if profile and n:
                    profiler.enable()
                started = time.process_time()
                text = prometheus_client.generate_latest(registry)
                spent.append((time.process_time() - started) * 1e3)
                profiler.disable()
                log.grow()
        if profile:
            profiler.dump_stats(profile)
        if its.errors:
            raise AssertionError(its.errors)
        counted = sum(
            s.value for f in parser.text_string_to_metric_families(
                text.decode()) for s in f.samples
            if s.name in ('mydriver_operations_total',
                          'mydriver_operation_phase_seconds_count'))
        if counted != count * (2 * rounds - 1):
            raise AssertionError(f'{counted:.0f} events were counted')
    lines = [x for x in text.decode().splitlines() if not x.startswith('#')]
    return Result({
        'exports': exports, 'events': count, 'samples': len(lines),
        'bytes': len(text), 'first_ms': round(spent[0], 1),
        'median_ms': round(figures.median(spent[1:rounds]), 1),
        'least_ms': round(min(spent[1:rounds]), 1),
        'changed_median_ms': round(figures.median(spent[rounds:]), 1),
        'changed_least_ms': round(min(spent[rounds:]), 1)}, text.decode())


def _no_room(_self: reflink.ReflinkStore) -> base.Capacity:
    """Leave out the store, whose filesystem has no reflinks here."""
    return base.Capacity(2, 1, 1)


def main() -> None:
    """Measure, and print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument('exports', nargs='?', type=int, default=500)
    arguments.add_argument('--events', type=int, default=200,
                           help='events in the log since the last scrape')
    arguments.add_argument('--rounds', type=int, default=15)
    arguments.add_argument('--profile', help='write a profile to this file')
    parsed = arguments.parse_args()
    print(json.dumps(measure(parsed.exports, parsed.rounds, parsed.events,
                             parsed.profile).figures))


if __name__ == '__main__':
    main()
