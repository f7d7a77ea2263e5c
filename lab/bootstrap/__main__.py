# SPDX-License-Identifier: Apache-2.0
"""Prepare a Debian 12 machine for the lab: ``python3 -m lab.bootstrap``."""

import argparse
import fcntl
import os
import sys
import time

from lab.bootstrap import debian, environments, steps


def prepare() -> None:
    """Install whatever is missing."""
    os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
    steps.STATE.mkdir(exist_ok=True)
    with open(steps.STATE / 'bootstrap.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = debian.missing_packages(
            debian.debian_packages((steps.ROOT / 'bindep.txt').read_text()))
        if missing:
            debian.install_packages(missing)
        environments.update()


def main() -> int:
    """Run from the command line; returns the exit status."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    start = time.monotonic()
    try:
        prepare()
    except steps.BootstrapError as e:
        print(f'bootstrap: {e}', file=sys.stderr)
        return 1
    took = time.monotonic() - start
    if took > 1:
        steps.say(f'ready after {took:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
