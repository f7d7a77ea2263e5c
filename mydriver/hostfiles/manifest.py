# SPDX-License-Identifier: Apache-2.0
"""What was made on a host, and with which options.

It is written before the first file is changed, with the digest of both the
old and the new content. So after a crash at any point, each file is
recognised as ours, whichever of the two it has.
"""

import dataclasses
import json
import posixpath
import re
from typing import Any
import urllib.parse

from mydriver import exception
from mydriver.hostfiles import choices as chosen
from mydriver.hostfiles import root as roots

FOLDER = '/var/lib/mydriver/setup'
#: Copies of files that were there before; secret to others than root, as some
#: of them may have been.
BACKUPS = f'{FOLDER}/backup'

#: Modes of the directories.
FOLDER_MODES = {BACKUPS: 0o700}

_VERSION = 1
_SHA256 = re.compile(r'[0-9a-f]{64}')

#: A copy of a file of ours that somebody had changed. Its name tells, so that
#: earlier releases can read the record.
_EDITED = re.compile(r'[a-z]+-edited-')


@dataclasses.dataclass(slots=True)
class Backup:
    """A copy of a file that was overwritten.

    :param path: where the copy is.
    :param sha256: digest of its content.
    :param mode: permissions of the file.
    :param uid: its owner.
    :param gid: its group.
    """

    path: str
    sha256: str
    mode: int
    uid: int
    gid: int


@dataclasses.dataclass(slots=True)
class Entry:
    """A file of ours.

    :param mode: its permissions.
    :param sha256: digest of its content.
    :param before: digest that it may still have if the command was
        interrupted; None after it was not, and for new files.
    :param backups: copies of what was overwritten, the oldest first.
    """

    mode: int
    sha256: str
    before: str | None = None
    backups: list[Backup] = dataclasses.field(default_factory=list)

    @property
    def original(self) -> Backup | None:
        """What was there before ours; None for nothing.

        Earlier releases did not mark copies of changed files of ours; the
        first one of theirs counts as what was there before.
        """
        first = self.backups[0] if self.backups else None
        return (first if first and not _EDITED.match(
            posixpath.basename(first.path)) else None)

    def made(self, sha256: str) -> bool:
        """Tell whether a content is one that we wrote or meant to replace."""
        return sha256 in (self.sha256, self.before)


@dataclasses.dataclass(slots=True)
class Manifest:
    """What was made for one kind of host.

    :param kind: ``storage`` or ``compute``.
    :param options: the options that were given, by name, and the stores.
    :param files: the files by path.
    :param folders: directories that were made.
    :param activated: the host uses the files, as far as this command does it.
    """

    kind: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    files: dict[str, Entry] = dataclasses.field(default_factory=dict)
    folders: list[str] = dataclasses.field(default_factory=list)
    activated: bool = False

    @property
    def path(self) -> str:
        """The path of its file."""
        return f'{FOLDER}/{self.kind}.json'

    def save(self, root: roots.Root) -> None:
        """Write it to disk, unless it is there; its directory must exist."""
        fields = {'version': _VERSION, **dataclasses.asdict(self)}
        content = json.dumps(fields, indent=1, sort_keys=True) + '\n'
        found = root.read(self.path)
        if found is None or found.content != content.encode():
            root.write(self.path, content.encode(), 0o644)


def load(root: roots.Root, kind: str) -> Manifest | None:
    """Return what was made for a kind of host; None for nothing.

    :raises LaterRecord: when a later release wrote the file.
    :raises ConfigurationError: when it is damaged.
    """
    path = Manifest(kind).path
    found = root.read(path)
    if found is None:
        return None
    try:
        fields = json.loads(found.content)
        if (version := fields.pop('version')) != _VERSION:
            if isinstance(version, int) and version > _VERSION:
                raise exception.LaterRecord(
                    root.shown(path), 'a later release of mydriver wrote '
                    f'this record of installed files: its version is '
                    f'{version}, this release knows {_VERSION}',
                    'Use the mydriver setup of that release; before you go '
                    'back to this one, remove the files with it (--remove).')
            raise ValueError(f'{exception.shown(version)} is no version')
        if fields.pop('kind') != kind:
            raise ValueError('it is that of another kind of host')
        files = {_checked(p): _entry(e) for p, e in
                 fields.pop('files').items()}
        options = _options(fields.pop('options'))
        if kind == chosen.STORAGE and files and not options.get('store'):
            # Earlier versions did not write the default.
            options['store'] = chosen.default_stores(options)
        result = Manifest(
            kind, options, files,
            [_checked(f) for f in fields.pop('folders')],
            bool(fields.pop('activated')))
        if fields:
            raise ValueError(f'it has {", ".join(fields)}')
        return result
    except (ValueError, KeyError, TypeError, AttributeError,
            RecursionError) as e:
        raise exception.ConfigurationError(
            root.shown(path), f'this record of installed files is damaged: '
            f'{type(e).__name__}: {e}', 'Restore it from a copy, or move it '
            'away: the files that it names are left alone then.') from e


def backup_path(kind: str, path: str, number: int, is_edited: bool) -> str:
    """Return where a copy of a file can be kept.

    :param number: tells it from others of the file.
    :param is_edited: it is one of ours that somebody has changed.
    """
    name = urllib.parse.quote(path, safe='')
    mark = 'edited-' if is_edited else ''
    return f'{BACKUPS}/{kind}-{mark}{number}-{name}'


def _options(found: dict[str, Any]) -> dict[str, Any]:
    for name, value in found.items():
        if name not in chosen.OPTIONS:
            raise ValueError(f'unknown option {exception.shown(name)}')
        parts = value if chosen.OPTIONS[name] else [value]
        if not (isinstance(parts, list)
                and all(isinstance(p, str | bool) for p in parts)):
            raise ValueError(f'the option {name} has a wrong value')
    return found


def _entry(fields: dict[str, Any]) -> Entry:
    backups = [Backup(**b) for b in fields.pop('backups')]
    entry = Entry(**fields, backups=backups)
    for backup in backups:
        if posixpath.dirname(_checked(backup.path)) != BACKUPS:
            raise ValueError('a copy is in another directory')
    for number in (entry.mode, *(n for b in backups
                                 for n in (b.mode, b.uid, b.gid))):
        if not isinstance(number, int) or number < 0:
            raise ValueError('a mode or an owner is wrong')
    for digest in (entry.sha256, *(b.sha256 for b in backups),
                   *([entry.before] if entry.before is not None else [])):
        if not _SHA256.fullmatch(digest):
            raise ValueError('a digest is wrong')
    return entry


def _checked(path: str) -> str:
    """Return an absolute path without ``..``.

    :raises ValueError: when it is not one.
    """
    if (not path.startswith('/') or path.startswith('//') or '\0' in path
            or posixpath.normpath(path) != path or path == '/'):
        raise ValueError(f'{exception.shown(path)} is no path')
    return path
