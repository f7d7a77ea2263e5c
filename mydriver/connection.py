# SPDX-License-Identifier: Apache-2.0
"""The one grammar of ``connection_info['data']``.

The Cinder side builds it, the Nova side parses it. What stock Nova and stock
os-brick know has the names that they know (os_brick/initiator/connectors/
iscsi.py and base_iscsi.py); what only our Nova side understands is left out
unless the connector carries our marker.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import re
from typing import Any, Self

from mydriver import exception, model

#: Key that our Nova side adds to the connector: a dict of what it can do,
#: such as ``{'version': 1, 'mutual_chap': True}``.
MARKER = 'mydriver'

#: Version of this grammar.
VERSION = 1

_WWN = 'mydriver_wwn'
_MUTUAL_USERNAME = 'mydriver_mutual_auth_username'
_MUTUAL_PASSWORD = 'mydriver_mutual_auth_password'  # noqa: S105 - a key


@dataclasses.dataclass(frozen=True, slots=True)
class Capabilities:
    """What the connector's host understands beyond stock os-brick.

    :param verifies_wwn: it compares the device with the expected NAA id.
    :param mutual_chap: it can make the target prove itself.
    """

    verifies_wwn: bool = False
    mutual_chap: bool = False

    @classmethod
    def of(cls, connector: Mapping[str, Any]) -> Self:
        """Read them from a connector; none where our marker is missing."""
        marker = connector.get(MARKER)
        if not isinstance(marker, Mapping):
            return cls()
        return cls(verifies_wwn=True,
                   mutual_chap=marker.get('mutual_chap') is True)

    def mark(self) -> dict[str, Any]:
        """Return what to add to a connector, under :data:`MARKER`."""
        return {'version': VERSION, 'mutual_chap': self.mutual_chap}


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """How one initiator reaches one volume.

    :param volume_id: UUID of the volume.
    :param target: IQN that carries it.
    :param portals: at least one; the first is the preferred one.
    :param lun: the LUN that the initiator sees.
    :param chap: credentials, or None where CHAP is off.
    :param read_only: attached for reading.
    :param encrypted: the volume is encrypted at the host.
    :param wwn: expected NAA id, 32 hex digits, or None when not told.
    """

    volume_id: str
    target: model.Iqn
    portals: tuple[model.Portal, ...]
    lun: int
    chap: model.ChapCredentials | None = None
    read_only: bool = False
    encrypted: bool = False
    wwn: str | None = None

    def to_data(self, capabilities: Capabilities) -> dict[str, Any]:
        """Build ``connection_info['data']``.

        :param capabilities: of the host that will read it.
        :returns: a dict of JSON's types; it holds secrets, never log it.
        """
        first = self.portals[0]
        data: dict[str, Any] = {
            'target_discovered': False,
            'target_iqn': str(self.target),
            'target_portal': str(first),
            'target_lun': self.lun,
            'volume_id': self.volume_id,
            'encrypted': self.encrypted,
            'access_mode': 'ro' if self.read_only else 'rw',
        }
        if not self.encrypted:
            # Whether to show which blocks of an encrypted volume are in use
            # is the operator's choice: Cinder adds the key where
            # report_discard_supported says so.
            data['discard'] = True
        if len(self.portals) > 1:
            data['target_portals'] = [str(p) for p in self.portals]
            data['target_iqns'] = [str(self.target)] * len(self.portals)
            data['target_luns'] = [self.lun] * len(self.portals)
        if self.chap:
            data['auth_method'] = 'CHAP'
            data['auth_username'] = self.chap.username
            data['auth_password'] = self.chap.password
            if capabilities.mutual_chap and self.chap.mutual_username:
                data[_MUTUAL_USERNAME] = self.chap.mutual_username
                data[_MUTUAL_PASSWORD] = self.chap.mutual_password
        if capabilities.verifies_wwn and self.wwn:
            data[_WWN] = self.wwn
        return data

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self:
        """Read ``connection_info['data']``, ours or another driver's.

        :param data: as :meth:`to_data` made it, or a stock backend's.
        :raises InvalidConnectionData: when it cannot be used; the text has
            names of keys, no values of secrets.
        """
        portals = [model.Portal.parse(p) for p in _plural(
            data, 'target_portals', 'target_portal')]
        iqns = {model.Iqn(i) for i in _plural(
            data, 'target_iqns', 'target_iqn')}
        luns = {int(n) for n in _plural(data, 'target_luns', 'target_lun')}
        if len(iqns) != 1 or len(luns) != 1:
            raise exception.InvalidConnectionData(
                'target_iqns and target_luns differ between portals')
        return cls(
            volume_id=str(data.get('volume_id', '')),
            target=iqns.pop(), portals=tuple(portals), lun=luns.pop(),
            chap=_chap(data),
            read_only=data.get('access_mode') == 'ro',
            encrypted=bool(data.get('encrypted')),
            wwn=_wwn(data))


def _plural(data: Mapping[str, Any], many: str, one: str) -> Sequence[Any]:
    """Return the list under ``many``, else the single value under ``one``."""
    values = data.get(many) or ([data[one]] if one in data else [])
    if not values:
        raise exception.InvalidConnectionData(f'{one} is missing')
    return list(values)


def _wwn(data: Mapping[str, Any]) -> str | None:
    """Return the NAA id in ``data``, None where there is none."""
    wwn = data.get(_WWN)
    if wwn is None or re.fullmatch('[0-9a-f]{32}', str(wwn)):
        return wwn
    raise exception.InvalidConnectionData(
        f'{_WWN} is not an NAA id of 32 hex digits')


def _chap(data: Mapping[str, Any]) -> model.ChapCredentials | None:
    """Return the CHAP credentials in ``data``, None where there are none."""
    if data.get('auth_method') != 'CHAP':
        return None
    missing = [k for k in ('auth_username', 'auth_password')
               if not data.get(k)]
    if missing:
        raise exception.InvalidConnectionData(
            f'auth_method is CHAP, but {", ".join(missing)} is missing')
    return model.ChapCredentials(
        data['auth_username'], data['auth_password'],
        data.get(_MUTUAL_USERNAME), data.get(_MUTUAL_PASSWORD))


def is_ours(data: Mapping[str, Any]) -> bool:
    """Tell whether ``connection_info['data']`` was made for our Nova side."""
    return _WWN in data
