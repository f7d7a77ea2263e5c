# SPDX-License-Identifier: Apache-2.0
"""How a host reaches a volume: what Cinder and Nova tell each other.

:mod:`.connector` holds what the host tells Cinder. :mod:`.iscsi`
and :mod:`.rbd` have the grammar of ``connection_info['data']`` for one
protocol each, and :func:`negotiate` picks the protocol for a host.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import enum
from typing import Any

from mydriver import exception
from mydriver.connection.connector import (
    MARKER,
    Capabilities,
    Connector,
    HostName,
    name_of,
)

__all__ = ('MARKER', 'Agreement', 'Capabilities', 'Connector', 'HostName',
           'Protocol', 'name_of', 'negotiate')


class Protocol(enum.StrEnum):
    """A way to reach a volume, by its ``driver_volume_type`` in Cinder."""

    ISCSI = 'iscsi'
    RBD = 'rbd'


#: Returns what a backend grants access to, or raises
#: :class:`.ConnectorError` with what the host lacks.
_REQUIREMENTS: dict[Protocol, Callable[[Connector], object]] = {
    Protocol.ISCSI: Connector.require_initiator,
    Protocol.RBD: Connector.require_name,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """How a host and a backend connect.

    :param protocol: which both can do.
    :param host: the host. What the backend grants access to depends on the
        protocol: the name of its initiator for iSCSI, its own name for RBD.
        The connector has it.
    """

    protocol: Protocol
    host: Connector


def negotiate(connector: Connector | Mapping[str, Any],
              offered: Sequence[Protocol]) -> Agreement:
    """Agree with a host on the first protocol that both sides can do.

    :param connector: of the host that attaches, parsed or as Cinder passes
        it.
    :param offered: what the backend can do, the preferred one first.
    :raises ConnectorError: if the connector is not usable, or the host can do
        none of it; the text says what it lacks for each.
    """
    host = (connector if isinstance(connector, Connector)
            else Connector.parse(connector))
    refusals: list[exception.ConnectorError] = []
    for protocol in offered:
        try:
            _REQUIREMENTS[protocol](host)
        except exception.ConnectorError as e:
            refusals.append(e)
        else:
            return Agreement(protocol, host)
    if len(refusals) == 1:
        raise refusals[0]
    raise exception.InvalidConnector(
        f'host {host.host} can use none of the protocols that the '
        f'backend offers ({", ".join(offered) or "none"}). '
        + ' '.join(str(e) for e in refusals).rstrip('.'))
