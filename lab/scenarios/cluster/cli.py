# SPDX-License-Identifier: Apache-2.0
"""``python -m lab cluster``."""

import argparse
import functools

from lab import arguments, paths

#: The result of the last run.
RESULT = paths.STATE / 'cluster.json'


def register(subparsers: arguments.Subparsers) -> None:
    """Add the command to ``python -m lab``."""
    cluster = subparsers.add_parser(
        'cluster', help='kill cinder-volume services of a cluster under load',
        description='Brings the cloud up with two gateways and two '
        'cinder-volume services of one cluster. Volumes are created, cloned, '
        'snapshotted, extended, retyped, attached, detached and deleted all '
        'the time, and services are killed at random and started again. '
        'Exit status 0 only if each operation that failed was one of a '
        'service that was killed, if everything could be deleted, and if '
        'nothing is left over.')
    cluster.add_argument('--minutes', type=float, default=15, metavar='N',
                         help='how long (default: %(default)s)')
    cluster.add_argument('--workers', type=int, default=4, metavar='N',
                         help='operations at the same time '
                         '(default: %(default)s)')
    cluster.add_argument('--seed', type=int, metavar='N',
                         help='of the random times and choices')
    arguments.add_keep(cluster)
    cluster.set_defaults(func=_cluster)


def _cluster(args: argparse.Namespace) -> int:
    # Late: the SDK takes a while to import, and other commands do without.
    from lab.scenario import runner
    from lab.scenarios.cluster import story
    return runner.command('Cluster', RESULT, {
        'store': 'rbd', 'gateways': 2, 'volumes': 2}, args.keep,
        functools.partial(story.Story, args.minutes * 60, args.workers,
                          args.seed))
