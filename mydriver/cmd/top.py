# SPDX-License-Identifier: Apache-2.0
"""``mydriver top``: what the exports are doing."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
import datetime
import shutil
import textwrap
import time

from cliff import command
from oslo_log import log as logging

from mydriver import exception, model
from mydriver.cmd import arguments, backends, journals, rates, tables
from mydriver.target import pool, statistics

LOG = logging.getLogger(__name__)

#: Clears a terminal: the cursor to its upper left, and all behind it away.
_CLEAR = '\x1b[H\x1b[J'
_SHORTEST_S, _LONGEST_S = 0.1, 3600.0

_NAMES = ('VOLUME', 'INITIATOR', 'CMD/S', 'READ/S', 'WRITE/S', 'QUEUE',
          'BACKEND')
_LEFT = ('VOLUME', 'INITIATOR', 'BACKEND')
_BETWEEN = '  '
#: How narrow columns get on a narrow terminal, those that give way first.
_NARROWEST = {'BACKEND': 7, 'INITIATOR': 13, 'VOLUME': 8}

_sleep = time.sleep
_now_s = time.monotonic


class Top(command.Command):
    """Show what the exports are doing, continuously.

    Commands and bytes per second of all initiators, and the requests that the
    volume's block device has not completed. For a volume in a file the kernel
    counts data in whole MiB, and has no queue. On a terminal the table is
    redrawn and fits into it, else each interval prints one. Ends with Ctrl-C.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            '--interval', type=_seconds, default=2.0, metavar='SECONDS',
            help='time between two looks; default: 2')
        parser.add_argument(
            '--count', type=_count, metavar='N',
            help='how many tables to show; default: until Ctrl-C')
        parser.add_argument(
            '--sort', choices=sorted(rates.ORDERS), default='bytes',
            help='order of the exports; default: bytes')
        parser.add_argument('--long', action='store_true',
                            help='show whole names, as far as a terminal has '
                            'room for them')
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Show the tables; return the exit status."""
        found = arguments.open_backends(parsed_args)
        looker = Looker(found)
        before, shown = looker.look(), 0
        if len(looker.failed) == len(found):
            return 1
        try:
            while parsed_args.count is None or shown < parsed_args.count:
                _sleep(parsed_args.interval)
                after = looker.look()
                self._show(looker, before, after, parsed_args)
                before, shown = after, shown + 1
        except (KeyboardInterrupt, BrokenPipeError):
            pass
        return int(bool(looker.failed))

    def _show(self, looker: 'Looker', before: rates.Sample,
              after: rates.Sample, parsed: argparse.Namespace) -> None:
        stdout = self.app.stdout
        found = rates.ordered(rates.between(before, after), parsed.sort)
        head = _head(found, before, after)
        if not stdout.isatty():
            text = '\n'.join([*head, '', *_table(found, looker.initiators,
                                             parsed.long)]) + '\n\n'
        else:
            columns, height = shutil.get_terminal_size()
            # What was logged is cleared, so it is said again.
            above = [*head, *(
                line for error in looker.errors for line in textwrap.wrap(
                    tables.safe(error), max(columns, 1))), '']
            room = height - len(above) - 2  # names, and the cursor's line
            more = []
            if len(found) > room:
                shown = max(room - 1, 0)
                more = [f'... and {len(found) - shown} more']
                found = found[:shown]
            lines = [*above, *_table(found, looker.initiators, parsed.long,
                                    columns), *more][:max(height - 1, 1)]
            text = _CLEAR + ''.join(
                f'{tables.beginning(line, columns)}\n' for line in lines)
        stdout.write(text)
        stdout.flush()


class Looker:
    """Looks at the counters of some backends.

    A backend whose journal or target cannot be read is logged once, and left
    out.

    :param found: the backends.
    """

    def __init__(self, found: Iterable[backends.Backend]) -> None:
        self._found = list(found)
        #: The names of those that could not be read at some time.
        self.failed: set[str] = set()
        #: What the last look could not read.
        self.errors: list[str] = []
        #: The initiators of each export.
        self.initiators: dict[rates.Key, list[str]] = {}

    def look(self) -> rates.Sample:
        """Return the counters now."""
        exports: dict[rates.Key, statistics.ExportIo] = {}
        initiators: dict[rates.Key, list[str]] = {}
        errors: list[str] = []
        sessions = 0
        at_s = _now_s()
        for backend in self._found:
            try:
                targets = self._targets(backend, initiators)
                its_sessions = sum(statistics.HOST.logins(t).sessions or 0
                                   for t in targets)
                its_exports = {
                    (backend.name, seen.volume_id): seen
                    for seen in statistics.by_volume(statistics.HOST.exports(
                        targets, pool.backstore_prefix(backend.name))
                        ).values()}
            except exception.MyDriverError as e:
                errors.append(f'Backend {backend.name}: {e}')
                if backend.name not in self.failed:
                    LOG.error('%s', errors[-1])
                self.failed.add(backend.name)
                continue
            sessions += its_sessions
            exports |= its_exports
        self.initiators, self.errors = initiators, errors
        return rates.Sample(at_s, exports, sessions)

    def _targets(self, backend: backends.Backend,
                 initiators: dict[rates.Key, list[str]]
                 ) -> Sequence[model.Iqn]:
        if not (backend.has_gateways or backend.has_journal()):
            return ()
        with journals.reading(backend, 'top') as journal:
            for placed in journal.mappings():
                initiators.setdefault(
                    (backend.name, placed.mapping.volume_id), []).append(
                        str(placed.mapping.initiator))
            return journal.targets()


def _head(found: Sequence[rates.Rate], before: rates.Sample,
          after: rates.Sample) -> tuple[str, str]:
    now = datetime.datetime.now().isoformat(' ', 'seconds')
    commands = sum(r.commands or 0 for r in found)
    read = tables.size(sum(r.read or 0 for r in found))
    written = tables.size(sum(r.written or 0 for r in found))
    return (
        (f'{now}  {after.at_s - before.at_s:.1f} s  {len(found)} exports  '
         f'{after.sessions} sessions'),
        f'{commands:.0f} cmd/s  {read}/s read  {written}/s written')


def _table(found: Sequence[rates.Rate],
           initiators: dict[rates.Key, list[str]], is_long: bool,
           columns: int | None = None) -> Iterator[str]:
    """Yield the lines of the table.

    :param columns: of the terminal.
    """
    rows = [_NAMES, *(_row(r, initiators.get((r.backend, r.volume_id), []),
                           is_long) for r in found)]
    widths = {name: max(map(tables.width, cells)) for name, cells in zip(
        _NAMES, zip(*rows, strict=True), strict=True)}
    if columns is not None:
        tables.give_way(widths, _NARROWEST, columns - len(_BETWEEN)
                        * (len(widths) - 1))
    for row in rows:
        yield _BETWEEN.join(
            _cell(name, text, widths[name])
            for name, text in zip(_NAMES, row, strict=True)).rstrip()


def _cell(name: str, text: str, width: int) -> str:
    """Return a text in the width of its column."""
    text = tables.cut(name, text, width)
    space = ' ' * (width - tables.width(text))
    return text + space if name in _LEFT else space + text


def _row(rate: rates.Rate, initiators: list[str], is_long: bool
         ) -> tuple[str, ...]:
    names = initiators if is_long else [
        tables.short_name(i) for i in initiators]
    who = ','.join(names) if is_long or len(names) < 2 else (
        f'{len(names)} initiators')
    volume = rate.volume_id
    return (tables.safe(volume) if is_long else tables.short_id(volume), who,
            '' if rate.commands is None else f'{rate.commands:.0f}',
            tables.size(rate.read), tables.size(rate.written),
            '' if rate.queue is None else str(rate.queue),
            rate.backend if is_long else rate.backend[:10])


def _seconds(text: str) -> float:
    """Parse an interval."""
    try:
        found = float(text)
    except ValueError:
        found = -1
    if not _SHORTEST_S <= found <= _LONGEST_S:
        raise argparse.ArgumentTypeError(
            f'{tables.safe(text)} is not a number of seconds from '
            f'{_SHORTEST_S:g} to {_LONGEST_S:g}')
    return found


def _count(text: str) -> int:
    """Parse a number of tables."""
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
        raise argparse.ArgumentTypeError(
            f'{tables.safe(text)} is not a number from 1 on')
    return int(text[:9])
