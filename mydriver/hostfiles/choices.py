# SPDX-License-Identifier: Apache-2.0
"""What an operator chooses for a host, checked.

The values end up in sudoers and in unit files, where a space, a comma or a
newline would change the meaning of a line. So each one has to consist of
characters that mean only themselves in all of these files.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import os
import re
import shutil
import sys
from typing import Any

from mydriver import exception

STORAGE, COMPUTE = KINDS = ('storage', 'compute')
STORES = ('reflink', 'lvmthin', 'rbd')

#: As useradd(8) accepts names by default.
_USER = re.compile(r'[a-z_][a-z0-9_-]{0,31}')
_PATH = re.compile(r'(/[A-Za-z0-9._+@-]+)+')
_PATH_MAX = 1024

#: Who runs the service by default.
USERS = {STORAGE: 'cinder', COMPUTE: 'nova'}
#: Where its configuration is by default.
CONFIG = {STORAGE: '/etc/cinder/cinder.conf',
          COMPUTE: '/etc/nova/nova.conf'}

#: The options, by their names in the manifest, and whether they are lists.
OPTIONS = {'user': False, 'bindir': False, 'helper': False,
           'config_file': True, 'store': True, 'store_path': True,
           'state_path': False, 'gateway': False}

#: Options that only storage hosts have.
_STORAGE_ONLY = ('store', 'store_path', 'state_path', 'gateway')


@dataclasses.dataclass(frozen=True, slots=True)
class Choices:
    """What the files of a host depend on.

    :param kind: ``storage`` or ``compute``.
    :param user: the user that cinder-volume or nova-compute runs as.
    :param program: absolute path of ``mydriver``.
    :param helper: absolute path of ``privsep-helper``.
    :param config_files: configuration files of the service, in order.
    :param stores: members of :data:`STORES`; empty on compute hosts.
    :param store_paths: directories of ``reflink`` stores.
    :param state_path: ``state_path`` of cinder-volume.
    :param gateway: this host runs ``mydriver gateway``.
    """

    kind: str
    user: str
    program: str
    helper: str
    config_files: tuple[str, ...]
    stores: tuple[str, ...] = ()
    store_paths: tuple[str, ...] = ()
    state_path: str = '/var/lib/cinder'
    gateway: bool = False

    @property
    def restores(self) -> bool:
        """Whether this host has exports of its own to restore at boot."""
        return bool(set(self.stores) - ({'rbd'} if self.gateway else set()))


def merge(given: Mapping[str, Any], earlier: Mapping[str, Any]
          ) -> dict[str, Any]:
    """Return the options to use: those given, else those of earlier.

    An earlier path of stores goes with their kind, and a gateway adds the
    store that it serves to earlier ones.

    :param given: options by name; None means not given.
    :param earlier: what the manifest has.
    """
    found = {name: value for name in OPTIONS
             if (value := given.get(name) if given.get(name) is not None
                 else earlier.get(name)) is not None}
    if given.get('store_path') is None and 'reflink' not in (
            given.get('store') or ['reflink']):
        found.pop('store_path', None)
    if (given.get('gateway') and given.get('store') is None
            and earlier.get('store') and 'rbd' not in earlier['store']):
        found['store'] = [*earlier['store'], 'rbd']
    return found


def default_stores(options: Mapping[str, Any]) -> list[str]:
    """Return the stores of a storage host for which none are given."""
    return ['rbd'] if options.get('gateway') else ['reflink']


def choose(kind: str, options: Mapping[str, Any]) -> Choices:
    """Check options, and add the defaults.

    :param kind: a member of :data:`KINDS`.
    :param options: a subset of :data:`OPTIONS`.
    :raises ConfigurationError: for the first one that cannot be used.
    """
    if kind == COMPUTE:
        for name in _STORAGE_ONLY:
            if options.get(name):
                raise exception.ConfigurationError(
                    _flag(name), 'this option is for storage hosts',
                    'Leave it out, or use mydriver setup storage.')
    bindir = options.get('bindir')
    if bindir is not None:
        bindir = path('--bindir', bindir)
    helper = options.get('helper') or _locate('privsep-helper', bindir,
                                              '--helper')
    storage = kind == STORAGE
    stores = _stores(options) if storage else ()
    return Choices(
        kind=kind,
        user=user('--user', options.get('user', USERS[kind])),
        program=path('--bindir', _locate('mydriver', bindir, '--bindir')),
        helper=path('--helper', helper),
        config_files=_paths('--config-file',
                            options.get('config_file') or [CONFIG[kind]]),
        stores=stores,
        store_paths=_paths('--store-path', options.get('store_path') or (
            ['/srv/mydriver'] if 'reflink' in stores else [])),
        state_path=path('--state-path', options.get(
            'state_path', '/var/lib/cinder')),
        gateway=bool(storage and options.get('gateway')))


def user(option: str, value: object) -> str:
    """Return the name of a user.

    :raises ConfigurationError: when it is not one.
    """
    if not (isinstance(value, str) and _USER.fullmatch(value)):
        raise exception.ConfigurationError(
            option, f'{exception.shown(value)!r} is no name of a user',
            'A name has up to 32 characters: lower-case letters, digits, '
            'hyphens and underscores, and does not begin with a digit.')
    return value


def path(option: str, value: object) -> str:
    """Return an absolute path whose characters need no quoting anywhere.

    :raises ConfigurationError: when it is not one.
    """
    if isinstance(value, str) and len(value) <= _PATH_MAX:
        cut = value.rstrip('/')
        if _PATH.fullmatch(cut) and os.path.normpath(cut) == cut:
            return cut
    raise exception.ConfigurationError(
        option, f'{exception.shown(value)!r} cannot be written to sudoers '
        'and unit files', 'Use an absolute path without "..", of letters, '
        'digits and the characters . _ + @ - only; a symbolic link may give '
        'the place such a name.')


def _paths(option: str, values: Sequence[object]) -> tuple[str, ...]:
    found = tuple(path(option, v) for v in values)
    if len(set(found)) != len(found):
        raise exception.ConfigurationError(
            option, 'the same path is given twice', 'Give it once.')
    return found


def _stores(options: Mapping[str, Any]) -> tuple[str, ...]:
    stores = options.get('store') or default_stores(options)
    for store in stores:
        if store not in STORES:
            raise exception.ConfigurationError(
                '--store', f'{exception.shown(store)!r} is no store',
                f'The stores are {", ".join(STORES)}.')
    if options.get('gateway') and 'rbd' not in stores:
        raise exception.ConfigurationError(
            '--gateway', 'gateways serve the store rbd, which is not among '
            'the stores', 'Add --store rbd, or use --no-gateway.')
    if options.get('store_path') and 'reflink' not in stores:
        raise exception.ConfigurationError(
            '--store-path', 'it is for the store reflink, which is not among '
            'the stores', 'Add --store reflink, or leave it out.')
    return tuple(s for s in STORES if s in stores)


def _locate(name: str, bindir: str | None, option: str) -> str:
    """Return the path of a program of this installation.

    In a virtual environment it is beside the interpreter. One that can see
    the system's packages has no ``privsep-helper`` of its own.
    """
    if bindir is not None:
        return f'{bindir}/{name}'
    beside = os.path.join(os.path.dirname(sys.executable), name)
    found = beside if os.access(beside, os.X_OK) else shutil.which(name)
    if found is None:
        raise exception.ConfigurationError(
            option, f'{name} is neither beside {sys.executable} nor in PATH',
            f'Name its place with {option}.')
    return os.path.abspath(found)


def _flag(name: str) -> str:
    return '--' + name.replace('_', '-')
