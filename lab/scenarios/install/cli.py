# SPDX-License-Identifier: Apache-2.0
"""``python -m lab install``."""

import argparse
from collections.abc import Iterable
import dataclasses
import json
import time

from lab import arguments, paths
from lab.cloud import driver
from lab.scenarios.install import host

#: The result of the last run.
RESULT = paths.STATE / 'install.json'

_STORES = (driver.REFLINK, driver.LVMTHIN)


def register(subparsers: arguments.Subparsers) -> None:
    """Add the command to ``python -m lab``."""
    install = subparsers.add_parser(
        'install', help='install the driver on hosts made anew',
        description='Makes two Debian roots by debootstrap, with cinder and '
        'nova as an operator has them, and boots them with their own systemd '
        'as hosts of a cloud. Types what README and the installation page '
        'say, attaches a volume, reboots the storage host, removes the '
        'driver again, and compares the files. Exit status 0 only if every '
        'step passed.')
    arguments.add_store(install, _STORES, _STORES[0])
    arguments.add_keep(install)
    install.set_defaults(func=_install)


def _install(args: argparse.Namespace) -> int:
    # Late: the SDK takes a while to import, and other commands do without.
    from lab.cloud import api
    from lab.scenario import report, runner
    from lab.scenarios.install import story

    start = time.monotonic()
    typed: list[host.Typed] = []

    def make(cloud: api.Cloud, told: report.Report) -> story.Story:
        return story.Story(cloud, told, typed)

    told = runner.play({'store': args.store, 'hosts': False}, args.keep, make)
    told.write(RESULT)
    result = json.loads(RESULT.read_text())
    RESULT.write_text(json.dumps({
        **result, 'store': args.store,
        'commands': [dataclasses.asdict(t) for t in typed]}, indent=1) + '\n')
    print(f'\n{table(typed)}\n\n{told.table()}')
    print(f'\nInstall: {time.monotonic() - start:.0f} s; {RESULT}')
    print(told.summary())
    return int(told.failed)


def table(typed: Iterable[host.Typed]) -> str:
    """Return the commands that were typed, and how long each took."""
    rows = [f'{t.host:8}{t.seconds:7.1f} s  {t.command}' for t in typed]
    return '\n'.join(['Host        Time  Command', *rows])
