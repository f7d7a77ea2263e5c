# SPDX-License-Identifier: Apache-2.0
"""What ``up`` started, noted so that exactly that is ended by ``down``."""

from collections.abc import Iterable, Mapping, Sequence
import contextlib
import os
from pathlib import Path
import signal

from lab import process
from lab.cloud import settings


class Registry:
    """The notes of one cloud's processes, one file each.

    :param folder: where they lie.
    :param logs: where the processes' logs lie.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self._folder = folder
        self._logs = logs

    def spawn(self, name: str, argv: Sequence[str | Path],
              env: Mapping[str, str]) -> process.Process:
        """Start a process in a session of its own, and note it.

        :param argv: program and arguments; never a secret.
        :param env: its environment, to which our marker is added.
        """
        started = process.spawn(
            name, argv, self._logs / f'{name}.log', cwd=Path('/'),
            env={**env, settings.MARKER: settings.clone_id()})
        self.note(started)
        return started

    def note(self, started: process.Process) -> None:
        """Note a process that somebody else started for us."""
        self._folder.mkdir(parents=True, exist_ok=True)
        started.save(self._folder / started.name)

    def get(self, name: str) -> process.Process | None:
        """Return one note, None where there is none."""
        return process.Process.load(self._folder / name)

    def all(self) -> list[process.Process]:
        """Return every note, sorted by name."""
        if not self._folder.is_dir():
            return []
        notes = [self.get(p.name) for p in sorted(self._folder.iterdir())
                 if p.suffix != '.new']
        return [n for n in notes if n]

    def end(self, names: Iterable[str] | None = None) -> None:
        """Kill processes, wait until they are gone, and drop the notes.

        :param names: which; all of them where None.
        """
        notes = [n for n in self.all()
                 if names is None or n.name in set(names)]
        for note in notes:   # all at once, the waits come after
            for pid in note.members():
                kill(pid)
        for note in notes:
            note.end(grace_s=0)
            (self._folder / note.name).unlink(missing_ok=True)

    def stop(self, name: str, grace_s: float) -> None:
        """End one process by SIGTERM, and drop its note."""
        note = self.get(name)
        if note:
            note.end(grace_s=grace_s)
            (self._folder / name).unlink(missing_ok=True)


def marked(pids: Iterable[int], value: str | None = None) -> list[int]:
    """Return those of the pids whose environment has our marker.

    :param value: the marker's value; this clone's where None.
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
    """Send SIGKILL, be the process there or not."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
