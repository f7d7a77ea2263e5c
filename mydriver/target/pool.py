# SPDX-License-Identifier: Apache-2.0
"""A backend's target pool: its settings and target names."""

from collections.abc import Callable, Collection, Iterable, Sequence
import dataclasses
import hashlib
import re
import socket
import uuid
import zlib

from mydriver import exception, model

#: Hex digits that distinguish names that would otherwise be the same.
_DIGITS = 8
#: The name of a target is limited to 223 bytes (RFC 7143, 4.2.7.1).
_LONGEST_PART = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Gateways:
    """How gateways serve a backend.

    Each target has floating addresses of its own, which are on the one gateway
    that owns the target.

    :param portals: those of each target of the pool, in order.
    :param lease_s: how long a gateway owns a target after it has last renewed
        its lease.
    :param interfaces: those that may get a floating address; empty for any.
    :param fsid: id of the Ceph cluster, a UUID; empty until it is known.
    :param pool_id: number of the Ceph pool.
    :param witnesses: hosts that a gateway has to reach one of, with any port.
    """

    portals: tuple[tuple[model.Portal, ...], ...]
    lease_s: int = 6
    interfaces: tuple[str, ...] = ()
    fsid: str = ''
    pool_id: int = 0
    witnesses: tuple[model.Portal, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a backend that its exports depend on.

    :param backend: its name, the section of cinder.conf.
    :param target_prefix: prefix of the names of its targets.
    :param portals: at least one; the first is the preferred one. With
        gateways, those of all targets: see :meth:`portals_of`.
    :param chap: ask initiators for CHAP.
    :param state_path: directory of the journal and the CHAP key.
    :param targets: number of targets in the pool.
    :param discovery_timeout_s: how long a portal may take to answer.
    :param gateways: None when this host itself serves the backend.
    :param service: whose settings these are, ``HOST@BACKEND``; empty when
        that does not matter.
    """

    backend: str
    target_prefix: str
    portals: tuple[model.Portal, ...]
    chap: bool
    state_path: str
    targets: int = 4
    discovery_timeout_s: float = 2.0
    gateways: Gateways | None = None
    service: str = ''

    def portals_of(self, target: model.Iqn) -> tuple[model.Portal, ...]:
        """Return the portals of a target; the first is the preferred one.

        :param target: of the pool, or of an earlier one of this backend.
        :returns: none for a target that has no addresses any more.
        """
        if self.gateways is None:
            return self.portals
        number = int(str(target).rpartition('-')[2])
        return dict(enumerate(self.gateways.portals)).get(number, ())


def of_cluster(settings: Settings, fsid: str, pool_id: int) -> Settings:
    """Return the settings of a backend with gateways, for its Ceph cluster.

    :param fsid: id of the cluster, a UUID.
    :param pool_id: number of the Ceph pool; unlike its name it never changes.
    """
    assert settings.gateways  # noqa: S101  the caller's branch
    return dataclasses.replace(settings, gateways=dataclasses.replace(
        settings.gateways, fsid=str(uuid.UUID(fsid)), pool_id=pool_id))


def pool(settings: Settings, host: str | None = None,
         in_use: Collection[model.Iqn] = (),
         taken: Collection[model.Iqn] = ()) -> list[model.Iqn]:
    """Return the names of the targets of a backend's pool.

    They differ between any two backends, on the same host or not. The names
    of earlier releases do not always differ, and are kept only while they are
    in use. With gateways, the names contain the Ceph cluster instead of a
    host, since they are the same on each host.

    :param host: name of this host, by default the system's.
    :param in_use: the targets that the backend has already.
    :param taken: the targets of other backends of this host.
    :raises ConfigurationError: when the prefix leads to no valid name.
    """
    if settings.gateways is not None:
        return _valid(settings, _of_gateways(settings.backend,
                                             settings.gateways))
    host = host or socket.gethostname()
    plain = _targets(settings, '-'.join(
        _words(part) for part in (host, settings.backend)))
    if not set(plain).isdisjoint(in_use):
        return plain
    if (plain and _is_plain(host, settings.backend)
            and set(plain).isdisjoint(taken)):
        return plain
    return _valid(settings, _told_apart(host, settings.backend))


def place(volume_id: str, targets: Sequence[model.Iqn]) -> model.Iqn:
    """Return the target of a pool that a volume is exported on.

    :param volume_id: UUID of the backing.
    :param targets: of the pool, in order.
    """
    return targets[zlib.crc32(uuid.UUID(volume_id).bytes) % len(targets)]


def backstore_prefix(backend: str) -> str:
    """Return what precedes a volume's id in the name of its backstore.

    :param backend: name of the backend.
    """
    return f'mydriver-{backend}-'


def is_of_a_pool(target: model.Iqn) -> bool:
    """Tell whether a name has the form of a pool's target."""
    return re.search('mydriver-[a-z0-9-]+-[0-9]+$', str(target)) is not None


def _valid(settings: Settings, name: str) -> list[model.Iqn]:
    """Return the names.

    :raises ConfigurationError: when they would not be valid.
    """
    found = _targets(settings, name)
    if not found:
        raise exception.ConfigurationError(
            'target_prefix', f'{settings.target_prefix!r} leads to no name '
            'that the target accepts', 'Set it to a shorter name, such as '
            'iqn.2010-10.org.openstack: .')
    return found


def _targets(settings: Settings, name: str) -> list[model.Iqn]:
    """Return the names, or none if they would not be valid."""
    try:
        return [model.Iqn(f'{settings.target_prefix}mydriver-{name}-{n}')
                for n in range(settings.targets)]
    except exception.InvalidIqn:
        return []


def _words(text: str) -> str:
    """Return the part of a text that the name of a target can contain."""
    return re.sub('[^a-z0-9]+', '-', text.lower()).strip('-')


def _is_plain(host: str, backend: str) -> bool:
    """Tell whether ``HOST-BACKEND`` is valid and unambiguous.

    It is split at the last hyphen, so the backend's name must not have one.
    """
    return (_words(host) == host and _words(backend) == backend
            and '' not in (host, backend) and '-' not in backend)


def _told_apart(host: str, backend: str) -> str:
    """Return a name that no other backend has."""
    return _with_digest((host, backend), host, backend)


def _of_gateways(backend: str, gateways: Gateways) -> str:
    """Return a name that no other backend has, on the same Ceph or not.

    Another cloud's backend may have the same name. A host's name has no NUL,
    so no host leads to the same digest.
    """
    if not gateways.fsid:
        raise ValueError('the Ceph cluster of the backend is not known yet')
    return _with_digest(
        ('', gateways.fsid, str(gateways.pool_id), backend),
        f'ceph-{gateways.fsid[:_DIGITS]}', backend)


def _with_digest(facts: Iterable[str], *shown: str) -> str:
    """Return a name with words for people, and a digest of what it is for."""
    digest = hashlib.sha256('\0'.join(facts).encode(
        'utf-8', 'surrogateescape')).hexdigest()
    parts = [_words(part)[:_LONGEST_PART] for part in shown]
    return '-'.join([*filter(None, parts), digest[:_DIGITS]])


def missing_portals(
        settings: Settings, targets: Iterable[model.Iqn],
        listening: Callable[[model.Iqn], frozenset[str]]) -> tuple[str, ...]:
    """Return the portals at which targets accept no logins.

    :param targets: of the pool.
    :param listening: returns the portals at which a target accepts logins.
    :returns: a text for each portal, with the targets unless it is all.
    :raises TargetDown: when a target accepts none at all.
    """
    serves = {t: listening(t) for t in targets}
    wanted = {t: [str(p) for p in settings.portals_of(t)] for t in serves}
    down = [t for t, at in serves.items() if not at.intersection(wanted[t])]
    if down:
        at = dict.fromkeys(p for t in down for p in wanted[t])
        raise exception.TargetDown(
            ', '.join(map(str, down)) + f' at {" or ".join(at)}')
    found = []
    for portal in map(str, settings.portals):
        having = [t for t in serves if portal in wanted[t]]
        without = [str(t) for t in having if portal not in serves[t]]
        if without and len(without) == len(having):
            found.append(portal)
        elif without:
            found.append(f'{portal} of {" and ".join(without)}')
    return tuple(found)
