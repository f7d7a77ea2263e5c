# SPDX-License-Identifier: Apache-2.0
"""Node records of open-iscsi, edited in their files.

``iscsiadm -o update`` takes values as arguments, which every user of the host
can read in ``/proc``. So CHAP secrets are written to the record's file, and
iscsiadm only logs in. Format and layout are those of open-iscsi's
``usr/idbm.c``.
"""

from collections.abc import Mapping
import contextlib
import os
from pathlib import Path
import re
import stat
import tempfile
import time

from oslo_utils import units

from mydriver import exception
from mydriver.privileged.initiator import values

#: Where the records are: upstream and Debian, then Red Hat.
NODES_DIRS = (Path('/etc/iscsi/nodes'), Path('/var/lib/iscsi/nodes'))

#: The interface of plain TCP without binding, ``usr/iface.c``.
IFACE = 'default'

# AUTH_STR_MAX_LEN in open-iscsi's include/iscsi_proto or usr/auth.h.
_VALUE_MAX_BYTES = 255
# One has about 4 KiB.
_RECORD_MAX_BYTES = units.Mi
_END = '# END RECORD'
_NAME = re.compile(r'[A-Za-z0-9_.\[\]]+\Z')
_LINE = re.compile(r'\s*(?P<name>[^#=\s]+)\s*=')

# Prefix of a record that is being written. It is in the target's own
# directory, so on the same file system as the record; iscsiadm ignores files
# there whose name has no comma (usr/idbm.c, idbm_for_each_portal).
_TEMPORARY = '.mydriver-'
# An older one was left behind by a daemon that was killed.
_TEMPORARY_S = 60


def find(target: str, address: str, port: int) -> list[Path]:
    """Return the files of the records for a target of ours at one portal.

    There are two layouts: a file ``TARGET/ADDRESS,PORT`` if the portal group
    is unknown (``iscsiadm -o new``), and files
    ``TARGET/ADDRESS,PORT,TPGT/IFACE`` after a discovery.

    :param target: iSCSI name.
    :param address: IP address without brackets.
    :param port: TCP port.
    :raises RequestRefused: if the target is not one of ours.
    """
    portal = f'{address},{port}'
    found: dict[str, Path] = {}
    for base in NODES_DIRS:
        folder = base / values.target(target)
        if not folder.is_dir():
            continue
        for entry in sorted(folder.iterdir()):
            if entry.name == portal and entry.is_file():
                record = entry
            elif entry.name.rpartition(',')[0] == portal or (
                    entry.name == portal and entry.is_dir()):
                record = entry / IFACE
            else:
                continue
            if record.is_file():
                # One base may be a link to the other.
                found.setdefault(os.path.realpath(record), record)
    return list(found.values())


def edited(text: str, settings: Mapping[str, str | None],
           at_most: Mapping[str, int] | None = None) -> str:
    """Return a record's text with settings added, replaced or removed.

    :param text: the record.
    :param settings: values by name; None removes the setting.
    :param at_most: the highest value of numeric settings, by name; a lower
        one is kept.
    :raises InitiatorError: if a record cannot hold a value; its text names
        the setting and never the value.
    """
    settings = {**settings, **_capped(text, at_most or {})}
    for name, value in settings.items():
        _check_value(name, value)
    # Not splitlines(), which splits at more characters than iscsiadm does.
    lines = [line for line in text.removesuffix('\n').split('\n')
             if not (m := _LINE.match(line)) or m['name'] not in settings]
    new = [f'{name} = {value}'
           for name, value in settings.items() if value is not None]
    at = lines.index(_END) if _END in lines else len(lines)
    return '\n'.join([*lines[:at], *new, *lines[at:]]) + '\n'


def _capped(text: str, at_most: Mapping[str, int]) -> dict[str, str]:
    """Return those settings of ``at_most`` that have to change."""
    there = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            there[match['name']] = line.partition('=')[2].strip()
    return {name: str(most) for name, most in at_most.items()
            if not re.fullmatch('[0-9]{1,9}', there.get(name, ''))
            or not 0 < int(there[name]) <= most}


def _check_value(name: str, value: str | None) -> None:
    """Refuse a value that the parser of records would cut or split."""
    problem = None
    if not _NAME.match(name):
        raise exception.InitiatorError(
            'write the node record',
            f'{exception.shown(name)!r} is not the name of a setting')
    if value is not None:
        if not isinstance(value, str):
            problem = 'is not text'
        elif not value or value != value.strip():
            problem = 'is empty, or begins or ends with a blank'
        elif not value.isprintable():
            problem = 'has a character that cannot be printed'
        elif len(value.encode()) > _VALUE_MAX_BYTES:
            problem = f'is longer than {_VALUE_MAX_BYTES} bytes'
    if problem:
        raise exception.InitiatorError(
            'write the node record', f'the value of {name} {problem}')


def update(path: Path, settings: Mapping[str, str | None],
           at_most: Mapping[str, int] | None = None) -> str:
    """Change a record atomically: a reader sees the old or the new one.

    :param path: one that :func:`find` returned.
    :param settings: see :func:`edited`.
    :param at_most: see :func:`edited`.
    :returns: the text that it had before.
    :raises InitiatorError: if it is not a regular file of root's.
    """
    before = _read(path)
    write(path, edited(before, settings, at_most))
    return before


def _read(path: Path) -> str:
    """Return the text of a record.

    :raises InitiatorError: if it is not a regular file of root's.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                 | os.O_CLOEXEC)
    with os.fdopen(fd, encoding='utf-8', errors='surrogateescape',
                   newline='\n') as f:
        found = os.fstat(fd)
        if (not stat.S_ISREG(found.st_mode)
                or found.st_uid != os.geteuid()
                or found.st_size > _RECORD_MAX_BYTES):
            raise exception.InitiatorError(
                'read the node record', f'{path} is not a file of root\'s, or '
                'too large for a record')
        return f.read()


def write(path: Path, text: str) -> None:
    """Replace a record atomically by a file that only root can read.

    :param path: one that :func:`find` returned.
    """
    fd, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=_folder(path))
    try:
        with os.fdopen(fd, 'w', encoding='utf-8', errors='surrogateescape',
                       newline='\n') as f:
            f.write(text)                  # mkstemp made it 0600
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):     # raise the first error
            os.unlink(temporary)
        raise


def remove(path: Path) -> None:
    """Remove a record, and its directories once they are empty.

    :param path: one that :func:`find` returned.
    """
    folder = _folder(path)
    path.unlink()
    with contextlib.suppress(OSError):       # a directory is not empty
        if path.parent != folder:
            path.parent.rmdir()
        folder.rmdir()


def prune(target: str) -> None:
    """Remove the empty directories of a target that has no record.

    :raises RequestRefused: if the target is not one of ours.
    """
    for base in NODES_DIRS:
        folder = base / values.target(target)
        with contextlib.suppress(OSError):       # not there, or not empty
            for entry in folder.iterdir():
                if entry.is_dir():
                    entry.rmdir()
            folder.rmdir()


def clear(target: str) -> None:
    """Remove the temporary files that a killed daemon has left of a target.

    iscsiadm removes the target's directory with the last record, unless other
    files are in it.

    :raises RequestRefused: if the target is not one of ours.
    """
    for base in NODES_DIRS:
        folder = base / values.target(target)
        try:
            old = [entry for entry in folder.glob(f'{_TEMPORARY}*')
                   if time.time() - entry.lstat().st_mtime > _TEMPORARY_S]
            for entry in old:
                entry.unlink()
            if old:
                folder.rmdir()
        except OSError:      # it is not empty, or not there
            continue


def _folder(path: Path) -> Path:
    """Return the directory of a record's target."""
    for base in NODES_DIRS:
        if path.is_relative_to(base) and len(path.parts) > len(base.parts) + 1:
            return base / path.relative_to(base).parts[0]
    raise exception.InitiatorError(
        'write the node record', f'{path} is not below {NODES_DIRS}')
