# SPDX-License-Identifier: Apache-2.0
"""The places that root's configuration grants to our backends.

The daemon reads the configuration files that it was started with. A caller
names a backend, a volume group or a pool, and is refused what the files do
not grant. So the files must belong to root, and nobody else may be able to
write or replace them.

The few options that say where a backend keeps its volumes are declared here
again; a test compares them with the driver's.
"""

from collections.abc import Iterable, Iterator, Sequence
import contextlib
import copy
import dataclasses
import grp
import os
from pathlib import Path
import stat

from oslo_config import cfg

from mydriver import exception, folders

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
)
_KINDS = {'reflink': 'fileio', 'lvmthin': 'iblock'}


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """The place of a backend.

    :param backend: name of its section.
    :param kind: of its backstores, ``fileio`` or ``iblock``.
    :param place: the directory, or the volume group.
    :param pool: name of the thin pool; empty for a directory.
    :param makes_pool: the pool may be created.
    :param port: the port that its targets listen at.
    """

    backend: str
    kind: str
    place: str
    pool: str = ''
    makes_pool: bool = False
    port: int = 3260


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


def ports() -> frozenset[int]:
    """Return the ports that our backends listen at."""
    return frozenset(g.port for g in current())


def current() -> tuple[Grant, ...]:
    """Return what the files grant.

    They are read again when they have changed.

    :raises ConfigurationError: when others than root can change a file.
    """
    global _known
    files = tuple(_all_files())
    state = tuple((f, s.st_dev, s.st_ino, s.st_mtime_ns, s.st_ctime_ns)
                  for f in files if (s := os.stat(f)))
    if _known[0] != state:
        for path in files:
            check_owner(path)
        _known = state, tuple(_read(files))
    return _known[1]


_known: tuple[tuple[object, ...] | None, tuple[Grant, ...]] = None, ()


def check_owner(path: str) -> None:
    """Check that only root decides what is at a path.

    :raises ConfigurationError: with the remedy.
    """
    for step, found in _steps(path):
        what = None
        if found.st_uid:
            what = f'belongs to user id {found.st_uid}'
        elif _others_may_write(found):
            what = ('can be written by others (mode '
                    f'{found.st_mode & 0o7777:o})')
        if what:
            raise exception.ConfigurationError(
                path, f'{step} {what}, but whoever can change it decides '
                'what the privileged daemon does as root',
                _remedy(step, found))


def _others_may_write(found: os.stat_result) -> bool:
    if stat.S_ISLNK(found.st_mode):
        return False  # a link's own mode has no meaning
    bits = stat.S_IWOTH | (stat.S_IWGRP if found.st_gid else 0)
    if not found.st_mode & bits:
        return False
    # Root's files in a sticky directory, such as /tmp, cannot be replaced.
    return not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX)


def _remedy(path: str, found: os.stat_result) -> str:
    if stat.S_ISDIR(found.st_mode):
        return f'Run chown root {path}; chmod go-w {path}.'
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = 'cinder'
    return f'Run chown root:{group} {path}; chmod 640 {path}.'


def _steps(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each directory and link on the way to a path, and the file."""
    rest = list(reversed(Path(os.path.abspath(path)).parts[1:]))
    at, links = '/', 0
    yield at, os.stat(at)
    while rest:
        part = rest.pop()
        if part == '..':
            at = os.path.dirname(at)
            continue
        step = os.path.join(at, part)
        found = os.lstat(step)
        yield step, found
        if not stat.S_ISLNK(found.st_mode):
            at = step
            continue
        links += 1
        if links > folders.MAX_LINKS:
            raise exception.ConfigurationError(
                path, 'too many links lead to it', 'Name the file itself.')
        to = Path(os.readlink(step))
        if to.is_absolute():
            at = '/'
        rest += reversed(to.parts[to.is_absolute():])


def open_folder(path: str) -> int:
    """Open a directory that the files name.

    Directories on the way may belong to the caller. A link in place of one is
    followed only when root made it.

    :returns: a descriptor that names can be looked up in; the caller closes
        it.
    :raises RequestRefused: for a link of another user.
    :raises OSError: when the directory cannot be reached.
    """
    def refuse(part: str, found: os.stat_result, _to: str, _last: bool
               ) -> None:
        if found.st_uid:
            raise exception.RequestRefused(
                f'directory {path}', f'{part} is a link of user id '
                f'{found.st_uid}')

    return folders.open_folder(path, refuse)


def _all_files() -> Iterator[str]:
    """Yield the configuration files that this process was started with."""
    try:
        files, places = cfg.CONF.config_file, cfg.CONF.config_dir
    except cfg.NoSuchOptError:
        files = places = None  # nothing has been parsed
    yield from _several(files)
    for folder in _several(places):
        check_owner(folder)
        yield from sorted(str(p) for p in Path(folder).glob('*.conf'))


def _several(paths: str | Sequence[str] | None) -> Sequence[str]:
    return [paths] if isinstance(paths, str) else paths or ()


def _files() -> str:
    return ', '.join(_all_files()) or 'no --config-file of the daemon'


def _read(files: Iterable[str]) -> Iterator[Grant]:
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
    for name in names:
        # A backend with invalid values does not start either.
        with contextlib.suppress(cfg.Error):
            grant = _grant(conf, name)
            if grant:
                yield grant


def _grant(conf: cfg.ConfigOpts, name: str) -> Grant | None:
    for opt in BACKEND_OPTS:
        conf.register_opt(opt, group=_SHARED)
        own = copy.deepcopy(opt)
        own.default = None
        conf.register_opt(own, group=name)
    said = {o.name: conf[_SHARED][o.name] if conf[name][o.name] is None
            else conf[name][o.name] for o in BACKEND_OPTS}
    kind, path = said['mydriver_store'], said['mydriver_store_path']
    if said['volume_driver'] != DRIVER or kind not in _KINDS or not path:
        return None
    if kind == 'reflink':
        return (Grant(name, _KINDS[kind], path, port=said['target_port'])
                if os.path.isabs(path) else None)
    group, slash, pool = path.partition('/')
    return Grant(name, _KINDS[kind], group, pool or POOL, not slash,
                 said['target_port'])
