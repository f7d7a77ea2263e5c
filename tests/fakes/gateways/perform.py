# SPDX-License-Identifier: Apache-2.0
"""What each step of a gateway does, in the model of the storage."""

from collections.abc import Callable, Iterator
from typing import Final

from mydriver.target.gateways.steps import DONE, PLAN, Kind, Plan
from tests.fakes.gateways.process import FAILED, FORCED, REFUSED, Processes
from tests.fakes.gateways.search import Broken
from tests.fakes.gateways.world import (
    Gateway,
    Late,
    Limits,
    World,
    with_gateway,
    writers,
)


class Performer:
    """The steps of the gateways.

    :param limits: of one history.
    :param plan: the order of the steps; the tests change it.
    :param replaces: whether a new entry of the blocklist replaces one that is
        there already. In Ceph 16 the first one stays.
    :param verifies: whether a fence that is too short is noticed.
    :param writes_alone: whether only a lost write counts, and not what may
        lead to one.
    """

    def __init__(self, limits: Limits, plan: Plan = PLAN,
                 replaces: bool = False, verifies: bool = True,
                 writes_alone: bool = False) -> None:
        self.limits = limits
        self.plan = plan
        self.replaces = replaces
        self.verifies = verifies
        self.writes_alone = writes_alone
        self._processes = Processes(plan)
        #: The hosts with nothing on them.
        self._fresh: tuple[Gateway, ...] = ()
        self._perform: Final[dict[Kind, Callable[
            [World, int, int], Iterator[tuple[str, World, object]]]]] = {
            Kind.ACQUIRE: self._acquire,
            Kind.READ: self._read,
            Kind.CONNECT: self._connect,
            Kind.RECORD: self._write,
            Kind.FENCE: self._fence,
            Kind.FENCE_AGAIN: self._fence,
            Kind.MAP: self._map,
            Kind.APPLY: self._apply,
            Kind.WITHDRAW: self._withdraw,
            Kind.UNMAP: self._unmap,
            Kind.DISCONNECT: self._disconnect,
            Kind.RELEASE: self._write,
            Kind.UNLOCK: self._unlock,
        }

    def _acquire(self, world: World, number: int, state: int
                 ) -> Iterator[tuple[str, World, object]]:
        if world.grants == number == 0 or 0 < world.grants < (
                self.limits.grants):  # the gateways are alike: 0 is the first
            if world.lease:
                return
            granted = world._replace(grants=world.grants + 1)
            yield '', granted._replace(
                lease=self._processes.cookie(state)), DONE
            yield from self._time_out(granted, state)

    def _read(self, world: World, number: int, state: int
              ) -> Iterator[tuple[str, World, object]]:
        yield '', world, self._processes.found(world.record)

    def _connect(self, world: World, number: int, state: int
                 ) -> Iterator[tuple[str, World, object]]:
        client = world.clients + 1
        after = world._replace(clients=client)
        yield '', with_gateway(after, number, after.gateways[number]._replace(
            client=client)), self._processes.connected(client)

    def _write(self, world: World, number: int, state: int
               ) -> Iterator[tuple[str, World, object]]:
        its = self._processes.its(state)
        assert its is not None
        if (world.lease == self._processes.cookie(state)
                and its[1] == world.record):
            yield '', world._replace(record=its[0]), DONE
        else:
            yield ' is refused', world, REFUSED
        yield from self._time_out(world, state)

    def _fence(self, world: World, number: int, state: int
               ) -> Iterator[tuple[str, World, object]]:
        wanted = self._processes.fence(state)
        after = self.block(world, wanted)
        if self.verifies and wanted & ~after.year:
            yield ' finds an entry that is too short', after, FAILED
        else:
            yield '', after, DONE
        if wanted:
            yield from self._time_out(world, state)

    def _map(self, world: World, number: int, state: int
             ) -> Iterator[tuple[str, World, object]]:
        mine, blocked = self._processes.client(state), world.hour | world.year
        if blocked >> mine & 1:
            yield ' is refused to a fenced client', world, FAILED
            return
        others = writers(world) & ~(1 << mine)
        if world.lock and world.lock != mine:
            if not blocked >> world.lock & 1:
                yield ' is refused by the holder of the lock', world, FAILED
            world = self.block(world, 1 << world.lock, for_hour=True)
        if others and not self.writes_alone:
            raise Broken('it maps while another client can still write')
        yield '', with_gateway(
            world._replace(lock=mine), number, world.gateways[number]._replace(
                mapped=mine)), self._processes.connected(mine)

    def _apply(self, world: World, number: int, state: int
               ) -> Iterator[tuple[str, World, object]]:
        yield '', with_gateway(world, number, world.gateways[number]._replace(
            is_exported=True)), DONE

    def _withdraw(self, world: World, number: int, state: int
                  ) -> Iterator[tuple[str, World, object]]:
        yield '', with_gateway(world, number, world.gateways[number]._replace(
            is_exported=False)), DONE

    def _unmap(self, world: World, number: int, state: int
               ) -> Iterator[tuple[str, World, object]]:
        gateway = world.gateways[number]
        after = with_gateway(world, number, gateway._replace(mapped=0))
        if any(client == gateway.mapped for client, _ in world.flight):
            yield ' by force', after, FORCED
            return
        if world.lock == gateway.mapped:
            after = after._replace(lock=0)
        yield '', after, DONE

    def _disconnect(self, world: World, number: int, state: int
                    ) -> Iterator[tuple[str, World, object]]:
        yield '', with_gateway(world, number, world.gateways[number]._replace(
            client=0)), DONE

    def _unlock(self, world: World, number: int, state: int
                ) -> Iterator[tuple[str, World, object]]:
        if world.lease == self._processes.cookie(state):
            yield '', world._replace(lease=''), DONE
            yield from self._time_out(world, state)
        else:
            yield '', world, DONE

    def _time_out(self, world: World, state: int
                  ) -> Iterator[tuple[str, World, object]]:
        """Let a request time out, and arrive at any later moment."""
        if world.lates < self.limits.lates:
            its = self._processes
            yield ' times out', world._replace(
                lates=world.lates + 1, late=(*world.late, Late(
                    its.kind(state), its.cookie(state), its.its(state),
                    its.fence(state)))), FAILED

    def arrive(self, world: World, late: Late) -> World:
        """Return the world after a late request has arrived."""
        if late.kind in (Kind.FENCE, Kind.FENCE_AGAIN):
            return self.block(world, late.clients)
        if late.kind is Kind.ACQUIRE:
            return world if world.lease else world._replace(lease=late.cookie)
        if world.lease != late.cookie:
            return world
        if late.its is None:
            return world._replace(lease='')
        if late.its[1] == world.record:
            return world._replace(record=late.its[0])
        return world

    def block(self, world: World, clients: int, for_hour: bool = False
              ) -> World:
        """Enter clients in the blocklist."""
        if not self.replaces:
            clients &= ~(world.hour | world.year)
        hour, year = world.hour & ~clients, world.year & ~clients
        if for_hour:
            return world._replace(hour=hour | clients, year=year)
        return world._replace(hour=hour, year=year | clients)
