# SPDX-License-Identifier: Apache-2.0
"""Metrics of operations, from the events in the logs of the services."""

from collections.abc import Callable, Iterable, Sequence
import io
from pathlib import Path
import re
import time
from typing import Protocol

from mydriver import events, exception
from mydriver.cmd import tables
from mydriver.cmd.monitoring import catalogue, kept, tally
from mydriver.trace import files, following, journalctl, journald, record

#: The operations of the driver and of the plugin; they begin with zero.
OPERATIONS = {
    'cinder-volume': (
        'clone_image', 'copy_image_to_encrypted_volume',
        'copy_image_to_volume', 'copy_volume_to_image',
        'create_cloned_volume', 'create_export', 'create_group',
        'create_group_from_src', 'create_group_snapshot', 'create_snapshot',
        'create_volume', 'create_volume_from_snapshot', 'delete_group',
        'delete_group_snapshot', 'delete_snapshot', 'delete_volume',
        'extend_volume', 'initialize_connection', 'manage_existing',
        'manage_existing_snapshot', 'migrate_volume', 'remove_export',
        'revert_to_snapshot', 'terminate_connection', 'unmanage',
        'unmanage_snapshot', 'update_group', 'update_migrated_volume'),
    'nova-compute': (
        'attach_volume', 'connect_volume', 'detach_volume',
        'disconnect_volume', 'extend_volume', 'get_volume_connector'),
}

#: How much of a log is read at a scrape, bytes; the next one goes on there.
MOST_BYTES = 64 << 20
#: The same for systemd's journal, entries.
MOST_ENTRIES = 20_000

#: How long what is new is shown as zero, seconds, and once at least. What
#: Prometheus first sees at 5 has not increased for it, and it may look once a
#: minute at what is written twice a minute.
HELD_S = 90.0

#: Was not yet shown at all.
_NEVER_S = -1.0

_WORD = events.MARK.encode()
#: What an event begins with, and what a format puts in front of it.
_BEGINNING = _WORD + b'{"operation"'
_LOGGER = events.__name__.encode()
_COLOR = re.compile(rb'\x1b\[[0-9;]*m')


class Log(Protocol):
    """A log with events.

    :ivar name: names it in metrics, errors and the file that is kept.
    :ivar service: the service that writes it; empty if that is not known.
    :ivar expected: the services whose operations begin with zero.
    """

    name: str
    service: str
    expected: Sequence[str]

    def read(self, its: kept.Log) -> str:
        """Count what is new; note how far that was, even after an error.

        :returns: what is wrong with the events, or an empty text.
        :raises MyDriverError, files.ERRORS: when it cannot be read.
        """


class FileLog:
    """The log file of a service, or one of syslog.

    :param path: of the present file, not of rotated ones.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self.name = tables.safe(path)
        self._source = files.source_of(self._path) or record.Source(
            files.service_of(self._path.name), self._path.name)
        self.service = self._source.service
        # That of syslog says only in its lines who writes it.
        self.expected: Sequence[str] = (
            [self.service] if self.service in OPERATIONS
            else [*OPERATIONS])

    def read(self, its: kept.Log) -> str:
        """See :meth:`Log.read`."""
        follower, problem = following.Follower(self._path, its.place), ''
        try:
            for block in follower.blocks(_WORD, MOST_BYTES):
                known = _count(its.counted, files.records(
                    io.BytesIO(block), self._source, [_WORD]))
                if not known and any(map(_is_like_event,
                                         block.split(b'\n'))):
                    problem = (f'{self.name}: its lines with events are not '
                               'in a default format of oslo.log, and are not '
                               'counted')
        finally:
            its.place = follower.place
            its.gaps += follower.is_gap or bool(problem)
        return problem


class UnitLog:
    """What systemd's journal has of a unit.

    :param unit: its name.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self.name = f'unit {unit}'
        self.service = files.service_of(unit)
        self.expected: Sequence[str] = [self.service]

    def read(self, its: kept.Log) -> str:
        """See :meth:`Log.read`."""
        follower = journalctl.Follower(self._unit, its.cursor)
        try:
            _count(its.counted, journald.of_entries(
                follower.entries(MOST_ENTRIES), [_WORD]))
        finally:
            its.cursor = follower.cursor
        return ''


class OperationsSource:
    """The operations in some logs.

    :param logs: the logs.
    :param state: what is kept of them between two scrapes.
    """

    #: The events do not say which backend they are of.
    name = ''

    def __init__(self, logs: Sequence[Log], state: kept.Kept) -> None:
        self._logs = logs
        self._state = state

    def parts(self) -> Iterable[tuple[
            str, Callable[[catalogue.Families], None]]]:
        """See :meth:`.collector.Source.parts`."""
        return (('events', self._read),)

    def _read(self, families: catalogue.Families) -> None:
        """Read what is new, and add all that was ever counted.

        What was never counted before is added as zero for a while.

        Of a service with a log that cannot be read, nothing is added: without
        that log, its counters would seem to begin anew.

        :raises ConfigurationError: when a log cannot be read.
        """
        found, problems, lost = tally.Tally(), [], set()
        with self._state.opened() as logs:
            for log in self._logs:
                its = logs.setdefault(log.name, kept.Log())
                known = its.counted.keys()
                for service in log.expected:
                    its.counted.expect(service, OPERATIONS.get(service, ()))
                try:
                    problem = log.read(its)
                except (exception.MyDriverError, *files.ERRORS) as e:
                    problem = _described(log, e)
                    lost |= its.counted.services() | {log.service}
                problems += [problem] if problem else []
                its.held |= dict.fromkeys(its.counted.begun(known), _NEVER_S)
                families.add('event_log_gaps', its.gaps, log.name)
            for log in self._logs:
                its = logs[log.name]
                _hold(its, lost, time.time())
                found.merge(its.counted, its.held)
        _add(families, found, lost)
        if problems:
            raise exception.ConfigurationError(
                '--events', '; '.join(problems), 'The user of this command '
                'must be able to read the logs and their directories, and the '
                'services must log in that format, or to the journal '
                '(--events-unit).')


def _hold(its: kept.Log, lost: set[str], now_s: float) -> None:
    """Note since when something is shown as zero; forget what was so enough.

    :param lost: nothing of these services is shown.
    """
    for key, since_s in list(its.held.items()):
        if key[1] in lost or not 0 <= since_s <= now_s:
            its.held[key] = _NEVER_S if key[1] in lost else now_s
        elif now_s - since_s >= HELD_S:
            del its.held[key]


def _is_like_event(line: bytes) -> bool:
    """Tell whether a line is an event in a format that is not known.

    It names the logger, and ends with the event or is an object of JSON. Users
    of the cloud name their servers as they like, but what stands behind such a
    name on its line, as an end tag of XML, is not theirs.
    """
    text = _COLOR.sub(b'', line.replace(b'\\"', b'"'))
    return (_LOGGER in text and _BEGINNING in text
            and text.rstrip(b'\r"\')] ').endswith(b'}'))


def _count(counted: tally.Tally, found: Iterable[record.Record]) -> int:
    """Count the events among some records.

    :returns: how many records there were.
    """
    seen = 0
    for one in found:
        seen += 1
        if event := one.event:
            counted.add(one.source.service, event)
    return seen


def _described(log: Log, error: Exception) -> str:
    if isinstance(error, exception.MyDriverError):
        return str(error)
    reason = getattr(error, 'strerror', None) or str(error)
    return f'{getattr(error, "filename", None) or log.name}: {reason}'


def _add(families: catalogue.Families, found: tally.Tally,
         lost: set[str]) -> None:
    """Add what was counted, but of services whose logs cannot be read."""
    for name, counts in (('operations', found.ended),
                         ('operation_failures', found.failures)):
        for key, count in counts.items():
            if key[0] not in lost:
                families.add(name, count, *key)
    for key, durations in found.durations.items():
        if key[0] not in lost:
            families.add_histogram('operation_duration_seconds',
                                   list(durations.buckets()),
                                   durations.sum_s, *key)
    for key, phase in found.phases.items():
        if key[0] not in lost:
            families.add_summary('operation_phase_seconds', phase.count,
                                 phase.sum_s, *key)
