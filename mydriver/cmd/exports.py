# SPDX-License-Identifier: Apache-2.0
"""``mydriver export list`` and ``export show``."""

import argparse
from collections.abc import Iterator, Sequence
import dataclasses
from typing import Any

from cliff import show
from oslo_log import log as logging
from oslo_utils import units

from mydriver import exception, model
from mydriver.cmd import arguments, backends, journals, listing, tables
from mydriver.target import pool, statistics

#: What a line says of the journal.
OF_THE_JOURNAL = ('Backend', 'Volume', 'WWN', 'Target', 'Initiator', 'LUN',
                  'Read only', 'Size (GiB)', 'Device')
#: What a line says of the kernel.
_OF_THE_KERNEL = ('Commands', 'Read bytes', 'Written bytes', 'Queue')

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """An export, and one of its mappings.

    :param backend: name of the backend.
    :param export: the export.
    :param mapping: None for an export without mappings.
    """

    backend: str
    export: model.Export
    mapping: model.Mapping | None

    def of_the_journal(self) -> tuple[
            str, str, str, str, str, int | str, bool | str, float, str]:
        """Return the values of :data:`OF_THE_JOURNAL`."""
        mapping, export = self.mapping, self.export
        return (self.backend, export.volume_id,
                f'0x{model.naa_id(export.volume_id)}', str(export.target),
                str(mapping.initiator) if mapping else '',
                mapping.lun if mapping else '',
                mapping.read_only if mapping else '',
                round(export.device.size_bytes / units.Gi, 2),
                tables.safe(export.device.path))


def read(backend: backends.Backend) -> list[Line]:
    """Return the exports of a backend and their mappings, by volume.

    :raises MyDriverError: when the journal cannot be read.
    """
    with journals.reading(backend, 'show') as journal:
        mapped: dict[str, list[model.Mapping]] = {}
        for placed in journal.mappings():
            mapped.setdefault(placed.mapping.volume_id, []).append(
                placed.mapping)
        return [Line(backend.name, export, mapping)
                for export in sorted(journal.exports(),
                                     key=lambda e: e.volume_id)
                for mapping in mapped.get(export.volume_id, [None])]


def counted(backend: backends.Backend, lines: Sequence[Line]
            ) -> dict[str, statistics.ExportIo]:
    """Return what the kernel counts of exports, by volume.

    Exports that this host does not have are left out.
    """
    return statistics.by_volume(statistics.HOST.exports(
        {line.export.target for line in lines},
        pool.backstore_prefix(backend.name)))


class List(listing.Listing):
    """List the exports, their initiators, and what these have done.

    One line for each initiator that a volume is mapped to, and one for each
    export without a mapping. Commands and bytes are those of that initiator,
    in whole MiB, since the kernel made the mapping. The queue is that of the
    volume's block device; the kernel has none for files. The list contains no
    secrets.
    """

    COLUMNS: tuple[str, ...] = OF_THE_JOURNAL + _OF_THE_KERNEL
    NARROW = ('Backend', 'Volume', 'Size', 'Initiator', 'LUN', 'Read',
              'Written', 'Queue')
    NARROWEST = {'Backend': 7, 'Volume': 8, 'Initiator': 13}

    def rows(self, backend: backends.Backend) -> Iterator[Sequence[Any]]:
        """Yield the lines of a backend, ordered by volume."""
        lines = read(backend)
        seen = counted(backend, lines)
        for line in lines:
            io, found = statistics.Io(), seen.get(line.export.volume_id)
            if line.mapping and found:
                io = statistics.HOST.mapped(
                    line.export.target, str(line.mapping.initiator),
                    line.mapping.lun)
            said = (None if v == '' else v for v in line.of_the_journal())
            yield (*said, io.commands, io.read_bytes, io.written_bytes,
                   found.disk.in_flight if found and found.disk else None)

    def narrow(self, row: Sequence[Any]) -> Sequence[Any]:
        """Return a row of the narrow table."""
        of = dict(zip(self.COLUMNS, row, strict=True))
        return (of['Backend'][:10], tables.short_id(of['Volume']),
                tables.size(of['Size (GiB)'] * units.Gi),
                tables.short_name(of['Initiator'] or ''), of['LUN'],
                tables.size(of['Read bytes']),
                tables.size(of['Written bytes']), of['Queue'])


class Show(show.ShowOne):
    """Show one export: what the journal and the kernel say of it.

    Commands and bytes are those of all initiators, since the kernel made the
    export.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'volume', metavar='VOLUME',
            help='UUID of the volume, or its beginning')
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace
                    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Return the names and the values."""
        found: dict[str, tuple[backends.Backend, list[Line]]] = {}
        failed = []
        for backend in arguments.open_backends(parsed_args):
            try:
                if backend.has_gateways or backend.has_journal():
                    for line in read(backend):
                        if line.export.volume_id.startswith(
                                parsed_args.volume.lower()):
                            found.setdefault(
                                f'{backend.name} {line.export.volume_id}',
                                (backend, []))[1].append(line)
            except exception.MyDriverError as e:
                LOG.error('Backend %s: %s', backend.name, e)
                failed.append(backend.name)
        self._wrong = bool(failed)
        if len(found) != 1:
            raise exception.ConfigurationError(
                'VOLUME', f'{tables.safe(parsed_args.volume)[:60]}: '
                f'{len(found) or "no"} exports begin with it' + (
                    f'; {", ".join(failed)} could not be read' if failed
                    else ''), 'See mydriver export list.')
        (backend, lines), = found.values()
        values = _details(backend, lines,
                          parsed_args.formatter in ('json', 'yaml'))
        return tuple(values), tuple(values.values())

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the export; return the exit status."""
        return int(super().run(parsed_args)) or int(self._wrong)


def _details(backend: backends.Backend, lines: Sequence[Line],
             is_nested: bool) -> dict[str, Any]:
    """Return all that is known of an export.

    :param lines: of that export.
    :param is_nested: the format has lists and null.
    """
    export = lines[0].export
    found = counted(backend, lines).get(export.volume_id)
    io = found.io if found else statistics.Io()
    disk = found.disk if found else None
    mappings = [_mapping(line.mapping, export) for line in lines
                if line.mapping]
    values = {
        'Backend': backend.name, 'Volume': export.volume_id,
        'WWN': f'0x{model.naa_id(export.volume_id)}',
        'Target': str(export.target), 'Target LUN': export.lun,
        'Size bytes': export.device.size_bytes,
        'Backstore': export.device.kind,
        'Device': tables.safe(export.device.path),
        'On this host': found is not None,
        'Commands': io.commands, 'Read bytes': io.read_bytes,
        'Written bytes': io.written_bytes,
        'Device read bytes': disk.read_bytes if disk else None,
        'Device written bytes': disk.written_bytes if disk else None,
        'Queue': disk.in_flight if disk else None,
        'Initiators': mappings if is_nested else '\n'.join(
            map(_described, mappings)),
    }
    return values if is_nested else dict(zip(
        values, tables.blank(tuple(values.values())), strict=True))


def _mapping(mapping: model.Mapping, export: model.Export) -> dict[str, Any]:
    io = statistics.HOST.mapped(export.target, str(mapping.initiator),
                                mapping.lun)
    return {'initiator': str(mapping.initiator), 'lun': mapping.lun,
            'read_only': mapping.read_only, 'commands': io.commands,
            'read_bytes': io.read_bytes, 'written_bytes': io.written_bytes}


def _described(mapping: dict[str, Any]) -> str:
    """Return two lines of text about a mapping."""
    mode = 'read only' if mapping['read_only'] else 'writable'
    said = [f'LUN {mapping["lun"]}', mode]
    if mapping['commands'] is not None:
        said += [f'{mapping["commands"]} commands',
                 f'{tables.size(mapping["read_bytes"])} read',
                 f'{tables.size(mapping["written_bytes"])} written']
    return f'{mapping["initiator"]}\n  {", ".join(said)}'
