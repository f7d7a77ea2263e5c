# SPDX-License-Identifier: Apache-2.0
"""Addresses, routes and rules of the kernel, through rtnetlink(7).

Only what floating addresses need. pyroute2 cannot set the time at which a
route expires. Layouts and numbers are from include/uapi/linux/netlink.h,
rtnetlink.h, if_addr.h and fib_rules.h.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import ipaddress
import os
import socket
import struct

_HEADER = struct.Struct('=IHHII')      # struct nlmsghdr
_ATTRIBUTE = struct.Struct('=HH')      # struct rtattr
_ADDRESS = struct.Struct('=BBBBI')     # struct ifaddrmsg
_LIFETIMES = struct.Struct('=IIII')    # struct ifa_cacheinfo
_ROUTE = struct.Struct('=8BI')         # struct rtmsg, struct fib_rule_hdr

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE = 24, 25
_NEWRULE, _DELRULE = 32, 33
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_REPLACE, _EXCLUSIVE, _CREATE = 0x100, 0x200, 0x400

_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 6, 8
_NODAD, _NO_PREFIX_ROUTE = 0x02, 0x200
_FOREVER = 0xffffffff

_RTA_OIF, _RTA_PRIORITY, _RTA_TABLE, _RTA_EXPIRES = 4, 6, 15, 23
_PROTOCOL_STATIC = 4
#: Types of routes: to a host or network, and to nowhere.
UNICAST, BLACKHOLE = 1, 6

_FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY = 2, 3, 6
_FRA_SUPPRESS_PREFIXLEN, _FRA_TABLE = 14, 15
_TO_TABLE = 1

_BUFFER_BYTES = 1 << 18
#: The kernel answers at once; a longer silence is an error.
_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """An address of an interface.

    :param index: number of the interface.
    :param address: IPv4 or IPv6 address.
    :param prefix: length of its prefix, which is that of its subnet.
    :param subnet: an address in that subnet.
    :param valid_s: seconds until the kernel removes it; None for ever.
    """

    index: int
    address: str
    prefix: int
    subnet: str
    valid_s: int | None


def addresses() -> list[Address]:
    """Return all addresses of the host. Needs no privileges.

    :raises OSError: when the kernel refuses.
    """
    return [found for body in _call(_GETADDR, _DUMP, _ADDRESS.pack(
        socket.AF_UNSPEC, 0, 0, 0, 0)) if (found := parse_address(body))]


def parse_address(body: bytes) -> Address | None:
    """Parse a message about an address; None if it is of another family."""
    family, prefix, _flags, _scope, index = _ADDRESS.unpack_from(body)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    found = _attributes(body[_ADDRESS.size:])
    subnet = found[_IFA_ADDRESS]
    valid_s = _LIFETIMES.unpack(found[_IFA_CACHEINFO])[1]
    return Address(
        index, socket.inet_ntop(family, found.get(_IFA_LOCAL, subnet)),
        prefix, socket.inet_ntop(family, subnet),
        None if valid_s == _FOREVER else valid_s)


def put_address(index: int, address: str, valid_s: int) -> None:
    """Give an interface an address alone, or renew its lifetime.

    :param index: number of the interface.
    :param valid_s: seconds after which the kernel removes it.
    :raises OSError: when the kernel refuses.
    """
    # IPv6 chooses no deprecated address (preferred for 0 s) for connections
    # that the host itself opens (RFC 4862, 5.5.4).
    preferred_s = 0 if ':' in address else valid_s
    _call(_NEWADDR, _ACK | _CREATE | _REPLACE, _address(index, address, {
        _IFA_CACHEINFO: _LIFETIMES.pack(preferred_s, valid_s, 0, 0),
        _IFA_FLAGS: _number(_NODAD | _NO_PREFIX_ROUTE)}))


def delete_address(index: int, address: str) -> None:
    """Remove an address that :func:`put_address` has put there.

    :raises OSError: when the kernel refuses, as when it is not there.
    """
    _call(_DELADDR, _ACK, _address(index, address, {}))


def _address(index: int, address: str, attributes: Mapping[int, bytes]
             ) -> bytes:
    packed = ipaddress.ip_address(address).packed
    return _ADDRESS.pack(_family(address), len(packed) * 8, 0, 0, index
                         ) + _packed({_IFA_LOCAL: packed,
                                      _IFA_ADDRESS: packed, **attributes})


def put_default_route(table: int, kind: int, metric: int, index: int = 0,
                      expires_s: int = 0) -> None:
    """Create the IPv6 default route of a table, or renew it.

    :param kind: :data:`UNICAST` or :data:`BLACKHOLE`.
    :param metric: routes of a table with different ones exist side by side.
    :param index: number of the interface that it leads to.
    :param expires_s: seconds after which it is ignored; 0 for never. The
        kernel does not let a :data:`BLACKHOLE` expire (net/ipv6/route.c,
        ip6_route_info_create).
    :raises OSError: when the kernel refuses.
    """
    _call(_NEWROUTE, _ACK | _CREATE | _REPLACE,
          _route(table, kind, metric, index, expires_s))


def delete_default_route(table: int, kind: int, metric: int) -> None:
    """Remove a route of :func:`put_default_route`.

    :raises OSError: when the kernel refuses, as when it is not there.
    """
    _call(_DELROUTE, _ACK, _route(table, kind, metric))


def _route(table: int, kind: int, metric: int, index: int = 0,
           expires_s: int = 0) -> bytes:
    attributes = {_RTA_TABLE: _number(table), _RTA_PRIORITY: _number(metric)}
    if index:
        attributes[_RTA_OIF] = _number(index)
    if expires_s:
        attributes[_RTA_EXPIRES] = _number(expires_s)
    return _ROUTE.pack(socket.AF_INET6, 0, 0, 0, 0, _PROTOCOL_STATIC, 0, kind,
                       0) + _packed(attributes)


def add_rule(address: str, table: int, priority: int) -> None:
    """Look up what this host sends from an IPv6 address in a table first.

    The rule is passed over where the table leads to its default route.

    :raises FileExistsError: when there is such a rule.
    :raises OSError: when the kernel refuses.
    """
    packed = ipaddress.IPv6Address(address).packed
    _call(_NEWRULE, _ACK | _CREATE | _EXCLUSIVE, _ROUTE.pack(
        socket.AF_INET6, 0, len(packed) * 8, 0, 0, 0, 0, _TO_TABLE, 0
        ) + _packed({_FRA_SRC: packed, _FRA_IIFNAME: b'lo\0',
                     _FRA_PRIORITY: _number(priority),
                     _FRA_TABLE: _number(table),
                     _FRA_SUPPRESS_PREFIXLEN: _number(0)}))


# -- messages

def _call(kind: int, flags: int, body: bytes) -> list[bytes]:
    """Send a request; return the bodies of the answers.

    :raises OSError: with the kernel's error.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                       socket.NETLINK_ROUTE) as s:
        s.settimeout(_TIMEOUT_S)
        s.bind((0, 0))
        s.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags,
                            1, 0) + body)
        found: list[bytes] = []
        while True:
            for answer, content in messages(s.recv(_BUFFER_BYTES)):
                if answer == _NLMSG_DONE:
                    return found
                if answer == _NLMSG_ERROR:
                    number, = struct.unpack_from('=i', content)
                    if number:
                        raise OSError(-number, os.strerror(-number))
                    return found
                found.append(content)


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each message."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind = _HEADER.unpack_from(data, at)[:2]
        yield kind, data[at + _HEADER.size:at + length]
        at += _aligned(max(length, _HEADER.size))


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        found[kind] = data[at + _ATTRIBUTE.size:at + length]
        at += _aligned(max(length, _ATTRIBUTE.size))
    return found


def _packed(attributes: Mapping[int, bytes]) -> bytes:
    return b''.join(
        _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind)
        + value.ljust(_aligned(len(value)), b'\0')
        for kind, value in attributes.items())


def _number(value: int) -> bytes:
    return struct.pack('=I', value)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _family(address: str) -> int:
    return socket.AF_INET6 if ':' in address else socket.AF_INET
