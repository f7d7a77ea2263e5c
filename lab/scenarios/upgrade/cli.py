# SPDX-License-Identifier: Apache-2.0
"""``python -m lab upgrade``."""

import argparse
import functools

from lab import arguments, paths
from lab.cloud import settings

#: The result of the last run.
RESULT = paths.STATE / 'upgrade.json'


def register(subparsers: arguments.Subparsers) -> None:
    """Add the command to ``python -m lab``."""
    upgrade = subparsers.add_parser(
        'upgrade', help='upgrade the driver under I/O, and go back',
        description='Brings the cloud up with the driver of an earlier '
        'revision, attaches a volume that a guest writes to all the time, '
        'restarts cinder-volume, nova-compute and their privileged daemons '
        "with the working tree's code, uses that, and goes back to the "
        'earlier code. Checks after each restart which code is running, that '
        'the guest saw neither an error nor a long pause, and that volumes '
        'can be extended, snapshotted, detached and attached. Exit status 0 '
        'only if every step passed.')
    upgrade.add_argument('--from', dest='revision', metavar='REV',
                         required=True, help='commit, tag or branch to '
                         'upgrade from')
    arguments.add_store(upgrade, settings.STORES)
    arguments.add_keep(upgrade)
    upgrade.set_defaults(func=_upgrade)


def _upgrade(args: argparse.Namespace) -> int:
    # Late: the SDK takes a while to import, and other commands do without.
    from lab.scenario import runner
    from lab.scenarios.upgrade import source, story
    earlier = source.check_out(args.revision)
    return runner.command('Upgrade', RESULT, {
        'store': args.store, 'code': str(earlier.folder)}, args.keep,
        functools.partial(story.Story, earlier))
