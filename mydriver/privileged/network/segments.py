# SPDX-License-Identifier: Apache-2.0
"""TCP segments that make peers notice that a connection is gone.

A peer whose host was lost waits for answers, and sends again after 0.2 s, 0.4
s, 0.8 s and so on: when the next host has the address for a while, it may not
have noticed yet. An acknowledgement of nothing lets it answer at once with its
own state (RFC 9293, 3.10.7.4: a segment that is not acceptable); the next host
does not know that connection and resets it (3.10.7.2).
"""

from collections.abc import Iterable
import ipaddress
import socket
import struct

_ACK = 0x10
_WORDS = 5


def send(address: str, port: int, peers: Iterable[tuple[str, int]]) -> None:
    """Prompt peers to answer.

    :param address: IPv4 or IPv6 address of this host.
    :param port: the port that the connections were made to.
    :param peers: address and port of each.
    :raises OSError: when one cannot be reached.
    """
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as s:
        s.bind((address, 0))
        for peer, its_port in peers:
            s.sendto(segment((address, port), (peer, its_port)), (peer, 0))


def segment(source: tuple[str, int], peer: tuple[str, int]) -> bytes:
    """Return an acknowledgement of nothing, without the header of IP."""
    ends = b''.join(ipaddress.ip_address(a).packed for a, _ in (source, peer))

    def header(checksum: int) -> bytes:
        return struct.pack('!HHIIBBHHH', source[1], peer[1], 0, 0,
                           _WORDS << 4, _ACK, 0, checksum, 0)

    pseudo = ends + struct.pack('!II', 4 * _WORDS, socket.IPPROTO_TCP)
    total: int = sum(struct.unpack(
        f'!{len(pseudo) // 2 + 2 * _WORDS}H', pseudo + header(0)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return header(~total & 0xffff)
