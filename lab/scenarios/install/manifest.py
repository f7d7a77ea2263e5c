# SPDX-License-Identifier: Apache-2.0
"""Record the files of a root, and compare two records.

``manifest.py FOLDER`` prints a record; so it runs on a host, too, with the
standard library. A root consists of a directory of the machine, and of what
the host has written since, which an overlay keeps elsewhere.
"""

from collections.abc import Collection, Iterator, Mapping
import hashlib
import json
import os
from pathlib import Path
import stat
import sys

#: Path -> what it is: kind and mode, owner, group, and content.
Manifest = Mapping[str, str]

#: Directories whose content does not last, or is no part of the host.
_LEFT_OUT = ('dev', 'proc', 'run', 'sys', 'tmp', 'var/tmp', 'var/log',
             'var/cache', 'root/mydriver', 'usr/lib/modules')


#: What an overlay writes in the place of a file that is gone, and of the
#: content of a directory (Documentation/filesystems/overlayfs.rst).
_GONE = 'gone'
_OPAQUE = 'opaque '


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
    if stat.S_ISCHR(found.st_mode) and not found.st_rdev:
        return _GONE
    text = f'{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}'
    if stat.S_ISLNK(found.st_mode):
        return f'{text} -> {path.readlink()}'
    if stat.S_ISREG(found.st_mode):
        with path.open('rb') as f:
            return f'{text} {hashlib.file_digest(f, "sha256").hexdigest()}'
    return f'{_OPAQUE}{text}' if _is_opaque(path) else text


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, 'trusted.overlay.opaque',
                           follow_symlinks=False) == b'y'
    except OSError:
        return False


def overlaid(lower: Manifest, upper: Manifest) -> Manifest:
    """Return what a host sees.

    :param lower: the directory of the machine.
    :param upper: what the host has written.
    """
    hidden = {path for path, what in upper.items()
              if what == _GONE or what.startswith(_OPAQUE)}
    seen = {path: what for path, what in lower.items()
            if not any(str(p) in hidden for p in Path(path).parents)}
    seen |= {path: what.removeprefix(_OPAQUE)
             for path, what in upper.items()}
    return {path: what for path, what in seen.items() if what != _GONE}


def differences(before: Manifest, after: Manifest,
                own: Collection[str] = ()) -> list[str]:
    """Return what differs, a line for each path.

    :param own: paths that the host's own software or its operator changes,
        with everything below them; of one that ends in a slash, only the
        directory itself.
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
    return any(f'{path}/' == f if f.endswith('/')
               else path == f or path.startswith(f'{f}/') for f in folders)


if __name__ == '__main__':
    print(json.dumps(record(Path(sys.argv[1]))))
