# SPDX-License-Identifier: Apache-2.0
"""What a backend serves, on which targets, and whom."""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import re
import socket
from typing import Any

from mydriver import exception, model


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


def pool(settings: Settings,
         host: str | None = None) -> list[model.Iqn]:
    """Return the names of the targets of a backend's pool.

    :param host: name of this host, this very one by default.
    :raises ConfigurationError: when the prefix makes no valid name.
    """
    name = '-'.join(re.sub('[^a-z0-9]+', '-', part.lower()).strip('-')
                    for part in (host or socket.gethostname(),
                                 settings.backend))
    try:
        return [model.Iqn(f'{settings.target_prefix}mydriver-{name}-{n}')
                for n in range(settings.targets)]
    except exception.InvalidIqn as e:
        raise exception.ConfigurationError(
            'target_prefix', str(e),
            'Set it to a name such as iqn.2010-10.org.openstack: .') from e


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
    if not isinstance(connector, Mapping):
        raise exception.InvalidConnector(
            f'it is {exception.shown(connector)}, not an object')
    name = connector.get('initiator')
    if not name:
        raise exception.InvalidConnector(
            'it has no initiator name. Is open-iscsi installed on host '
            f'{exception.shown(connector.get("host", "?"))}, and /etc/iscsi/'
            'initiatorname.iscsi there')
    try:
        return model.Iqn(name)
    except exception.InvalidIqn as e:
        raise exception.InvalidConnector(str(e).rstrip('.')) from e
