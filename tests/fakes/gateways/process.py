# SPDX-License-Identifier: Apache-2.0
"""The processes of the models: the driver's own code, its results kept.

States, records and clients are numbers here, which makes a search fast.
"""

import dataclasses
import functools
from typing import Final

from mydriver.target.gateways import lease, takeover
from mydriver.target.gateways.record import Client, OwnershipRecord
from mydriver.target.gateways.steps import (
    Kind,
    Outcome,
    Plan,
    Result,
    State,
)

FAILED: Final = Outcome(Result.FAILED)
REFUSED: Final = Outcome(Result.REFUSED)
FORCED: Final = Outcome(Result.DONE, was_forced=True)

_UNNOTICED: Final = Outcome(Result.DONE, until_s=0.0)

TIMING: Final = lease.Timing()

#: Steps that neither the image nor Ceph notices.
UNNOTICED: Final = frozenset({
    Kind.TAKE_ADDRESS, Kind.EXTEND_ADDRESS, Kind.ANNOUNCE, Kind.STAND_BY,
    Kind.DROP_ADDRESS, Kind.DISABLE_PORTALS})


class Processes:
    """The states that a process can be in, and what leads from one to another.

    :param plan: the order of the steps.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._states: list[State] = []
        self._numbers: dict[State, int] = {}
        self._records: list[OwnershipRecord] = []
        self._record_numbers: dict[OwnershipRecord, int] = {}
        self._after: dict[tuple[int, int], int] = {}
        for name in ('start', 'decide', 'armed', 'its', 'fence', 'clients_of',
                     'found', 'connected'):
            setattr(self, name, functools.cache(getattr(self, name)))

    def start(self, gateway: int) -> int:
        """Return the state of a process that has just started."""
        return self._number(takeover.start(f'gw{gateway}', ''))

    def armed(self, state: int, run: int) -> int:
        """Return a state with a run's name that no lease has had yet."""
        return self._number(dataclasses.replace(
            self._states[state], run=f'run {run}'), is_armed=True)

    def decide(self, state: int, has_ended: bool, is_fenced: bool) -> int:
        """Return the state with the step to take."""
        return self._number(takeover.decide(
            self._states[state], 1e9 if has_ended else 0.0,
            is_fenced=is_fenced, plan=self._plan))

    def after(self, state: int, outcome: object) -> int:
        """Return the state after a step.

        :param outcome: one that lives as long as this object.
        """
        key = state, id(outcome)
        if key not in self._after:
            assert isinstance(outcome, Outcome)
            self._after[key] = self._number(takeover.after(
                self._states[state], outcome, 0.0, 0.0, TIMING, self._plan))
        return self._after[key]

    def kind(self, state: int) -> Kind:
        """Return the step that comes next."""
        return self._states[state].doing

    def cookie(self, state: int) -> str:
        """Return the cookie of its lease."""
        return self._states[state].cookie

    def has_lease(self, state: int) -> bool:
        """Return whether it may hold a lease."""
        return self._states[state].term is not None

    def client(self, state: int) -> int:
        """Return the client that it maps with."""
        client = self._states[state].client
        return client.nonce if client else 0

    def its(self, state: int) -> tuple[int, int] | None:
        """Return the record that it writes, and the one that it replaces."""
        its = takeover.step(self._states[state]).its
        return its and (self.record_number(its[0]),
                        self.record_number(its[1].record))

    def fence(self, state: int) -> int:
        """Return the clients that it fences, a bit mask."""
        return _mask(takeover.step(self._states[state]).clients)

    def clients_of(self, record: int) -> int:
        """Return the clients of an owner, a bit mask."""
        return _mask(self._records[record].clients)

    def found(self, record: int) -> Outcome:
        """Return the outcome of reading a record."""
        return Outcome(Result.DONE,
                       found=lease.Found.of(self._records[record]))

    def connected(self, client: int) -> Outcome:
        """Return the outcome of getting a client, or mapping with it."""
        return Outcome(Result.DONE, clients=frozenset({
            Client('10.0.0.1', client)}))

    def record_number(self, its: OwnershipRecord) -> int:
        """Return the number of a record."""
        if its not in self._record_numbers:
            self._record_numbers[its] = len(self._records)
            self._records.append(its)
        return self._record_numbers[its]

    def _number(self, state: State, is_armed: bool = False) -> int:
        """Return the number of a state, past the steps nobody notices."""
        while state.doing in UNNOTICED:
            decided = takeover.decide(state, 0.0, plan=self._plan)
            if decided.doing in UNNOTICED:
                decided = takeover.after(decided, _UNNOTICED, 0.0, 0.0, TIMING,
                                         self._plan)
            state = decided
        if state.term is None and not is_armed:
            state = dataclasses.replace(state, run='', turn=0)
        if state not in self._numbers:
            self._numbers[state] = len(self._states)
            self._states.append(state)
        return self._numbers[state]


def _mask(clients: tuple[Client, ...]) -> int:
    return sum(1 << client.nonce for client in clients)
