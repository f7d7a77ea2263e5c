# SPDX-License-Identifier: Apache-2.0
"""What the commands of the lab share: options, and types."""

import argparse
from collections.abc import Sequence
from typing import Protocol


class Subparsers(Protocol):
    """What :meth:`argparse.ArgumentParser.add_subparsers` returns.

    Its class is private to argparse and generic for type checkers only.
    """

    def add_parser(self, name: str, *, help: str | None = None,
                   description: str | None = None) -> argparse.ArgumentParser:
        """Add a command."""


def add_keep(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves the cloud of a run up."""
    parser.add_argument('--keep', action='store_true',
                        help='leave the cloud up')


def add_store(parser: argparse.ArgumentParser, stores: Sequence[str],
              default: str | None = None) -> None:
    """Add the option for the store of a run.

    :param stores: the kinds that can be asked for, first the one that a new
        cloud has by default.
    :param default: None takes a cloud that is up as it is.
    """
    parser.add_argument('--store', choices=stores, default=default,
                        help="where our driver's backend keeps volumes "
                        f'(default: {stores[0]})')
