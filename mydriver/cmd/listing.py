# SPDX-License-Identifier: Apache-2.0
"""Base of the commands that list something of each backend."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
import sys
from typing import Any, ClassVar

from cliff import lister, utils
from oslo_log import log as logging

from mydriver import exception
from mydriver.cmd import arguments, backends, tables

LOG = logging.getLogger(__name__)

#: Formats in which a missing value is null instead of empty.
_WITH_NULL = ('json', 'yaml')


class Listing(lister.Lister):
    """A list with rows of several backends.

    A backend that cannot be read is logged, the rows of the others are shown,
    and the exit status is 1.

    :cvar COLUMNS: what programs and ``--long`` get.
    :cvar NARROW: the columns of the table that people get by default; it fits
        into 100 characters.
    :cvar NARROWEST: how narrow some of them can get on a terminal, those that
        give way first.
    """

    COLUMNS: tuple[str, ...]
    NARROW: tuple[str, ...]
    NARROWEST: ClassVar[Mapping[str, int]]

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            '--long', action='store_true', help='show all columns and whole '
            'names; formats other than table always have them')
        arguments.add(parser)
        return parser

    def rows(self, backend: backends.Backend) -> Iterable[Sequence[Any]]:
        """Yield the rows of a backend, with all columns.

        :raises MyDriverError: when it cannot be read.
        """
        raise NotImplementedError

    def narrow(self, row: Sequence[Any]) -> Sequence[Any]:
        """Return a row of the narrow table."""
        raise NotImplementedError

    def take_action(self, parsed_args: argparse.Namespace
                    ) -> tuple[tuple[str, ...], list[Sequence[Any]]]:
        """Return the columns and the rows."""
        found: list[Sequence[Any]] = []
        self._wrong = False
        for backend in arguments.open_backends(parsed_args):
            try:
                if backend.has_gateways or backend.has_journal():
                    found += self.rows(backend)
                else:
                    LOG.warning('Backend %s has no journal yet at %s',
                                backend.name, backend.journal_path)
            except exception.MyDriverError as e:
                LOG.error('Backend %s: %s', backend.name, e)
                self._wrong = True
        is_narrow = parsed_args.formatter == 'table' and not parsed_args.long
        if is_narrow:
            return self.NARROW, fitted(
                self.NARROW, [tables.blank(self.narrow(r)) for r in found],
                self.NARROWEST, parsed_args)
        return self.COLUMNS, [
            tuple(r) if parsed_args.formatter in _WITH_NULL
            else tables.blank(r) for r in found]

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the list; return the exit status."""
        return int(super().run(parsed_args)) or int(self._wrong)


def fitted(names: Sequence[str], rows: Sequence[Sequence[Any]],
           narrowest: Mapping[str, int], parsed: argparse.Namespace
           ) -> list[Sequence[Any]]:
    """Return the rows of a table, which fit where cliff would wrap them.

    cliff breaks ids and names, each into several lines.

    :param narrowest: see :func:`.tables.give_way`.
    """
    columns = parsed.max_width
    if columns < 1 and (parsed.fit_width or sys.stdout.isatty()):
        columns = utils.terminal_width() or 0
    if columns < 1 or parsed.columns:
        return list(rows)
    return tables.fit(names, rows, narrowest, columns)
