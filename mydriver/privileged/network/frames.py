# SPDX-License-Identifier: Apache-2.0
"""Frames that tell a network which hardware address has an IP address."""

import ipaddress
import socket
import struct

_ETHERNET_BROADCAST = b'\xff' * 6
_ARP, _IPV6 = 0x0806, 0x86dd
_REQUEST, _REPLY = 1, 2

#: All nodes of a link (RFC 4291, 2.7.1), and the hardware address for it (RFC
#: 2464, 7).
_ALL_NODES = ipaddress.IPv6Address('ff02::1').packed
_ALL_NODES_ETHERNET = bytes.fromhex('333300000001')
_ICMPV6, _ADVERTISEMENT = 58, 136
_OVERRIDE = 1 << 29
_TARGET_LINK_LAYER_ADDRESS = 2
#: Receivers ignore advertisements that have passed a router (RFC 4861, 7.1.2).
_HOP_LIMIT = 255


def announcements(address: str, hardware: bytes) -> list[bytes]:
    """Return the frames that make neighbours use a hardware address.

    :param address: IPv4 or IPv6 address.
    :param hardware: Ethernet address that has it from now on, 6 bytes.
    """
    packed = ipaddress.ip_address(address).packed
    if len(packed) == 4:
        # Neighbours differ in which of the two they take.
        return [_arp(kind, packed, hardware) for kind in (_REQUEST, _REPLY)]
    return [_advertisement(packed, hardware)]


def _arp(kind: int, address: bytes, hardware: bytes) -> bytes:
    """Return a gratuitous ARP packet (RFC 826; RFC 5227, 2.3 and 3).

    In a reply the target's hardware address is the sender's: otherwise Linux
    does not take it for gratuitous (net/ipv4/arp.c, arp_is_garp).
    """
    target = hardware if kind == _REPLY else bytes(6)
    return (_ETHERNET_BROADCAST + hardware + struct.pack(
        '!HHHBBH', _ARP, 1, 0x0800, 6, 4, kind)
        + hardware + address + target + address)


def _advertisement(address: bytes, hardware: bytes) -> bytes:
    """Return an unsolicited neighbour advertisement (RFC 4861, 7.2.6)."""
    option = struct.pack('!BB', _TARGET_LINK_LAYER_ADDRESS, 1) + hardware
    rest = struct.pack('!I', _OVERRIDE) + address + option
    length = 4 + len(rest)
    pseudo = address + _ALL_NODES + struct.pack('!II', length, _ICMPV6)
    checksum = _checksum(pseudo + struct.pack('!BBH', _ADVERTISEMENT, 0, 0)
                         + rest)
    return (_ALL_NODES_ETHERNET + hardware + struct.pack('!H', _IPV6)
            + struct.pack('!IHBB', 6 << 28, length, _ICMPV6, _HOP_LIMIT)
            + address + _ALL_NODES
            + struct.pack('!BBH', _ADVERTISEMENT, 0, checksum) + rest)


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def send(index: int, address: str, times: int) -> None:
    """Announce an address on the link of an interface.

    :param index: number of the interface.
    :param address: IPv4 or IPv6 address.
    :param times: how often, since frames get lost.
    :raises OSError: when the interface does not take them.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((socket.if_indextoname(index), 0))
        hardware = s.getsockname()[4]
        for frame in announcements(address, hardware) * times:
            s.send(frame)
