# SPDX-License-Identifier: Apache-2.0
"""Check that a state directory and a pool of targets are this backend's.

Two backends that both consider an object theirs cut off each other's guests.
So objects of others are detected before anything is written.
"""

from collections.abc import Iterable, Iterator, Mapping
import contextlib
import hashlib
import json
import os
from pathlib import Path
import socket
import sqlite3

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import kernel
from mydriver.target import pool as serving
from mydriver.target.journal import sqlite as journals

LOG = logging.getLogger(__name__)

#: The file that records the owner of the state directory.
OWNER_FILE = 'owner'

#: Prefix of the names of all backends' backstores.
_BACKSTORE = 'mydriver-'

_MACHINE_ID = Path('/etc/machine-id')


def claim(settings: serving.Settings, host: str | None = None,
          machine_id: Path = _MACHINE_ID) -> None:
    """Check that the state is this backend's on this host, and record that.

    The host is another one when both its name and its machine-id(5) differ
    from those of the last start: a rename changes only the name, replaced
    hardware only the id.

    :param host: name of this host, by default the system's.
    :raises ConfigurationError: when the state is another's.
    """
    path = Path(settings.state_path, OWNER_FILE)
    mine = {'backend': settings.backend, 'host': host or socket.gethostname(),
            'machine': _machine(machine_id)}
    with _explained(path):
        last = json.loads(path.read_text()) if path.exists() else mine
        _refuse(path, last, mine)
        if last != mine or not path.exists():
            _replace(path, json.dumps(mine, sort_keys=True))


def others(settings: serving.Settings) -> dict[model.Iqn, tuple[str, bool]]:
    """Return the targets in the journals of this host's other backends.

    :returns: for each target the backend, and whether it exports volumes
        there.
    """
    own = Path(settings.state_path)
    if own.name != settings.backend:
        return {}  # not below mydriver_state_path
    found = {}
    for path in sorted(own.parent.glob(f'*/{journals.FILE_NAME}')):
        if path.parent != own:
            try:
                for iqn, is_used in journals.targets_in(str(path)).items():
                    found[iqn] = (path.parent.name, is_used)
            except (sqlite3.Error, exception.InvalidIqn) as e:
                LOG.warning('The journal %s of another backend cannot be '
                            'read: %s', path, e)
    return found


def check_pool(settings: serving.Settings, pool: Iterable[model.Iqn],
               name_prefix: str, target: kernel.KernelTarget,
               taken: Mapping[model.Iqn, tuple[str, bool]]) -> None:
    """Check that no other backend serves volumes on targets of a pool.

    :param name_prefix: prefix of the names of the backend's backstores.
    :param taken: as :func:`others` returns it.
    :raises ConfigurationError: names both backends.
    """
    for iqn in pool:
        other = _exporting(iqn, name_prefix, target)
        if other is None and taken.get(iqn, ('', False))[1]:
            other = taken[iqn][0]
        if other is not None:
            raise exception.ConfigurationError(
                f'[{settings.backend}]', f'its target {iqn} belongs to '
                f'backend [{other}], which serves volumes on it',
                f'Set another target_prefix in [{settings.backend}]; or '
                'detach its volumes, then restart cinder-volume.')


def _exporting(iqn: model.Iqn, name_prefix: str,
               target: kernel.KernelTarget) -> str | None:
    """Return the name of another backend that has LUNs at a target."""
    seen = target.observe(iqn)
    for export in seen.exports if seen else ():
        name = export.name.removesuffix(f'-{export.serial}')
        if (export.name.startswith(_BACKSTORE) and name != export.name
                and export.name != name_prefix + export.serial):
            return name.removeprefix(_BACKSTORE)
    return None


def _machine(path: Path) -> str:
    """Return an id of this machine; empty when it has none.

    It is hashed, since the machine-id itself must not be shown
    (machine-id(5)).
    """
    try:
        text = path.read_text().strip()
    except OSError:
        return ''
    return hashlib.sha256(f'mydriver {text}'.encode()).hexdigest()[:16]


def _refuse(path: Path, last: Mapping[str, str], mine: Mapping[str, str]
            ) -> None:
    if last['backend'] != mine['backend']:
        raise exception.ConfigurationError(
            'mydriver_state_path', f'{path.parent} is the state of backend '
            f'[{last["backend"]}], not of [{mine["backend"]}]',
            f'Give [{mine["backend"]}] a directory of its own.')
    if '' in (last['machine'], mine['machine']):
        return
    if last['host'] != mine['host'] and last['machine'] != mine['machine']:
        raise exception.ConfigurationError(
            'mydriver_state_path', f'{path.parent} is the state of host '
            f'{last["host"]}, this is {mine["host"]}',
            'Two hosts must never share it. If this host has taken over the '
            f'disks for good, and the other one is off, remove {path}.')


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(f'.{os.getpid()}')
    temporary.write_text(text)
    temporary.replace(path)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise exception.ConfigurationError(
            'mydriver_state_path', f'{path} cannot be used: {e}',
            'Give it to the user that cinder-volume runs as; if it is '
            'damaged, remove it.') from e
