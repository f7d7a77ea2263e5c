# SPDX-License-Identifier: Apache-2.0
"""Lines that several files have: copies of one log.

A log that is rotated by copying it (copytruncate), or collected twice, has
the same lines under several names. Two equal lines in one file are two.
"""

from collections.abc import Iterable, Iterator

from mydriver.trace import record

#: What is the same in a line and its copy.
_Key = tuple[str, float, str, str, str, str, str, str]


class Once:
    """Leaves out the copies of records that other files have had.

    It remembers the records that were not left out.

    :param most: so many of them.
    """

    def __init__(self, most: int) -> None:
        self._left = most
        self._known: dict[_Key, list[record.Record]] = {}

    def of_file(self, found: Iterable[record.Record]
                ) -> Iterator[record.Record]:
        """Yield the records of a file that no file before had.

        :param found: all of the file.
        """
        new: list[tuple[_Key, record.Record]] = []
        copied: dict[int, tuple[record.Record, record.Record]] = {}
        for one in found:
            key = _key(one)
            first = next((k for k in self._known.get(key, ())
                          if id(k) not in copied and _may_be_one(k, one)),
                         None)
            if first:
                copied[id(first)] = first, one
                continue
            if self._left:
                self._left -= 1
                new.append((key, one))
            yield one
        for key, one in new:
            self._known.setdefault(key, []).append(one)
        # A copy may end in the middle of a traceback.
        for first, copy in copied.values():
            if len(copy.more) > len(first.more):
                first.more = copy.more


def _key(one: record.Record) -> _Key:
    return (one.source.service, one.time, one.pid, one.level, one.logger,
            one.request_id, one.global_id, one.text)


def _may_be_one(one: record.Record, copy: record.Record) -> bool:
    """Tell whether records are of one host, as far as that is known."""
    hosts = one.source.host, copy.source.host
    return hosts[0] == hosts[1] or '' in hosts
