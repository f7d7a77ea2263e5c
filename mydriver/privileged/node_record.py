# SPDX-License-Identifier: Apache-2.0
"""open-iscsi's node records, edited in their files.

``iscsiadm -o update`` takes values as arguments, which every user of the host
can read in ``/proc``. A CHAP secret therefore goes straight into the record's
file, and iscsiadm is told no more than to log in. The format and the layout
are those of open-iscsi's ``usr/idbm.c``.
"""

from collections.abc import Mapping
import os
from pathlib import Path
import re
import tempfile

from mydriver import exception

#: Where distributions keep the records: upstream and Debian, then Red Hat.
NODES_DIRS = (Path('/etc/iscsi/nodes'), Path('/var/lib/iscsi/nodes'))

#: The interface of plain TCP without binding, ``usr/iface.c``.
IFACE = 'default'

# AUTH_STR_MAX_LEN in open-iscsi's include/iscsi_proto or usr/auth.h.
_VALUE_MAX_BYTES = 255
_END = '# END RECORD'
_NAME = re.compile(r'[A-Za-z0-9_.\[\]]+\Z')
_LINE = re.compile(r'\s*(?P<name>[^#=\s]+)\s*=')
_TARGET = re.compile(r'(iqn|eui|naa)\.[A-Za-z0-9.:_-]+\Z')


def check_target(target: str) -> str:
    """Return ``target`` if it can be a folder's name and nothing else.

    :raises InitiatorError: when it is not an iSCSI name.
    """
    if not _TARGET.match(target):
        raise exception.InitiatorError(
            'take a target name', f'{target!r} is not an iSCSI name')
    return target


def find(target: str, address: str, port: int) -> list[Path]:
    """Return the files of the records for one target at one portal.

    There are two layouts: a file ``TARGET/ADDRESS,PORT`` where the portal
    group is not known (``iscsiadm -o new``), and files
    ``TARGET/ADDRESS,PORT,TPGT/IFACE`` where a discovery made it.

    :param target: iSCSI name.
    :param address: IP address without brackets.
    :param port: TCP port.
    """
    portal = f'{address},{port}'
    found = []
    for base in NODES_DIRS:
        folder = base / check_target(target)
        if not folder.is_dir():
            continue
        for entry in sorted(folder.iterdir()):
            if entry.name == portal and entry.is_file():
                found.append(entry)
            elif entry.name.rpartition(',')[0] == portal or (
                    entry.name == portal and entry.is_dir()):
                found += [f for f in (entry / IFACE,) if f.is_file()]
    return found


def edited(text: str, settings: Mapping[str, str | None]) -> str:
    """Return a record's text with settings put in, replaced or taken out.

    :param text: the record.
    :param settings: values by name; None takes the setting out.
    :raises InitiatorError: when a value cannot stand in a record; its text
        names the setting and never the value.
    """
    for name, value in settings.items():
        _check_value(name, value)
    # Not splitlines(), which ends lines at more characters than iscsiadm.
    lines = [line for line in text.removesuffix('\n').split('\n')
             if not (m := _LINE.match(line)) or m['name'] not in settings]
    new = [f'{name} = {value}'
           for name, value in settings.items() if value is not None]
    at = lines.index(_END) if _END in lines else len(lines)
    return '\n'.join([*lines[:at], *new, *lines[at:]]) + '\n'


def _check_value(name: str, value: str | None) -> None:
    """Refuse what the parser of records would cut or take apart."""
    problem = None
    if not _NAME.match(name):
        raise exception.InitiatorError(
            'write the node record',
            f'{exception.shown(name)!r} is not the name of a setting')
    if value is not None:
        if not isinstance(value, str):
            problem = 'is not text'
        elif not value or value != value.strip():
            problem = 'is empty, or has blanks at an end'
        elif not value.isprintable():
            problem = 'has a character that cannot be printed'
        elif len(value.encode()) > _VALUE_MAX_BYTES:
            problem = f'is longer than {_VALUE_MAX_BYTES} bytes'
    if problem:
        raise exception.InitiatorError(
            'write the node record', f'the value of {name} {problem}')


def update(path: Path, settings: Mapping[str, str | None]) -> None:
    """Change a record so that a reader sees the old or the new one whole.

    :param path: one that :func:`find` returned.
    :param settings: see :func:`edited`.
    """
    # An administrator's comment may be in any encoding.
    text = edited(path.read_text('utf-8', 'surrogateescape'), settings)
    # Not beside the record: iscsiadm would take it for one more.
    fd, temporary = tempfile.mkstemp(prefix='.mydriver-', dir=_outside(path))
    try:
        with os.fdopen(fd, 'wb') as f:     # mkstemp made it 0600
            f.write(text.encode('utf-8', 'surrogateescape'))
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _outside(path: Path) -> Path:
    """Return the folder that holds the folder of all records."""
    for base in NODES_DIRS:
        if path.is_relative_to(base):
            return base.parent
    raise exception.InitiatorError(
        'write the node record', f'{path} is not below {NODES_DIRS}')
