# SPDX-License-Identifier: Apache-2.0
"""Run stestr on tempest: list the tests, run them, read the results."""

from collections.abc import Iterator, Sequence
import contextlib
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import threading
import time
from typing import Any

import subunit
import tempest
import testtools

from lab import errors
from lab.cloud import credentials, settings
from lab.cloud.config import ini
from lab.cloud.site import Site
from lab.tempest import conf, results, suites

#: Timeout of a test, seconds.
_TEST_TIMEOUT_S = 1800

#: Print progress after so many tests, or so many seconds.
_EVERY = 20
_EVERY_S = 60.0


class Workspace:
    """The directory from which tempest runs.

    :param folder: created; existing content is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log = folder / 'stestr.log'

    def prepare(self, site: Site) -> None:
        """Write the configuration of tempest and stestr."""
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / 'lock').mkdir(parents=True)
        credentials.write_private(
            self._folder / 'tempest.conf',
            ini.render(conf.build(site, self._folder)))
        package = Path(tempest.__file__).parent
        # Tests of a class share what the class has set up.
        (self._folder / '.stestr.conf').write_text(
            f'[DEFAULT]\ntest_path={package}/test_discover\n'
            f'top_dir={package.parent}\n'
            'group_regex=([^\\.]*\\.)*\n')
        with self.log.open('wb') as log:
            subprocess.run(self._stestr('init'), env=self._environment(),
                           cwd=self._folder, stdout=log, stderr=log,
                           check=True)

    def find(self, regex: str) -> list[str]:
        """Return the names of the tests that match a pattern.

        :raises LabError: when tempest cannot be loaded, or none match.
        """
        done = subprocess.run(
            self._stestr('list', regex), cwd=self._folder, text=True,
            env=self._environment(), capture_output=True, check=False)
        found = [line for line in done.stdout.splitlines() if '.' in line]
        if done.returncode or not found:
            raise errors.LabError(f'no test matches {regex!r}: status '
                                  f'{done.returncode}\n{done.stderr[-2000:]}')
        return found

    def run(self, tests: Sequence[str], concurrency: int, timeout_s: float,
            found: results.Results) -> None:
        """Run tests; end those that still run at the deadline.

        :param tests: names from :meth:`find`.
        :param concurrency: number of parallel tests.
        :param timeout_s: for all of them together, seconds.
        :param found: collects the results.
        """
        chosen = self._folder / 'tests.txt'
        chosen.write_text(''.join(f'{t}\n' for t in tests))
        workers = self._folder / 'workers.yaml'  # JSON is YAML, too
        workers.write_text(json.dumps([
            {'worker': [pattern], 'concurrency': count}
            for pattern, count in suites.shares(tests, concurrency)]))
        argv = self._stestr('run', '--subunit', '--load-list', str(chosen),
                            '--worker-file', str(workers),
                            '--concurrency', str(concurrency))
        with self._started(argv, timeout_s) as stream:
            listener = testtools.StreamToDict(found.add)
            listener.startTestRun()
            subunit.ByteStreamToStreamResult(
                stream, non_subunit_name='stdout').run(listener)
            listener.stopTestRun()

    @contextlib.contextmanager
    def _started(self, argv: Sequence[str],
                 timeout_s: float) -> Iterator[Any]:
        """Start a program in a session of its own and yield its output.

        The program and its descendants are killed afterwards.
        """
        with self.log.open('ab') as log:
            child = subprocess.Popen(
                argv, cwd=self._folder, env=self._environment(),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True)

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)

        timer = threading.Timer(timeout_s, end)
        timer.start()
        try:
            yield child.stdout
        finally:
            timer.cancel()
            end()
            child.wait()

    @staticmethod
    def _stestr(*args: str) -> list[str]:
        return [str(settings.VENV / 'bin' / 'stestr'), *args]

    def _environment(self) -> dict[str, str]:
        return {
            'PATH': f'{settings.VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin',
            'HOME': str(self._folder), 'LANG': 'C.UTF-8',
            'PYTHONWARNINGS': 'ignore',
            'TEMPEST_CONFIG_DIR': str(self._folder),
            'TEMPEST_CONFIG': 'tempest.conf',
            'OS_TEST_TIMEOUT': str(_TEST_TIMEOUT_S)}


class Progress:
    """Prints progress from time to time, and a line for each failure.

    :param total: number of tests.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._start = self._said = time.monotonic()
        self._counts = dict.fromkeys(
            (results.PASSED, results.FAILED, results.SKIPPED), 0)

    def __call__(self, result: results.Result) -> None:
        """Count a result."""
        self._counts[result.status] += 1
        if result.status == results.FAILED:
            print(f'  FAILED {result.test} ({result.seconds:.0f} s)',
                  flush=True)
        done, now = sum(self._counts.values()), time.monotonic()
        if (done % _EVERY == 0 or done == self._total
                or now - self._said > _EVERY_S):
            self._said = now
            print(f'{now - self._start:7.0f} s  {done} of {self._total}: '
                  + ', '.join(f'{n} {what}' for what, n in
                              self._counts.items()), flush=True)
