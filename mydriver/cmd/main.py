# SPDX-License-Identifier: Apache-2.0
"""The operator's command, ``mydriver``."""

import argparse
from collections.abc import Sequence
import importlib
import logging
import sys
from typing import Any

from cliff import app, commandmanager

from mydriver import exception, releases
from mydriver.cmd import completion, extras, messages

#: Module and class of each command. They are imported when they are needed:
#: a compute host lacks what those of storage hosts import.
COMMANDS = {
    'doctor': 'doctor:Doctor',
    'export list': 'exports:List',
    'export show': 'exports:Show',
    'gateway': 'gateway:Gateway',
    'gateway drain': 'gateway:Drain',
    'gateway forget': 'gateway:Forget',
    'gateway list': 'gateway:List',
    'journal downgrade': 'journal:Downgrade',
    'metrics': 'metrics:Metrics',
    'restore': 'restore:Restore',
    'session list': 'sessions:List',
    'setup': 'setup:Setup',
    'show': 'show:Show',
    'status': 'status:Status',
    'top': 'top:Top',
    'trace': 'trace:Trace',
}


class Entry:
    """A command, in the form of an entry point.

    :param name: what the operator types.
    :param value: its module in this package and its class.
    """

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = f'{__package__}.{value}'

    def __repr__(self) -> str:
        """Return what ``mydriver help`` shows if it cannot be loaded."""
        return f'mydriver {self.name}: it needs mydriver[storage]'

    def load(self) -> Any:
        """Return the class.

        :raises ConfigurationError: when something that it imports is not
            installed.
        """
        module, _, name = self.value.partition(':')
        try:
            return getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as e:
            raise extras.needs_storage(self.name, e) from e


class Commands(commandmanager.CommandManager):
    """The commands above; entry points cannot add more."""

    def __init__(self) -> None:
        super().__init__('mydriver.commands')
        self.commands.update((n, Entry(n, v)) for n, v in COMMANDS.items())


class MyDriver(app.App):
    """The command line application."""

    def __init__(self, **streams: Any) -> None:
        super().__init__(
            description='Set up and check a host for mydriver; check, watch '
            'and restore the iSCSI exports on a Cinder storage host, or serve '
            'those of a backend in Ceph; trace an attach through the logs.',
            version=releases.own(),
            command_manager=Commands(), deferred_help=True, **streams)
        self.command_manager.add_command('complete', completion.Complete)

    def configure_logging(self) -> None:
        """Show messages on standard error; all of them with ``-v``.

        Commands are imported after this, which can cause messages, too.
        """
        super().configure_logging()
        if self.options.verbose_level <= self.DEFAULT_VERBOSE_LEVEL:
            messages.limit(logging.getLogger().handlers[-1])

    def build_option_parser(self, description: str, version: str,
                            argparse_kwargs: dict[str, Any] | None = None
                            ) -> argparse.ArgumentParser:
        """Return the parser of what comes before the command.

        It takes no abbreviations: it sees the command's options first, and
        would take ``--log`` for its own ``--log-file``.
        """
        parser: argparse.ArgumentParser = super().build_option_parser(
            description, version,
            {**(argparse_kwargs or {}), 'allow_abbrev': False})
        return parser


def main(argv: Sequence[str] | None = None, **streams: Any) -> int:
    """Run a command.

    :param argv: its arguments; default: those of the process.
    :param streams: ``stdout`` and ``stderr``, for tests.
    :returns: the exit status.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    program = MyDriver(**streams)
    try:
        return int(program.run(arguments))
    except exception.MyDriverError as e:  # the command cannot be loaded
        print(e, file=program.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
