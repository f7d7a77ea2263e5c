# SPDX-License-Identifier: Apache-2.0
"""``lab cloud status``."""

from collections.abc import Callable
import functools
import time
from typing import Any

import requests

from lab import errors as lab_errors
from lab.cloud import network, ready, settings
from lab.cloud import site as cloud_site
from lab.cloud.control import rest
from lab.cloud.node import node
from lab.cloud.steps import wait
from lab.cloud.steps.registry import Registry

#: Maximum age of a service's report, seconds; they come every 5 or 10.
_OLD_S = 60


def show(layout: settings.Layout) -> int:
    """Print the cloud's state; return 0 if all of it is up, else 1."""
    noted = layout.read_status()
    if not noted:
        print('down')
        return 1
    since = time.strftime('%Y-%m-%d %H:%M:%S',
                          time.localtime(noted['since']))
    print(f'{noted["phase"]} since {since}, namespace {settings.NAMESPACE}, '
          + ', '.join(f'{k}: {v}' for k, v in noted['options'].items()))
    well = noted['phase'] == 'up'
    registry = Registry(layout.pids, layout.logs)
    for name in settings.Options.load(noted['options']).nodes:
        if not registry.get(f'node-{name}'):
            well = False
            print(f'OFF   node-{name}')
    for note in registry.all():
        alive = note.alive()
        well &= alive
        print(f'{"runs" if alive else "GONE":5} {note.name:18} '
              f'pid {note.pid:<8} {len(note.members())} processes')
    if not network.exists():
        print('GONE  the network namespace')
        return 1
    network.enter()
    site = cloud_site.load(layout)
    probes = _probes(site)
    for name, probe in probes.items():
        text = look(probe)
        well &= not text
        print(f'{"up" if not text else "DOWN":5} {name:18} {text}')
    return 0 if well else 1


def look(probe: Callable[[], Any]) -> str:
    """Return why a probe fails; empty if it succeeds."""
    try:
        return '' if probe() else 'not ready'
    except (wait.NotReady, OSError, ValueError, requests.RequestException,
            lab_errors.LabError) as e:
        return str(e)[:200]


def _probes(site: cloud_site.Site) -> dict[str, Callable[[], Any]]:
    """Return a probe for each API and each service's report."""
    old = time.time() - _OLD_S
    client = rest.Client(site)
    return {
        **({'ceph': functools.partial(ready.ceph, site)}
           if site.options.ceph else {}),
        **ready.apis(client),
        **{name: functools.partial(report, client, site.options, old)
           for name, report in ready.REPORTS.items()
           if name != node.BACKUP or site.options.backup},
    }
