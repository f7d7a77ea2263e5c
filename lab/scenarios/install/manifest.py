# SPDX-License-Identifier: Apache-2.0
"""Record the files of a root, and compare two records."""

from collections.abc import Collection, Iterator, Mapping
import hashlib
import os
from pathlib import Path
import stat

#: Path -> what it is: kind and mode, owner, group, and content.
Manifest = Mapping[str, str]

#: Directories whose content does not last, or is no part of the host.
_LEFT_OUT = ('dev', 'proc', 'run', 'sys', 'tmp', 'var/tmp', 'var/log',
             'var/cache', 'root/mydriver', 'usr/lib/modules')


def record(root: Path) -> Manifest:
    """Record a root's files: mode, owner, and content or target."""
    return dict(_walk(root))


def _walk(root: Path) -> Iterator[tuple[str, str]]:
    for folder, folders, files in os.walk(root):
        inside = os.path.relpath(folder, root)
        inside = '' if inside == '.' else f'{inside}/'
        folders[:] = [f for f in folders if f'{inside}{f}' not in _LEFT_OUT]
        for name in (*folders, *files):
            yield f'/{inside}{name}', _describe(Path(folder, name))


def _describe(path: Path) -> str:
    found = path.lstat()
    text = f'{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}'
    if stat.S_ISLNK(found.st_mode):
        return f'{text} -> {path.readlink()}'
    if stat.S_ISREG(found.st_mode):
        with path.open('rb') as f:
            return f'{text} {hashlib.file_digest(f, "sha256").hexdigest()}'
    return text


def differences(before: Manifest, after: Manifest,
                own: Collection[str] = ()) -> list[str]:
    """Return what differs, a line for each path.

    :param own: paths that the host's own software or its operator changes,
        with everything below them.
    """
    lines = []
    for path in sorted({*before, *after}):
        if before.get(path) == after.get(path) or _inside(path, own):
            continue
        if path not in after:
            lines.append(f'{path}: is gone')
        elif path not in before:
            lines.append(f'{path}: is new, {after[path]}')
        else:
            lines.append(f'{path}: was {before[path]}, is {after[path]}')
    return lines


def _inside(path: str, folders: Collection[str]) -> bool:
    return any(path == f or path.startswith(f'{f}/') for f in folders)
