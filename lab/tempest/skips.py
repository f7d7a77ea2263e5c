# SPDX-License-Identifier: Apache-2.0
"""The committed list of tests that do not run, and why (``skips.toml``).

An entry justifies a skip if it matches the test and tempest's reason. A skip
without an entry is an error. In a run of all suites, so is an entry that no
skip needs.
"""

from collections.abc import Iterable, Sequence
import dataclasses
from pathlib import Path
import re
import tomllib
from typing import Any, Self

from lab import errors
from lab.cloud import driver
from lab.tempest import results

LIST = Path(__file__).with_name('skips.toml')


class BadList(errors.LabError):
    """The list of skips has a mistake."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A reason for tests not to run.

    :param test: pattern for the beginning of a test's name.
    :param said: pattern to search in tempest's reason; empty for an excluded
        test, which tempest never sees.
    :param why: the reason, for people.
    :param stores: stores on which it applies.
    :param excluded: the test is not run, since it fails for a reason that is
        not ours; ``why`` says where that can be seen.
    """

    test: str
    said: str
    why: str
    stores: tuple[str, ...] = driver.STORES
    excluded: bool = False

    def justifies(self, result: results.Result) -> bool:
        """Tell whether it justifies a skip."""
        return bool(not self.excluded and re.match(self.test, result.test)
                    and re.search(self.said, result.reason))


@dataclasses.dataclass(frozen=True)
class Account:
    """The skips of a run, by entry.

    :param justified: entries with the skips that they justify.
    :param unexplained: skips without an entry.
    :param idle: entries without a skip.
    """

    justified: tuple[tuple[Entry, tuple[results.Result, ...]], ...]
    unexplained: tuple[results.Result, ...]
    idle: tuple[Entry, ...]


class Skips:
    """The entries for a store.

    :param entries: of the list.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)

    @classmethod
    def load(cls, store: str, path: Path = LIST) -> Self:
        """Read the list.

        :raises BadList: when an entry lacks a key, or has an unknown key or a
            bad pattern.
        """
        data = tomllib.loads(path.read_text())
        if unknown := data.keys() - {'skip', 'exclude'}:
            raise BadList(f'{path.name}: {sorted(unknown)}')
        entries = [_entry(item, False) for item in data.get('skip', [])]
        entries += [_entry(item, True) for item in data.get('exclude', [])]
        return cls([e for e in entries if store in e.stores])

    def excluded(self, test: str) -> Entry | None:
        """Return the entry that excludes a test, None if there is none."""
        return next((e for e in self.entries
                     if e.excluded and re.match(e.test, test)), None)

    def account(self, skipped: Iterable[results.Result]) -> Account:
        """Find the entry for each skip."""
        found: dict[Entry, list[results.Result]] = {
            e: [] for e in self.entries}
        unexplained = []
        for result in skipped:
            entry = self.excluded(result.test) or next(
                (e for e in self.entries if e.justifies(result)), None)
            if entry:
                found[entry].append(result)
            else:
                unexplained.append(result)
        return Account(
            tuple((e, tuple(r)) for e, r in found.items() if r),
            tuple(unexplained),
            tuple(e for e, r in found.items() if not r))


def _entry(item: dict[str, Any], excluded: bool) -> Entry:
    """Make an entry from a table of the list."""
    wanted = {'test', 'why'} if excluded else {'test', 'said', 'why'}
    if not wanted <= item.keys() <= wanted | {'stores'}:
        raise BadList(f'an entry has {sorted(item)} instead of '
                      f'{sorted(wanted)}')
    if blank := [k for k in wanted if not item[k]]:
        raise BadList(f'{item["test"]}: no {", ".join(blank)}')
    try:
        for name in wanted - {'why'}:
            re.compile(item[name])
    except re.error as e:
        raise BadList(f'{item["test"]}: {e}') from e
    stores = tuple(item.get('stores', Entry.stores))
    return Entry(item['test'], item.get('said', ''), item['why'], stores,
                 excluded)
