# SPDX-License-Identifier: Apache-2.0
"""``mydriver show``: what is exported, and to whom."""

import argparse
from collections.abc import Iterator

from cliff import lister
from oslo_log import log as logging

from mydriver import exception, model
from mydriver.cmd import arguments, backends
from mydriver.target.journal import sqlite as journals

COLUMNS = ('Backend', 'Volume', 'WWN', 'Target', 'Initiator', 'LUN',
           'Read only', 'Size (GiB)', 'Device')

LOG = logging.getLogger(__name__)

Row = tuple[str, str, str, str, str, int | str, bool | str, float, str]


class Show(lister.Lister):
    """List the exports and mappings that stand in the journal.

    One line for each initiator that a volume is mapped to, and one for each
    export that is not mapped. There are no secrets in it.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace
                    ) -> tuple[tuple[str, ...], list[Row]]:
        """Return columns and rows."""
        found: list[Row] = []
        self._wrong = False
        for backend in arguments.backends_of(parsed_args):
            try:
                if backend.has_journal():
                    found += rows(backend)
                else:
                    LOG.warning('Backend %s has no journal yet at %s',
                                backend.name, backend.journal_path)
            except exception.MyDriverError as e:
                LOG.error('Backend %s: %s', backend.name, e)
                self._wrong = True
        return COLUMNS, found

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Return the exit status."""
        return int(super().run(parsed_args)) or int(self._wrong)


def rows(backend: backends.Backend) -> Iterator[Row]:
    """Give the lines of one backend, by volume."""
    journal = journals.SqliteJournal(backend.journal_path, 'show',
                                     read_only=True)
    try:
        mapped: dict[str, list[model.Mapping]] = {}
        for placed in journal.mappings():
            mapped.setdefault(placed.mapping.volume_id, []).append(
                placed.mapping)
        for export in sorted(journal.exports(), key=lambda e: e.volume_id):
            head = (backend.name, export.volume_id,
                    f'0x{model.naa_id(export.volume_id)}',
                    str(export.target))
            tail = (round(export.device.size_bytes / 1024 ** 3, 2),
                    export.device.path)
            for mapping in mapped.get(export.volume_id, ()):
                yield (*head, str(mapping.initiator), mapping.lun,
                       mapping.read_only, *tail)
            if export.volume_id not in mapped:
                yield (*head, '', '', '', *tail)
    finally:
        journal.close()
