# SPDX-License-Identifier: Apache-2.0
"""Copies of files that are overwritten: keep them, and put them back."""

import itertools
import posixpath

from mydriver import exception
from mydriver.hostfiles import entries, manifest
from mydriver.hostfiles import root as roots


def keep(root: roots.Root, made: manifest.Manifest, path: str,
         found: entries.Found) -> str | None:
    """Copy a file that is about to be overwritten, and note it in its entry.

    Nothing is copied if it is what was there before ours, of which there is
    a copy.

    :param path: the file; it was there before ours if it has no entry.
    :param found: what it is.
    :returns: the path of the copy; None when it was there already.
    """
    is_edited = path in made.files
    entry = made.files.setdefault(path, manifest.Entry(
        found.mode, found.sha256))
    original = entry.original
    if original is not None and original.sha256 == found.sha256:
        # An interrupted call may have put it back, and removed its copy.
        if root.read(original.path) is not None:
            return None
        root.write(original.path, found.content, found.mode)
        return original.path
    copy = _free(root, made, path, found.content, is_edited)
    root.write(copy, found.content, found.mode)
    entry.backups.append(manifest.Backup(
        copy, found.sha256, found.mode, found.uid, found.gid))
    return copy


def _free(root: roots.Root, made: manifest.Manifest, path: str,
          content: bytes, is_edited: bool) -> str:
    """Return a name for a copy that takes the place of no other one.

    What an interrupted call has copied without recording it is used again.
    """
    taken = {b.path for e in made.files.values() for b in e.backups}
    names = (manifest.backup_path(made.kind, path, number, is_edited)
             for number in itertools.count())
    return next(name for name in names if name not in taken and (
        (there := root.read(name)) is None or there.content == content))


def check(root: roots.Root, made: manifest.Manifest, path: str,
          original: manifest.Backup, found: entries.Found | None) -> bytes:
    """Return what has to be put back.

    :param found: the file as it is; it may be back already.
    :raises ConfigurationError: when its copy is missing.
    """
    if found is not None and found.sha256 == original.sha256:
        return found.content
    copy = root.read(original.path)
    if copy is None:
        raise exception.ConfigurationError(
            path, f'the copy of what was there before, {original.path}, '
            'is missing', 'Restore the copy, or create the file as it '
            f'was. To do without, remove {path} from {made.path}.')
    return copy.content


def put_back(root: roots.Root, made: manifest.Manifest, path: str,
             original: manifest.Backup) -> None:
    """Put a file back; afterwards its copy is not needed."""
    found = root.read(path)
    content = check(root, made, path, original, found)
    if found != entries.Found(content, original.mode, original.uid,
                              original.gid):
        for folder in root.missing(posixpath.dirname(path)):
            root.make_folder(folder, 0o755)
        root.write(path, content, original.mode,
                   (original.uid, original.gid))
    # If this is interrupted, the entry tells that the file is back.
    root.remove(original.path)


def left(root: roots.Root, made: manifest.Manifest) -> list[str]:
    """Return the copies that no entry has any more, sorted."""
    taken = {b.path for e in made.files.values() for b in e.backups}
    paths = [f'{manifest.BACKUPS}/{n}' for n in root.names(manifest.BACKUPS)
             if n.startswith(f'{made.kind}-')]
    return [p for p in paths if p not in taken]
