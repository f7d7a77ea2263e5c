# SPDX-License-Identifier: Apache-2.0
"""The settings of a backend, from its section of cinder.conf.

The driver and the ``mydriver`` command both use them, so that they never
disagree about a backend.
"""

from collections.abc import Iterator
import contextlib
import os
import re
from typing import Any, Protocol

from mydriver import exception, model, stores
from mydriver.backend import gateways
from mydriver.ceph import cluster
from mydriver.stores import base, identity
from mydriver.target import addresses, pool, state

#: A backstore, mydriver-SECTION-UUID, is a directory: 255 bytes (configfs).
_LONGEST_SECTION = 255 - len('mydriver--') - 36
#: The default of mydriver_targets, which depends on other options.
_TARGETS = 4

_CEPH_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,126}\Z')


class Configuration(Protocol):
    """A backend's options: its own section, then the shared one."""

    def safe_get(self, value: str) -> Any:
        """Return an option's value, None when there is no such option."""


def of_service(conf: Configuration, backend: str) -> pool.Settings:
    """Return the settings of the export service.

    :param backend: name of the backend's section.
    :raises ConfigurationError: for the first setting that is wrong.
    """
    if conf.safe_get('target_protocol') not in (None, 'iscsi'):
        raise exception.ConfigurationError(
            'target_protocol', f'{conf.safe_get("target_protocol")} is not '
            'supported', 'Remove it or set it to iscsi.')
    portals = _portals(conf)
    targets = conf.safe_get('mydriver_targets') or _TARGETS
    served = gateways.of_backend(conf, portals)
    if served is not None:
        portals = tuple(p for some in served.portals for p in some)
        targets = len(served.portals)
    return pool.Settings(
        backend=backend,
        target_prefix=_prefix(conf.safe_get('target_prefix')),
        portals=portals,
        chap=_chap(conf),
        state_path=state_path(conf, backend),
        targets=targets,
        discovery_timeout_s=conf.safe_get('mydriver_discovery_timeout'),
        gateways=served)


def store_of(conf: Configuration, backend: str) -> base.VolumeStore:
    """Return the backend's store, which is not checked yet.

    :param backend: name of the backend's section.
    :raises ConfigurationError: when the option that names its place is not
        set, or not usable.
    """
    kind = conf.safe_get('mydriver_store')
    if kind == stores.RBD:
        return stores.build_rbd(
            ceph_of(conf), conf.safe_get('mydriver_rbd_max_clone_depth'),
            _record(conf, backend))
    path = conf.safe_get('mydriver_store_path')
    if not path:
        raise exception.ConfigurationError(
            'mydriver_store_path', 'it is not set',
            "Set it in the backend's section to a directory on XFS or btrfs, "
            'or to a volume group for lvmthin.')
    if kind == 'reflink' and not os.path.isabs(path):
        raise exception.ConfigurationError(
            'mydriver_store_path', f'{path!r} is not an absolute path',
            'Set the full path of a directory on XFS or btrfs.')
    return stores.build(kind, path, _record(conf, backend))


def refuse_replication(conf: Configuration) -> None:
    """Check that no replication is asked for.

    :raises ConfigurationError: when it is.
    """
    if conf.safe_get('replication_device'):
        raise exception.ConfigurationError(
            'replication_device', 'this driver does not replicate to another '
            'storage', 'Remove it. Ceph keeps copies within one cluster.')


def _record(conf: Configuration, backend: str) -> identity.Record:
    return identity.Record(
        os.path.join(state_path(conf, backend), identity.RECORD))


def place_option(conf: Configuration) -> str:
    """Return the name of the option that says where the store is."""
    return ('mydriver_rbd_pool' if conf.safe_get('mydriver_store')
            == stores.RBD else 'mydriver_store_path')


def ceph_of(conf: Configuration) -> cluster.Settings:
    """Return how a backend reaches its pool of Ceph.

    The names become words of a line that the kernel parses, and parts of the
    path of a device.

    :raises ConfigurationError: for the first setting that is wrong.
    """
    said = {}
    for option, sample in (('mydriver_rbd_pool', 'volumes'),
                           ('mydriver_rbd_user', 'cinder')):
        said[option] = conf.safe_get(option)
        if not said[option] or not _CEPH_NAME.match(said[option]):
            raise exception.ConfigurationError(
                option, f'{said[option]!r} is no name of letters, digits, '
                "'_', '-' and '.'" if said[option] else 'it is not set',
                f'Set it in the section of the backend, such as {sample}.')
    path = conf.safe_get('mydriver_rbd_ceph_conf')
    if not path or not os.path.isabs(path):
        raise exception.ConfigurationError(
            'mydriver_rbd_ceph_conf', f'{path!r} is not an absolute path',
            "Set the full path of Ceph's configuration file.")
    return cluster.Settings(
        said['mydriver_rbd_pool'], said['mydriver_rbd_user'], path)


def prepare_state(path: str) -> None:
    """Create the state directory if necessary; check that it can be used.

    :param path: of the backend's own directory.
    :raises ConfigurationError: when it cannot be used.
    """
    state.prepare(path)


def refers_to_nothing(option: str, name: str = ''
                      ) -> exception.ConfigurationError:
    """Return the error about a value with the name of an unknown option.

    :param name: what the value has, with a space before it, if that is known.
    """
    return exception.ConfigurationError(
        option, f'the value refers to an option{exception.shown(name)} that '
        'does not exist', 'Correct it in the configuration file, where $$ is '
        'a dollar sign.')


def _chap(conf: Configuration) -> bool:
    """Tell whether initiators log in by CHAP.

    :raises ConfigurationError: when that is not known. Cinder returns None for
        an option that refers to an unknown one, as for one that is unknown.
    """
    found: bool | None = conf.safe_get('use_chap_auth')
    if found is None:
        raise refers_to_nothing('use_chap_auth')
    return found


def _prefix(prefix: str) -> str:
    """Check that target names can have a prefix."""
    with _named('target_prefix', 'It looks like iqn.2010-10.org.openstack:'):
        model.Iqn(f'{prefix}x')
    return prefix


def _portals(conf: Configuration) -> tuple[model.Portal, ...]:
    """Return the portals without duplicates, the preferred one first."""
    port = conf.safe_get('target_port')
    portals = [_portal(addresses.FIRST, conf.safe_get(addresses.FIRST), port)]
    portals += [_portal(addresses.OTHERS, address, port) for address in
                conf.safe_get(addresses.OTHERS) or ()]
    return tuple(dict.fromkeys(portals))


def _portal(option: str, address: str, port: int) -> model.Portal:
    remedy = 'Set addresses of this host, without a port.'
    with _named(option, remedy):
        portal = model.Portal(address, port)
    if problem := addresses.unusable(portal.address):
        raise exception.ConfigurationError(
            option, f'hosts cannot log in at {address}: {problem}', remedy)
    return portal


def state_path(conf: Configuration, backend: str) -> str:
    """Return the backend's own directory below ``mydriver_state_path``.

    :raises ConfigurationError: when the section or the path is not usable.
    """
    _check_section(backend)
    path = conf.safe_get('mydriver_state_path')
    if not os.path.isabs(path):
        raise exception.ConfigurationError(
            'mydriver_state_path', f'{path!r} is not an absolute path',
            'Set the full path of a directory.')
    return os.path.join(path, backend)


def _check_section(backend: str) -> None:
    """Check that the name of a section can name a directory and backstores.

    :raises ConfigurationError: names the section.
    """
    problem = ''
    if (set('/\0') & set(backend) or backend in ('', '.', '..')):
        problem = 'cannot name a directory'
    elif any(ord(c) <= ord(' ') or c == '\x7f' for c in backend):
        problem = 'has white space in it, which rtslib does not accept'
    elif len(os.fsencode(backend)) > _LONGEST_SECTION:
        problem = f'is longer than {_LONGEST_SECTION} bytes'
    if problem:
        raise exception.ConfigurationError(
            f'[{backend[:80]}]', f'the name of the section {problem}',
            'Give the section another name, in enabled_backends as well.')


@contextlib.contextmanager
def _named(option: str, remedy: str) -> Iterator[None]:
    """Raise an invalid value as an error that names its option."""
    try:
        yield
    except (exception.InvalidIqn, exception.InvalidPortal) as e:
        raise exception.ConfigurationError(
            option, str(e).rstrip('.'), remedy) from e
