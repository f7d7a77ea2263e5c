# SPDX-License-Identifier: Apache-2.0
"""How a host reaches a volume: what Cinder and Nova tell each other.

:mod:`.connector` holds what the host tells Cinder. Each protocol has a module
with the grammar of its ``connection_info['data']``, such as :mod:`.iscsi`;
:func:`choose` picks the protocol for a host.
"""

from collections.abc import Callable, Sequence
import enum
from typing import Any

from mydriver import exception
from mydriver.connection.connector import MARKER, Capabilities, Connector

__all__ = ('MARKER', 'Capabilities', 'Connector', 'Protocol', 'choose')


class Protocol(enum.StrEnum):
    """A way to reach a volume, by its ``driver_volume_type`` in Cinder."""

    ISCSI = 'iscsi'


#: Raises :class:`.ConnectorError` with what the host lacks.
_REQUIREMENTS: dict[Protocol, Callable[[Connector], Any]] = {
    Protocol.ISCSI: Connector.require_initiator,
}


def choose(connector: Connector, offered: Sequence[Protocol]) -> Protocol:
    """Return the first protocol that both sides can do.

    :param connector: the host that attaches.
    :param offered: what the backend can do, the preferred one first.
    :raises ConnectorError: if the host can do none of it; the text says
        what it lacks for each.
    """
    refusals: list[exception.ConnectorError] = []
    for protocol in offered:
        try:
            _REQUIREMENTS[protocol](connector)
        except exception.ConnectorError as e:
            refusals.append(e)
        else:
            return protocol
    if len(refusals) == 1:
        raise refusals[0]
    raise exception.InvalidConnector(
        f'host {connector.host} can use none of the protocols that the '
        f'backend offers ({", ".join(offered) or "none"}). '
        + ' '.join(str(e) for e in refusals).rstrip('.'))
