# SPDX-License-Identifier: Apache-2.0
"""``python -m lab verify``."""

import argparse

from lab import arguments, paths
from lab.cloud import settings

#: The result of the last verification.
RESULT = paths.STATE / 'verify.json'


def register(subparsers: arguments.Subparsers) -> None:
    """Add the command to ``python -m lab``."""
    verify = subparsers.add_parser(
        'verify', help='crashes, wrong connectors, leaked secrets',
        description='Brings the cloud up with every service at DEBUG and '
        'tries: an export made by hand beside ours, wrong connectors, a '
        'stopped target, services killed during an attach, a reboot of the '
        'storage node; searches logs, process arguments, the journal and the '
        'databases for the CHAP secrets in use. Exit status 0 only if every '
        'step passed.')
    verify.add_argument('--compute-driver', metavar='NAME',
                        help='of nova-compute (default: '
                        'mydriver.LibvirtDriver)')
    arguments.add_store(verify, settings.STORES)
    arguments.add_keep(verify)
    verify.set_defaults(func=_verify)


def _verify(args: argparse.Namespace) -> int:
    # Late: the SDK takes a while to import, and other commands do without.
    from lab.scenario import runner
    from lab.scenarios.verify import story
    return runner.command('Verification', RESULT, {
        'compute_driver': args.compute_driver, 'store': args.store,
        'debug_all': True}, args.keep, story.Story)
