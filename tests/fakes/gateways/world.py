# SPDX-License-Identifier: Apache-2.0
"""What there is in the model of the storage, and what may become of it."""

from collections.abc import Iterator
import dataclasses
from typing import NamedTuple

from mydriver.target.gateways.steps import Kind


class Gateway(NamedTuple):
    """One host.

    ``state`` is the number of its process's state. A process or a host that
    is dead does nothing, as one that has been stopped. ``client`` is the
    kernel's, 0 without one; ``mapped`` is the one that the image is mapped
    with.
    """

    state: int
    client: int = 0
    mapped: int = 0
    is_exported: bool = False


class Late(NamedTuple):
    """A request that is on its way, and that nobody waits for any more."""

    kind: Kind
    cookie: str
    its: tuple[int, int] | None
    clients: int


class World(NamedTuple):
    """All that there is.

    Clients and records are numbers; sets of clients are bit masks. ``flight``
    are writes on their way, as client and value.
    """

    gateways: tuple[Gateway, ...]
    lease: str = ''
    record: int = 0
    hour: int = 0
    year: int = 0
    lock: int = 0
    disk: int = 0
    acked: int = 0
    flight: frozenset[tuple[int, int]] = frozenset()
    late: tuple[Late, ...] = ()
    clients: int = 0
    grants: int = 0
    strangers: int = 0
    lates: int = 0


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much happens in one history; the search is complete within them.

    :param gateways: how many there are.
    :param grants: how often the lease is granted.
    :param writes: how many writes the guest makes.
    :param lates: how many requests are answered with a time-out.
    :param strangers: how often somebody else breaks the lock of an owner that
        does not watch the image any more, as librbd does for a snapshot.
    """

    gateways: int = 2
    grants: int = 2
    writes: int = 2
    lates: int = 0
    strangers: int = 0


def with_gateway(world: World, number: int, gateway: Gateway) -> World:
    """Return a world with one gateway changed."""
    return world._replace(gateways=(
        *world.gateways[:number], gateway, *world.gateways[number + 1:]))


def writers(world: World) -> int:
    """Return the clients that may still change the image."""
    found = 0
    for gateway in world.gateways:
        if gateway.mapped:
            found |= 1 << gateway.mapped
    for client, _ in world.flight:
        found |= 1 << client
    return found & ~(world.hour | world.year)


def members(clients: int) -> Iterator[int]:
    """Yield the clients of a bit mask."""
    number = 0
    while clients >> number:
        if clients >> number & 1:
            yield number
        number += 1


def without_remains(world: World, is_final: bool) -> World:
    """Forget what cannot matter any more, so that fewer states differ.

    A client that has nothing mapped and nothing on its way never writes again.

    :param is_final: whether a fence for a year stays one; then what is on its
        way from a fenced client is refused for good.
    """
    flight = world.flight
    if flight and is_final:
        flight = frozenset(f for f in flight if not world.year >> f[0] & 1)
    live = 0
    for gateway in world.gateways:
        live |= 1 << gateway.client | 1 << gateway.mapped
    for client, _ in flight:
        live |= 1 << client
    lock = world.lock if live >> world.lock & 1 else 0
    if (len(flight) == len(world.flight) and lock == world.lock
            and not (world.hour | world.year) & ~live):
        return world
    return world._replace(flight=flight, lock=lock, hour=world.hour & live,
                          year=world.year & live)
