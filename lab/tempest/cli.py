# SPDX-License-Identifier: Apache-2.0
"""``python -m lab tempest``."""

import argparse

from lab import arguments, paths
from lab.cloud import settings

#: The result of the last run.
RESULT = paths.STATE / 'tempest.json'


def register(subparsers: arguments.Subparsers) -> None:
    """Add the command to ``python -m lab``."""
    tempest = subparsers.add_parser(
        'tempest', help="run OpenStack's own tests on the cloud",
        description='Brings the cloud up with a second backend and '
        'cinder-backup, runs tempest and cinder-tempest-plugin on it, and '
        'prints what passed, failed and was skipped, and why. Exit status 0 '
        'only if no test failed, each skip is on the committed list, and '
        'nothing is left on the nodes.')
    tempest.add_argument(
        '--regex', metavar='R', help='pattern of test names (default: '
        'the volume tests of tempest, and cinder-tempest-plugin)')
    arguments.add_store(tempest, settings.STORES, settings.STORES[0])
    tempest.add_argument(
        '--concurrency', type=int, default=6, metavar='N',
        help='number of parallel tests (default: %(default)s)')
    tempest.add_argument(
        '--timeout', type=int, default=7200, metavar='S',
        help='seconds after which the tests are stopped (default: '
        '%(default)s)')
    arguments.add_keep(tempest)
    tempest.set_defaults(func=_tempest)


def _tempest(args: argparse.Namespace) -> int:
    # Late: tempest and the SDK take a while to import.
    from lab.tempest import session
    told = session.play(session.Order(
        args.store, args.regex or None, args.concurrency, args.timeout,
        args.keep))
    told.write(RESULT)
    if text := told.failures():
        print(f'\n{text}')
    for complaint in told.complaints:
        print(f'WRONG {complaint}')
    print(f'\n{told.table()}\n{told.summary()}')
    return int(told.failed)
