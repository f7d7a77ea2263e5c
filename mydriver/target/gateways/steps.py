# SPDX-License-Identifier: Apache-2.0
"""The steps of a takeover, their order, and a gateway's place in it."""

import dataclasses
import enum
from typing import Final

from mydriver.target.gateways import lease, record


class Kind(enum.Enum):
    """Kinds of steps; the caller has to be able to repeat each.

    What is removed counts as done only when it was seen to be gone: no
    address, no LUN, no mapping of the target's client, no such client. CONNECT
    makes a client before any image of a volume is mapped, by mapping another
    image read only, which takes no lock; a client is shared by the mappings
    whose options are the same. MAP is done when every exported image is
    mapped, or was left out with an error of its own. UNMAP tries without force
    first. TAKE_ADDRESS computes the lifetime from the clock at the last
    moment, rounds it down, and lets the kernel keep it.
    """

    STAND_BY = 'wait for the target to become free'
    ACQUIRE = 'ask for the lease'
    READ = 'read the record'
    CONNECT = "start a client of the kernel's that nobody has used"
    RECORD = 'write that this gateway is the owner'
    FENCE = 'fence the clients of earlier owners'
    MAP = 'map the images'
    FENCE_AGAIN = 'check that the fence still stands'
    APPLY = 'export the images, and open the portals'
    TAKE_ADDRESS = 'take the addresses'
    ANNOUNCE = 'tell the network where they are'
    SERVE = 'serve'
    EXTEND_ADDRESS = 'extend the lifetime of the addresses'
    DROP_ADDRESS = 'drop the addresses'
    DISABLE_PORTALS = 'close the portals'
    WITHDRAW = 'remove the exports'
    UNMAP = 'unmap the images'
    DISCONNECT = "end the kernel's client"
    RELEASE = 'write that nothing is mapped here'
    UNLOCK = 'end the lease'


class Result(enum.Enum):
    """How a step ended."""

    DONE = enum.auto()
    #: Certainly not done: another gateway has the lease, or has had it.
    REFUSED = enum.auto()
    #: Not done, or nobody knows.
    FAILED = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The order of the steps.

    :param take_over: from the lease that was granted to serving.
    :param let_go: from serving, or any step before, to standing by.
    """

    take_over: tuple[Kind, ...] = (
        Kind.READ, Kind.CONNECT, Kind.RECORD, Kind.FENCE, Kind.MAP,
        Kind.FENCE_AGAIN, Kind.APPLY, Kind.TAKE_ADDRESS, Kind.ANNOUNCE,
        Kind.SERVE)
    let_go: tuple[Kind, ...] = (
        Kind.DROP_ADDRESS, Kind.DISABLE_PORTALS, Kind.WITHDRAW, Kind.UNMAP,
        Kind.DISCONNECT, Kind.RELEASE, Kind.UNLOCK, Kind.STAND_BY)


PLAN: Final = Plan()


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """One gateway's place in the protocol, for one target.

    :param gateway: its name.
    :param run: names the run of the process; no two are the same.
    :param doing: the step that comes next.
    :param turn: number of the next lease of this run.
    :param term: the lease that it holds or may hold.
    :param found: the record that it read under that lease.
    :param mine: the record that it wrote under that lease.
    :param client: the kernel's client that it maps with.
    :param address_until_s: when the kernel removes the addresses by itself.
    :param is_planned: it lets go because it was told to, not because it lost
        anything.
    :param was_clean: nothing was unmapped by force since the lease began.
    :param reason: why it lets go, for the log.
    :param since_s: when this step became the next one.
    """

    gateway: str
    run: str
    doing: Kind
    turn: int = 0
    term: lease.Term | None = None
    found: lease.Found | None = None
    mine: lease.Found | None = None
    client: record.Client | None = None
    address_until_s: float | None = None
    is_planned: bool = False
    was_clean: bool = True
    reason: str = dataclasses.field(default='', compare=False)
    since_s: float = dataclasses.field(default=0.0, compare=False)

    @property
    def cookie(self) -> str:
        """Of the lease that it has, or asks for next."""
        return (self.term.cookie if self.term is not None
                else f'{self.gateway} {self.run} {self.turn}')

    @property
    def epoch(self) -> int:
        """Of its ownership; 0 when it has none."""
        return self.mine.record.epoch if self.mine is not None else 0

    @property
    def is_serving(self) -> bool:
        """Whether the target is served here, as far as this gateway knows."""
        return self.doing in (Kind.SERVE, Kind.EXTEND_ADDRESS)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What to do.

    :param kind: what.
    :param cookie: of the lease; for the steps at Ceph.
    :param its: the record to write, and the one that it replaces.
    :param clients: the clients to fence.
    :param client: to map with; whatever is mapped with another one is wrong.
    :param until_s: lifetime of the addresses, see :func:`.lease.now_s`. One
        that has passed already is an error.
    """

    kind: Kind
    cookie: str
    its: tuple[record.OwnershipRecord, lease.Found] | None = None
    clients: tuple[record.Client, ...] = ()
    client: record.Client | None = None
    until_s: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step.

    :param result: how it ended.
    :param found: READ: the record.
    :param clients: CONNECT: the new client. MAP: all that images are mapped
        with.
    :param until_s: TAKE_ADDRESS, EXTEND_ADDRESS: the lifetime that the
        addresses were given.
    :param was_forced: UNMAP: some were unmapped by force, so that their writes
        may still be on their way.
    :param reason: why it was not done, for the log.
    """

    result: Result
    found: lease.Found | None = None
    clients: frozenset[record.Client] = frozenset()
    until_s: float | None = None
    was_forced: bool = False
    reason: str = ''


DONE: Final = Outcome(Result.DONE)
