# SPDX-License-Identifier: Apache-2.0
"""Compare the files that a host should have with those that it has."""

from collections.abc import Iterator, Sequence
import dataclasses
import difflib
import enum

from mydriver import exception
from mydriver.hostfiles import catalogue, entries, manifest
from mydriver.hostfiles import root as roots


class State(enum.Enum):
    """What has to be done with a file."""

    #: It is as it should be, or there is nothing to remove.
    SAME = 'up to date'
    #: There is no such file.
    ABSENT = 'create'
    #: It is ours, and differs.
    OURS = 'update'
    #: It is no longer needed, and unchanged.
    OBSOLETE = 'remove'
    #: It is no longer needed, and something was there before it.
    RESTORE = 'restore'
    #: It is ours, and somebody has changed it.
    CHANGED = 'changed by somebody'
    #: It is not ours.
    FOREIGN = 'not made by mydriver setup'


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A file, and what has to be done with it.

    :param path: its path.
    :param state: what has to be done.
    :param wanted: the file as it should be; None when it is not needed.
    :param found: the file as it is; None when it does not exist.
    """

    path: str
    state: State
    wanted: catalogue.HostFile | None
    found: entries.Found | None

    @property
    def differs(self) -> bool:
        """Whether the file is not as it should be."""
        return self.state is not State.SAME


def plan(root: roots.Root, made: manifest.Manifest,
         files: Sequence[catalogue.HostFile]) -> list[Change]:
    """Compare files with those of a root.

    :param root: the root directory.
    :param made: what was made there earlier.
    :param files: the files that should be there.
    :raises ConfigurationError: when a file cannot be read.
    """
    wanted = {f.path: f for f in files}
    return [_change(path, wanted.get(path), root.read(path),
                    made.files.get(path))
            for path in sorted({*wanted, *made.files})]


def _change(path: str, wanted: catalogue.HostFile | None,
            found: entries.Found | None, entry: manifest.Entry | None
            ) -> Change:
    return Change(path, _state(wanted, found, entry), wanted, found)


def _state(wanted: catalogue.HostFile | None, found: entries.Found | None,
           entry: manifest.Entry | None) -> State:
    original = entry.original if entry is not None else None
    end = State.OBSOLETE if original is None else State.RESTORE
    if found is None:
        if wanted is None:
            return State.SAME if original is None else end
        return State.ABSENT
    ours = entry is not None and entry.made(found.sha256)
    if wanted is None:
        is_back = original is not None and original.sha256 == found.sha256
        return end if ours or is_back else State.CHANGED
    if (found.content, found.mode) == (wanted.content, wanted.mode):
        return State.SAME
    if ours or (entry is not None and found.content == wanted.content):
        return State.OURS
    return State.FOREIGN if entry is None else State.CHANGED


def diff(change: Change) -> Iterator[str]:
    """Yield the lines of a unified diff, without line ends."""
    if change.state is State.RESTORE:
        yield f'{change.path}: what was there before comes back'
        return
    old, new = change.found, change.wanted
    if old is None and new is not None:
        yield f'new file {change.path}, mode {new.mode:04o}'
    elif old is not None and new is None:
        yield f'removed file {change.path}'
    elif old is not None and new is not None and old.mode != new.mode:
        yield (f'{change.path}: mode {old.mode:04o} becomes '
               f'{new.mode:04o}')
    yield from difflib.unified_diff(
        _lines(old), _lines(new),
        change.path if old is not None else '/dev/null',
        change.path if new is not None else '/dev/null', lineterm='')


def _lines(file: entries.Found | catalogue.HostFile | None) -> list[str]:
    if file is None:
        return []
    return file.content.decode(errors='backslashreplace').splitlines()


def refuse_foreign(root: roots.Root, changes: Sequence[Change]) -> None:
    """Refuse to overwrite files that are not ours.

    :param root: where they are.
    :param changes: the planned ones.
    :raises ConfigurationError: which names all of them.
    """
    foreign = [root.shown(c.path) for c in changes
               if c.state is State.FOREIGN]
    if foreign:
        raise exception.ConfigurationError(
            ', '.join(foreign), 'not made by mydriver setup, and different. '
            'Nothing was changed', 'Compare them (run the command without '
            '--install). Move them away, or use --force, which keeps a copy '
            'that --remove puts back.')
