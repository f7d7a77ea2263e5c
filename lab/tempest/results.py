# SPDX-License-Identifier: Apache-2.0
"""The outcome of each test, from stestr's stream."""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import re
from typing import Any

PASSED, FAILED, SKIPPED = 'passed', 'failed', 'skipped'

#: A test's tags, after its name.
_TAGS = re.compile(r'\[[^\]]*\]$')

#: Stands for a whole class whose set-up or tear-down failed or skipped.
_OF_CLASS = re.compile(r'^(setUp|tearDown)(Class|Module) \((.+)\)$')

#: subunit's statuses of a test that has ended.
_STATUS = {'success': PASSED, 'xfail': PASSED, 'skip': SKIPPED}


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a test.

    :param test: its name, without tags.
    :param status: :data:`PASSED`, :data:`FAILED` or :data:`SKIPPED`.
    :param seconds: its duration; 0 if it did not start.
    :param reason: tempest's reason for a skip, the traceback of a failure.
    """

    test: str
    status: str
    seconds: float = 0.0
    reason: str = ''


def name_of(test: str) -> str:
    """Return a test's name without its tags."""
    return _TAGS.sub('', test)


class Results:
    """Collects results from the stream.

    A class that is skipped, or fails, as a whole counts as all of its tests,
    so that a single line does not hide tests that did not run.

    :param listed: names of all tests to run, with or without tags.
    :param heard: called with each result.
    """

    def __init__(self, listed: Iterable[str],
                 heard: Callable[[Result], None] = lambda _: None) -> None:
        self.listed = list(dict.fromkeys(map(name_of, listed)))
        self._heard = heard
        self._found: dict[str, Result] = {}

    def add(self, told: Mapping[str, Any]) -> None:
        """Add a test's record from testtools.StreamToDict."""
        status = _STATUS.get(told['status'], FAILED)
        if told['status'] == 'exists':
            return
        reason = _reason(told)
        if told['status'] == 'inprogress':
            reason = f'did not end\n{reason}'
        seconds = _seconds(told['timestamps'])
        for name in self._tests(told['id'], status):
            result = Result(name, status, seconds, reason)
            # A failure counts, whatever else is reported for the test.
            if getattr(self._found.get(name), 'status', None) != FAILED:
                self._found[name] = result
                self._heard(result)

    def _tests(self, test: str, status: str) -> list[str]:
        """Return the tests that a record stands for."""
        match = _OF_CLASS.match(test)
        if not match:
            return [name_of(test)]
        missing = [n for n in self.listed if n.startswith(f'{match[3]}.')
                   and n not in self._found]
        # A failure after the last test of a class counts by itself.
        return missing or ([test] if status == FAILED else [])

    def all(self) -> list[Result]:
        """Return the results; a listed test without one has failed."""
        return [*self._found.values(), *(
            Result(name, FAILED, 0, 'was not run')
            for name in self.listed if name not in self._found)]


def _seconds(stamps: Iterable[Any]) -> float:
    begin, end = stamps
    return (end - begin).total_seconds() if begin and end else 0.0


def _reason(told: Mapping[str, Any]) -> str:
    """Return the skip's reason, or the traceback."""
    details = told['details']
    found = [details[n].as_text() for n in sorted(details)
             if n == 'reason' or n.startswith('traceback')]
    return '\n'.join(found).strip()
