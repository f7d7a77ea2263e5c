# SPDX-License-Identifier: Apache-2.0
"""``python -m lab fill``."""

import argparse

from lab import paths
from lab.arguments import Subparsers
from lab.cloud import settings

#: The result of the last run.
RESULT = paths.STATE / 'fill.json'

#: Space for what the steps write before the store is full, and little more.
_STORAGE_GIB = 3


def register(subparsers: Subparsers) -> None:
    """Add the command to ``python -m lab``."""
    fill = subparsers.add_parser(
        'fill', help='let a guest fill the store, and recover',
        description='Brings a cloud up with a small store, lets a guest write '
        'until it is full, and shows what the APIs, the log and the guests '
        'see. Then makes room as the operations guide says, and shows that '
        'everything works again and no data was lost. A cloud that is '
        'already up must have such a store. Exit status 0 only if every step '
        'passed.')
    fill.add_argument('--store', choices=settings.STORES, default='reflink',
                      help='the store to fill (default: %(default)s)')
    fill.add_argument('--keep', action='store_true',
                      help='leave the cloud up')
    fill.set_defaults(func=_fill)


def _fill(args: argparse.Namespace) -> int:
    # Late: the SDK takes a while to import, and other commands do without.
    from lab.scenario import runner
    from lab.scenarios.fill import story
    return runner.command('Fill', RESULT, {
        'store': args.store, 'storage_gib': _STORAGE_GIB}, args.keep,
        story.Story)
