# SPDX-License-Identifier: Apache-2.0
"""Record what ``up`` starts, so that ``down`` ends exactly that."""

from collections.abc import Iterable, Mapping, Sequence
import contextlib
import os
from pathlib import Path
import signal

from lab import process
from lab.cloud import settings


class Registry:
    """The records of a cloud's processes, a file for each.

    :param folder: has the records.
    :param logs: directory of the processes' logs.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self._folder = folder
        self._logs = logs

    def spawn(self, name: str, argv: Sequence[str | Path],
              env: Mapping[str, str]) -> process.Process:
        """Start a process in a session of its own, and record it.

        :param argv: program and arguments, without a secret.
        :param env: its environment; our marker is added.
        """
        started = process.spawn(
            name, argv, self._logs / f'{name}.log', cwd=Path('/'),
            env={**env, settings.MARKER: settings.clone_id()})
        self.note(started)
        return started

    def note(self, started: process.Process) -> None:
        """Record a process that was started elsewhere."""
        self._folder.mkdir(parents=True, exist_ok=True)
        started.save(self._folder / started.name)

    def get(self, name: str) -> process.Process | None:
        """Return a record, None if there is none."""
        return process.Process.load(self._folder / name)

    def all(self) -> list[process.Process]:
        """Return all records, sorted by name."""
        if not self._folder.is_dir():
            return []
        notes = [self.get(p.name) for p in sorted(self._folder.iterdir())
                 if p.suffix != '.new']
        return [n for n in notes if n]

    def end(self, names: Iterable[str] | None = None) -> None:
        """Kill processes, wait until they are gone, and drop their records.

        :param names: which ones; None for all.
        """
        notes = [n for n in self.all()
                 if names is None or n.name in set(names)]
        for note in notes:   # kill all of them before waiting for one
            for pid in note.members():
                kill(pid)
        for note in notes:
            note.end(grace_s=0)
            (self._folder / note.name).unlink(missing_ok=True)

    def stop(self, name: str, grace_s: float) -> None:
        """End a process by SIGTERM, and drop its record."""
        note = self.get(name)
        if note:
            note.end(grace_s=grace_s)
            (self._folder / name).unlink(missing_ok=True)


def marked(pids: Iterable[int], value: str | None = None) -> list[int]:
    """Return the processes whose environment has our marker.

    :param value: the marker's value; None for this clone's.
    """
    want = f'{settings.MARKER}={value or settings.clone_id()}'.encode()
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            data = Path('/proc', str(pid), 'environ').read_bytes()
            if want in data.split(b'\0'):
                found.append(pid)
    return found


def kill(pid: int) -> None:
    """Send SIGKILL to a process, if it exists."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
