# SPDX-License-Identifier: Apache-2.0
"""``python -m lab takeover``."""

import argparse
import functools

from lab import arguments, paths

#: The result of the last run.
RESULT = paths.STATE / 'takeover.json'


def register(subparsers: arguments.Subparsers) -> None:
    """Add the command to ``python -m lab``."""
    takeover = subparsers.add_parser(
        'takeover', help='lose gateways under I/O in every way',
        description='Brings the cloud up with two gateways, attaches a '
        'volume that a guest writes to all the time, and takes the gateway '
        'that serves it away: its power, its networks, its processor, its '
        'daemon, and as planned. After each, the guest must have seen no '
        'error, no acknowledged record may be lost, the lost gateway has to '
        'come back and clean up. Prints how long the writes paused. Exit '
        'status 0 only if all of that holds and the pauses are short.')
    takeover.add_argument(
        '--runs', type=int, metavar='N', help='how often a gateway is lost; '
        'each case in turn (default: each once)')
    takeover.add_argument(
        '--case', action='append', dest='cases', metavar='NAME',
        help='only this case; can be given several times')
    arguments.add_keep(takeover)
    takeover.set_defaults(func=_takeover)


def _takeover(args: argparse.Namespace) -> int:
    # Late: the SDK takes a while to import, and other commands do without.
    from lab.scenario import runner
    from lab.scenarios.takeover import cases, story
    chosen = cases.chosen(args.cases, args.runs)
    return runner.command('Takeover', RESULT, {
        'store': 'rbd', 'gateways': 2}, args.keep,
        functools.partial(story.Story, chosen))
