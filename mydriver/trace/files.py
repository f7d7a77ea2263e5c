# SPDX-License-Identifier: Apache-2.0
"""Log files: found, opened, and read as a stream of records."""

import bz2
import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
import dataclasses
import errno
import gzip
import lzma
from pathlib import Path
import re
import stat
from typing import IO, Any, cast
import zlib

from mydriver.trace import record

#: Where the logs are by default.
DEFAULT = ('/var/log/nova', '/var/log/cinder', '/var/log/mydriver')

#: How deep a directory is searched.
_DEPTH = 3

#: How many records are remembered, to give them their further lines, and for
#: how many lines.
_OPEN, _FOR_LINES = 32, 2000
#: How much is read at once, bytes.
_BLOCK = 1 << 20

#: Compressed files: how they begin, and what opens a path or a stream of such.
_PACKED: tuple[tuple[bytes, Callable[[Any], object]], ...] = (
    (b'\x1f\x8b', gzip.open),
    (b'\xfd7zXZ\0', lzma.open),
    (b'BZh', bz2.open),
)
#: The same of those that cannot be read, with their names.
_UNREADABLE = ((b'\x28\xb5\x2f\xfd', 'zstd'), (b'\x04\x22\x4d\x18', 'lz4'),
               (b'\x1f\x9d', 'compress'), (b'PK\x03\x04', 'zip'))
_MAGIC_BYTES = 6
#: What is open of a compressed file.
PACKED_TYPES = (gzip.GzipFile, lzma.LZMAFile, bz2.BZ2File)
#: How the names of compressed files end, as a part of a regular expression.
PACKED_ENDING = r'\.(?:gz|xz|bz2)'
#: What a log raises that cannot be read, or is damaged.
ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)

_LOG = re.compile(r'(.+?)[._-]?(?:log|out)((?:[._-]\d+)*)'
                  rf'({PACKED_ENDING}|\.zst|\.lz4)?$')
#: What syslog, and ``journalctl`` by default, write in front of a line: time,
#: host, and the name of the program.
_SYSLOG = re.compile(
    r'(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})?'
    r'|\d{4}-\d\d-\d\dT[\d:.]{8,15}(?:Z|[+-]\d\d:?\d\d)) '
    r'([\w.-]{1,255}) ([\w.@-]{1,80})(?:\[\d+\])?: ')
#: uwsgi's own lines.
_FOREIGN = re.compile(r'\[pid: |\*\*\* |uwsgi ', re.IGNORECASE)

#: Names of files within a directory that is named after the project.
_SHORT = frozenset(('api', 'volume', 'scheduler', 'backup', 'compute',
                    'conductor'))

#: What the names of files, units and processes begin with; devstack's too.
_SERVICES = (
    ('nova-api', 'nova-api'), ('n-api', 'nova-api'),
    ('nova-conductor', 'nova-conductor'),
    ('n-super-cond', 'nova-conductor'), ('n-cond', 'nova-conductor'),
    ('nova-scheduler', 'nova-scheduler'), ('n-sch', 'nova-scheduler'),
    ('nova-compute', 'nova-compute'), ('n-cpu', 'nova-compute'),
    ('cinder-api', 'cinder-api'), ('c-api', 'cinder-api'),
    ('cinder-scheduler', 'cinder-scheduler'), ('c-sch', 'cinder-scheduler'),
    ('cinder-volume', 'cinder-volume'), ('c-vol', 'cinder-volume'),
    ('cinder-backup', 'cinder-backup'), ('c-bak', 'cinder-backup'),
    ('mydriver-gateway', 'mydriver-gateway'),
    ('mydriver-restore', 'mydriver-restore'),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """A log that could not be read, or only in part.

    :param path: of the file or directory.
    :param reason: the error.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f'{self.path} could not be read: {self.reason}'


def problem(path: str | Path, error: Exception) -> Problem:
    """Return what is said about a log that raised an error."""
    reason = getattr(error, 'strerror', None) or str(error)
    if isinstance(error, PermissionError):
        reason = f'this user may not read it ({reason})'
    return Problem(str(path), reason)


def service_of(name: str) -> str:
    """Return the service that a file, unit or process belongs to."""
    lowered = name.lower().replace('_', '-').removeprefix(
        'devstack@').removeprefix('openstack-')
    for beginning, service in _SERVICES:
        if lowered.startswith(beginning):
            return service
    return lowered.removesuffix('.service')


def source_of(path: Path) -> record.Source | None:
    """Return the source that a file name stands for; None if it is no log."""
    matched = _LOG.fullmatch(path.name)
    if matched is None:
        return None
    name = matched[1]
    if path.parent.name in ('nova', 'cinder') and name in _SHORT:
        name = f'{path.parent.name}-{name}'
    service = service_of(name)
    rest = name.lower().replace('_', '-').removeprefix(service)
    return record.Source(service, name, rest.strip('-.'))


def find(paths: Iterable[str], problems: list[Problem]) -> list[Path]:
    """Return the log files at paths, which may be directories.

    :param problems: gets those that cannot be read.
    """
    found: dict[Path, None] = {}
    for text in paths:
        path = Path(text)
        try:
            mode = path.stat().st_mode
        except OSError as e:
            problems.append(problem(text, e))
            continue
        if stat.S_ISDIR(mode):
            found.update(dict.fromkeys(_in(path, _DEPTH, problems)))
        elif stat.S_ISREG(mode):
            found[path] = None
        else:
            problems.append(Problem(text, 'it is no regular file'))
    return list(found)


def _in(folder: Path, depth: int, problems: list[Problem]
        ) -> Iterator[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as e:
        problems.append(problem(folder, e))
        return
    for path in paths:
        try:
            is_folder, is_log = path.is_dir(), path.is_file()
        except OSError as e:
            problems.append(problem(path, e))
            continue
        if is_folder:
            if depth > 1 and not path.is_symlink():
                yield from _in(path, depth - 1, problems)
        elif is_log and source_of(path):
            yield path


def opened(path: Path) -> IO[bytes]:
    """Open a log file, compressed or not.

    :raises OSError: if it cannot be opened, or its compression is unknown.
    """
    with path.open('rb') as f:
        how = _opener(f.read(_MAGIC_BYTES))
    return cast(IO[bytes], how(path)) if how else path.open('rb')


def unpacked(stream: IO[bytes]) -> IO[bytes]:
    """Return what reads a stream from its beginning, compressed or not.

    :raises OSError: if its compression is unknown.
    """
    stream.seek(0)
    how = _opener(stream.read(_MAGIC_BYTES))
    stream.seek(0)
    return cast(IO[bytes], how(stream)) if how else stream


def _opener(beginning: bytes) -> Callable[[Any], object] | None:
    """Return what opens a file that begins so; None if it is plain."""
    for magic, name in _UNREADABLE:
        if beginning.startswith(magic):
            raise OSError(errno.EOPNOTSUPP, f'its compression ({name}) is '
                          'not supported; decompress it')
    return next((how for magic, how in _PACKED
                 if beginning.startswith(magic)), None)


def records(stream: IO[bytes], source: record.Source,
            words: Sequence[bytes]) -> Iterator[record.Record]:
    """Yield the records of a log whose first line has a wanted text.

    A record is complete only when the next one is asked for: further lines
    may still be added to it.

    :param words: the texts. What has none of them costs little more than
        reading it.
    """
    recent: collections.deque[record.Record] = collections.deque(
        maxlen=_OPEN)
    last: record.Record | None = None
    since = order = 0
    for block in _blocks(stream):
        if not recent and not any(w in block for w in words):
            continue
        for line in block.split(b'\n'):
            order += 1
            if any(w in line for w in words):
                text, its_source = _without_syslog(_text(line), source)
                if found := record.parse(text, its_source, order):
                    recent.append(found)
                    last, since = found, order
                    yield found
                    continue
            elif not recent:
                continue
            elif order - since > _FOR_LINES:
                recent.clear()
                last = None
                continue
            else:
                text, _ = _without_syslog(_text(line), source)
            last = _add(text, recent, last)


def _without_syslog(text: str, source: record.Source
                    ) -> tuple[str, record.Source]:
    """Return a service's own line, and the service that wrote it."""
    matched = _SYSLOG.match(text)
    if matched is None:
        return text, source
    host, program = matched.groups()
    service = service_of(program)
    return text[matched.end():], record.Source(
        service, f'{service} on {host}', host)


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield blocks of whole lines; of a long line, its beginning."""
    while block := stream.read(_BLOCK):
        rest = stream.readline(record.LINE_MAX)
        yield block.removesuffix(b'\n') if not rest else (
            block + rest.removesuffix(b'\n'))
        while rest and not rest.endswith(b'\n'):
            rest = stream.readline(record.LINE_MAX)


def _add(text: str, recent: Iterable[record.Record],
         last: record.Record | None) -> record.Record | None:
    """Add a line to the record that it belongs to.

    :param last: the record that a line without a head belongs to.
    :returns: the same for the next line.
    """
    if not text[:4].isdigit():
        if text and last and len(last.more) < record.MORE_MAX and not (
                _FOREIGN.match(text)):
            last.more.append(text)
        return last
    for known in reversed(list(recent)):
        rest = record.continues(known, text)
        if rest is not None:
            if len(known.more) < record.MORE_MAX:
                known.more.append(rest)
            return known
    return None


def _text(line: bytes) -> str:
    return line[:record.LINE_MAX].decode('utf-8', 'replace').rstrip('\r')
