# SPDX-License-Identifier: Apache-2.0
"""The journal of systemd, as ``journalctl -o export`` or ``-o json``.

The formats are those of systemd's "Journal Export Formats". Services write to
the journal through standard error, with or without a time of their own, or
through oslo.log's handler, which adds fields (``use_journal``).
"""

from collections.abc import Iterable, Iterator, Sequence
import datetime
import json
from typing import IO

from mydriver.trace import files, record

#: A field longer than this is cut, an entry with more fields ignored.
_FIELD_MAX = record.LINE_MAX
_FIELDS_MAX = 200
#: An entry longer than this is ignored, bytes.
_ENTRY_MAX = 8 * 1024 * 1024
#: How much is looked at to tell a journal from a log, bytes.
_PEEK = 4096
#: The year 10000, seconds: datetime ends there.
_TIME_END = 253402300800

Entry = dict[str, str]


def beginning(stream: IO[bytes]) -> bytes:
    """Return what tells whether a stream is a journal; rewind it.

    In JSON that is the first line: no order of its fields is promised.
    """
    stream.seek(0)
    found = stream.read(_PEEK)
    if found.startswith(b'{') and b'\n' not in found:
        found += stream.readline(_ENTRY_MAX - len(found))
    stream.seek(0)
    return found


def is_journal(beginning: bytes) -> bool:
    """Tell whether a stream that begins like this is a journal."""
    return (beginning.startswith(b'__CURSOR=')
            or (beginning.startswith(b'{')
                and b'__REALTIME_TIMESTAMP' in beginning))


def records(stream: IO[bytes], words: Sequence[bytes]
            ) -> Iterator[record.Record]:
    """Yield the records of a journal that have a wanted text."""
    return of_entries(entries(stream), words)


def of_entries(found: Iterable[Entry], words: Sequence[bytes]
               ) -> Iterator[record.Record]:
    """Yield the records of entries that have a wanted text."""
    last: dict[str, record.Record] = {}
    for order, entry in enumerate(found):
        known = last.get(entry.get('_PID', ''))
        text = '\n'.join((entry.get('MESSAGE', ''),
                          entry.get('REQUEST_ID', ''),
                          entry.get('EXCEPTION_TEXT', '')))
        raw = text.encode('utf-8', 'replace')
        if any(w in raw for w in words) and (
                one := _record(entry, order)):
            last[entry.get('_PID', '')] = one
            yield one
        elif known and (rest := record.continues(
                known, entry.get('MESSAGE', ''))) is not None:
            if len(known.more) < record.MORE_MAX:
                known.more.append(rest)
        else:
            last.pop(entry.get('_PID', ''), None)


def entries(stream: IO[bytes]) -> Iterator[Entry]:
    """Yield the entries of a journal, in either format."""
    first = stream.read(1)
    if first == b'{':
        yield from _of_json(stream, first)
    else:
        yield from _of_export(stream, first)


def _of_json(stream: IO[bytes], first: bytes) -> Iterator[Entry]:
    while line := first + stream.readline(_ENTRY_MAX):
        first = b''
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield {key: _value(value) for key, value in found.items()}


def _value(value: object) -> str:
    """Return a field; a binary one is an array of bytes."""
    if isinstance(value, str):
        return value[:_FIELD_MAX]
    if isinstance(value, list) and all(
            type(b) is int and 0 <= b < 256 for b in value[:_FIELD_MAX]):
        return bytes(value[:_FIELD_MAX]).decode('utf-8', 'replace')
    return ''


def _of_export(stream: IO[bytes], first: bytes) -> Iterator[Entry]:
    entry: Entry = {}
    while line := first + stream.readline(_FIELD_MAX):
        first = b''
        whole = line.endswith(b'\n')
        name, equals, value = line.rstrip(b'\n').partition(b'=')
        if not name and whole:
            if entry:
                yield entry
            entry = {}
            continue
        if not equals and whole:
            value = _binary(stream)
        while not whole:
            rest = stream.readline(_FIELD_MAX)
            whole = not rest or rest.endswith(b'\n')
        if len(entry) < _FIELDS_MAX:
            entry[name.decode('ascii', 'replace')] = value.decode(
                'utf-8', 'replace')
    if entry:
        yield entry


def _binary(stream: IO[bytes]) -> bytes:
    """Read a field with its length in front of it (64 bits, little endian).

    :returns: its beginning.
    """
    length = int.from_bytes(stream.read(8), 'little')
    value = stream.read(min(length, _FIELD_MAX))
    left = length - len(value)
    while left > 0 and (skipped := stream.read(min(left, 1 << 20))):
        left -= len(skipped)
    stream.read(1)
    return value


def _record(entry: Entry, order: int) -> record.Record | None:
    """Return the record that an entry stands for."""
    try:
        time = int(entry['__REALTIME_TIMESTAMP']) / 1e6
    except (KeyError, ValueError, OverflowError):
        return None
    if not 0 <= time < _TIME_END:
        return None
    unit = (entry.get('_SYSTEMD_UNIT') or entry.get('SYSLOG_IDENTIFIER')
            or entry.get('_COMM', ''))
    service = files.service_of(unit)
    host = entry.get('_HOSTNAME', '')
    source = record.Source(
        service, f'{service} on {host}' if host else service, host)
    time, pid = _local(time), entry.get('_PID', '')
    message, _, more = entry.get('MESSAGE', '').partition('\n')
    found = record.parse_short(message, time, source, order, pid)
    if found is None:
        if 'LOGGER_NAME' not in entry:
            return None
        found = record.Record(
            time, source, order, pid, entry.get('LOGGER_LEVEL', 'INFO'),
            entry['LOGGER_NAME'], '', '', message)
    found.request_id = found.request_id or _request(entry)
    found.more += (more or entry.get('EXCEPTION_TEXT', '')).splitlines()[
        :record.MORE_MAX]
    return found


def _request(entry: Entry) -> str:
    found = entry.get('REQUEST_ID', '')
    return found if record.REQUEST.fullmatch(found) else ''


def _local(time: float) -> float:
    """Return a time as a log of this host would write it."""
    try:
        local = datetime.datetime.fromtimestamp(time).astimezone()
        offset = local.utcoffset() or datetime.timedelta()
    except (ValueError, OverflowError, OSError):
        return time
    return time + offset.total_seconds()
