# SPDX-License-Identifier: Apache-2.0
"""A model of several gateways, one target, one image, and a guest's writes.

It knows no clock: a lease may end at any moment, and a gateway may believe in
its own for as long as it likes. So what it shows of the data depends on no
clock at all. A process may stop between any two steps, since any other step
may come first; it may die at any time, and so may its host. A request to Ceph
may be answered with a time-out and arrive at any later time; so may a write.

What the kernel does is as it was measured. Mapping takes the image's exclusive
lock; if its holder no longer watches the image, or is fenced, the kernel
breaks the lock and enters the holder in the blocklist for an hour. A client
that is mapped and not in the blocklist may write, whoever has the lock: a
request that is on its way does not ask for it.
"""

from collections.abc import Iterator
from typing import Final

from mydriver.target.gateways.record import OwnershipRecord
from mydriver.target.gateways.steps import Kind
from tests.fakes.gateways import perform
from tests.fakes.gateways.world import (
    Gateway,
    World,
    members,
    with_gateway,
    without_remains,
    writers,
)

#: Where a process may find that its lease has ended, or that it is fenced.
_WAYS: Final = (('', False, False),
                ('finds its lease ended, ', True, False),
                ('finds itself fenced, ', False, True))


class Storage(perform.Performer):
    """The model."""

    # What a search asks

    def first(self) -> World:
        """All gateways have just started."""
        record = self._processes.record_number(OwnershipRecord())
        world = World(tuple(Gateway(self._processes.start(n))
                            for n in range(self.limits.gateways)),
                      record=record)
        for number in range(self.limits.gateways):
            world = self._past_unnoticed(world, number)
        self._fresh = world.gateways
        return world

    def following(self, world: World) -> Iterator[tuple[str, World]]:
        """Yield whatever may happen next."""
        for label, after in self._everything(world):
            yield label, without_remains(after, not self.replaces)

    def _everything(self, world: World) -> Iterator[tuple[str, World]]:
        for number, gateway in enumerate(world.gateways):
            yield from self._step(world, number, gateway)
            yield from self._fate(world, number, gateway)
        yield from self._guest(world)
        yield from self._network(world)
        if world.lease:
            yield 'the lease ends', world._replace(lease='')
        for client in members(world.hour):
            yield ('an entry expires after an hour',
                   world._replace(hour=world.hour & ~(1 << client)))
        if (world.lock and world.strangers < self.limits.strangers
                and not (world.hour | world.year) >> world.lock & 1):
            yield 'somebody else breaks the lock', self.block(
                world, 1 << world.lock, for_hour=True)._replace(
                    lock=0, strangers=world.strangers + 1)

    def wrong(self, world: World) -> str:
        """Return the promise that is broken."""
        if world.disk < world.acked:
            return 'an acknowledged write was lost'
        if self.writes_alone:
            return ''
        # If entries are replaced, an earlier owner's may be short until the
        # second fence, and then the image is mapped but not exported yet.
        present = [g for g in world.gateways
                   if g.is_exported or not self.replaces]
        rivals = writers(world._replace(gateways=tuple(present)))
        owners = self._processes.clients_of(world.record)
        for gateway in world.gateways:
            mine = gateway.mapped
            if (not mine or not gateway.is_exported
                    or (world.hour | world.year) >> mine & 1):
                continue
            if rivals & ~(1 << mine):
                return 'two can write'
            if not owners >> mine & 1 and any(
                    g.mapped and owners >> g.mapped & 1 for g in present):
                return 'one that is not the owner can still write'
        return ''

    # One step of a gateway

    def _step(self, world: World, number: int, gateway: Gateway
              ) -> Iterator[tuple[str, World]]:
        processes = self._processes
        for why, has_ended, is_fenced in _WAYS:
            if is_fenced and not (gateway.client and (
                    world.hour | world.year) >> gateway.client & 1):
                continue
            decided = processes.decide(gateway.state, has_ended, is_fenced)
            if (has_ended or is_fenced) and decided == gateway.state:
                continue
            kind = processes.kind(decided)
            if kind is Kind.SERVE:
                continue
            if kind is Kind.ACQUIRE:
                decided = processes.armed(decided, world.grants)
            for label, after, outcome in self._perform[kind](
                    world, number, decided):
                yield (f'gw{number}: {why}{kind.name}{label}',
                       self._past_unnoticed(with_gateway(
                           after, number, after.gateways[number]._replace(
                               state=processes.after(decided, outcome))),
                           number))

    def _past_unnoticed(self, world: World, number: int) -> World:
        """Take the steps of a gateway that change nothing for anyone else."""
        while True:
            gateway = world.gateways[number]
            kind = self._processes.kind(gateway.state)
            if not (kind in (Kind.CONNECT, Kind.DISCONNECT)
                    or (kind is Kind.WITHDRAW and not gateway.is_exported)
                    or (kind is Kind.UNMAP and not gateway.mapped)):
                return world
            (_, world, outcome), = self._perform[kind](
                world, number, gateway.state)
            world = with_gateway(
                world, number, world.gateways[number]._replace(
                    state=self._processes.after(gateway.state, outcome)))

    # What happens to a gateway

    def _fate(self, world: World, number: int, gateway: Gateway
              ) -> Iterator[tuple[str, World]]:
        restarted = self._processes.start(number)
        if gateway.state != restarted and (
                gateway.client or self._processes.has_lease(gateway.state)):
            yield f'gw{number}: the process starts anew', self._past_unnoticed(
                with_gateway(world, number, gateway._replace(state=restarted)),
                number)
            yield f'gw{number}: the host starts anew', with_gateway(
                world, number, self._fresh[number])

    def _guest(self, world: World) -> Iterator[tuple[str, World]]:
        """Yield what the guest sends, through anyone that would take it."""
        value = world.acked + 1
        if value > self.limits.writes:
            return
        for gateway in world.gateways:
            client = gateway.mapped
            if (gateway.is_exported and client
                    and not (world.hour | world.year) >> client & 1
                    and (client, value) not in world.flight):
                yield (f'the guest writes {value} through client {client}',
                       world._replace(flight=world.flight | {(client, value)}))

    def _network(self, world: World) -> Iterator[tuple[str, World]]:
        """Yield what arrives at Ceph."""
        for client, value in world.flight:
            what = f'{value} of client {client} is'
            after = world._replace(flight=world.flight - {(client, value)})
            if (world.hour | world.year) >> client & 1:
                yield f'{what} refused', after
                continue
            after = after._replace(disk=value)
            yield f'{what} written, without an answer', after
            if value == world.acked + 1 and any(
                    g.is_exported and g.mapped == client
                    for g in world.gateways):
                yield (f'{what} written and acknowledged',
                       after._replace(acked=value))
        for number, late in enumerate(world.late):
            yield f'the late {late.kind.name} arrives', self.arrive(
                world._replace(late=(*world.late[:number],
                                     *world.late[number + 1:])), late)
