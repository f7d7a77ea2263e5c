# SPDX-License-Identifier: Apache-2.0
"""A model of the lease, of time, and of the addresses.

Time goes on in ticks, whatever anybody is about to do: a process that stops
between two steps misses any number of them. The kernel removes an address when
its lifetime has passed, also without a process. All clocks go at the same
speed, and no host is stopped as a whole: for those cases there is the fence,
which is the other model's matter.

All times are relative to the present; what has passed is -1.
"""

from collections.abc import Iterator
import dataclasses
import functools
from typing import Final, NamedTuple

from mydriver.target.gateways import lease, takeover
from mydriver.target.gateways.record import Client, OwnershipRecord
from mydriver.target.gateways.steps import (
    DONE,
    PLAN,
    Kind,
    Outcome,
    Plan,
    Result,
    State,
)

TIMING: Final = lease.Timing(duration_s=3.0, margin_s=1.0, renew_s=1.0)

#: A lifetime for ever, for a test that takes it away from the addresses.
FOR_EVER: Final = 99
#: A request that is older than this cannot be answered in time any more.
_OLD: Final = 3
_FAILED: Final = Outcome(Result.FAILED)
_REFUSED: Final = Outcome(Result.REFUSED)
_FOUND: Final = Outcome(Result.DONE, found=lease.Found.of(OwnershipRecord()))
_CLIENT: Final = Outcome(Result.DONE, clients=frozenset({
    Client('10.0.0.1', 1)}))

#: Steps that have nothing to do with the lease or the addresses.
_OTHERS: Final = {
    Kind.CONNECT: _CLIENT, Kind.FENCE: DONE, Kind.MAP: _CLIENT,
    Kind.FENCE_AGAIN: DONE, Kind.APPLY: DONE, Kind.ANNOUNCE: DONE,
    Kind.READ: _FOUND, Kind.RECORD: DONE, Kind.DISABLE_PORTALS: DONE,
    Kind.WITHDRAW: DONE, Kind.UNMAP: DONE, Kind.DISCONNECT: DONE,
    Kind.RELEASE: DONE, Kind.STAND_BY: DONE}


class Request(NamedTuple):
    """A request for the lease: how old it is, and what came of it."""

    age: int = 0
    has_arrived: bool = False
    is_granted: bool = False


class Gateway(NamedTuple):
    """One host.

    ``asks`` is the request that its process waits for, ``renews`` the one of
    the thread that renews. ``until`` is the lifetime that it is about to give
    to the addresses; ``address`` the one that they have, 0 without them.
    """

    state: State
    asks: Request | None = None
    renews: Request | None = None
    until: int | None = None
    address: int = 0


class World(NamedTuple):
    """All gateways, who has the lease, and for how long."""

    gateways: tuple[Gateway, ...]
    holder: int | None = None
    remains: int = 0


#: Holder of a lease that none of the processes knows of.
_NOBODY: Final = -1


class Clock:
    """The model.

    :param gateways: how many there are.
    :param plan: the order of the steps.
    :param timing: of the lease, in ticks.
    :param has_lifetime: whether the kernel removes the addresses by itself.
    :param counts_from_reply: whether a lease is counted from the answer.
    """

    def __init__(self, gateways: int = 2, plan: Plan = PLAN,
                 timing: lease.Timing = TIMING, has_lifetime: bool = True,
                 counts_from_reply: bool = False) -> None:
        self.gateways = gateways
        self.plan = plan
        self.timing = timing
        self.has_lifetime = has_lifetime
        self.counts_from_reply = counts_from_reply
        self._after = functools.cache(self._state_after)
        self._decide = functools.cache(
            lambda state, is_wanted: takeover.decide(
                state, 0.0, is_wanted, plan=plan))

    # What a search asks

    def first(self) -> World:
        """All gateways have just started."""
        return World(tuple(
            Gateway(_usual(takeover.start(f'gw{n}', '')))
            for n in range(self.gateways)))

    def following(self, world: World) -> Iterator[tuple[str, World]]:
        """Yield whatever may happen next."""
        yield 'time goes on', self._tick(world)
        for number, gateway in enumerate(world.gateways):
            for label, after in (*self._process(world, number, gateway),
                                 *self._renewals(world, number, gateway)):
                yield f'gw{number}: {label}', after
            if gateway.state.term is not None or gateway.address:
                yield f'gw{number}: the process starts anew', self._with(
                    world, number, Gateway(
                        _usual(takeover.start(f'gw{number}', '')),
                        address=gateway.address))

    def wrong(self, world: World) -> str:
        """Return the promise that is broken."""
        if sum(bool(g.address) for g in world.gateways) > 1:
            return 'two have the addresses'
        return ''

    # A process, and its thread that renews

    def _process(self, world: World, number: int, gateway: Gateway
                 ) -> Iterator[tuple[str, World]]:
        if gateway.until is not None:
            yield 'the kernel gets the addresses', self._with(
                world, number, self._give_address(gateway))
        elif gateway.asks is not None:
            yield from self._asking(world, number, gateway, gateway.asks)
        else:
            for is_wanted in (True, False):
                decided = self._decide(gateway.state, is_wanted)
                yield from self._step(world, number, gateway._replace(
                    state=decided))

    def _step(self, world: World, number: int, gateway: Gateway
              ) -> Iterator[tuple[str, World]]:
        kind = gateway.state.doing
        if kind in (Kind.SERVE, Kind.STAND_BY):
            return
        if kind is Kind.ACQUIRE and self._is_twin(world, number):
            return
        if kind is Kind.ACQUIRE:
            yield 'it asks for the lease', self._with(
                world, number, gateway._replace(asks=Request()))
        elif kind in (Kind.TAKE_ADDRESS, Kind.EXTEND_ADDRESS):
            until = takeover.step(gateway.state).until_s
            yield f'{kind.name} begins', self._with(
                world, number, gateway._replace(until=int(until or 0)))
        elif kind is Kind.DROP_ADDRESS:
            yield kind.name, self._with(world, number, self._on(
                gateway._replace(address=0), DONE))
        elif kind is Kind.UNLOCK:
            if world.holder == number:
                world = world._replace(holder=None, remains=0)
            yield kind.name, self._with(world, number, self._on(
                gateway, DONE))
        else:
            yield kind.name, self._with(world, number, self._on(
                gateway, _OTHERS[kind]))

    @staticmethod
    def _is_twin(world: World, number: int) -> bool:
        """Tell whether an earlier one of the alike could go first."""
        return number > 0 and not any(
            g.state.term or g.asks or g.address for g in world.gateways) and (
                world.holder is None)

    def _asking(self, world: World, number: int, gateway: Gateway,
                asks: Request) -> Iterator[tuple[str, World]]:
        if not asks.has_arrived:
            is_free = world.holder is None
            after = world
            if is_free:
                after = world._replace(holder=number,
                                       remains=int(self.timing.duration_s))
            yield 'the request arrives', self._with(
                after, number, gateway._replace(asks=asks._replace(
                    has_arrived=True, is_granted=is_free)))
        else:
            yield 'it has the answer', self._with(world, number, self._on(
                gateway, DONE if asks.is_granted else _REFUSED, asks.age))
        yield 'the request times out', self._with(world, number, self._on(
            gateway, _FAILED, asks.age))

    def _renewals(self, world: World, number: int, gateway: Gateway
                  ) -> Iterator[tuple[str, World]]:
        state, renews = gateway.state, gateway.renews
        if renews is None:
            if takeover.wants_renewal(state, 0.0, float('inf')):
                yield 'it sends a renewal', self._with(
                    world, number, gateway._replace(renews=Request()))
            return
        if not renews.has_arrived:
            after, is_held = world, world.holder == number
            if is_held:
                after = world._replace(remains=int(self.timing.duration_s))
            yield 'the renewal arrives', self._with(
                after, number, gateway._replace(renews=renews._replace(
                    has_arrived=True, is_granted=is_held)))
            yield 'the renewal is lost', self._with(
                world, number, gateway._replace(renews=None))
            return
        if renews.is_granted:
            state = takeover.renewed(state, state.cookie,
                                     self._sent_s(renews.age), self.timing)
        else:
            state = takeover.lost(state, state.cookie)
        yield 'the renewal is answered', self._with(
            world, number, gateway._replace(state=_usual(state), renews=None))

    def _on(self, gateway: Gateway, outcome: Outcome, age: int = 0
            ) -> Gateway:
        return gateway._replace(
            state=self._after(gateway.state, outcome, self._sent_s(age)),
            asks=None, until=None)

    def _state_after(self, state: State, outcome: Outcome, sent_s: float
                     ) -> State:
        state = takeover.after(state, outcome, 0.0, sent_s, self.timing,
                               self.plan)
        while state.doing in _OTHERS and state.doing is not Kind.STAND_BY:
            state = takeover.after(state, _OTHERS[state.doing], 0.0, 0.0,
                                   self.timing, self.plan)
        return _usual(state)

    def _give_address(self, gateway: Gateway) -> Gateway:
        until = gateway.until or 0
        if until <= 0:
            return self._on(gateway, _FAILED)
        return self._on(
            gateway._replace(address=until if self.has_lifetime
                             else FOR_EVER),
            Outcome(Result.DONE, until_s=float(until)))

    def _sent_s(self, age: int) -> float:
        return 0.0 if self.counts_from_reply else float(-age)

    # Time

    def _tick(self, world: World) -> World:
        remains = world.remains - 1
        return World(
            tuple(self._older(g) for g in world.gateways),
            world.holder if remains > 0 else None, max(remains, 0))

    @staticmethod
    def _older(gateway: Gateway) -> Gateway:
        state = gateway.state
        if state.term is not None:
            state = dataclasses.replace(state, term=dataclasses.replace(
                state.term, valid_until_s=_earlier(state.term.valid_until_s)))
        if state.address_until_s is not None:
            state = dataclasses.replace(
                state, address_until_s=_earlier(state.address_until_s))
        address = gateway.address
        return Gateway(
            state, _age(gateway.asks), _age(gateway.renews),
            gateway.until and max(gateway.until - 1, 0),
            address if address in (0, FOR_EVER) else address - 1)

    @staticmethod
    def _with(world: World, number: int, gateway: Gateway) -> World:
        if gateway.state.term is None:
            gateway = gateway._replace(renews=None)
            if world.holder == number and gateway.asks is None:
                world = world._replace(holder=_NOBODY)
        return world._replace(gateways=(
            *world.gateways[:number], gateway, *world.gateways[number + 1:]))


def _usual(state: State) -> State:
    """Return a state without what makes it differ from one like it."""
    if state.term is None:
        return dataclasses.replace(state, run='', turn=0)
    if state.term.valid_until_s < 0:
        state = dataclasses.replace(state, term=dataclasses.replace(
            state.term, valid_until_s=-1.0))
    return state


def _earlier(moment_s: float) -> float:
    return max(moment_s - 1, -1.0)


def _age(request: Request | None) -> Request | None:
    return request and request._replace(age=min(request.age + 1, _OLD))
