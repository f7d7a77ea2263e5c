# SPDX-License-Identifier: Apache-2.0
"""Outcomes of stages, and how a subunit stream of tests becomes one.

Only a test with the status ``success`` has passed. A skipped test, an expected
failure, a test that did not end and one that was announced but did not run
count as failed: what a test needs must be available.
"""

from collections.abc import Mapping
import dataclasses
import datetime
from pathlib import Path
from typing import Any

import subunit
import testtools

from tools import total

#: Maximum length of a test's details, characters; the end is kept.
DETAILS_MAX = 6000

_UNFINISHED = {
    'inprogress': 'began, but never ended',
    'exists': 'never ran',
    'unknown': 'left output, but no result',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a stage.

    :param stage: its name.
    :param passed: number of tests that passed.
    :param failed: number of tests that did not.
    :param duration_s: its duration, seconds.
    :param details: of the failures; empty if all passed.
    :param failures: a line for each failure: the test, if it was one, and the
        reason.
    """

    stage: str
    passed: int
    failed: int
    duration_s: float
    details: str = ''
    failures: tuple[str, ...] = ()

    def line(self) -> str:
        """Return the stage's line of the report."""
        word = 'FAILED' if self.failed else 'ok'
        counts = f'{self.passed} passed'
        if self.failed:
            counts += f', {self.failed} failed'
        return f'{self.stage:<32} {word:<6} {self.duration_s:7.1f} s  {counts}'


@dataclasses.dataclass(slots=True)
class Tally:
    """Results of tests.

    :param planned: ids of tests that were announced.
    :param passed: ids of tests that passed.
    :param failures: id -> reason of those that did not.
    :param noise: other output between the results.
    """

    planned: set[str] = dataclasses.field(default_factory=set)
    passed: set[str] = dataclasses.field(default_factory=set)
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    noise: bytearray = dataclasses.field(default_factory=bytearray)

    def add(self, test: Mapping[str, Any]) -> None:
        """Add a test's record from testtools.StreamToDict."""
        name, status = test['id'], test['status']
        if status == 'exists':
            self.planned.add(name)
        elif status == 'success':
            self.passed.add(name)
        else:
            text = _details(test['details'])
            why = _UNFINISHED.get(status, status)
            self.failures[name] = f'{why}\n{text}' if text else why

    def close(self) -> None:
        """Add tests that did not run; a failed test has not passed."""
        for name in self.planned - self.passed - set(self.failures):
            self.failures[name] = _UNFINISHED['exists']
        self.passed -= set(self.failures)


def read_subunit(path: Path) -> Tally:
    """Read a file of subunit packets, version 2, with other output between."""
    tally = Tally()
    records = testtools.StreamToDict(tally.add)
    noise = _Noise(tally.noise)
    both = testtools.CopyStreamResult([records, noise])
    both.startTestRun()
    with path.open('rb') as stream:
        subunit.ByteStreamToStreamResult(
            stream, non_subunit_name='stdout').run(both)
    both.stopTestRun()
    tally.close()
    return tally


class _Noise(testtools.StreamResult):
    """Keeps output that belongs to no test."""

    def __init__(self, buffer: bytearray) -> None:
        super().__init__()
        self._buffer = buffer

    def status(self, test_id: str | None = None,
               test_status: str | None = None,
               test_tags: set[str] | None = None, runnable: bool = True,
               file_name: str | None = None, file_bytes: bytes | None = None,
               eof: bool = False, mime_type: str | None = None,
               route_code: str | None = None,
               timestamp: datetime.datetime | None = None) -> None:
        """Handle an event of the stream."""
        if test_id is None and file_bytes:
            self._buffer += file_bytes


def _details(contents: dict[str, Any]) -> str:
    """Return the text of a test's attachments, tracebacks last."""
    parts = []
    for name in sorted(contents, key=lambda n: ('traceback' in n, n)):
        if contents[name].content_type.type == 'text':
            text = contents[name].as_text().strip()
            if text:
                parts.append(text)
    return tail('\n'.join(parts))


def reason(text: str) -> str:
    """Return the line of a failure's details that has the error.

    Below the last traceback it is the first line that is not indented; without
    a traceback it is the last line.
    """
    below = text.rpartition('Traceback (most recent call last):\n')[2]
    lines = [line for line in below.splitlines() if line.strip()]
    if below != text:
        lines = [line for line in lines if not line[0].isspace()][:1] or lines
    return lines[-1].strip()[:total.REASON_MAX] if lines else ''


def tail(text: str, limit: int = DETAILS_MAX) -> str:
    """Return the last whole lines of a text."""
    if len(text) <= limit:
        return text
    return '...\n' + text[-limit:].partition('\n')[2]
