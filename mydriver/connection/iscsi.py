# SPDX-License-Identifier: Apache-2.0
"""The grammar of ``connection_info['data']`` for iSCSI.

The Cinder side builds it, the Nova side parses it. The keys are those of stock
Nova and stock os-brick (os_brick/initiator/connectors/iscsi.py and
base_iscsi.py); keys that only our Nova side reads begin with ``mydriver_`` and
are left out unless the connector bears our mark.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import re
from typing import Any, Self, TypeVar

from mydriver import exception, model
from mydriver.connection import fields
from mydriver.connection.connector import Capabilities

#: The highest LUN of a single level (SAM-5, 4.7.7: flat space addressing).
MAX_LUN = 16383

#: More paths than any backend has; a longer list is refused unread.
MAX_PATHS = 256

_WWN = 'mydriver_wwn'
_MUTUAL_USERNAME = 'mydriver_mutual_auth_username'
_MUTUAL_PASSWORD = 'mydriver_mutual_auth_password'  # noqa: S105 - a key

_T = TypeVar('_T')


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Path:
    """One way to a volume.

    :param target: IQN of the target.
    :param portal: where the target listens.
    :param lun: the LUN under which the initiator sees the volume there.
    """

    target: model.Iqn
    portal: model.Portal
    lun: int

    def __str__(self) -> str:
        return f'LUN {self.lun} of {self.target} at {self.portal}'


def paths(target: model.Iqn, portals: Iterable[model.Portal],
          lun: int) -> tuple[Path, ...]:
    """Return the paths over several portals of one target."""
    return tuple(Path(target, portal, lun) for portal in portals)


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """How one initiator reaches one volume.

    :param volume_id: UUID of the volume.
    :param paths: at least one; the first is the preferred one. They may lead
        to different targets, and to a different LUN at each.
    :param chap: credentials, the same at all targets; None without CHAP.
    :param read_only: attached for reading.
    :param encrypted: the host encrypts the volume.
    :param wwn: expected NAA id, 32 hex digits; None if unknown.
    """

    volume_id: str
    paths: tuple[Path, ...]
    chap: model.ChapCredentials | None = None
    read_only: bool = False
    encrypted: bool = False
    wwn: str | None = None

    @property
    def portals(self) -> tuple[model.Portal, ...]:
        """The portals of the paths, in their order."""
        return tuple(path.portal for path in self.paths)

    def to_data(self, capabilities: Capabilities) -> dict[str, Any]:
        """Build ``connection_info['data']``.

        :param capabilities: of the host that will read it.
        :returns: a dict of JSON types. It holds secrets: never log it.
        """
        first = self.paths[0]
        data: dict[str, Any] = {
            'target_discovered': False,
            'target_iqn': str(first.target),
            'target_portal': str(first.portal),
            'target_lun': first.lun,
            'volume_id': self.volume_id,
            'encrypted': self.encrypted,
            'access_mode': 'ro' if self.read_only else 'rw',
        }
        if not self.encrypted:
            # Discards reveal which blocks of an encrypted volume are in use,
            # so they are the operator's choice: Cinder adds the key itself
            # if report_discard_supported is set.
            data['discard'] = True
        if len(self.paths) > 1:
            data['target_portals'] = [str(p.portal) for p in self.paths]
            data['target_iqns'] = [str(p.target) for p in self.paths]
            data['target_luns'] = [p.lun for p in self.paths]
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

        :param data: as :meth:`to_data` or a stock backend made it; or
            anything at all, since it went through a database and two APIs.
        :raises InvalidConnectionData: if it cannot be used; the text is
            bounded and shows no secret.
        """
        fields.checked(data)
        return cls(
            volume_id=fields.text(data, 'volume_id') or '',
            paths=_paths(data),
            chap=_chap(data),
            read_only=fields.choice(data, 'access_mode', 'rw', 'ro') == 'ro',
            encrypted=fields.choice(data, 'encrypted', False, True) is True,
            wwn=_wwn(data))


def _paths(data: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return the paths: the plural keys go before the singular ones.

    A backend with one target or one LUN may give those in the singular, next
    to several portals.
    """
    try:
        portals = [model.Portal.parse(p) for p in _plural(
            data, 'target_portals', 'target_portal')]
        targets = [model.Iqn(i) for i in _plural(
            data, 'target_iqns', 'target_iqn')]
    except (exception.InvalidPortal, exception.InvalidIqn) as e:
        raise exception.InvalidConnectionData(str(e).rstrip('.')) from e
    luns = [_lun(n) for n in _plural(data, 'target_luns', 'target_lun')]
    return tuple(map(Path, _each(data, 'target_iqns', targets, len(portals)),
                     portals,
                     _each(data, 'target_luns', luns, len(portals))))


def _each(data: Mapping[str, Any], many: str, values: Sequence[_T],
          portals: int) -> Sequence[_T]:
    """Return one value a portal; a singular key holds for all of them."""
    if not data.get(many):
        return [values[0]] * portals
    if len(values) != portals:
        raise exception.InvalidConnectionData(
            f'{many} has {len(values)} entries for {portals} portals')
    return values


def _plural(data: Mapping[str, Any], many: str, one: str) -> Sequence[Any]:
    """Return the list under ``many``, else the single value under ``one``."""
    values = data.get(many)
    if values is None:
        values = []
    if not isinstance(values, list | tuple):
        raise exception.InvalidConnectionData(
            f'{many} is {exception.shown(values)}, not a list')
    if len(values) > MAX_PATHS:
        raise exception.InvalidConnectionData(
            f'{many} has {len(values)} entries, more than {MAX_PATHS}')
    if not values and data.get(one) is None:
        raise exception.InvalidConnectionData(f'{one} is missing')
    return values or [data[one]]


def _lun(value: object) -> int:
    """Return a LUN; neither True nor 7.0 is one."""
    if (isinstance(value, int) and not isinstance(value, bool)
            and 0 <= value <= MAX_LUN):
        return value
    raise exception.InvalidConnectionData(
        f'LUN {exception.shown(value)} is not an integer from 0 to {MAX_LUN}')


def _wwn(data: Mapping[str, Any]) -> str | None:
    """Return the NAA id in ``data``, None if there is none."""
    wwn = data.get(_WWN)
    if wwn is None:
        return None
    if isinstance(wwn, str) and re.fullmatch('[0-9a-f]{32}', wwn):
        return wwn
    raise exception.InvalidConnectionData(
        f'{_WWN} is not an NAA id of 32 hex digits')


def _chap(data: Mapping[str, Any]) -> model.ChapCredentials | None:
    """Return the CHAP credentials in ``data``, None if there are none."""
    if fields.choice(data, 'auth_method', None, 'CHAP') is None:
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
    name, secret = (fields.text(data, key) for key in keys)
    if (name is None) != (secret is None):
        raise exception.InvalidConnectionData(
            f'{keys[name is not None]} is missing')
    return name, secret


def is_ours(data: Mapping[str, Any]) -> bool:
    """Tell whether ``connection_info['data']`` was made for our Nova side."""
    return isinstance(data, Mapping) and _WWN in data
