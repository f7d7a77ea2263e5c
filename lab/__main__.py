# SPDX-License-Identifier: Apache-2.0
"""``python -m lab``."""

import argparse
import importlib
import signal
import sys

from lab import errors

#: Command -> module whose ``register(subparsers)`` adds it. Each command sets
#: ``func``, which takes the parsed arguments and returns an exit status.
_COMMANDS = {'kernel': 'lab.kernel.cli', 'cloud': 'lab.cloud.cli',
             'guest': 'lab.guest.cli', 'demo': 'lab.scenarios.demo.cli',
             'verify': 'lab.scenarios.verify.cli',
             'fill': 'lab.scenarios.fill.cli',
             'upgrade': 'lab.scenarios.upgrade.cli',
             'takeover': 'lab.scenarios.takeover.cli',
             'cluster': 'lab.scenarios.cluster.cli',
             'install': 'lab.scenarios.install.cli',
             'tempest': 'lab.tempest.cli'}


def _modules(argv: list[str]) -> list[str]:
    """Return the modules to import: the command's own, or all of them."""
    named = _COMMANDS.get(argv[0]) if argv else None
    return [named] if named else list(_COMMANDS.values())


def main(argv: list[str] | None = None) -> int:
    """Run one command of the lab; return its exit status."""
    # SIGTERM raises, so that whatever was started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    parser = argparse.ArgumentParser(prog='python -m lab', description=(
        'A real kernel and a real OpenStack on one small machine.'))
    subparsers = parser.add_subparsers(required=True, metavar='COMMAND')
    argv = sys.argv[1:] if argv is None else argv
    for name in _modules(argv):
        importlib.import_module(name).register(subparsers)
    args = parser.parse_args(argv)
    try:
        return int(args.func(args))
    except errors.LabError as e:
        print(f'lab: {e}', file=sys.stderr)
        return e.exit_status
    except KeyboardInterrupt:
        return 130


if __name__ == '__main__':
    sys.exit(main())
