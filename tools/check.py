# SPDX-License-Identifier: Apache-2.0
"""Run checks and tests, and sum up the results (``make test``, ``make ceph``).

The static checks run first, two at a time, then the unit tests on all cores,
then the functional tests: each module of ``tests/functional`` in a kernel node
of its own, two nodes at a time. Each stage prints a line when it is done, and
what failed. The last line is ``N passed, N failed``; the lines above it name
each failure again, for logs that are cut to their end.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
import dataclasses
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import threading
import time

from tools import outcome, suite, total
from tools.suite import STATE, Stage

#: Files with the results of the parts.
RESULTS = {'test': suite.ROOT / '.lab' / 'test.json',
           'ceph': suite.ROOT / '.lab' / 'ceph.json',
           'doctor': suite.ROOT / '.lab' / 'doctor.json'}

#: Number of parallel stages, where that is possible.
WORKERS = 2


class Runner:
    """Runs stages, prints their lines, keeps the outcomes.

    :param state: directory for the stages' output.
    :param out: called with each line of the report.
    """

    def __init__(self, state: Path, out: Callable[[str], None]) -> None:
        self.outcomes: list[outcome.Outcome] = []
        self._state = state
        self._out = out
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False
        state.mkdir(parents=True, exist_ok=True)

    def run(self, stages: Sequence[Stage], workers: int) -> None:
        """Run stages, ``workers`` of them at a time."""
        with futures.ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(self._one, stages):
                pass

    def fail(self, stage: str, details: str) -> None:
        """Record a stage that could not be started."""
        self._note(outcome.Outcome(stage, 0, 1, 0.0, details,
                                   (outcome.reason(details),)))

    def end(self) -> None:
        """End running stages, and start no more."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        for process in running:
            _signal_group(process, signal.SIGTERM)

    def _one(self, stage: Stage) -> None:
        start = time.monotonic()
        slug = re.sub(r'[^a-z0-9._-]+', '-', stage.name.lower()).strip('-')
        stdout = self._state / f'{slug}.out'
        stderr = self._state / f'{slug}.err'
        status = self._execute(stage, stdout, stderr)
        errors = stderr.read_text(errors='replace')
        judged = judge_tests if stage.tests else judge_check
        passed, failures, details = judged(stage, status, stdout, errors)
        self._note(outcome.Outcome(stage.name, passed, len(failures),
                                   time.monotonic() - start, details,
                                   failures))

    def _execute(self, stage: Stage, stdout: Path, stderr: Path) -> str:
        """Run a stage's command; return what is wrong, or an empty text."""
        with stdout.open('wb') as out, stderr.open('wb') as err:
            with self._lock:
                if self._ended:
                    return 'not started: the run was ended'
                try:
                    process = subprocess.Popen(
                        stage.command, stdin=subprocess.DEVNULL, stdout=out,
                        stderr=err, cwd=suite.ROOT, start_new_session=True)
                except OSError as e:
                    return (f'{stage.command[0]} cannot be started: {e}. '
                            '"python3 -m lab.bootstrap --tests" makes all '
                            'environments')
                self._running.add(process)
            try:
                code = process.wait(stage.timeout_s)
            except subprocess.TimeoutExpired:
                _stop(process)
                return f'ended after {stage.timeout_s:g} s'
            finally:
                with self._lock:
                    self._running.discard(process)
        return f'exit status {code}' if code else ''

    def _note(self, result: outcome.Outcome) -> None:
        with self._lock:
            self.outcomes.append(result)
            self._out(result.line())
            if result.details:
                self._out('\n'.join(
                    '    ' + line for line in result.details.splitlines()))


def judge_check(stage: Stage, status: str, stdout: Path,
                errors: str) -> tuple[int, tuple[str, ...], str]:
    """Judge a check: one passed or one failed.

    :param status: what is wrong with its exit, or an empty text.
    :param stdout: file of its standard output.
    :param errors: its standard error.
    :returns: how many passed, a line for each failure, details.
    """
    output = stdout.read_text(errors='replace')
    wrong = status or stage.judge(output)
    if not wrong:
        return 1, (), ''
    return 0, (outcome.reason(wrong),), outcome.tail(
        f'{output}{errors}'.strip() + f'\n{wrong}')


def judge_tests(_stage: Stage, status: str, stdout: Path,
                errors: str) -> tuple[int, tuple[str, ...], str]:
    """Judge a stage of tests by its subunit stream.

    A stage that ended with an error although no test failed counts as a
    failure, and so does one without tests. Parameters and result are those of
    :func:`judge_check`.
    """
    tally = outcome.read_subunit(stdout)
    found = sorted(tally.failures.items())
    parts = [f'{name}: {why}' for name, why in found]
    failures = [f'{name}: {outcome.reason(why)}' for name, why in found]
    if not tally.passed and not failures and not status:
        status = 'no test was run'
    if status:
        failures = failures or [outcome.reason(status)]
        noise = bytes(tally.noise).decode(errors='replace')
        parts += [outcome.tail(f'{noise}\n{errors}'.strip()), status]
    return (len(tally.passed), tuple(failures),
            '\n'.join(filter(None, parts)))


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and its group, which it leads."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process group: SIGTERM, so that it can clean up, then SIGKILL."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def save(outcomes: Iterable[outcome.Outcome], path: Path) -> tuple[int, int]:
    """Write the totals and the stages to a file of JSON.

    :returns: number of passed and of failed tests.
    """
    stages = [dataclasses.asdict(o) for o in outcomes]
    passed = sum(s['passed'] for s in stages)
    failed = sum(s['failed'] for s in stages)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(
        {'passed': passed, 'failed': failed, 'stages': stages}, indent=1)
        + '\n')
    return passed, failed


def conclude(outcomes: Iterable[outcome.Outcome], path: Path, start: float
             ) -> int:
    """Save the outcomes, print failures and totals; return the exit status.

    :param path: of the file with the results.
    :param start: when the first stage began, by the monotonic clock.
    """
    passed, failed = save(outcomes, path)
    print(f'all of it in {time.monotonic() - start:.0f} s')
    for line in total.failures(json.loads(path.read_text())):
        print(f'failed: {line}')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


def plan(part: str, quick: bool, only: Sequence[str]
         ) -> list[tuple[list[Stage], int]]:
    """Return rounds of stages, and the number of parallel stages in each.

    :param part: ``ceph`` for the functional tests that need a Ceph,
        ``doctor`` for the long ones of ``mydriver doctor``, ``test`` for all
        else, an empty text for everything.
    :param quick: leave the functional tests out.
    :param only: words; a stage whose name has none of them is left out.
    """
    rounds = [(suite.static_stages(), WORKERS), (suite.unit_stages(), 1)
              ] if part in ('', 'test') else []
    if not quick:
        rounds.append(([s for s in suite.functional_stages()
                        if part in ('', s.part)], WORKERS))
    if only:
        rounds = [([s for s in stages if any(w in s.name for w in only)], n)
                  for stages, n in rounds]
    return rounds


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true',
                        help='leave the functional tests out')
    parser.add_argument('--part', choices=sorted(RESULTS), default='',
                        help='ceph: only the tests that need a Ceph; doctor: '
                             'only those of mydriver doctor in nodes; test: '
                             'all else; by default all of them')
    parser.add_argument('only', nargs='*', metavar='WORD',
                        help='only the stages whose name has one of these')
    args = parser.parse_args(argv)
    start = time.monotonic()
    result = RESULTS[args.part or 'test']
    result.unlink(missing_ok=True)
    runner = Runner(STATE, lambda line: print(line, flush=True))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: runner.end())
    rounds = plan(args.part, args.quick, args.only)
    for stages, workers in rounds:
        runner.run(stages, workers)
    if not args.quick and not args.only and not rounds[-1][0]:
        runner.fail('functional tests', 'no test was found')
    return conclude(runner.outcomes, result, start)


if __name__ == '__main__':
    sys.exit(main())
