# SPDX-License-Identifier: Apache-2.0
"""The guest's reports about its writes, and the volume's records."""

import dataclasses

from lab import process
from lab.scenario.console import Guest, Line
from lab.scenario.expect import expect

#: In a volume's first sector, starts the guest's writer (lab/guest).
WORD = 'mydriver-write'

#: Offset of its records in blocks of 4 KiB, and number of places for them
#: (lab/guest/load.sh).
FIRST_BLOCK = 256
PLACES = 64

#: Longest pause that is accepted, seconds. The guest runs in software
#: emulation on the node of nova-compute, so it is slow while that starts. A
#: lost iSCSI connection would take more than 5 s to be noticed
#: (noop_out_timeout).
LONGEST_S = 5.0


@dataclasses.dataclass(frozen=True)
class Progress:
    """The writes during a period.

    :param records: their number.
    :param longest_ms: longest time from one record to the next.
    """

    records: int
    longest_ms: int

    def __str__(self) -> str:
        return (f'{self.records} records written and read back, the longest '
                f'pause {self.longest_ms} ms')


class Writer:
    """The guest's writer.

    :param guest: its console.
    :param disk: such as ``vdb``.
    :param token: names the writer's records.
    """

    def __init__(self, guest: Guest, disk: str, token: str) -> None:
        self._guest = guest
        self._disk = disk
        self.token = token

    def report(self, timeout_s: float = 300) -> Line:
        """Wait for the writer's next report.

        :raises GuestError: when the guest reports an error.
        :raises DeadlinePassed: when it does not report.
        """
        before = self._reports()
        since = before[-1].uptime_s if before else 0.0

        def newer() -> Line | None:
            now = self._reports()
            return now[-1] if now and now[-1].uptime_s > since else None

        return process.wait_for(
            newer, f'guest {self._guest.name} to report its writes',
            timeout_s, poll_s=0.3)

    def since(self, begin: Line, longest_s: float = LONGEST_S) -> Progress:
        """Wait for a report; return the writes since an earlier one.

        :param longest_s: longest pause that is accepted, seconds.
        :raises GuestError: when the guest reports an error.
        :raises NotProven: when it wrote nothing, or paused for too long.
        """
        end = self.report()
        longest_ms = max(int(line.fields['longest_ms'])
                         for line in self._reports()
                         if line.uptime_s > begin.uptime_s)
        done = Progress(count(end) - count(begin), longest_ms)
        expect(done.records > 0, f'nothing was written: {end.text}')
        expect(longest_ms <= longest_s * 1000, f'the guest waited: {done}')
        return done

    def _reports(self) -> list[Line]:
        return [line for line in self._guest.said('disk', self._disk, 'writes')
                if line.fields['token'] == self.token]


def count(line: Line) -> int:
    """Return the number of records at a report."""
    return int(line.fields['count'])


def check_records(text: str, token: str, at_least: int) -> int:
    """Check what the volume has in the records' places.

    Before the writer has used all places, those after the last record are
    full of zeros.

    :param text: the places' content, in order.
    :param token: of the writer.
    :param at_least: how many records the guest has reported.
    :returns: number of the last record.
    :raises NotProven: when a record is missing or at the wrong place.
    """
    written = text.rstrip('\0')
    found = [line.split() for line in written.splitlines()]
    complete = len(found) == PLACES if written == text else (
        0 < len(found) < PLACES)
    odd = [words for words in found if len(words) != 2 or words[0] != token
           or not words[1].isdigit()]
    expect(complete and not odd, f'these are not all records of {token}: '
           f'{len(found)} records, {str(odd)[:200]} among them')
    numbers = [int(number) for _, number in found]
    last = max(numbers)
    expect(last >= at_least, f'the last record is {last}, not {at_least}')
    wrong = [number for place, number in enumerate(numbers)
             if not last - PLACES < number or (number - 1) % PLACES != place]
    expect(not wrong, f'lost or misplaced records, the last is {last}: '
           f'{wrong}')
    return last
