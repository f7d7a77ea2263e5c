# SPDX-License-Identifier: Apache-2.0
"""The TCP connections of initiators, which a takeover has to break.

An initiator whose gateway is lost waits for TCP: it sends again after 0.2 s,
0.4 s, 0.8 s and so on, up to 6 s and more after the next gateway is there. So
each gateway tells the others which connections it has, and the next one
prompts these initiators as soon as it has the address: they log in again at
once.
"""

from collections.abc import Iterable, Mapping
import ipaddress
from pathlib import Path
import sys
import time

from mydriver import exception, model

#: Address -> the peers of its connections, as text of portals.
Peers = Mapping[str, tuple[str, ...]]

_ESTABLISHED = '01'
_TABLES = (Path('/proc/net/tcp'), Path('/proc/net/tcp6'))

#: How many peers of an address are told to the other gateways.
MOST = 1000

#: A gateway that starts anew says that it has none: for how long what it said
#: before counts, seconds.
REMEMBERED_S = 60.0


def current(portals: Iterable[model.Portal]) -> dict[str, tuple[str, ...]]:
    """Return the peers of this host's connections, by address.

    :param portals: that the connections were made to.
    """
    wanted = set(portals)
    found: dict[str, list[str]] = {}
    for table in _TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:  # there is no IPv6
            continue
        for local, peer, state in (
                line.split(maxsplit=4)[1:4] for line in lines):
            if state != _ESTABLISHED:
                continue
            portal = _parse(local)
            if portal in wanted:
                found.setdefault(portal.address, []).append(
                    str(_parse(peer)))
    return {a: tuple(sorted(p)[:MOST]) for a, p in found.items()}


def _parse(text: str) -> model.Portal:
    """Parse an end of a connection; see proc(5), ``/proc/net/tcp``.

    The address is in words of 32 bits of the host's byte order.
    """
    address, _, port = text.partition(':')
    words = [int(address[i:i + 8], 16) for i in range(0, len(address), 8)]
    packed = b''.join(w.to_bytes(4, sys.byteorder) for w in words)
    ip = ipaddress.ip_address(packed)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return model.Portal(str(ip), int(port, 16) or 1)


class Connections:
    """What is known of the connections to the targets' addresses.

    :param portals: of all targets.
    """

    def __init__(self, portals: Iterable[model.Portal]) -> None:
        self._portals = {p.address: p for p in portals}
        #: When a connection of another host was last told of.
        self._elsewhere: dict[str, dict[str, float]] = {}

    def here(self) -> dict[str, tuple[str, ...]]:
        """Return the peers of this host's connections, by address."""
        return current(self._portals.values())

    def remember(self, told: Iterable[Peers]) -> None:
        """Remember what gateways have said last, dead ones too."""
        now_s = time.monotonic()
        for peers in told:
            for address, some in peers.items():
                if address in self._portals:
                    self._elsewhere.setdefault(address, {}).update(
                        dict.fromkeys(some, now_s))
        # New ones, so that another thread sees the old or the new ones.
        self._elsewhere = {
            address: {peer: seen_s for peer, seen_s in some.items()
                      if now_s - seen_s < REMEMBERED_S}
            for address, some in self._elsewhere.items()}

    def lost(self, address: str) -> tuple[model.Portal, list[model.Portal]]:
        """Return the peers that may still have a connection to another host.

        :param address: that this host has now.
        :returns: the portal that they were made to, and the peers.
        """
        mine = set(self.here().get(address, ()))
        found = []
        for text in self._elsewhere.get(address, {}).copy():
            try:
                peer = model.Portal.parse(text)
            except exception.InvalidPortal:
                continue
            if text not in mine and (':' in peer.address) == (':' in address):
                found.append(peer)
        return self._portals[address], found[:MOST]
