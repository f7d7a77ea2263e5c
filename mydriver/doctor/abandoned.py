# SPDX-License-Identifier: Apache-2.0
"""Put away the state of a backend that nothing serves any more.

One configuration does not tell: another cinder-volume of this host, with
another one, may have the backend in the same directory. So the state is only
moved while nobody holds the lock that each service has on its journal, and if
the kernel has no export of the backend.
"""

import fcntl
import fnmatch
import os
from pathlib import Path
import re
import shlex

from mydriver import exception, waiting
from mydriver.doctor import commands, displaced, owned
from mydriver.doctor.host import Host
from mydriver.target import configfs, pool
from mydriver.target.journal import mark, sqlite

_LOCK = f'{sqlite.FILE_NAME}{mark.END}'

#: Of a volume's id, which ends the name of a backstore.
_UUID = '-'.join('?' * n for n in (8, 4, 4, 4, 12))

#: Names that mean only themselves, in patterns and on a terminal as well.
_PLAIN = re.compile(r'[A-Za-z0-9._@+-]+')


def doubt(state: Path) -> str:
    """Return why a service may be using the state, empty if none does.

    The file is not created: it would belong to another user. The lock is let
    go at once.

    :param state: directory of a backend's state.
    """
    shown = commands.shown(state / _LOCK)
    try:
        file = owned.open_to_read(str(state), _LOCK)
    except FileNotFoundError:
        return (f'there is no {shown} that would tell whether a service uses '
                'it')
    except OSError as e:
        return f'{shown} cannot be read: {e.strerror}'
    try:
        if waiting.try_lock(file, fcntl.LOCK_EX):
            return ''
        return (f'a service uses it at present; fuser -v {shown} shows which '
                'one')
    except OSError as e:
        return f'{shown} cannot be locked: {e.strerror}'
    finally:
        os.close(file)


def exported(host: Host, backend: str) -> str:
    """Return why the kernel may have exports of a backend, else nothing."""
    if not _PLAIN.fullmatch(backend):
        return 'its name has special characters'
    core = _core(host)
    try:
        if not configfs.exists(core):
            return ('the kernel target is not loaded, so it is not known what '
                    'this host exports')
        found = [name for _, name, _ in configfs.backstores(
            pool.backstore_prefix(backend), core.parent)
            if fnmatch.fnmatchcase(name, _pattern(backend))]
    except exception.TargetError as e:
        return f'it is not known what this host exports: {e}'.rstrip('.')
    return (f'the kernel exports {len(found)} of its volumes' if found else '')


def put_away(host: Host, state: Path) -> str:
    """Return what moves the state away, if that is still right then."""
    path, core = shlex.quote(str(state)), shlex.quote(str(_core(host)))
    away = shlex.quote(displaced.free(f'{state.parent}-{state.name}.old'))
    lock = shlex.quote(str(state / _LOCK))
    return (f'( flock -n 9 && found="$(find {core} -mindepth 2 -maxdepth 2 '
            f'-name {shlex.quote(_pattern(state.name))})" && '
            f'[ -z "$found" ] && mv -nT {path} {away} ) 9< {lock}')


def _core(host: Host) -> Path:
    return host.at('/sys/kernel/config/target/core')


def _pattern(backend: str) -> str:
    return pool.backstore_prefix(backend) + _UUID
