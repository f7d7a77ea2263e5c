# SPDX-License-Identifier: Apache-2.0
"""Backends that gateways serve, as the commands see them: through Ceph."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import time

from mydriver import exception
from mydriver.backend import settings
from mydriver.ceph import cluster
from mydriver.cmd import backends
from mydriver.target.gateways import factory, gateway, members
from mydriver.target.journal import shared

#: In a backend's state directory: held by the gateway that runs there.
LOCK_FILE = 'gateway.lock'

#: How long gateways are looked at, seconds: a few of their beats.
_LOOK_S = members.ALIVE_S / 2


def connect(backend: backends.Backend) -> cluster.Cluster:
    """Return a connection to the cluster of a backend.

    :raises ConfigurationError: when its settings are wrong.
    """
    return cluster.Cluster(settings.ceph_of(backend.section))


@contextlib.contextmanager
def alone(backend: backends.Backend) -> Iterator[None]:
    """Keep other processes on this host from serving a backend.

    A gateway that starts removes what an earlier run has left of its targets.
    It would do that to one that is running, too.

    :raises ConfigurationError: when there is another process, or the state
        directory cannot be used.
    """
    settings.prepare_state(backend.state_path)
    path = os.path.join(backend.state_path, LOCK_FILE)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
                 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise exception.ConfigurationError(
                'mydriver gateway', 'another process on this host serves '
                f'backend {backend.name}: it holds {path}',
                'Stop that one first.') from e
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def journal(backend: backends.Backend) -> Iterator[shared.SharedJournal]:
    """Give the journal of a backend, to look at."""
    with contextlib.closing(connect(backend)) as connection, (
            contextlib.closing(factory.journal_of(
                backend.settings, connection))) as found:
        yield found


@contextlib.contextmanager
def registry(backend: backends.Backend) -> Iterator[gateway.Registry]:
    """Give what the gateways of a backend say about themselves."""
    with contextlib.closing(connect(backend)) as connection:
        yield factory.registry_of(backend.settings, connection)


def look(known: gateway.Registry) -> list[tuple[members.Member, bool]]:
    """Return the gateways, and whether each is alive.

    It takes a second or so: those that are alive say something new.

    :raises CephError: when Ceph does not answer.
    """
    before = {m.name: (m.run, m.beat) for m in known.all()}
    if not before:
        return []
    time.sleep(_LOOK_S)
    return [(m, before.get(m.name) != (m.run, m.beat)) for m in known.all()]


def refuse_without(backend: backends.Backend) -> None:
    """Check that gateways serve a backend.

    :raises ConfigurationError: when they do not.
    """
    if not backend.has_gateways:
        raise exception.ConfigurationError(
            'mydriver_gateway_addresses', 'it is not set in '
            f'[{backend.name}], so its own cinder-volume host serves it',
            'Set it, or name another backend.')
