# SPDX-License-Identifier: Apache-2.0
"""The connector: what a compute host tells Cinder about itself.

os-brick collects it (``get_connector_properties`` in os_brick/initiator/
connector.py), and our Nova side adds a mark. It reaches the driver through two
APIs and a database, so it is parsed once, where it comes in.
"""

from collections.abc import Mapping
import dataclasses
import re
from typing import Any, Self

from mydriver import exception, model

#: Key that our Nova side adds to the connector: a dict of what it can do,
#: such as ``{'version': 1, 'mutual_chap': True}``.
MARKER = 'mydriver'

#: Version of the mark, and of the keys of ``connection_info['data']``.
VERSION = 1

#: Longer host names are cut (RFC 1035, 2.3.4).
_HOST_CHARACTERS = 255

_UUID = re.compile(r'[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z')

#: More libvirt secrets of Ceph clients than any host has.
_MAX_SECRETS = 64


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class HostName:
    """The name of a host, which identifies it where no initiator does.

    :param name: printable text of 1 to 255 characters, as the connector has
        it.
    :raises InvalidConnector: when it is anything else.
    """

    name: str

    def __post_init__(self) -> None:
        if (not isinstance(self.name, str) or not self.name.isprintable()
                or not 0 < len(self.name) <= _HOST_CHARACTERS):
            raise exception.InvalidConnector(
                f'its host is {exception.shown(self.name)!r}, not printable '
                f'text of 1 to {_HOST_CHARACTERS} characters')

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass(frozen=True, slots=True)
class Capabilities:
    """What the connector's host can do beyond stock os-brick.

    :param verifies_wwn: it compares the device with the expected NAA id.
    :param mutual_chap: it can authenticate the target as well.
    :param rbd_secrets: UUIDs of the libvirt secrets with which its QEMU can
        use RBD images natively; none where it cannot.
    """

    verifies_wwn: bool = False
    mutual_chap: bool = False
    rbd_secrets: frozenset[str] = frozenset()

    @classmethod
    def of(cls, connector: Mapping[str, Any]) -> Self:
        """Read them from a connector; none if our mark is missing."""
        mark = (connector.get(MARKER) if isinstance(connector, Mapping)
                else None)
        if not isinstance(mark, Mapping):
            return cls()
        return cls(verifies_wwn=True,
                   mutual_chap=mark.get('mutual_chap') is True,
                   rbd_secrets=_uuids(mark.get('native_rbd')))

    def mark(self) -> dict[str, Any]:
        """Return what to add to a connector, under :data:`MARKER`.

        Each side ignores the keys that it does not know, so a new one needs
        no new version.
        """
        mark: dict[str, Any] = {
            'version': VERSION, 'mutual_chap': self.mutual_chap}
        if self.rbd_secrets:
            mark['native_rbd'] = sorted(self.rbd_secrets)
        return mark


def _uuids(values: object) -> frozenset[str]:
    """Return a list of UUIDs as a set; an empty one for anything else."""
    if not isinstance(values, list | tuple) or len(values) > _MAX_SECRETS:
        return frozenset()
    if not all(isinstance(v, str) and _UUID.match(v) for v in values):
        return frozenset()
    return frozenset(values)


@dataclasses.dataclass(frozen=True, slots=True)
class Connector:
    """A host that volumes are attached to.

    :param host: its name, for messages; ``?`` if the connector has none.
    :param initiator: its iSCSI initiator name, None if it has none.
    :param capabilities: what it can do beyond stock os-brick.
    :param name: its name, None if it has none that can identify it.
    """

    host: str = '?'
    initiator: model.Iqn | None = None
    capabilities: Capabilities = Capabilities()
    name: HostName | None = None

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
        iqn = connector.get('initiator')
        try:
            initiator = model.Iqn(iqn) if iqn else None
        except exception.InvalidIqn as e:
            raise exception.InvalidConnector(str(e).rstrip('.')) from e
        return cls(
            host=exception.shown(connector.get('host') or '?',
                                 _HOST_CHARACTERS),
            initiator=initiator, capabilities=Capabilities.of(connector),
            name=name_of(connector))

    def require_initiator(self) -> model.Iqn:
        """Return the iSCSI initiator name.

        :raises NoInitiatorName: if the host has none.
        """
        if self.initiator is None:
            raise exception.NoInitiatorName(self.host)
        return self.initiator

    def require_name(self) -> HostName:
        """Return the name of the host.

        :raises NoHostName: if it has none that can identify it.
        """
        if self.name is None:
            raise exception.NoHostName()
        return self.name


def name_of(connector: Mapping[str, Any]) -> HostName | None:
    """Return the name of a connector's host, None if it has none."""
    try:
        return HostName(connector.get('host') or '')
    except exception.InvalidConnector:
        return None
