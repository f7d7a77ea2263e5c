# SPDX-License-Identifier: Apache-2.0
"""``python -m lab fill``."""

import argparse

from lab import arguments, paths
from lab.cloud import driver

#: The result of the last run.
RESULT = paths.STATE / 'fill.json'

#: A full Ceph makes writes wait, for all of its pools: nothing here applies.
_STORES = (driver.REFLINK, driver.LVMTHIN)

#: Space for what the steps write before the store is full, and little more.
_STORAGE_GIB = 3


def register(subparsers: arguments.Subparsers) -> None:
    """Add the command to ``python -m lab``."""
    fill = subparsers.add_parser(
        'fill', help='let a guest fill the store, and recover',
        description='Brings a cloud up with a small store, lets a guest write '
        'until it is full, and shows what the APIs, the log and the guests '
        'see. Then makes room as the operations guide says, and shows that '
        'everything works again and no data was lost. A cloud that is '
        'already up must have such a store. Exit status 0 only if every step '
        'passed.')
    arguments.add_store(fill, _STORES, _STORES[0])
    arguments.add_keep(fill)
    fill.set_defaults(func=_fill)


def _fill(args: argparse.Namespace) -> int:
    # Late: the SDK takes a while to import, and other commands do without.
    from lab.scenario import runner
    from lab.scenarios.fill import story
    return runner.command('Fill', RESULT, {
        'store': args.store, 'storage_gib': _STORAGE_GIB}, args.keep,
        story.Story)
