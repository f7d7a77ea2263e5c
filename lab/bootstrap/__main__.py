# SPDX-License-Identifier: Apache-2.0
"""Prepare a Debian 12 machine for the lab: ``python3 -m lab.bootstrap``."""

import argparse
import fcntl
import os
import sys
import time

from lab.bootstrap import debian, environments, releases, steps


def prepare(release: str = releases.DEFAULT, tests: bool = False) -> None:
    """Install whatever is missing.

    :param release: of OpenStack, for the lab.
    :param tests: also for the unit tests with all other releases.
    :raises steps.BootstrapError: when a step fails.
    """
    group = [environments.lab(release)]
    if group[0] is environments.DEFAULT:
        group.append(environments.ENGINE)
    if tests:
        group += map(environments.unit, releases.others())
    os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
    steps.STATE.mkdir(exist_ok=True)
    with open(steps.STATE / 'bootstrap.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = debian.missing_packages(
            debian.debian_packages((steps.ROOT / 'bindep.txt').read_text()))
        if missing:
            debian.install_packages(missing)
        environments.update(group)


def main() -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--release', default=releases.DEFAULT, metavar='NAME',
        help='release of OpenStack for the lab, one of '
             f'{", ".join((*releases.others(), releases.DEFAULT))} (default: '
             f'{releases.DEFAULT}); others than the default have an '
             'environment of their own, .lab/venv-NAME')
    parser.add_argument(
        '--tests', action='store_true',
        help='also the environments of the unit tests with the other releases')
    args = parser.parse_args()
    start = time.monotonic()
    try:
        prepare(args.release, args.tests)
    except steps.BootstrapError as e:
        print(f'bootstrap: {e}', file=sys.stderr)
        return 1
    took = time.monotonic() - start
    if took > 1:
        steps.say(f'ready after {took:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
