# SPDX-License-Identifier: Apache-2.0
"""Consistent reads and atomic changes of the objects of targets.

A change compares the object's header with the one that it was derived from,
and replaces it: of two writers that race, one is refused and starts over with
what the other one wrote. The header also has a checksum over the records, so
that one that changed or vanished by other means is noticed whenever all of
them are read.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
import random
import threading
import time
from typing import TypeVar

from mydriver import exception, turns
from mydriver.ceph import omap
from mydriver.target.journal.rados import errors, keys, views

_R = TypeVar('_R')
_V = TypeVar('_V', bound=views.View)

#: How long a call may wait for other writers, in this process and others; see
#: mydriver.target.journal.database.
WAIT_S = 5.0
#: How many attempts are made in any case.
_FEWEST = 3

#: The longest first pause of a writer that was refused, and the longest of
#: all; each is twice as long as the one before.
_PAUSE_S, _PAUSE_MAX_S = 0.002, 0.1

#: Length of a range that no OSD cuts off, however it is set up.
FEW = 64


class Store:
    """The objects of a backend's targets; thread-safe.

    :param objects: of the backend's namespace.
    :param changed: called with the name of each object that was changed.
    :param wait_s: how long a call may wait for other writers.
    """

    def __init__(self, objects: omap.Objects, changed: Callable[[str], None],
                 wait_s: float = WAIT_S) -> None:
        self.objects = objects
        self._changed = changed
        self._wait_s = wait_s
        self._turns: dict[str, turns.Turns] = {}
        self._guard = threading.Lock()

    def path(self, name: str) -> str:
        """Return the name of an object for errors."""
        return f'{self.objects.where}/{name}'

    def view(self, name: str, names: Collection[str] = (),
             ranges: Sequence[omap.Range] = ()) -> views.View:
        """Read keys of an object.

        Ranges longer than :data:`FEW` are read to their end, in more than one
        operation if necessary.

        :param name: of the object.
        :raises JournalDamaged: when it does not exist.
        """
        return self.until_consistent(name, lambda: self._view(
            views.View, name, names, ranges))

    def whole(self, name: str, prefixes: Collection[str] = keys.SEALED,
              names: Collection[str] = ()) -> views.View:
        """Read all records of an object, and check that they are whole.

        :param name: of the object.
        :param prefixes: others, which are not checked, beside them.
        :param names: more keys.
        :raises JournalDamaged: when any changed, vanished or was added.
        """
        ranges = [omap.Range(p) for p in dict.fromkeys(
            (*keys.SEALED, *prefixes))]

        def read() -> views.View:
            view = self._view(views.View, name, names, ranges)
            self._complete(view)
            _verify(view)
            return view

        return self.until_consistent(name, read)

    def change(self, name: str, names: Collection[str],
               step: Callable[[views.Change], _R],
               ranges: Sequence[omap.Range] = ()) -> _R:
        """Change an object.

        :param name: of the object.
        :param names: keys that the step needs.
        :param step: takes what was read, and changes it; called again when
            another writer was faster.
        :param ranges: more keys that it needs.
        :returns: what the step returned.
        :raises WaitTimeout: when others keep changing the object.
        """
        #: Keys that had to be absent, by the header with which they were.
        refused: dict[str, set[str]] = {}

        def attempt() -> _R:
            change = self._view(views.Change, name, names, ranges)
            if change.header_text in refused:
                raise errors.damaged(
                    self.path(name), 'keys exist that its header says do not: '
                    + ', '.join(sorted(refused[change.header_text])))
            result = step(change)
            put, removed = change.result()
            if put or removed:
                self._write(name, change, put, removed, refused)
            return result

        with self._turn(name):
            return self.until_consistent(name, attempt)

    def _write(self, name: str, change: views.Change, put: Mapping[str, str],
               removed: Collection[str], refused: dict[str, set[str]]
               ) -> None:
        where = {keys.HEADER: change.header_text,
                 **dict.fromkeys(change.absent, '')}
        with errors.translated(self.path(name)):
            outcome = self.objects.write(name, put, removed, where=where)
        if outcome is omap.Outcome.MISSING:
            raise self._missing(name)
        if outcome is not omap.Outcome.DONE:
            # With the same header again, it was not another writer.
            refused[change.header_text] = change.absent
            raise views.Raced
        self._changed(name)

    def _view(self, kind: type[_V], name: str, names: Collection[str],
              ranges: Sequence[omap.Range]) -> _V:
        first = self._read(name, [keys.HEADER, *names], ranges)
        view = kind(self.path(name), names, first.values,
                    lambda *more: self._read(name, *more).values)
        cut = [r for r in first.cut if r.limit > FEW]
        while cut:
            found = self._read(name, [keys.HEADER], cut)
            view.add(found.values)
            cut = [r for r in found.cut if r.limit > FEW]
        return view

    def _complete(self, view: views.View) -> None:
        """Read on where an OSD returned less than it was asked for."""
        for prefix, count in views.counts_of(view.header).items():
            found = [key for key, _ in view.below(prefix)]
            while 0 < len(found) < count:
                view.more(ranges=[omap.Range(prefix, found[-1])])
                before, found = found, [k for k, _ in view.below(prefix)]
                if len(before) == len(found):
                    break

    def _read(self, name: str, names: Collection[str],
              ranges: Sequence[omap.Range]) -> omap.Found:
        with errors.translated(self.path(name)):
            found = self.objects.read(name, names, ranges)
        if found is None:
            raise self._missing(name)
        return found

    def _missing(self, name: str) -> exception.JournalError:
        return errors.damaged(self.path(name), 'it does not exist, but the '
                              f'registry {keys.REGISTRY} has its target')

    def until_consistent(self, name: str, attempt: Callable[[], _R]) -> _R:
        """Make attempts until no other writer comes in between.

        A process may stand still during one of them, so the time alone does
        not tell that others keep changing the object.

        :param attempt: raises :class:`.views.Raced` when one did.
        :raises WaitTimeout: when that goes on for too long.
        """
        deadline = time.monotonic() + self._wait_s
        pause_s = _PAUSE_S
        attempts = 0
        while True:
            try:
                return attempt()
            except views.Raced:
                attempts += 1
                if attempts >= _FEWEST and time.monotonic() > deadline:
                    raise exception.WaitTimeout(
                        f'{self.path(name)}, which others keep changing',
                        self._wait_s) from None
            time.sleep(random.uniform(0, pause_s))  # noqa: S311
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)

    def _turn(self, name: str) -> turns.Turns:
        with self._guard:
            if name not in self._turns:
                self._turns[name] = turns.Turns(
                    f'the journal {self.path(name)}', self._wait_s)
            return self._turns[name]


def _verify(view: views.View) -> None:
    """Check that all records of an object are there, and no others.

    :raises JournalDamaged: when they are not.
    """
    seal = 0
    for prefix, count in views.counts_of(view.header).items():
        found = [key for key, _ in view.below(prefix)]
        if len(found) != count:
            raise errors.damaged(view.path, f'it has {len(found)} keys '
                                 f'{prefix}*, its header says {count}')
        for key in found:
            seal ^= views.digest(view.header.id, key, view.values[key])
    if f'{seal:016x}' != view.header.seal:
        raise errors.damaged(
            view.path, 'its keys do not match their checksum')
