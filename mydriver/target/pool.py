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
class Settings:
    """The settings of a backend that its exports depend on.

    :param backend: its name, the section of cinder.conf.
    :param target_prefix: prefix of the names of its targets.
    :param portals: at least one; the first is the preferred one.
    :param chap: ask initiators for CHAP.
    :param state_path: directory of the journal and the CHAP key.
    :param targets: number of targets in the pool.
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

    They differ between any two backends, on the same host or not. The names
    of earlier releases do not always differ, and are kept only while they are
    in use.

    :param host: name of this host, by default the system's.
    :param in_use: the targets that the backend has already.
    :param taken: the targets of other backends of this host.
    :raises ConfigurationError: when the prefix leads to no valid name.
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
            'target_prefix', f'{settings.target_prefix!r} leads to no name '
            'that the target accepts', 'Set it to a shorter name, such as '
            'iqn.2010-10.org.openstack: .')
    return apart


def place(volume_id: str, targets: Sequence[model.Iqn]) -> model.Iqn:
    """Return the target of a pool that a volume is exported on.

    :param volume_id: UUID of the backing.
    :param targets: of the pool, in order.
    """
    return targets[zlib.crc32(uuid.UUID(volume_id).bytes) % len(targets)]


def is_of_a_pool(target: model.Iqn) -> bool:
    """Tell whether a name has the form of a pool's target."""
    return re.search('mydriver-[a-z0-9-]+-[0-9]+$', str(target)) is not None


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
    digest = hashlib.sha256('\0'.join((host, backend)).encode(
        'utf-8', 'surrogateescape')).hexdigest()
    parts = [_words(part)[:_LONGEST_PART] for part in (host, backend)]
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
