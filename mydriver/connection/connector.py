# SPDX-License-Identifier: Apache-2.0
"""The connector: what a compute host tells Cinder about itself.

os-brick collects it (``get_connector_properties`` in os_brick/initiator/
connector.py), and our Nova side adds a mark. It reaches the driver through two
APIs and a database, so it is parsed once, where it comes in.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any, Self

from mydriver import exception, model

#: Key that our Nova side adds to the connector: a dict of what it can do,
#: such as ``{'version': 1, 'mutual_chap': True}``.
MARKER = 'mydriver'

#: Version of the mark, and of the keys of ``connection_info['data']``.
VERSION = 1

#: Longer host names are cut (RFC 1035, 2.3.4).
_HOST_CHARACTERS = 255


@dataclasses.dataclass(frozen=True, slots=True)
class Capabilities:
    """What the connector's host can do beyond stock os-brick.

    :param verifies_wwn: it compares the device with the expected NAA id.
    :param mutual_chap: it can authenticate the target as well.
    """

    verifies_wwn: bool = False
    mutual_chap: bool = False

    @classmethod
    def of(cls, connector: Mapping[str, Any]) -> Self:
        """Read them from a connector; none if our mark is missing."""
        mark = (connector.get(MARKER) if isinstance(connector, Mapping)
                else None)
        if not isinstance(mark, Mapping):
            return cls()
        return cls(verifies_wwn=True,
                   mutual_chap=mark.get('mutual_chap') is True)

    def mark(self) -> dict[str, Any]:
        """Return what to add to a connector, under :data:`MARKER`."""
        return {'version': VERSION, 'mutual_chap': self.mutual_chap}


@dataclasses.dataclass(frozen=True, slots=True)
class Connector:
    """A host that volumes are attached to.

    :param host: its name, for messages; ``?`` if the connector has none.
    :param initiator: its iSCSI initiator name, None if it has none.
    :param capabilities: what it can do beyond stock os-brick.
    """

    host: str = '?'
    initiator: model.Iqn | None = None
    capabilities: Capabilities = Capabilities()

    @classmethod
    def parse(cls, connector: Mapping[str, Any]) -> Self:
        """Read a connector as Nova or os-brick sends it.

        :param connector: a dict with ``host`` and ``initiator``; or anything
            at all, since it comes from outside.
        :raises InvalidConnector: if it is not a dict, or if its initiator
            name is one that the kernel target cannot take.
        """
        if not isinstance(connector, Mapping):
            raise exception.InvalidConnector(
                f'it is {exception.shown(connector)}, not an object')
        name = connector.get('initiator')
        try:
            initiator = model.Iqn(name) if name else None
        except exception.InvalidIqn as e:
            raise exception.InvalidConnector(str(e).rstrip('.')) from e
        return cls(
            host=exception.shown(connector.get('host') or '?',
                                 _HOST_CHARACTERS),
            initiator=initiator, capabilities=Capabilities.of(connector))

    def require_initiator(self) -> model.Iqn:
        """Return the iSCSI initiator name.

        :raises NoInitiatorName: if the host has none.
        """
        if self.initiator is None:
            raise exception.NoInitiatorName(self.host)
        return self.initiator
