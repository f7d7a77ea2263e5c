# SPDX-License-Identifier: Apache-2.0
"""``python -m lab``."""

import argparse
import importlib
import importlib.util
import signal
import sys

from lab import errors

#: Modules whose ``register(subparsers)`` adds commands; each command sets
#: ``func``, which takes the parsed arguments and returns an exit status.
_COMMANDS = ('lab.kernel.cli', 'lab.cloud.cli', 'lab.guest.cli',
             'lab.demo.cli')


def _exists(name: str) -> bool:
    return bool(importlib.util.find_spec(name.rpartition('.')[0])
                and importlib.util.find_spec(name))


def main(argv: list[str] | None = None) -> int:
    """Run one command of the lab; return its exit status."""
    # A TERM unwinds like an error, so that what was started is ended.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    parser = argparse.ArgumentParser(prog='python -m lab', description=(
        'A real kernel and a real OpenStack on one small machine.'))
    subparsers = parser.add_subparsers(required=True, metavar='COMMAND')
    for name in _COMMANDS:
        if _exists(name):
            importlib.import_module(name).register(subparsers)
    args = parser.parse_args(argv)
    try:
        return args.func(args)
    except errors.LabError as e:
        print(f'lab: {e}', file=sys.stderr)
        return e.exit_status
    except KeyboardInterrupt:
        return 130


if __name__ == '__main__':
    sys.exit(main())
