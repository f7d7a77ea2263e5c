# SPDX-License-Identifier: Apache-2.0
"""What became of each test, from the stream that stestr writes."""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import re
from typing import Any

PASSED, FAILED, SKIPPED = 'passed', 'failed', 'skipped'

#: A test's tags, behind its name.
_TAGS = re.compile(r'\[[^\]]*\]$')

#: What stands for a whole class when its preparation or its end says no.
_OF_CLASS = re.compile(r'^(setUp|tearDown)(Class|Module) \((.+)\)$')

#: What a test can end with, as subunit calls it.
_STATUS = {'success': PASSED, 'xfail': PASSED, 'skip': SKIPPED}


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a test.

    :param test: its name, without tags.
    :param status: :data:`PASSED`, :data:`FAILED` or :data:`SKIPPED`.
    :param seconds: how long it took; 0 for one that did not begin.
    :param reason: tempest's own words on a skip, the traceback of a failure.
    """

    test: str
    status: str
    seconds: float = 0.0
    reason: str = ''


def name_of(test: str) -> str:
    """Return a test's name without its tags."""
    return _TAGS.sub('', test)


class Results:
    """Gathers what the stream says.

    A class that is skipped, or fails, as a whole counts as all of its tests:
    what did not run is not hidden behind one line.

    :param listed: names of all tests that are to run, with or without tags.
    :param heard: told of each result.
    """

    def __init__(self, listed: Iterable[str],
                 heard: Callable[[Result], None] = lambda _: None) -> None:
        self.listed = list(dict.fromkeys(map(name_of, listed)))
        self._heard = heard
        self._found: dict[str, Result] = {}

    def add(self, told: Mapping[str, Any]) -> None:
        """Take one test as testtools.StreamToDict tells of it."""
        status = _STATUS.get(told['status'], FAILED)
        if told['status'] == 'exists':
            return
        reason = _reason(told)
        if told['status'] == 'inprogress':
            reason = f'did not come to its end\n{reason}'
        seconds = _seconds(told['timestamps'])
        for name in self._tests(told['id'], status):
            result = Result(name, status, seconds, reason)
            # A failure counts, whatever else is told of the same test.
            if getattr(self._found.get(name), 'status', None) != FAILED:
                self._found[name] = result
                self._heard(result)

    def _tests(self, test: str, status: str) -> list[str]:
        """Return the tests that one line of the stream is about."""
        match = _OF_CLASS.match(test)
        if not match:
            return [name_of(test)]
        missing = [n for n in self.listed if n.startswith(f'{match[3]}.')
                   and n not in self._found]
        # What fails after the last test of a class is a failure of its own.
        return missing or ([test] if status == FAILED else [])

    def all(self) -> list[Result]:
        """Return the results; a listed test that was not told of failed."""
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
