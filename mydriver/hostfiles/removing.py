# SPDX-License-Identifier: Apache-2.0
"""Take back what was put in place."""

import dataclasses
import posixpath

from mydriver.hostfiles import choices, copies, enabling, entries, manifest
from mydriver.hostfiles import root as roots


@dataclasses.dataclass(frozen=True, slots=True)
class Removed:
    """What was done.

    :param removed: files that are gone.
    :param restored: files that have their earlier content again.
    :param kept: files of ours that stay, since somebody has changed them.
    :param copies: copies of other files that were not put back.
    """

    removed: list[str]
    restored: list[str]
    kept: list[str]
    copies: list[str]


def remove(root: roots.Root, made: manifest.Manifest, force: bool = False
           ) -> Removed:
    """Remove the files and directories that were made.

    The manifest goes last, unless a file is kept: then it stays for this one.

    :param root: the root directory.
    :param made: what was made; updated.
    :param force: remove files that somebody has changed as well.
    :raises ConfigurationError: when a file cannot be removed.
    """
    result = Removed([], [], [], [])
    gone = []
    for path, entry in sorted(made.files.items()):
        root.tidy(path)
        found = root.read(path)
        original = entry.original
        is_back = bool(found and original
                       and found.sha256 == original.sha256)
        if found and not (force or is_back or entry.made(found.sha256)):
            result.kept.append(path)
            continue
        if original is not None:
            copies.put_back(root, made, path, original)
            result.restored.append(path)
        else:
            root.remove(path)
            gone.append(path)
            result.removed.extend([path] if found else [])
        del made.files[path]
    enabling.forget(root, gone)
    result.copies.extend(copies.left(root, made))
    if made.files:
        made.save(root)
    else:
        _remove_folders(root, made)
    return result


def tidy(root: roots.Root, kind: str) -> list[str]:
    """Remove what a call left that ended before it recorded anything.

    It has overwritten nothing, but it may have copied what it was about to.

    :param kind: of the host, which has no record.
    :returns: the paths of complete copies, which are kept.
    """
    if not root.is_folder(manifest.FOLDER):
        return []
    root.tidy(manifest.Manifest(kind).path)
    for name in root.names(manifest.BACKUPS):
        root.tidy(f'{manifest.BACKUPS}/{entries.complete(name)}')
    for folder in (manifest.BACKUPS, manifest.FOLDER,
                   posixpath.dirname(manifest.FOLDER)):
        root.remove_folder(folder)
    return [f'{manifest.BACKUPS}/{name}'
            for name in root.names(manifest.BACKUPS)
            if name.startswith(f'{kind}-')]


def _remove_folders(root: roots.Root, made: manifest.Manifest) -> None:
    """Remove the manifest and the directories that were made and are empty."""
    own = {f for f in made.folders
           if f'{manifest.BACKUPS}/'.startswith(f'{f}/')}
    left = own | {f for f in sorted(made.folders, reverse=True)
                  if f not in own and not root.remove_folder(f)}
    for kind in choices.KINDS:
        other = manifest.load(root, kind) if kind != made.kind else None
        if other is not None:  # they go with the last kind of host
            other.folders = sorted({*other.folders, *left})
            other.save(root)
    root.remove(made.path)
    for folder in sorted({*own, manifest.BACKUPS, manifest.FOLDER},
                         reverse=True):
        root.remove_folder(folder)
