# SPDX-License-Identifier: Apache-2.0
"""The values that all parts share: small, frozen, checked when created."""

import dataclasses
import ipaddress
import re
from typing import Literal, Self
import uuid

from mydriver import exception

#: Prefix of LIO's NAA ids: NAA 6 and an IEEE company id, 0x6001405
#: (drivers/target/target_core_spc.c, spc_gen_naa_6h_vendor_specific).
LIO_NAA_PREFIX = '6001405'

#: TCP port of iSCSI (RFC 7143, 4.2.7.1).
ISCSI_PORT = 3260

_PORTAL = re.compile(r'(\[[^]]+\]|[^:]+)(?::([0-9]{1,5}))?\Z')
#: Longest IP address as text (RFC 4291, 2.2), without brackets and port.
_ADDRESS_MAX = 45
_PORTAL_MAX = _ADDRESS_MAX + len('[]:65535')

# The names that rtslib-fb accepts (rtslib_fb.utils.normalize_wwn), with the
# length limit of RFC 7143, 4.2.7.1. After the naming authority, colons and
# dots may be anywhere. \d and str.lower() are not limited to ASCII, so names
# are tested for that first.
_IQN = re.compile(r'iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[a-z0-9-]+'
                  r'(\.[a-z0-9-]+)+(:[a-z0-9.:-]*)?\Z')
_IQN_MAX_BYTES = 223

#: The end of the name of a pool's target, after any ``target_prefix``:
#: ``mydriver-HOST-BACKEND-NUMBER``.
OUR_TARGET = re.compile(r'mydriver-[a-z0-9][a-z0-9.-]*-[0-9]{1,4}\Z')


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Iqn:
    """An iSCSI qualified name, lower case (RFC 7143, 4.2.7.2).

    :param name: the name; folded to lower case, as RFC 3722 and LIO do.
    :raises InvalidIqn: when the kernel target would not accept it.
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise exception.InvalidIqn(
                exception.shown(self.name), 'it is not text')
        if not self.name:
            raise exception.InvalidIqn('', 'it is empty')
        if len(self.name) > _IQN_MAX_BYTES:
            raise exception.InvalidIqn(
                exception.shown(self.name),
                f'it is longer than {_IQN_MAX_BYTES} bytes')
        name = self.name.lower()
        if not self.name.isascii() or not _IQN.match(name):
            raise exception.InvalidIqn(
                self.name, 'it needs iqn.YYYY-MM.DOMAIN with a dot in DOMAIN, '
                'and only letters, digits, dots, colons and hyphens of ASCII')
        object.__setattr__(self, 'name', name)

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Portal:
    """A network portal: an IP address and a TCP port.

    :param address: IPv4 or IPv6 address without a scope.
    :param port: TCP port, 1 to 65535.
    :raises InvalidPortal: when either is not valid.
    """

    address: str
    port: int = ISCSI_PORT

    def __post_init__(self) -> None:
        address = _address(self.address)
        if (isinstance(self.port, bool) or not isinstance(self.port, int)
                or not 0 < self.port < 65536):
            raise exception.InvalidPortal(
                f'{address}:{exception.shown(self.port)}',
                'the port is not 1 to 65535')
        object.__setattr__(self, 'address', address)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``ADDRESS[:PORT]``, with an IPv6 address in brackets.

        :param text: such as ``192.0.2.1:3260`` or ``[2001:db8::1]:3260``.
        :raises InvalidPortal: when it is not of that form.
        """
        match = (_PORTAL.match(text) if isinstance(text, str)
                 and len(text) <= _PORTAL_MAX else None)
        if not match:
            raise exception.InvalidPortal(
                exception.shown(text), 'expected ADDRESS:PORT')
        return cls(match[1], int(match[2] or ISCSI_PORT))

    @property
    def host(self) -> str:
        """The address as in a URL: IPv6 in brackets."""
        return f'[{self.address}]' if ':' in self.address else self.address

    def __str__(self) -> str:
        return f'{self.host}:{self.port}'


def floating_addresses(entry: str) -> tuple[str, ...]:
    """Return the addresses of a target that gateways serve.

    :param entry: of ``mydriver_gateway_addresses``: addresses joined by ``+``.
    :raises InvalidPortal: when one is not an IP address.
    """
    return tuple(_address(text.strip()) for text in entry.split('+'))


def _address(text: object) -> str:
    """Return an IP address in canonical form, without brackets.

    An IPv6 scope (``%eth0``) is refused: it is valid on one host only.

    :raises InvalidPortal: when it is not an address.
    """
    problem = 'it is not an IP address'
    if not isinstance(text, str) or len(text) > _PORTAL_MAX:
        raise exception.InvalidPortal(exception.shown(text), problem)
    bare = text[1:-1] if text[:1] + text[-1:] == '[]' else text
    if '%' in bare:
        raise exception.InvalidPortal(
            text, 'an address with a scope is valid on one host only')
    try:
        address = ipaddress.ip_address(bare)
    except ValueError as e:
        raise exception.InvalidPortal(text, problem) from e
    if bare != text and address.version != 6:
        raise exception.InvalidPortal(text, 'brackets are for IPv6')
    return str(address)


@dataclasses.dataclass(frozen=True, slots=True)
class ChapCredentials:
    """CHAP names and secrets of one initiator at one target (RFC 7143, 12.1).

    :param username: the name of the initiator.
    :param password: its secret.
    :param mutual_username: the name of the target, or None.
    :param mutual_password: the target's secret, or None.
    """

    username: str
    password: str = dataclasses.field(repr=False)
    mutual_username: str | None = None
    mutual_password: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class BackingDevice:
    """A file or block device that a store gives the target to export.

    :param kind: the kind of backstore for it.
    :param path: absolute path of the file or block device.
    :param size_bytes: its size, a multiple of 512.
    """

    kind: Literal['fileio', 'iblock']
    path: str
    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Export:
    """A volume on a target of the pool.

    :param volume_id: UUID of the volume, unit serial of the backstore.
    :param device: what is exported.
    :param target: the target of the pool that it is exported on.
    :param lun: its LUN in the TPG, which initiators do not see.
    """

    volume_id: str
    device: BackingDevice
    target: Iqn
    lun: int


@dataclasses.dataclass(frozen=True, slots=True)
class Mapping:
    """The mapping of an export to one initiator.

    :param volume_id: UUID of the volume.
    :param initiator: name of the initiator.
    :param lun: the LUN that the initiator sees.
    :param read_only: write-protected at the target.
    """

    volume_id: str
    initiator: Iqn
    lun: int
    read_only: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class NodeKind:
    """How an initiator logs in to a target; its sessions depend on it.

    It is set with the first mapping of the NodeACL and kept until the last
    one is removed, whatever the settings are by then.

    :param chap: the target asks for CHAP; None when that is not known, as in
        a journal of version 1.
    :param mutual: the initiator asks the target for CHAP, too.
    :param key: fingerprint of the key that the secrets derive from; empty
        when none of the known keys is.
    :param portals: where the initiator was told to log in, ``ADDRESS:PORT``.
    """

    chap: bool | None = None
    mutual: bool = False
    key: str = ''
    portals: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """The NodeACL of an initiator at a target.

    :param initiator: its name.
    :param target: the target's name.
    :param kind: how the initiator logs in.
    """

    initiator: Iqn
    target: Iqn
    kind: NodeKind


@dataclasses.dataclass(frozen=True, slots=True)
class MappedExport:
    """A mapping with the export and the NodeACL that it depends on.

    :param mapping: the mapping.
    :param export: its export.
    :param kind: how the initiator logs in.
    :param created: the mapping was created, or revived, by this very call.
    :param doomed: the attach failed and could not be undone: the mapping is
        nobody's and is removed at the next opportunity.
    :param version: of the mapping: each attach gives it another one. Empty
        when the journal has none yet.
    """

    mapping: Mapping
    export: Export
    kind: NodeKind = NodeKind()
    created: bool = False
    doomed: bool = False
    version: str = dataclasses.field(default='', compare=False)


def is_our_target(name: object) -> bool:
    """Tell whether a value can be the name of a pool's target.

    :param name: any value; a name is expected to be in lower case.
    """
    if not isinstance(name, str) or not name.isascii():
        return False
    try:
        iqn = Iqn(name)
    except exception.InvalidIqn:
        return False
    return iqn.name == name and OUR_TARGET.search(name) is not None


def naa_id(volume_id: str) -> str:
    """Return the NAA id that LIO derives from a unit serial.

    LIO takes the company id and then the hex digits of the unit serial, 25 of
    them (drivers/target/target_core_spc.c).

    :param volume_id: UUID of the volume, which is its unit serial.
    :returns: 32 hex digits, no prefix; ``/dev/disk/by-id/wwn-0x...`` and
        VPD page 0x83 show them, and scsi_id puts a ``3`` before them.
    """
    return LIO_NAA_PREFIX + uuid.UUID(volume_id).hex[:25]
