# SPDX-License-Identifier: Apache-2.0
"""``mydriver status``: check the backends."""

import argparse

from cliff import lister

from mydriver.cmd import arguments, health, rivals

COLUMNS = ('Backend', 'Part', 'State', 'Detail')

Row = tuple[str, str, str, str]


class Status(lister.Lister):
    """Check the backends.

    Checks the store and the host, and compares the journal with the kernel.
    Changes nothing. The exit status is 1 when something is wrong; warnings do
    not affect it. The output contains no secrets.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace
                    ) -> tuple[tuple[str, ...], list[Row]]:
        """Return the columns and the rows."""
        # First, while this is still root: the files may not be readable for
        # the user of cinder-volume.
        rows = [('-', 'rivals', 'warning', w) for w in rivals.warnings()]
        rows += [(backend.name, found.part, found.state, found.detail)
                 for backend in arguments.open_backends(
                     parsed_args, verbs=True)
                 for check in (health.check_host, health.check_exports)
                 for found in check(backend)]
        self._wrong = any(state == 'wrong' for _, _, state, _ in rows)
        return COLUMNS, rows

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the findings; return the exit status."""
        return int(super().run(parsed_args)) or int(self._wrong)
