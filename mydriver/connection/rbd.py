# SPDX-License-Identifier: Apache-2.0
"""The grammar of ``connection_info['data']`` for native access to RBD images.

The keys are those of Cinder's own RBD driver (cinder/volume/drivers/rbd.py,
initialize_connection), as stock Nova (nova/virt/libvirt/volume/net.py) and
stock os-brick (os_brick/initiator/connectors/rbd.py) read them:

* Nova makes a network disk of ``name``, ``hosts`` and ``ports``. Where
  ``auth_enabled`` is set, it takes user and secret from here and looks into
  nova.conf only if ``secret_uuid`` is None.
* os-brick, which cinder-backup and Cinder's own copies use, connects with
  librados. It takes the key of ``auth_username`` from
  ``/etc/ceph/CLUSTER.client.USER.keyring`` of its own host, with
  ``cluster_name`` for CLUSTER.

The key itself is never in the data. ``keyring``, which only cinderlib sends,
is not read either.
"""

from collections.abc import Mapping
import dataclasses
import re
from typing import Any, Self

from mydriver import exception, model
from mydriver.connection import fields

#: More monitors than any cluster has.
MAX_MONITORS = 64

#: Neither is a path, an option of librados nor of QEMU: both split at these.
_NAME = re.compile(r'[^/@:=,;\\\s]{1,255}\Z')
_UUID = re.compile(
    r'[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z')
_DIGITS = re.compile(r'[0-9]{1,5}\Z')


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """How a host reaches an image.

    :param volume_id: UUID of the volume.
    :param pool: name of the image's pool.
    :param image: its name.
    :param monitors: addresses of the cluster's monitors, at least one.
    :param user: the Ceph client, without ``client.``; None where the cluster
        asks for no authentication.
    :param secret_uuid: UUID of the libvirt secret with the client's key; None
        leaves the choice to nova.conf.
    :param cluster: name of the cluster in the names of its files.
    :param read_only: attached for reading.
    :param encrypted: the host encrypts the volume.
    """

    volume_id: str
    pool: str
    image: str
    monitors: tuple[model.Portal, ...]
    user: str | None
    secret_uuid: str | None
    cluster: str = 'ceph'
    read_only: bool = False
    encrypted: bool = False

    @property
    def name(self) -> str:
        """``POOL/IMAGE``."""
        return f'{self.pool}/{self.image}'

    def to_data(self) -> dict[str, Any]:
        """Build ``connection_info['data']``.

        :returns: a dict of JSON types, without secrets.
        """
        data: dict[str, Any] = {
            'name': self.name,
            # Without brackets: libvirt and os-brick add them to IPv6.
            'hosts': [m.address for m in self.monitors],
            'ports': [str(m.port) for m in self.monitors],
            'cluster_name': self.cluster,
            'auth_enabled': self.user is not None,
            'auth_username': self.user,
            'secret_type': 'ceph',
            'secret_uuid': self.secret_uuid,
            'volume_id': self.volume_id,
            'encrypted': self.encrypted,
            'access_mode': 'ro' if self.read_only else 'rw',
        }
        if not self.encrypted:
            # As for iSCSI: the operator's choice otherwise.
            data['discard'] = True
        return data

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self:
        """Read ``connection_info['data']``, ours or another driver's.

        :param data: as :meth:`to_data` or Cinder's own driver made it; or
            anything at all.
        :raises InvalidConnectionData: if it cannot be used; the text is
            bounded.
        """
        fields.checked(data)
        pool, image = _pool_and_image(data)
        user, secret_uuid = _auth(data)
        return cls(
            volume_id=fields.text(data, 'volume_id') or '',
            pool=pool, image=image,
            monitors=_monitors(data),
            user=user, secret_uuid=secret_uuid,
            cluster=_name(data.get('cluster_name', 'ceph'), 'cluster_name'),
            read_only=fields.choice(data, 'access_mode', 'rw', 'ro') == 'ro',
            encrypted=fields.choice(data, 'encrypted', False, True) is True)


def _pool_and_image(data: Mapping[str, Any]) -> tuple[str, str]:
    value = fields.text(data, 'name')
    if value is None:
        raise exception.InvalidConnectionData('name is missing')
    pool, slash, image = value.partition('/')
    if not slash:
        raise exception.InvalidConnectionData(
            f'name is {exception.shown(value)}, not POOL/IMAGE')
    return _name(pool, 'the pool in name'), _name(image, 'the image in name')


def _name(value: object, what: str) -> str:
    """Return the name of a pool, an image, a user or a cluster."""
    if (isinstance(value, str) and value.isprintable()
            and _NAME.match(value)):
        return value
    raise exception.InvalidConnectionData(
        f'{what} is {exception.shown(value)!r}, not the name of one')


def _auth(data: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the client and the secret's UUID."""
    if fields.choice(data, 'auth_enabled', False, True) is False:
        return None, None
    fields.choice(data, 'secret_type', 'ceph')
    secret_uuid = data.get('secret_uuid')
    if secret_uuid is not None and not (
            isinstance(secret_uuid, str) and _UUID.match(secret_uuid)):
        raise exception.InvalidConnectionData(
            f'secret_uuid is {exception.shown(secret_uuid)!r}, not a UUID')
    return _name(data.get('auth_username'), 'auth_username'), secret_uuid


def _monitors(data: Mapping[str, Any]) -> tuple[model.Portal, ...]:
    """Return the addresses of the monitors: one port for each host."""
    hosts, ports = (_list(data, key) for key in ('hosts', 'ports'))
    if len(hosts) != len(ports):
        raise exception.InvalidConnectionData(
            f'hosts has {len(hosts)} entries, ports {len(ports)}')
    return tuple(map(_monitor, hosts, ports))


def _list(data: Mapping[str, Any], key: str) -> list[Any] | tuple[Any, ...]:
    values = data.get(key)
    if (not isinstance(values, list | tuple)
            or not 0 < len(values) <= MAX_MONITORS):
        raise exception.InvalidConnectionData(
            f'{key} is {exception.shown(values)}, not a list of 1 to '
            f'{MAX_MONITORS}')
    return values


def _monitor(host: object, port: object) -> model.Portal:
    """Return the address of a monitor; its port comes as a text."""
    number = (int(port) if isinstance(port, str) and _DIGITS.match(port)
              else port)
    try:
        return model.Portal(host, number)  # type: ignore[arg-type]
    except exception.InvalidPortal as e:
        raise exception.InvalidConnectionData(
            f'{exception.shown(host)!r} with port {exception.shown(port)!r} '
            'is not the address of a monitor') from e
