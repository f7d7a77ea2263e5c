# SPDX-License-Identifier: Apache-2.0
"""The operator's command, ``mydriver``."""

from collections.abc import Sequence
import sys
from typing import Any

from cliff import app, commandmanager

from mydriver import releases
from mydriver.cmd import gateway, restore, show, status

COMMANDS = {
    'gateway': gateway.Gateway,
    'gateway drain': gateway.Drain,
    'gateway forget': gateway.Forget,
    'gateway list': gateway.List,
    'restore': restore.Restore,
    'show': show.Show,
    'status': status.Status,
}


class Commands(commandmanager.CommandManager):
    """The commands above; entry points cannot add more."""

    def __init__(self) -> None:
        super().__init__('mydriver.commands')
        for name, command in COMMANDS.items():
            self.add_command(name, command)


class MyDriver(app.App):
    """The command line application."""

    def __init__(self, **streams: Any) -> None:
        super().__init__(
            description='Check and restore the iSCSI exports of mydriver on a '
            'Cinder storage host, or serve those of a backend in Ceph.',
            version=releases.own(),
            command_manager=Commands(), deferred_help=True, **streams)


def main(argv: Sequence[str] | None = None, **streams: Any) -> int:
    """Run a command.

    :param argv: its arguments; default: those of the process.
    :param streams: ``stdout`` and ``stderr``, for tests.
    :returns: the exit status.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    return int(MyDriver(**streams).run(arguments))


if __name__ == '__main__':
    sys.exit(main())
