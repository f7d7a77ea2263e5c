# SPDX-License-Identifier: Apache-2.0
"""How a host reaches a volume: what Cinder and Nova tell each other.

:mod:`.connector` holds what the host tells Cinder. Each protocol has a module
with the grammar of its ``connection_info['data']``, such as :mod:`.iscsi`;
:func:`negotiate` picks the protocol for a host.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import enum
from typing import Any

from mydriver import exception, model
from mydriver.connection.connector import MARKER, Capabilities, Connector

__all__ = ('MARKER', 'Agreement', 'Capabilities', 'Connector', 'Protocol',
           'negotiate')


class Protocol(enum.StrEnum):
    """A way to reach a volume, by its ``driver_volume_type`` in Cinder."""

    ISCSI = 'iscsi'


#: Returns the identity of a host for a protocol, or raises
#: :class:`.ConnectorError` with what the host lacks.
_REQUIREMENTS: dict[Protocol, Callable[[Connector], model.Iqn]] = {
    Protocol.ISCSI: Connector.require_initiator,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """How a host and a backend connect.

    :param protocol: which both can do.
    :param identity: what the backend grants access to: for iSCSI the name of
        the host's initiator.
    :param capabilities: what the host can do beyond stock os-brick.
    """

    protocol: Protocol
    identity: model.Iqn
    capabilities: Capabilities


def negotiate(connector: Mapping[str, Any], offered: Sequence[Protocol]
              ) -> Agreement:
    """Agree with a host on the first protocol that both sides can do.

    :param connector: of the host that attaches, as Cinder passes it.
    :param offered: what the backend can do, the preferred one first.
    :raises ConnectorError: if the connector is not usable, or the host can do
        none of it; the text says what it lacks for each.
    """
    host = Connector.parse(connector)
    refusals: list[exception.ConnectorError] = []
    for protocol in offered:
        try:
            return Agreement(protocol, _REQUIREMENTS[protocol](host),
                             host.capabilities)
        except exception.ConnectorError as e:
            refusals.append(e)
    if len(refusals) == 1:
        raise refusals[0]
    raise exception.InvalidConnector(
        f'host {host.host} can use none of the protocols that the '
        f'backend offers ({", ".join(offered) or "none"}). '
        + ' '.join(str(e) for e in refusals).rstrip('.'))
