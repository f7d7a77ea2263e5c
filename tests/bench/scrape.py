# SPDX-License-Identifier: Apache-2.0
"""Measure a scrape of the metrics, on a copied tree of a kernel target.

::

    python -m tests.bench.scrape [EXPORTS]

Prints the time of this process's CPU for a scrape, and its parts.
"""

import argparse
import cProfile
import json
import os
from pathlib import Path
import statistics as figures
import tempfile
import time
from unittest import mock
import uuid

import prometheus_client

from mydriver import model
from mydriver.cmd import backends
from mydriver.cmd.monitoring import collector
from mydriver.stores import base
from mydriver.stores.reflink import store as reflink
from mydriver.target import statistics
from mydriver.target.journal import sqlite
from tests.fakes import kernel_tree

_TARGETS = [model.Iqn(f'iqn.2010-10.org.openstack:mydriver-host-disks-{n}')
            for n in range(4)]
_HOSTS = [model.Iqn(f'iqn.1993-08.org.debian:01:host{n}') for n in range(10)]
_CONF = """\
[DEFAULT]
state_path = {folder}/state
my_ip = 192.0.2.1
enabled_backends = disks
[disks]
volume_driver = mydriver.cinder_volume.driver.LIODriver
mydriver_store_path = {folder}/store
"""


def make(folder: Path, exports: int) -> tuple[backends.Backend,
                                              statistics.Statistics]:
    """Make a backend whose exports are all mapped, and its kernel target."""
    conf = folder / 'cinder.conf'
    conf.write_text(_CONF.format(folder=folder))
    backend, = backends.read([str(conf)])
    os.makedirs(backend.state_path, mode=0o700)
    (folder / 'store').mkdir()
    tree = kernel_tree.Tree(folder)
    journal = sqlite.SqliteJournal(backend.journal_path, 'bench')
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
    journal.close()
    return backend, tree.statistics()


def measure(exports: int, rounds: int, profile: str | None = None
            ) -> dict[str, float]:
    """Return figures of a scrape, in ms of CPU and bytes."""
    with tempfile.TemporaryDirectory(dir='/dev/shm') as name:
        backend, seen = make(Path(name), exports)
        registry = prometheus_client.CollectorRegistry()
        its = collector.Collector([collector.BackendSource(backend)])
        registry.register(its)
        spent, text = [], b''
        with mock.patch.object(statistics, 'HOST', seen), mock.patch.object(
                reflink.ReflinkStore, 'capacity', _no_room):
            profiler = cProfile.Profile()
            for n in range(rounds):
                if profile and n:
                    profiler.enable()
                started = time.process_time()
                text = prometheus_client.generate_latest(registry)
                spent.append((time.process_time() - started) * 1e3)
                profiler.disable()
        if profile:
            profiler.dump_stats(profile)
        if its.errors:
            raise AssertionError(its.errors)
    lines = [x for x in text.decode().splitlines() if not x.startswith('#')]
    return {'exports': exports, 'samples': len(lines), 'bytes': len(text),
            'first_ms': round(spent[0], 1),
            'median_ms': round(figures.median(spent), 1),
            'least_ms': round(min(spent), 1)}


def _no_room(_self: reflink.ReflinkStore) -> base.Capacity:
    """Leave out the store, whose filesystem has no reflinks here."""
    return base.Capacity(2, 1, 1)


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('exports', nargs='?', type=int, default=500)
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--profile', help='write a profile to this file')
    parsed = parser.parse_args()
    print(json.dumps(measure(parsed.exports, parsed.rounds, parsed.profile)))


if __name__ == '__main__':
    main()
