# SPDX-License-Identifier: Apache-2.0
"""``mydriver status``: whether each backend is in order."""

import argparse

from cliff import lister

from mydriver.cmd import arguments, health, rivals

COLUMNS = ('Backend', 'Part', 'State', 'Detail')

Row = tuple[str, str, str, str]


class Status(lister.Lister):
    """Tell whether the backends are in order.

    The store is tried, and the journal is compared with the kernel. The exit
    status is 1 when something is wrong; a warning alone does not change it.
    There are no secrets in the output.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace
                    ) -> tuple[tuple[str, ...], list[Row]]:
        """Return columns and rows."""
        # Root may read what cinder-volume's user, whom it becomes, may not.
        rows = [('-', 'rivals', 'warning', w) for w in rivals.warnings()]
        rows += [(backend.name, found.part, found.state, found.detail)
                 for backend in arguments.backends_of(parsed_args, verbs=True)
                 for look in (health.of_host, health.of_exports)
                 for found in look(backend)]
        self._wrong = any(state == 'wrong' for _, _, state, _ in rows)
        return COLUMNS, rows

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Return the exit status."""
        return int(super().run(parsed_args)) or int(self._wrong)
