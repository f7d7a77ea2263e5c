# SPDX-License-Identifier: Apache-2.0
"""``mydriver show``: list the exports and their initiators."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from mydriver.cmd import backends, exports

COLUMNS = exports.OF_THE_JOURNAL

Row = tuple[str, str, str, str, str, int | str, bool | str, float, str]


class Show(exports.List):
    """List the exports and mappings in the journal.

    The same as ``export list --long`` without what the kernel counts. The
    list has one line for each initiator that a volume is mapped to, and one
    for each export without a mapping. It contains no secrets.
    """

    COLUMNS = COLUMNS

    def take_action(self, parsed_args: argparse.Namespace
                    ) -> tuple[tuple[str, ...], list[Sequence[Any]]]:
        """Return the columns and the rows."""
        parsed_args.long = True
        return super().take_action(parsed_args)

    def rows(self, backend: backends.Backend) -> Iterator[Row]:
        """Yield the lines of a backend."""
        return rows(backend)


def rows(backend: backends.Backend) -> Iterator[Row]:
    """Yield the lines of a backend, ordered by volume."""
    for found in exports.read(backend):
        yield found.of_the_journal()
