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
from typing import Any, Self, TypeVar

from mydriver import exception, model

#: Key that our Nova side adds to the connector: a dict of what it can do,
#: such as ``{'version': 1, 'mutual_chap': True}``.
MARKER = 'mydriver'

#: Version of this grammar.
VERSION = 1

#: The highest LUN of a single level (SAM-5, 4.7.7: flat space addressing).
MAX_LUN = 16383

#: More portals than any backend has; a list that is longer is refused unread.
MAX_PORTALS = 256

#: What open-iscsi takes for CHAP (AUTH_STR_MAX_LEN), and enough for an id.
_TEXT_MAX_BYTES = 255

_WWN = 'mydriver_wwn'
_MUTUAL_USERNAME = 'mydriver_mutual_auth_username'
_MUTUAL_PASSWORD = 'mydriver_mutual_auth_password'  # noqa: S105 - a key

_T = TypeVar('_T')


def initiator_of(connector: Mapping[str, Any]) -> model.Iqn:
    """Return the name of the connector's initiator.

    :raises InvalidConnector: when there is none, or none that the target
        accepts.
    """
    if not isinstance(connector, Mapping):
        raise exception.InvalidConnector(
            f'it is {exception.shown(connector)}, not an object')
    name = connector.get('initiator')
    if not name:
        raise exception.InvalidConnector(
            'the connector of host '
            f'{exception.shown(connector.get("host", "?"))} has no initiator '
            'name. Install open-iscsi there and check '
            '/etc/iscsi/initiatorname.iscsi')
    try:
        return model.Iqn(name)
    except exception.InvalidIqn as e:
        raise exception.InvalidConnector(str(e).rstrip('.')) from e


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
        marker = (connector.get(MARKER) if isinstance(connector, Mapping)
                  else None)
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

        :param data: as :meth:`to_data` made it, or a stock backend's; or
            anything at all, since it went through a database and two APIs.
        :raises InvalidConnectionData: when it cannot be used; the text is
            bounded, and has no values of secrets.
        """
        if not isinstance(data, Mapping):
            raise exception.InvalidConnectionData(
                f'it is {exception.shown(data)}, not an object')
        try:
            portals = tuple(model.Portal.parse(p) for p in _plural(
                data, 'target_portals', 'target_portal'))
            target = _common([model.Iqn(i) for i in _plural(
                data, 'target_iqns', 'target_iqn')])
        except (exception.InvalidPortal, exception.InvalidIqn) as e:
            raise exception.InvalidConnectionData(
                str(e).rstrip('.')) from e
        lun = _common([_lun(n) for n in _plural(
            data, 'target_luns', 'target_lun')])
        _check_lengths(data, len(portals))
        return cls(
            volume_id=_text(data, 'volume_id') or '',
            target=target, portals=portals, lun=lun,
            chap=_chap(data),
            read_only=_choice(data, 'access_mode', 'rw', 'ro') == 'ro',
            encrypted=_choice(data, 'encrypted', False, True) is True,
            wwn=_wwn(data))


def _plural(data: Mapping[str, Any], many: str, one: str) -> Sequence[Any]:
    """Return the list under ``many``, else the single value under ``one``."""
    values = data.get(many)
    if values is None:
        values = []
    if not isinstance(values, list | tuple):
        raise exception.InvalidConnectionData(
            f'{many} is {exception.shown(values)}, not a list')
    if len(values) > MAX_PORTALS:
        raise exception.InvalidConnectionData(
            f'{many} has {len(values)} entries, more than {MAX_PORTALS}')
    if not values and data.get(one) is None:
        raise exception.InvalidConnectionData(f'{one} is missing')
    return values or [data[one]]


def _common(values: Sequence[_T]) -> _T:
    """Return the value that all portals share."""
    if any(value != values[0] for value in values):
        raise exception.InvalidConnectionData(
            'target_iqns and target_luns differ between portals')
    return values[0]


def _check_lengths(data: Mapping[str, Any], portals: int) -> None:
    """See that the lists belong together: one entry a portal."""
    for key in ('target_iqns', 'target_luns'):
        if data.get(key) and len(data[key]) != portals:
            raise exception.InvalidConnectionData(
                f'{key} has {len(data[key])} entries for {portals} portals')


def _lun(value: object) -> int:
    """Return a LUN; neither True nor 7.0 is one."""
    if (isinstance(value, int) and not isinstance(value, bool)
            and 0 <= value <= MAX_LUN):
        return value
    raise exception.InvalidConnectionData(
        f'LUN {exception.shown(value)} is not an integer from 0 to {MAX_LUN}')


def _choice(data: Mapping[str, Any], key: str, *choices: object) -> object:
    """Return a value that can only be one of a few; the first is implied."""
    value = data.get(key)
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    if value is None:
        return choices[0]
    kind = 'the text ' if isinstance(value, str) else ''
    raise exception.InvalidConnectionData(
        f'{key} is {kind}{exception.shown(value)}, not '
        + ' or '.join(repr(choice) for choice in choices))


def _text(data: Mapping[str, Any], key: str) -> str | None:
    """Return a printable text; None where there is none.

    The value may be a secret, so the error does not show it.
    """
    value = data.get(key)
    if value is None or value == '':
        return None
    if (not isinstance(value, str) or not value.isprintable()
            or len(value.encode()) > _TEXT_MAX_BYTES):
        raise exception.InvalidConnectionData(
            f'{key} is not printable text of at most {_TEXT_MAX_BYTES} bytes')
    return value


def _wwn(data: Mapping[str, Any]) -> str | None:
    """Return the NAA id in ``data``, None where there is none."""
    wwn = data.get(_WWN)
    if wwn is None:
        return None
    if isinstance(wwn, str) and re.fullmatch('[0-9a-f]{32}', wwn):
        return wwn
    raise exception.InvalidConnectionData(
        f'{_WWN} is not an NAA id of 32 hex digits')


def _chap(data: Mapping[str, Any]) -> model.ChapCredentials | None:
    """Return the CHAP credentials in ``data``, None where there are none."""
    if _choice(data, 'auth_method', None, 'CHAP') is None:
        return None
    username, password = _pair(data, 'auth_username', 'auth_password')
    if username is None or password is None:
        raise exception.InvalidConnectionData(
            'auth_method is CHAP, but auth_username and auth_password are '
            'missing')
    return model.ChapCredentials(
        username, password, *_pair(data, _MUTUAL_USERNAME, _MUTUAL_PASSWORD))


def _pair(data: Mapping[str, Any], *keys: str
          ) -> tuple[str | None, str | None]:
    """Return a name and its secret: both, or neither."""
    name, secret = (_text(data, key) for key in keys)
    if (name is None) != (secret is None):
        raise exception.InvalidConnectionData(
            f'{keys[name is not None]} is missing')
    return name, secret


def is_ours(data: Mapping[str, Any]) -> bool:
    """Tell whether ``connection_info['data']`` was made for our Nova side."""
    return isinstance(data, Mapping) and _WWN in data
