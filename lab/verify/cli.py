# SPDX-License-Identifier: Apache-2.0
"""``python -m lab verify``."""

import argparse
import dataclasses
import time

from lab import paths
from lab.cloud import settings

#: What became of the last verification.
RESULT = paths.STATE / 'verify.json'


def register(subparsers: argparse._SubParsersAction) -> None:
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
                        help='of nova-compute, when the cloud is brought up')
    verify.add_argument('--store', choices=settings.STORES,
                        help="where our driver's backend keeps volumes, when "
                        'the cloud is brought up (default: reflink)')
    verify.add_argument('--keep', action='store_true',
                        help='leave the cloud up')
    verify.set_defaults(func=_verify)


def _verify(args: argparse.Namespace) -> int:
    # Late: the SDK takes a while to import, and other commands do without.
    from lab.cloud import api
    from lab.cloud import up as cloud_up
    from lab.scenario import report
    from lab.verify import story
    start = time.monotonic()
    layout = settings.Layout()
    was_up = cloud_up.is_up(layout)
    if not was_up:
        asked = {'compute_driver': args.compute_driver, 'store': args.store}
        api.up(dataclasses.replace(
            settings.Options(debug_all=True),
            **{k: v for k, v in asked.items() if v is not None}))
    told = report.Report(lambda: sorted(layout.logs.glob('*.log')))
    try:
        tale = story.Story(api.Cloud())
        told.run_all(tale.steps())
        for name, act in tale.last_steps():
            told.run(name, act)
    finally:
        if not (args.keep or was_up):
            api.down()
    told.write(RESULT)
    print(f'Verification: {time.monotonic() - start:.0f} s; {RESULT}')
    print(told.summary())
    return int(told.failed)
