# SPDX-License-Identifier: Apache-2.0
"""``python -m lab verify``."""

import argparse

from lab import paths
from lab.arguments import Subparsers
from lab.cloud import settings

#: What became of the last verification.
RESULT = paths.STATE / 'verify.json'


def register(subparsers: Subparsers) -> None:
    """Add the command to ``python -m lab``."""
    verify = subparsers.add_parser(
        'verify', help='try what an operator fears, on the cloud',
        description='Brings the cloud up with every service at DEBUG, unless '
        'it is up, and tries: exports made by hand beside ours, wrong '
        'connectors, a stopped target, services killed in the middle of an '
        'attach, a reboot of the storage node; then searches logs, process '
        'arguments, the journal and the databases for the CHAP secrets in '
        'use. Exit status 0 only if all held.')
    verify.add_argument('--compute-driver', metavar='NAME',
                        help='of nova-compute (default: '
                        'mydriver.LibvirtDriver)')
    verify.add_argument('--store', choices=settings.STORES,
                        help="where our driver's backend keeps volumes "
                        '(default: reflink)')
    verify.add_argument('--keep', action='store_true',
                        help='leave the cloud up')
    verify.set_defaults(func=_verify)


def _verify(args: argparse.Namespace) -> int:
    # Late: the SDK takes a while to import, and other commands do without.
    from lab.scenario import runner
    from lab.scenarios.verify import story
    return runner.command('Verification', RESULT, {
        'compute_driver': args.compute_driver, 'store': args.store,
        'debug_all': True}, args.keep, story.Story)
