# SPDX-License-Identifier: Apache-2.0
"""A line for each step, log lines for one that failed, and totals."""

from collections.abc import Callable, Iterable
import dataclasses
import json
from pathlib import Path
import re
import time
import traceback

from lab import errors

#: Log lines that may explain a failure.
_TELLING = re.compile(r' (ERROR|CRITICAL) |Traceback|^\S*(Error|Exception)\b')

_MOST_LINES = 25


@dataclasses.dataclass(frozen=True)
class Step:
    """The outcome of a step.

    :param name: what it does.
    :param status: ``passed``, ``failed`` or ``not run``.
    :param seconds: its duration.
    :param proof: what was observed, or why it failed.
    """

    name: str
    status: str
    seconds: float
    proof: str


@dataclasses.dataclass(frozen=True)
class Timing:
    """Duration of an attach or detach, seconds.

    :param what: for the table.
    :param api_s: until the API answered.
    :param status_s: until the volume was in-use, or available.
    :param guest_s: until the guest reported it, None if that was not awaited.
    :param stages: parts of it, from the services' logs, milliseconds.
    """

    what: str
    api_s: float
    status_s: float
    guest_s: float | None = None
    stages: tuple[tuple[str, float], ...] = ()


class Report:
    """Runs steps and records their outcomes.

    :param logs: returns the logs to quote when a step fails.
    """

    def __init__(self, logs: Callable[[], Iterable[Path]] = list) -> None:
        self._logs = logs
        self.steps: list[Step] = []
        self.timings: list[Timing] = []

    @property
    def failed(self) -> bool:
        """Whether a step did not pass."""
        return any(s.status != 'passed' for s in self.steps)

    def run(self, name: str, act: Callable[[], str]) -> None:
        """Run a step and print its line.

        :param act: does it and returns the proof. Exceptions are recorded as
            the step's failure; an interrupt is passed on.
        """
        sizes = {log: log.stat().st_size for log in self._logs()}
        start = time.monotonic()
        try:
            proof, status, quoted = act(), 'passed', ''
        except Exception as e:
            # The lab's own errors need no traceback.
            proof, status = f'{type(e).__name__}: {e}', 'failed'
            quoted = ('' if isinstance(e, errors.LabError)
                      else traceback.format_exc())
        self._note(Step(name, status, time.monotonic() - start, proof))
        if status == 'failed':
            print(quoted, end='')
            for log in self._logs():
                self._quote(log, sizes.get(log, 0))

    def run_all(self, steps: Iterable[tuple[str, Callable[[], str]]]) -> None:
        """Run steps until one fails; record the others as not run."""
        for name, act in steps:
            if self.failed:
                self._note(Step(name, 'not run', 0, ''))
            else:
                self.run(name, act)

    def _note(self, step: Step) -> None:
        self.steps.append(step)
        mark = {'passed': 'ok', 'failed': 'FAILED'}.get(step.status, '-')
        print(f'{step.seconds:7.1f} s  {mark:6}  {step.name}'
              f'{": " if step.proof else ""}{step.proof}', flush=True)

    @staticmethod
    def _quote(log: Path, offset: int) -> None:
        """Print the errors that a log got during the step."""
        with log.open(errors='replace') as f:
            # A log that is shorter now was replaced.
            f.seek(offset if log.stat().st_size >= offset else 0)
            lines = [line.rstrip()[:400] for line in f
                     if _TELLING.search(line)]
        if lines:
            print(f'    {log.name}:')
        for line in lines[-_MOST_LINES:]:
            print(f'      {line}')

    def write(self, path: Path) -> None:
        """Write everything as JSON, with ``passed`` and ``failed`` counts."""
        path.write_text(json.dumps({
            'passed': self._count('passed'),
            'failed': len(self.steps) - self._count('passed'),
            'steps': [dataclasses.asdict(s) for s in self.steps],
            'timings': [dataclasses.asdict(t) for t in self.timings],
        }, indent=1) + '\n')

    def summary(self) -> str:
        """Return the last line."""
        passed = self._count('passed')
        return f'{passed} passed, {len(self.steps) - passed} failed'

    def table(self) -> str:
        """Return attach and detach times."""
        rows = [f'{"":32}{"API":>8}{"status":>9}{"guest":>8}']
        for t in self.timings:
            guest = '' if t.guest_s is None else f'{t.guest_s:6.1f} s'
            rows.append(f'{t.what:32}{t.api_s:6.1f} s{t.status_s:7.1f} s'
                        f'{guest:>8}' + ''.join(
                            f'  {n} {ms:.0f} ms' for n, ms in t.stages))
        return '\n'.join(rows)

    def _count(self, status: str) -> int:
        return sum(s.status == status for s in self.steps)
