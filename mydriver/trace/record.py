# SPDX-License-Identifier: Apache-2.0
"""A line of a log, and how oslo.log writes it."""

import dataclasses
import datetime
import re

from mydriver import events

#: A line longer than this is cut, bytes.
LINE_MAX = 64 * 1024

#: Lines that belong to one record, as those of a traceback, at most.
MORE_MAX = 400

_UUID = r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
UUID = re.compile(_UUID)
REQUEST = re.compile(f'req-{_UUID}')

_LEVELS = '(?:DEBUG|INFO|WARNING|ERROR|CRITICAL|AUDIT|TRACE)'
#: ``logging_context_format_string`` of oslo.log, by default.
_DEFAULT = re.compile(
    r'(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?) (\d+) '
    rf'({_LEVELS}) (\S+) ?(.*)', re.DOTALL)
#: Without time and process, as services write it to the journal.
_SHORT = re.compile(rf'({_LEVELS}) (\S+) ?(.*)', re.DOTALL)
_CONTEXT = re.compile(r'\[([^\]]{0,400})\] ?')
#: ``logging_exception_prefix`` ends with the resource, as a message begins.
_RESOURCE = re.compile(rf'\[\w+: {_UUID}\] ?')
_COLOR = re.compile(r'\x1b\[[0-9;]*m')
#: ``logging_debug_format_suffix``, and that of devstack.
_SUFFIX = re.compile(
    r' (?:\S+ /\S+\.py:\d+|\{\{\(?pid=\d+\)? [^{}]*\}\})$')


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where lines come from.

    :param service: ``nova-compute``, ``cinder-volume`` and so on.
    :param name: the same, with a suffix where there are several.
    :param host: name of the host; empty if it is not known.
    """

    service: str
    name: str
    host: str = ''


@dataclasses.dataclass(slots=True)
class Record:
    """One record of a log.

    :param time: seconds, as the log says; local time is taken as it is.
    :param source: the log.
    :param order: of the record in its source.
    :param pid: of the process, as text.
    :param level: its name.
    :param logger: dotted name.
    :param request_id: ``req-...``, or empty.
    :param global_id: the request that caused this one, or empty.
    :param text: the message, without what oslo.log adds.
    :param more: further lines: of the message, or of a traceback.
    """

    time: float
    source: Source
    order: int
    pid: str
    level: str
    logger: str
    request_id: str
    global_id: str
    text: str
    more: list[str] = dataclasses.field(default_factory=list)

    @property
    def flow(self) -> str:
        """The request that all of it began with."""
        return self.global_id or self.request_id

    @property
    def event(self) -> events.Event | None:
        """The event that it is. A line that only quotes one is none.

        Others log what users name their servers and volumes.
        """
        if self.logger != events.__name__ or not self.text.startswith(
                events.MARK):
            return None
        return events.parse(self.text)

    @property
    def is_error(self) -> bool:
        """Whether it is logged as an error."""
        return self.level in ('ERROR', 'CRITICAL')


def parse(line: str, source: Source, order: int) -> Record | None:
    """Parse the first line of a record.

    :returns: None if it is no such line.
    """
    matched = _DEFAULT.match(line)
    if matched is None:
        return None
    time = seconds(matched[1])
    if time is None:
        return None
    return build(time, source, order, matched[2], matched[3], matched[4],
                 matched[5])


def parse_short(line: str, time: float, source: Source, order: int,
                pid: str) -> Record | None:
    """Parse a line whose time and process may be known from elsewhere only.

    :param time: for a line that has none of its own.
    :param pid: the same.
    """
    line = _COLOR.sub('', line)
    if found := parse(line, source, order):
        return found
    matched = _SHORT.match(line)
    if matched is None:
        return None
    return build(time, source, order, pid, matched[1], matched[2],
                 matched[3])


def build(time: float, source: Source, order: int, pid: str, level: str,
          logger: str, rest: str) -> Record:
    """Return a record from its parts; the context is in the rest."""
    rest = _COLOR.sub('', rest)
    request_id = global_id = ''
    if context := _CONTEXT.match(rest):
        ids = [w for w in context[1].split()[:2]
               if w in ('None', '-') or REQUEST.fullmatch(w)]
        if ids or not context[1]:
            requests = [w for w in ids if w not in ('None', '-')]
            request_id = requests[-1] if requests else ''
            global_id = requests[0] if len(requests) > 1 else ''
            rest = rest[context.end():]
    if level == 'DEBUG':
        rest = _SUFFIX.sub('', rest.rstrip())
    if global_id == request_id:
        global_id = ''
    return Record(time, source, order, pid, level, logger, request_id,
                  global_id, rest)


def continues(record: Record, line: str) -> str | None:
    """Return what a line of the same log adds to a record.

    oslo.log repeats time, process and logger in front of each line of a
    traceback, at level ERROR and without the request.

    :returns: None if it is not one of its lines.
    """
    matched = _DEFAULT.match(line)
    if matched:
        stamp, pid, level, logger, rest = matched.groups()
        if pid != record.pid or seconds(stamp) != record.time:
            return None
    elif matched := _SHORT.match(line):
        level, logger, rest = matched.groups()
    else:
        return None
    if level not in ('ERROR', 'TRACE') or logger != record.logger:
        return None
    if _CONTEXT.match(rest) and REQUEST.search(rest[:120]):
        return None
    return _RESOURCE.sub('', rest)


def seconds(text: str) -> float | None:
    """Return the seconds of a time as a log writes it; None if it is none."""
    try:
        naive = datetime.datetime.fromisoformat(text.replace(',', '.'))
    except ValueError:
        return None
    return naive.replace(tzinfo=datetime.UTC).timestamp()


def clock(time: float) -> str:
    """Return a time as a log writes it, with milliseconds."""
    try:
        moment = datetime.datetime.fromtimestamp(round(time, 3), datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return '?'
    return moment.strftime('%Y-%m-%d %H:%M:%S.%f')[:-3]
