# SPDX-License-Identifier: Apache-2.0
"""The table of results, and whether the run passed."""

from collections.abc import Sequence
import dataclasses
import json
from pathlib import Path

from lab.tempest import results, skips, suites

_ORDER = (*suites.SUITES, suites.OTHER)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The result of a run.

    :param tests: result of every requested test.
    :param skipped: the account of those that did not run.
    :param seconds: duration of the tests, without the cloud's start.
    :param whole: whether all suites were requested; then an idle entry of the
        list is an error.
    :param left: leftovers on the nodes, and errors in the logs.
    """

    tests: Sequence[results.Result]
    skipped: skips.Account
    seconds: float
    whole: bool
    left: Sequence[str] = ()

    @property
    def complaints(self) -> list[str]:
        """Everything that is wrong, other than failed tests."""
        found = [f'skipped without a reason in {skips.LIST.name}: {r.test}: '
                 f'{r.reason}' for r in self.skipped.unexplained]
        if self.whole:
            found += [f'an entry of {skips.LIST.name} that no skip needs: '
                      f'{e.test} ({e.said or "excluded"})'
                      for e in self.skipped.idle]
        return [*found, *self.left]

    @property
    def failed(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.count(results.FAILED) or self.complaints)

    def count(self, status: str, suite: str | None = None) -> int:
        """Return how many tests, of a suite or of all, have a status."""
        return sum(r.status == status and suite in (
            None, suites.suite_of(r.test)) for r in self.tests)

    def table(self) -> str:
        """Return a row for each suite, and the reasons of its skips."""
        rows = [f'{"suite":38}  passed  failed  skipped     time']
        for suite in _ORDER:
            mine = [r for r in self.tests
                    if suites.suite_of(r.test) == suite]
            if not mine:
                continue
            rows.append(self._row(suite, suite,
                                  sum(r.seconds for r in mine)))
            rows += [f'    {count} skipped: {why}'
                     for why, count in self._reasons(suite)]
        rows.append(self._row('all', None, self.seconds))
        return '\n'.join(rows)

    def _row(self, name: str, suite: str | None, seconds: float) -> str:
        passed, failed, skipped = (
            self.count(status, suite) for status in (
                results.PASSED, results.FAILED, results.SKIPPED))
        return (f'{name:38}{passed:8}{failed:8}{skipped:9}'
                f'{seconds:7.0f} s')

    def _reasons(self, suite: str) -> list[tuple[str, int]]:
        """Return the reasons of a suite's skips, and how many each has."""
        counts: dict[str, int] = {}
        for why, skipped in [
                *((e.why, r) for e, r in self.skipped.justified),
                ('NO REASON IN THE LIST', self.skipped.unexplained)]:
            if n := sum(suites.suite_of(r.test) == suite for r in skipped):
                counts[why] = counts.get(why, 0) + n
        return sorted(counts.items(), key=lambda item: -item[1])

    def summary(self) -> str:
        """Return the last line."""
        return ', '.join(f'{self.count(s)} {s}' for s in (
            results.PASSED, results.FAILED, results.SKIPPED))

    def failures(self) -> str:
        """Return each failed test with the end of its traceback."""
        return '\n'.join(
            f'FAILED {r.test}\n{_end(r.reason)}' for r in self.tests
            if r.status == results.FAILED)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        path.write_text(json.dumps({
            **{s: self.count(s) for s in (
                results.PASSED, results.FAILED, results.SKIPPED)},
            'seconds': self.seconds,
            'complaints': self.complaints,
            'tests': [dataclasses.asdict(r) for r in self.tests],
        }, indent=1) + '\n')


def _end(reason: str, lines: int = 6) -> str:
    """Return the last lines of a traceback."""
    kept = [line for line in reason.splitlines() if line.strip()]
    return '\n'.join(f'    {line[:300]}' for line in kept[-lines:])
