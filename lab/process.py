# SPDX-License-Identifier: Apache-2.0
"""Start processes, remember exactly which they were, and end only those.

Each process leads a session of its own, so that what it starts in turn can be
found. A process id alone is not an identity, since the kernel gives it out
again: the start time goes with it.
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

#: How often a condition is looked at while it is waited for, seconds.
POLL_S = 0.05


def _stat(pid: int) -> tuple[str, int, int] | None:
    """Read a process's state, session id and start time.

    :param pid: process id.
    :returns: state letter, session, start in clock ticks since boot (fields
        3, 6 and 22 of proc(5)'s ``/proc/PID/stat``); None where it is gone.
    """
    try:
        text = Path('/proc', str(pid), 'stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in brackets and may hold blanks and brackets.
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
        """Write the record to ``path``, whole or not at all."""
        data = dataclasses.asdict(self) | {'log': str(self.log)}
        scratch = path.with_name(path.name + '.new')
        scratch.write_text(json.dumps(data) + '\n')
        scratch.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read a record; None where there is none."""
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(**data | {'log': Path(data['log'])})

    def alive(self) -> bool:
        """Tell whether it runs: this one, and not another with its id."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        stat = _stat(self.pid)
        return bool(stat and stat[0] not in 'ZX' and stat[2] == self.started)

    def members(self) -> list[int]:
        """Return the ids of all living processes of its session."""
        leader = _stat(self.pid)
        if leader and leader[2] != self.started:
            return []  # the id was given out again: nothing of ours is left
        return list(_session(self.pid, self.started))

    def end(self, grace_s: float = 10) -> None:
        """End it and all that it started, and wait until they are gone.

        :param grace_s: how long it may take to end by itself on SIGTERM,
            seconds; 0 kills it at once.
        :raises DeadlinePassed: when something of it does not go.
        """
        if grace_s and self.alive():
            os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(errors.DeadlinePassed):
                wait_for(lambda: not self.alive(), f'{self.name} to end',
                         grace_s)

        def swept() -> bool:
            for pid in self.members():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.members() and not self.alive()

        wait_for(swept, f'{self.name} to go after SIGKILL', 30)

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of its log."""
        return tail(self.log, lines)


def _session(sid: int, since: int) -> Iterator[int]:
    """Yield the living processes of a session that started at or after."""
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if (stat and stat[1] == sid and stat[2] >= since
                    and stat[0] not in 'ZX'):
                yield int(entry.name)


def spawn(name: str, argv: Sequence[str | Path], log: Path, *,
          env: Mapping[str, str] | None = None,
          cwd: Path | None = None) -> Process:
    """Start a process in a session of its own, its output to a log.

    :param name: for people.
    :param argv: program and arguments.
    :param log: appended to.
    :param env: its whole environment; ours where None.
    :param cwd: its working directory; ours where None.
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
    # Not reaped yet, hence there, even if it has ended meanwhile.
    started = stat[2] if stat else 0
    # From now on the record is what counts, not the Popen object.
    child.returncode = 0
    return Process(name, child.pid, started, log)


class Follower:
    """Copies what is added to a file to a stream.

    :param path: the file, which is there.
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
        """Copy what came since the last time."""
        while data := self._from.read(1 << 20):
            self._to.write(data)
            self._to.flush()


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a file; empty where there is none."""
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

    :param probe: asked again and again until what it returns is true.
    :param what: what is waited for, for the error's text.
    :param timeout_s: for how long, seconds.
    :param poll_s: pause between two looks, seconds.
    :param details: called for the error's text, such as a log's end.
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
