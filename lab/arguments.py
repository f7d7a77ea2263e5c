# SPDX-License-Identifier: Apache-2.0
"""Types of the command line."""

import argparse
from typing import Protocol


class Subparsers(Protocol):
    """What :meth:`argparse.ArgumentParser.add_subparsers` returns.

    Its class is private to argparse and generic for type checkers only.
    """

    def add_parser(self, name: str, *, help: str | None = None,
                   description: str | None = None) -> argparse.ArgumentParser:
        """Add a command."""
