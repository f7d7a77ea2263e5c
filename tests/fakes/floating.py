# SPDX-License-Identifier: Apache-2.0
"""Floating addresses in memory, with a clock that a test sets."""

from collections.abc import Callable, Collection

from mydriver import exception, model


class MemoryAddresses:
    """The addresses of a gateway.

    :param now: returns the time, seconds.
    :param foreign: addresses that the host has as its own.
    """

    def __init__(self, now: Callable[[], float],
                 foreign: Collection[str] = ()) -> None:
        self._now = now
        self._foreign = foreign
        self._until: dict[str, float] = {}
        #: Each address that was announced, in order.
        self.announced: list[str] = []
        #: Each peer that was prompted, in order.
        self.prompted: list[tuple[model.Portal, model.Portal]] = []

    def hold(self, address: str, until_s: float) -> None:
        """Hold an address until a time."""
        self._refuse_foreign(address)
        if until_s - self._now() < 1:
            self._until.pop(address, None)
            raise exception.AddressError(
                f'hold {address}', 'the time to do so is over')
        self._until[address] = self._now() + int(until_s - self._now())

    def drop(self, address: str) -> None:
        """Remove an address."""
        self._refuse_foreign(address)
        self._until.pop(address, None)

    def announce(self, address: str) -> None:
        """Note an announcement."""
        if address not in self.held():
            raise exception.AddressError(
                f'announce {address}', 'this host does not hold it')
        self.announced.append(address)

    def prompt(self, portal: model.Portal,
               peers: Collection[model.Portal]) -> None:
        """Note who was prompted."""
        if portal.address not in self.held():
            raise exception.AddressError(
                f'prompt the peers of {portal.address}',
                'this host does not hold it')
        self.prompted += [(portal, peer) for peer in peers]

    def held(self) -> dict[str, int]:
        """Return what is held, and for how long."""
        return {a: int(until_s - self._now())
                for a, until_s in self._until.items()
                if until_s > self._now()}

    def _refuse_foreign(self, address: str) -> None:
        if address in self._foreign:
            raise exception.ForeignObject(f'Address {address} of eth0',
                                          'it has no lifetime')
