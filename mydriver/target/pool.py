# SPDX-License-Identifier: Apache-2.0
"""What a backend serves, on which targets, and whom."""

from collections.abc import Callable, Collection, Iterable, Mapping
import dataclasses
import hashlib
import re
import socket
from typing import Any

from mydriver import connection, exception, model

#: Hex digits that tell names apart which would be the same otherwise.
_DIGITS = 8
#: The name of a target ends somewhere (RFC 7143, 4.2.7.1).
_LONGEST_PART = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a backend is made of.

    :param backend: its name, the section of cinder.conf.
    :param target_prefix: how the names of its targets begin.
    :param portals: at least one; the first is the preferred one.
    :param chap: ask initiators for CHAP.
    :param state_path: folder of the journal and the CHAP key.
    :param targets: how many targets the pool has.
    :param discovery_timeout_s: how long a portal may take to answer.
    """

    backend: str
    target_prefix: str
    portals: tuple[model.Portal, ...]
    chap: bool
    state_path: str
    targets: int = 4
    discovery_timeout_s: float = 2.0


def pool(settings: Settings, host: str | None = None,
         in_use: Collection[model.Iqn] = (),
         taken: Collection[model.Iqn] = ()) -> list[model.Iqn]:
    """Return the names of the targets of a backend's pool.

    Two backends have different ones, on whatever hosts they are. What earlier
    releases called them does not tell all backends apart, and holds only
    where it is in use.

    :param host: name of this host, this very one by default.
    :param in_use: the targets that the backend has already.
    :param taken: those that other backends of this host have.
    :raises ConfigurationError: when the prefix makes no valid name.
    """
    host = host or socket.gethostname()
    plain = _targets(settings, '-'.join(
        _words(part) for part in (host, settings.backend)))
    if not set(plain).isdisjoint(in_use):
        return plain
    if (plain and _is_plain(host, settings.backend)
            and set(plain).isdisjoint(taken)):
        return plain
    apart = _targets(settings, _told_apart(host, settings.backend))
    if not apart:
        raise exception.ConfigurationError(
            'target_prefix', f'{settings.target_prefix!r} makes no name that '
            'the target takes', 'Set it to a shorter name, such as '
            'iqn.2010-10.org.openstack: .')
    return apart


def is_of_a_pool(target: model.Iqn) -> bool:
    """Tell whether a name is such as the targets of a pool have."""
    return re.search('mydriver-[a-z0-9-]+-[0-9]+$', str(target)) is not None


def _targets(settings: Settings, name: str) -> list[model.Iqn]:
    """Return the names, none where they would not be valid."""
    try:
        return [model.Iqn(f'{settings.target_prefix}mydriver-{name}-{n}')
                for n in range(settings.targets)]
    except exception.InvalidIqn:
        return []


def _words(text: str) -> str:
    """Return what of a text may be in the name of a target."""
    return re.sub('[^a-z0-9]+', '-', text.lower()).strip('-')


def _is_plain(host: str, backend: str) -> bool:
    """Tell whether both can be read from a name that has them unchanged.

    The last hyphen parts them, so there is none in the name of the backend.
    """
    return (_words(host) == host and _words(backend) == backend
            and '' not in (host, backend) and '-' not in backend)


def _told_apart(host: str, backend: str) -> str:
    """Return a name for a backend that no other one has."""
    digest = hashlib.sha256('\0'.join((host, backend)).encode(
        'utf-8', 'surrogateescape')).hexdigest()
    parts = [_words(part)[:_LONGEST_PART] for part in (host, backend)]
    return '-'.join([*filter(None, parts), digest[:_DIGITS]])


def missing_portals(
        settings: Settings, targets: Iterable[model.Iqn],
        listening: Callable[[model.Iqn], frozenset[str]]) -> tuple[str, ...]:
    """Return the portals at which targets take no logins.

    :param targets: of the pool.
    :param listening: returns the portals at which a target takes logins.
    :returns: a text for each portal; those of all targets are named alone.
    :raises TargetDown: when a target takes none at all.
    """
    wanted = [str(p) for p in settings.portals]
    serves = {t: listening(t) for t in targets}
    down = [t for t, at in serves.items() if not at.intersection(wanted)]
    if down:
        raise exception.TargetDown(
            ', '.join(map(str, down)) + f' at {" or ".join(wanted)}')
    found = []
    for portal in wanted:
        without = [str(t) for t, at in serves.items() if portal not in at]
        if len(without) == len(serves):
            found.append(portal)
        elif without:
            found.append(f'{portal} of {" and ".join(without)}')
    return tuple(found)


def initiator_of(connector: Mapping[str, Any]) -> model.Iqn:
    """Return the initiator of a connector.

    :raises InvalidConnector: when it has none, or one that the target
        cannot take.
    """
    return connection.Connector.parse(connector).require_initiator()
