# SPDX-License-Identifier: Apache-2.0
"""The places and addresses that root's configuration grants to our backends.

The daemon reads the configuration files that it was started with. A caller
names a backend, a volume group or a pool, and is refused what the files do
not grant. So the files must belong to root, and nobody else may be able to
write or replace them.

The few options that say so are declared here again; a test compares them with
the driver's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import contextlib
import copy
import dataclasses
import os
import re
from typing import Any

from oslo_config import cfg

from mydriver import configuration, exception, model
from mydriver.privileged import owners

#: ``volume_driver`` of our backends.
DRIVER = 'mydriver.cinder_volume.driver.LIODriver'
#: The pool of a backend that only names a volume group.
POOL = 'mydriver'

_SHARED = 'backend_defaults'
GLOBAL_OPTS = (
    cfg.StrOpt('state_path', default='/var/lib/cinder'),
    cfg.ListOpt('enabled_backends'),
)
BACKEND_OPTS = (
    cfg.StrOpt('volume_driver'),
    cfg.PortOpt('target_port', default=3260),
    cfg.StrOpt('mydriver_store', default='reflink'),
    cfg.StrOpt('mydriver_store_path'),
    cfg.StrOpt('mydriver_rbd_pool'),
    cfg.StrOpt('mydriver_rbd_user', default='cinder'),
    cfg.StrOpt('mydriver_rbd_ceph_conf', default='/etc/ceph/ceph.conf'),
    cfg.ListOpt('mydriver_gateway_addresses', default=[]),
    cfg.ListOpt('mydriver_gateway_interface', default=[]),
)
_KINDS = {'reflink': 'fileio', 'lvmthin': 'iblock', 'rbd': 'iblock'}
#: The store whose volumes any host can serve.
_WITH_GATEWAYS = 'rbd'

# They become words of a line that the kernel parses, and parts of a path.
_CEPH_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,126}\Z')


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """The place of a backend.

    :param backend: name of its section.
    :param kind: of its backstores, ``fileio`` or ``iblock``.
    :param place: the directory, the volume group, or Ceph's pool.
    :param pool: name of the thin pool; empty elsewhere.
    :param makes_pool: the pool may be created.
    :param port: the port that its targets listen at.
    :param ceph_conf: Ceph's configuration file; empty elsewhere.
    :param ceph_user: the client's name in Ceph, without ``client.``.
    :param has_gateways: gateways serve it, not this host alone.
    """

    backend: str
    kind: str
    place: str
    pool: str = ''
    makes_pool: bool = False
    port: int = 3260
    ceph_conf: str = ''
    ceph_user: str = ''
    has_gateways: bool = False


def of_backend(name: str, kind: str) -> Grant:
    """Return the grant of a backend.

    :param kind: of its backstores.
    :raises RequestRefused: when there is no such grant.
    """
    for grant in current():
        if (grant.backend, grant.kind) == (name, kind):
            return grant
    raise exception.RequestRefused(
        f'a volume of backend {name[:60]!r}',
        f'{_files()} gives it no place for {kind}')


def pools_of(group: str) -> dict[str, Grant]:
    """Return the grants of pools in a volume group, by the pool's name.

    :raises RequestRefused: when there are none.
    """
    found = {g.pool: g for g in current() if g.pool and g.place == group}
    if not found:
        raise exception.RequestRefused(
            f'volume group {group}', f'{_files()} gives it to no backend')
    return found


def ceph_pool(conf: object, pool: object) -> Grant:
    """Return the grant of a pool of Ceph.

    :param conf: path of Ceph's configuration file, as the option has it.
    :raises RequestRefused: when there is none.
    :raises ConfigurationError: when others than root can change that file.
    """
    for grant in current():
        if grant.ceph_conf and (grant.ceph_conf, grant.place) == (conf, pool):
            owners.check_owner(grant.ceph_conf)
            return grant
    raise exception.RequestRefused(
        'a pool of Ceph', f'{_files()} gives it to no backend')


def ports() -> frozenset[int]:
    """Return the ports that our backends listen at."""
    return frozenset(g.port for g in current())


def floating() -> Mapping[str, tuple[str, ...]]:
    """Return the floating addresses of our backends' gateways.

    :returns: for each address the interfaces that may get it; none means any.
    :raises ConfigurationError: when others than root can change a file.
    """
    return _granted().floating


def current() -> tuple[Grant, ...]:
    """Return the places that the files grant.

    :raises ConfigurationError: when others than root can change a file.
    """
    return _granted().places


@dataclasses.dataclass(frozen=True, slots=True)
class _Granted:
    places: tuple[Grant, ...]
    floating: Mapping[str, tuple[str, ...]]


def _granted() -> _Granted:
    """Return what the files grant; they are read again after a change."""
    global _known
    files = tuple(_all_files())
    state = tuple((f, s.st_dev, s.st_ino, s.st_mtime_ns, s.st_ctime_ns)
                  for f in files if (s := os.stat(f)))
    if _known[0] != state:
        for path in files:
            owners.check_owner(path)
        _known = state, _read(files)
    return _known[1]


_known: tuple[tuple[object, ...] | None, _Granted] = None, _Granted((), {})


def _all_files() -> Iterator[str]:
    """Yield the configuration files that this process was started with."""
    try:
        files, places = cfg.CONF.config_file, cfg.CONF.config_dir
    except cfg.NoSuchOptError:
        files = places = None  # nothing has been parsed
    yield from _several(files)
    for folder in _several(places):
        owners.check_owner(folder)
        yield from configuration.files_of((), [folder])


def _several(paths: str | Sequence[str] | None) -> Sequence[str]:
    return [paths] if isinstance(paths, str) else paths or ()


def _files() -> str:
    return ', '.join(_all_files()) or 'no --config-file of the daemon'


def _read(files: Iterable[str]) -> _Granted:
    conf = cfg.ConfigOpts()
    conf.register_opts(GLOBAL_OPTS)
    try:
        # The environment comes from the caller, who started the helper.
        conf([f'--config-file={f}' for f in files], project='mydriver',
             default_config_files=[], default_config_dirs=[], use_env=False)
        names = dict.fromkeys(filter(None, conf.enabled_backends or ()))
    except cfg.Error as e:
        raise exception.ConfigurationError(
            '--config-file', str(e), 'Correct the file.') from e
    places: list[Grant] = []
    addresses: dict[str, tuple[str, ...]] = {}
    for name in names:
        # A backend with invalid values does not start either.
        with contextlib.suppress(cfg.Error, exception.InvalidPortal):
            said = _said(conf, name)
            if said['volume_driver'] == DRIVER:
                places += filter(None, [_grant(name, said)])
                addresses.update(_floating(said))
    return _Granted(tuple(places), addresses)


def _said(conf: cfg.ConfigOpts, name: str) -> dict[str, Any]:
    """Return the options of a backend."""
    for opt in BACKEND_OPTS:
        conf.register_opt(opt, group=_SHARED)
        own = copy.deepcopy(opt)
        own.default = None
        conf.register_opt(own, group=name)
    return {o.name: conf[_SHARED][o.name] if conf[name][o.name] is None
            else conf[name][o.name] for o in BACKEND_OPTS}


def _floating(said: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the floating addresses of a backend."""
    if said['mydriver_store'] != _WITH_GATEWAYS:
        return {}
    return {address: tuple(said['mydriver_gateway_interface'])
            for entry in said['mydriver_gateway_addresses']
            for address in model.floating_addresses(entry)}


def _grant(name: str, said: Mapping[str, Any]) -> Grant | None:
    """Return the place of a backend."""
    kind, path = said['mydriver_store'], said['mydriver_store_path']
    if kind not in _KINDS:
        return None
    if kind == 'rbd':
        return _ceph_grant(name, said)
    if not path:
        return None
    if kind == 'reflink':
        return (Grant(name, _KINDS[kind], path, port=said['target_port'])
                if os.path.isabs(path) else None)
    group, slash, pool = path.partition('/')
    return Grant(name, _KINDS[kind], group, pool or POOL, not slash,
                 said['target_port'])


def _ceph_grant(name: str, said: Mapping[str, Any]) -> Grant | None:
    pool, user = said['mydriver_rbd_pool'], said['mydriver_rbd_user']
    conf = said['mydriver_rbd_ceph_conf']
    if not (pool and _CEPH_NAME.match(pool) and _CEPH_NAME.match(user)
            and os.path.isabs(conf)):
        return None
    return Grant(name, _KINDS['rbd'], pool, port=said['target_port'],
                 ceph_conf=conf, ceph_user=user,
                 has_gateways=bool(said['mydriver_gateway_addresses']))
