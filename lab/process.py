# SPDX-License-Identifier: Apache-2.0
"""Start processes, record which they are, and end exactly those.

Each process leads a session of its own, so that its descendants can be found.
The kernel reuses process ids, so a process is identified by its id and its
start time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import json
import os
from pathlib import Path
import signal
import subprocess
import time
from typing import BinaryIO, Self, TypeVar

from lab import errors

T = TypeVar('T')

#: Pause between two checks of a condition, seconds.
POLL_S = 0.05


def _stat(pid: int) -> tuple[str, int, int] | None:
    """Read a process's state, session id and start time.

    :param pid: process id.
    :returns: state letter, session, start in clock ticks since boot (fields
        3, 6 and 22 of ``/proc/PID/stat``, proc(5)); None if it is gone.
    """
    try:
        text = Path('/proc', str(pid), 'stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name is in parentheses and may have blanks and parentheses.
    fields = text.rpartition(')')[2].split()
    return fields[0], int(fields[3]), int(fields[19])


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """A process that we started, leader of its own session.

    :param name: for people.
    :param pid: process id, which is its session's id too.
    :param started: start time in clock ticks since boot.
    :param log: where its output goes.
    """

    name: str
    pid: int
    started: int
    log: Path

    def save(self, path: Path) -> None:
        """Write the record to ``path``, atomically."""
        data = dataclasses.asdict(self) | {'log': str(self.log)}
        scratch = path.with_name(path.name + '.new')
        scratch.write_text(json.dumps(data) + '\n')
        scratch.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read a record; None if there is none."""
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(**data | {'log': Path(data['log'])})

    def alive(self) -> bool:
        """Tell whether this process runs, not another one with its id."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        stat = _stat(self.pid)
        return bool(stat and stat[0] not in 'ZX' and stat[2] == self.started)

    def members(self) -> list[int]:
        """Return the ids of all living processes of its session."""
        leader = _stat(self.pid)
        if leader and leader[2] != self.started:
            return []  # the id was reused: nothing of ours is left
        return list(_session(self.pid, self.started))

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended; its descendants get none."""
        if self.alive():
            os.kill(self.pid, number)

    def end(self, grace_s: float = 10) -> None:
        """End it and its descendants, and wait until they are gone.

        :param grace_s: how long it has to end on SIGTERM, seconds; 0 kills it
            at once.
        :raises DeadlinePassed: when a process survives.
        """
        if grace_s and self.alive():
            os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(errors.DeadlinePassed):
                wait_for(lambda: not self.alive(), f'{self.name} to exit',
                         grace_s)

        def swept() -> bool:
            for pid in self.members():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.members() and not self.alive()

        wait_for(swept, f'{self.name} to exit after SIGKILL', 30)

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of its log."""
        return tail(self.log, lines)


def _session(sid: int, since: int) -> Iterator[int]:
    """Yield a session's living processes that did not start before a time."""
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if (stat and stat[1] == sid and stat[2] >= since
                    and stat[0] not in 'ZX'):
                yield int(entry.name)


def spawn(name: str, argv: Sequence[str | Path], log: Path, *,
          env: Mapping[str, str] | None = None,
          cwd: Path | None = None) -> Process:
    """Start a process in a session of its own, with its output in a log.

    :param name: for people.
    :param argv: program and arguments.
    :param log: the output is appended to it.
    :param env: the whole environment; None inherits ours.
    :param cwd: the working directory; None inherits ours.
    :raises LabError: when the program cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('ab') as out:
        try:
            child = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, start_new_session=True, env=env, cwd=cwd)
        except OSError as e:
            raise errors.LabError(f'cannot start {name}: {e}') from e
    stat = _stat(child.pid)
    # Not reaped yet, so it still has an entry, even if it has ended.
    started = stat[2] if stat else 0
    # The record replaces the Popen object.
    child.returncode = 0
    return Process(name, child.pid, started, log)


class Follower:
    """Copies what is appended to a file to a stream.

    :param path: an existing file.
    :param to: the stream.
    """

    def __init__(self, path: Path, to: BinaryIO) -> None:
        self._from = path.open('rb')
        self._to = to

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._from.close()

    def copy(self) -> None:
        """Copy what was appended since the last call."""
        while data := self._from.read(1 << 20):
            self._to.write(data)
            self._to.flush()


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a file; empty if there is no such file."""
    try:
        with path.open('rb') as f:
            f.seek(max(0, path.stat().st_size - 65536))
            text = f.read().decode(errors='replace')
    except FileNotFoundError:
        return ''
    return '\n'.join(text.replace('\r', '').splitlines()[-lines:])


def wait_for(probe: Callable[[], T | None], what: str, timeout_s: float, *,
             poll_s: float = POLL_S,
             details: Callable[[], str] = str) -> T:
    """Wait until a condition holds.

    :param probe: called until it returns something true.
    :param what: the thing waited for, for the error's text.
    :param timeout_s: timeout in seconds.
    :param poll_s: pause between two calls, seconds.
    :param details: called for the error's text, such as the end of a log.
    :returns: what ``probe`` returned.
    :raises DeadlinePassed: naming ``what``.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise errors.DeadlinePassed(what, timeout_s, details())
        time.sleep(poll_s)
