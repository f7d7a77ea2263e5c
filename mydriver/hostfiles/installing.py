# SPDX-License-Identifier: Apache-2.0
"""Put a host's files in place."""

from collections.abc import Sequence
import dataclasses
import posixpath

from mydriver.hostfiles import (
    catalogue,
    copies,
    enabling,
    entries,
    manifest,
    planning,
    privsep,
)
from mydriver.hostfiles import root as roots
from mydriver.hostfiles.planning import State


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """What was done.

    :param changed: the changes that were made.
    :param kept: those that were not, since somebody has changed the file.
    :param copies: copies that were made, or that --remove will not put back.
    """

    changed: list[planning.Change]
    kept: list[planning.Change]
    copies: list[str]


def install(root: roots.Root, made: manifest.Manifest,
            files: Sequence[catalogue.HostFile], folders: Sequence[str],
            force: bool = False) -> Done:
    """Make the files of a root what they should be.

    Nothing is changed before everything has been checked. When interrupted,
    it can be called again.

    :param root: the root directory.
    :param made: what was made there earlier, and the options; updated.
    :param files: the files that should be there.
    :param folders: directories that should be there.
    :param force: overwrite files that are not ours or were changed, and keep
        copies.
    :raises ConfigurationError: when a file is not ours, when visudo refuses
        the rules, or when a file cannot be written.
    """
    changes = planning.plan(root, made, files)
    if not force:
        planning.refuse_foreign(root, changes)
    kept = [c for c in changes if c.state is State.CHANGED and not force]
    to_do = [c for c in changes if c.differs and c not in kept]
    absent = _absent(root, [posixpath.dirname(c.path) for c in to_do
                            if c.wanted is not None] + list(folders))
    if to_do or absent:
        made.activated = False
    for change in to_do:
        if change.wanted and posixpath.dirname(
                change.path) == catalogue.SUDOERS:
            privsep.check(change.wanted.content)
        original = _original(made, change)
        if original is not None:
            copies.check(root, made, change.path, original, change.found)
    copied = _prepare(root, made, to_do, absent)
    for path in made.files:
        root.tidy(path)
    for folder in absent:
        root.make_folder(folder, _mode(folder))
    for change in to_do:
        original = _original(made, change)
        if original is not None:
            copies.put_back(root, made, change.path, original)
        elif change.wanted is None:
            root.remove(change.path)
        else:
            root.write(change.path, change.wanted.content,
                       change.wanted.mode)
    ended = [c for c in changes if c.wanted is None and c not in kept]
    enabling.forget(root, [c.path for c in ended
                           if _original(made, c) is None])
    changed = [_told(made, c) for c in to_do]
    for change in ended:
        entry = made.files.pop(change.path)
        copied.update(b.path for b in entry.backups if b != entry.original)
    _forget(made, changes)
    made.save(root)
    return Done(changed, kept, sorted(copied))


def _original(made: manifest.Manifest, change: planning.Change
              ) -> manifest.Backup | None:
    """Return what comes back in place of a file that is not needed."""
    return (made.files[change.path].original if change.wanted is None
            else None)


def _told(made: manifest.Manifest, change: planning.Change
          ) -> planning.Change:
    """Return a change that was made, with what became of the file."""
    if change.wanted is not None:
        return change
    return dataclasses.replace(
        change, state=State.RESTORE if _original(made, change)
        else State.OBSOLETE)


def _absent(root: roots.Root, folders: Sequence[str]) -> list[str]:
    """Return the directories to make, those above others first."""
    found: set[str] = set()
    for folder in sorted({*folders}):
        found.update(root.missing(folder))
    return sorted(found)


def _mode(folder: str) -> int:
    modes = {**catalogue.FOLDER_MODES, **manifest.FOLDER_MODES}
    return modes.get(folder, 0o755)


def _prepare(root: roots.Root, made: manifest.Manifest,
             to_do: Sequence[planning.Change], absent: Sequence[str]
             ) -> set[str]:
    """Record what is about to be done, and copy what is overwritten.

    :returns: paths of the copies.
    """
    lost = {c.path: c.found for c in to_do
            if c.found is not None and _is_lost(made, c)}
    own = root.missing(manifest.BACKUPS if lost else manifest.FOLDER)
    if root.is_folder(manifest.FOLDER) and not any(
            n.endswith('.json') for n in root.names(manifest.FOLDER)):
        # An interrupted call has made them without recording it.
        own += [f for f in (posixpath.dirname(manifest.FOLDER),
                            manifest.FOLDER, manifest.BACKUPS)
                if root.is_folder(f)]
    for folder in own:
        root.make_folder(folder, _mode(folder))
    made.folders = sorted({*made.folders, *own, *absent})
    copied = {copies.keep(root, made, path, found)
              for path, found in lost.items()}
    for change in to_do:
        entry = made.files.setdefault(change.path, manifest.Entry(0, ''))
        if change.wanted is not None:
            entry.mode = change.wanted.mode
            entry.sha256 = entries.digest(change.wanted.content)
        if change.wanted is not None or change.path in lost:
            entry.before = change.found.sha256 if change.found else None
    made.save(root)
    return {path for path in copied if path is not None}


def _is_lost(made: manifest.Manifest, change: planning.Change) -> bool:
    """Tell whether a change overwrites what nobody could make again."""
    if change.state in (State.FOREIGN, State.CHANGED):
        return True
    entry = made.files.get(change.path)
    original = entry.original if entry is not None else None
    return bool(change.wanted and change.found and original
                and original.sha256 == change.found.sha256)


def _forget(made: manifest.Manifest, changes: Sequence[planning.Change]
            ) -> None:
    """Forget what was there before, and what was only meant to be written.

    A file may have what is wanted though the record has something else: an
    interrupted call meant to replace it, or somebody has edited it so.
    """
    for change in changes:
        if (change.wanted is not None and change.state is State.SAME
                and change.path in made.files):
            entry = made.files[change.path]
            entry.mode = change.wanted.mode
            entry.sha256 = entries.digest(change.wanted.content)
    for entry in made.files.values():
        entry.before = None
