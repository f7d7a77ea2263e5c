# SPDX-License-Identifier: Apache-2.0
"""A file with what was counted of the events, and how far logs were read.

Both are replaced at once. So an event is counted once, whenever the command
is stopped, and whoever else runs it with the same file.
"""

from collections.abc import Iterable, Iterator
import contextlib
import dataclasses
import errno
import fcntl
import json
import math
import os
from pathlib import Path
from typing import Any

from mydriver import exception, waiting
from mydriver.cmd import replacing
from mydriver.cmd.monitoring import tally
from mydriver.target import state
from mydriver.trace import following

_VERSION = 1

#: How long to wait for another process that reads the same logs, seconds.
_LOCK_S = 10.0


@dataclasses.dataclass(slots=True)
class Log:
    """What is kept of a log.

    :param place: in a file; None before the first look.
    :param cursor: in systemd's journal; None before the first look.
    :param gaps: how often lines were lost between two looks.
    :param counted: its events.
    :param held: what of them is still shown as zero, and when that began,
        seconds since the epoch.
    """

    place: following.Place | None = None
    cursor: str | None = None
    gaps: int = 0
    counted: tally.Tally = dataclasses.field(default_factory=tally.Tally)
    held: dict[tally.Key, float] = dataclasses.field(default_factory=dict)

    def primitives(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {'place': self.place and dataclasses.asdict(self.place),
                'cursor': self.cursor, 'gaps': self.gaps,
                'counted': self.counted.primitives(),
                'held': [[*key, since_s]
                         for key, since_s in self.held.items()]}

    @classmethod
    def of_primitives(cls, found: dict[str, Any]) -> 'Log':
        """Return what was kept.

        :raises ValueError, TypeError, KeyError: when it is damaged.
        """
        place, cursor = found['place'], found['cursor']
        if not (cursor is None or isinstance(cursor, str)):
            raise TypeError('cursor')
        counted = tally.Tally.of_primitives(found['counted'])
        return cls(
            None if place is None else following.Place(
                int(place['offset']), int(place['head_bytes']),
                str(place['head']), int(place['inode'])),
            cursor, int(found['gaps']), counted,
            _held(found.get('held', []), counted))


def _held(found: Iterable[list[Any]], counted: tally.Tally
          ) -> dict[tally.Key, float]:
    """Return what is shown as zero; releases that showed all kept none.

    :raises ValueError, TypeError: when it is damaged.
    """
    held, known = {}, counted.keys()
    for *key, since_s in found:
        if not math.isfinite(since_s):
            raise ValueError('held')
        if (its := tuple(key)) in known:  # durations may begin anew
            held[its] = since_s
    return held


class Kept:
    """The file.

    :param path: its directory must exist, and belong to this user.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def opened(self) -> Iterator[dict[str, Log]]:
        """Give what is kept of each log; keep it when the block ends.

        After an error, the file is what it was.

        :raises ConfigurationError: when it cannot be read or written.
        """
        try:
            with self._locked():
                logs = self._read()
                yield logs
                self._write(logs)
        except OSError as e:
            raise exception.ConfigurationError(
                '--events-state', f'{self._path}: {e.strerror or e}',
                'Name a file in a directory that belongs to the user of this '
                f'command, user id {os.geteuid()}.') from e

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(f'{self._path}.lock', os.O_RDWR | os.O_CREAT
                     | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                waiting.wait_for(lambda: waiting.try_lock(fd, fcntl.LOCK_EX),
                                 f'the lock of {self._path}', _LOCK_S)
            except exception.WaitTimeout as e:
                raise OSError(errno.EAGAIN, 'another process has had it for '
                              f'{_LOCK_S:g} s') from e
            yield
        finally:
            os.close(fd)

    def _read(self) -> dict[str, Log]:
        try:
            text, _mode = state.read(str(self._path))
        except FileNotFoundError:
            return {}
        try:
            found = json.loads(text)
            if found['version'] != _VERSION:
                raise ValueError(f'version {found["version"]}')
            return {name: Log.of_primitives(log)
                    for name, log in found['logs'].items()}
        except (ValueError, TypeError, KeyError, AttributeError,
                OverflowError, RecursionError) as e:
            raise exception.ConfigurationError(
                '--events-state', f'{self._path} is damaged, or of another '
                f'release ({exception.shown(str(e))})',
                'Remove it; all counters of operations then begin with zero, '
                'which Prometheus handles.') from e

    def _write(self, logs: dict[str, Log]) -> None:
        replacing.write(self._path, json.dumps({
            'version': _VERSION,
            'logs': {name: log.primitives() for name, log in logs.items()}}))
