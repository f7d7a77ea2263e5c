# SPDX-License-Identifier: Apache-2.0
"""Put a host's files in place."""

from collections.abc import Sequence
import dataclasses
import posixpath

from mydriver.hostfiles import (
    catalogue,
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
    """

    changed: list[planning.Change]
    kept: list[planning.Change]


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
    kept = [c for c in changes if c.state is State.CHANGED
            and (c.wanted is None or not force)]
    to_do = [c for c in changes if c.differs and c not in kept]
    absent = _absent(root, [posixpath.dirname(c.path) for c in to_do
                            if c.wanted is not None] + list(folders))
    if to_do or absent:
        made.activated = False
    for change in to_do:
        if change.wanted and posixpath.dirname(
                change.path) == catalogue.SUDOERS:
            privsep.check(change.wanted.content)
    _prepare(root, made, to_do, absent)
    for folder in absent:
        root.make_folder(folder, _mode(folder))
    for change in to_do:
        if change.wanted is None:
            root.remove(change.path)
        else:
            root.write(change.path, change.wanted.content,
                       change.wanted.mode)
    enabling.forget(root, [c.path for c in changes if c.wanted is None
                           and c not in kept])
    _forget(made, changes)
    made.save(root)
    return Done(to_do, kept)


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
             to_do: Sequence[planning.Change], absent: Sequence[str]) -> None:
    """Record what is about to be done, and copy what is overwritten."""
    forced = [c for c in to_do
              if c.state in (State.FOREIGN, State.CHANGED)]
    own = root.missing(manifest.BACKUPS if forced else manifest.FOLDER)
    if root.is_folder(manifest.FOLDER) and not any(
            n.endswith('.json') for n in root.names(manifest.FOLDER)):
        # An interrupted call has made them without recording it.
        own += [f for f in (posixpath.dirname(manifest.FOLDER),
                            manifest.FOLDER, manifest.BACKUPS)
                if root.is_folder(f)]
    for folder in own:
        root.make_folder(folder, _mode(folder))
    made.folders = sorted({*made.folders, *own, *absent})
    for change in forced:
        _copy(root, made, change)
    for change in to_do:
        if change.wanted is not None:
            entry = made.files.setdefault(change.path, manifest.Entry(0, ''))
            entry.mode = change.wanted.mode
            entry.sha256 = entries.digest(change.wanted.content)
            entry.before = change.found.sha256 if change.found else None
    made.save(root)


def _copy(root: roots.Root, made: manifest.Manifest, change: planning.Change
          ) -> None:
    """Copy a file that is about to be overwritten."""
    found = change.found
    if found is None:
        return
    entry = made.files.setdefault(change.path, manifest.Entry(
        found.mode, found.sha256))
    path = manifest.backup_path(made.kind, change.path, len(entry.backups))
    root.write(path, found.content, found.mode)
    entry.backups.append(manifest.Backup(
        path, found.sha256, found.mode, found.uid, found.gid))


def _forget(made: manifest.Manifest, changes: Sequence[planning.Change]
            ) -> None:
    """Forget what was there before, and files that are not needed."""
    for change in changes:
        if change.wanted is None and change.state is not State.CHANGED:
            made.files.pop(change.path, None)
    for entry in made.files.values():
        entry.before = None
