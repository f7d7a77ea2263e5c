# SPDX-License-Identifier: Apache-2.0
"""``mydriver show``: list the exports and their initiators."""

import argparse
from collections.abc import Iterator
import contextlib

from cliff import lister
from oslo_log import log as logging
from oslo_utils import units

from mydriver import exception, model
from mydriver.cmd import arguments, backends, gateways
from mydriver.target.journal import base
from mydriver.target.journal import sqlite as journals

COLUMNS = ('Backend', 'Volume', 'WWN', 'Target', 'Initiator', 'LUN',
           'Read only', 'Size (GiB)', 'Device')

LOG = logging.getLogger(__name__)

Row = tuple[str, str, str, str, str, int | str, bool | str, float, str]


class Show(lister.Lister):
    """List the exports and mappings in the journal.

    The list has one line for each initiator that a volume is mapped to, and
    one for each export without a mapping. It contains no secrets.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace
                    ) -> tuple[tuple[str, ...], list[Row]]:
        """Return the columns and the rows."""
        found: list[Row] = []
        self._wrong = False
        for backend in arguments.open_backends(parsed_args):
            try:
                if backend.has_gateways or backend.has_journal():
                    found += rows(backend)
                else:
                    LOG.warning('Backend %s has no journal yet at %s',
                                backend.name, backend.journal_path)
            except exception.MyDriverError as e:
                LOG.error('Backend %s: %s', backend.name, e)
                self._wrong = True
        return COLUMNS, found

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the list; return the exit status."""
        return int(super().run(parsed_args)) or int(self._wrong)


def rows(backend: backends.Backend) -> Iterator[Row]:
    """Yield the lines of a backend, ordered by volume."""
    with _journal(backend) as journal:
        mapped: dict[str, list[model.Mapping]] = {}
        for placed in journal.mappings():
            mapped.setdefault(placed.mapping.volume_id, []).append(
                placed.mapping)
        for export in sorted(journal.exports(), key=lambda e: e.volume_id):
            head = (backend.name, export.volume_id,
                    f'0x{model.naa_id(export.volume_id)}',
                    str(export.target))
            tail = (round(export.device.size_bytes / units.Gi, 2),
                    export.device.path)
            for mapping in mapped.get(export.volume_id, ()):
                yield (*head, str(mapping.initiator), mapping.lun,
                       mapping.read_only, *tail)
            if export.volume_id not in mapped:
                yield (*head, '', '', '', *tail)


def _journal(backend: backends.Backend
             ) -> contextlib.AbstractContextManager[base.Journal]:
    if backend.has_gateways:
        return gateways.journal(backend)
    return contextlib.closing(journals.SqliteJournal(
        backend.journal_path, 'show', read_only=True))
