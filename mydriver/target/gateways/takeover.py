# SPDX-License-Identifier: Apache-2.0
"""What a gateway does next for one target: a state machine without I/O.

The caller repeats three calls: :func:`decide` with the time and what it has
seen, :func:`step` for what to do, and :func:`after` with the outcome. Between
any two of them the process may stop, for however long, or die; so may the
host. The order of the steps is what makes that safe; it is checked
exhaustively, with this very code (``tests/unit/target/gateways``).
"""

from collections.abc import Callable
import dataclasses
from typing import Final

from mydriver.target.gateways import lease
from mydriver.target.gateways.record import Client
from mydriver.target.gateways.steps import (
    PLAN,
    Kind,
    Outcome,
    Plan,
    Result,
    State,
    Step,
)


def start(gateway: str, run: str) -> State:
    """Return the state of a process that has just started.

    Whatever an earlier run left is removed first. Only one process per host
    and target may run; the caller holds a lock on the host for that.

    :param gateway: its name.
    :param run: a new unique name for this run.
    """
    return State(gateway, run, PLAN.let_go[0], reason='the process started')


def decide(state: State, now_s: float, is_wanted: bool = True,
           is_fenced: bool = False, plan: Plan = PLAN) -> State:
    """Return the state with the step that is right at this moment.

    :param now_s: the time, read for this call.
    :param is_wanted: whether this gateway shall serve the target if it can.
    :param is_fenced: whether its client was seen in the blocklist, or was
        refused as one in it.
    """
    if state.doing in (Kind.STAND_BY, Kind.ACQUIRE):
        return _doing(state, now_s,
                      Kind.ACQUIRE if is_wanted else Kind.STAND_BY)
    if state.doing in plan.let_go:
        return state
    if is_fenced:
        return _let_go(dataclasses.replace(state, was_clean=False), now_s,
                       plan, 'its client was fenced')
    if state.term is None or now_s >= state.term.valid_until_s:
        return _let_go(state, now_s, plan, 'its lease has ended')
    if not is_wanted:
        return _let_go(state, now_s, plan, 'it was told to', is_planned=True)
    if state.is_serving:
        is_short = (state.address_until_s is None
                    or state.address_until_s < state.term.valid_until_s)
        return _doing(state, now_s,
                      Kind.EXTEND_ADDRESS if is_short else Kind.SERVE)
    return state


def step(state: State) -> Step:
    """Return what to do now."""
    its = None
    clients: tuple[Client, ...] = ()
    if state.doing is Kind.RECORD and state.found and state.client:
        its = (state.found.record.taken(state.gateway, state.client),
               state.found)
    elif state.doing is Kind.RELEASE and state.mine:
        its = state.mine.record.let_go(), state.mine
    if state.doing in (Kind.FENCE, Kind.FENCE_AGAIN) and state.mine:
        clients = state.mine.record.fence
    return Step(state.doing, state.cookie, its, clients, state.client,
                state.term.valid_until_s if state.term else None)


def after(state: State, outcome: Outcome, now_s: float, sent_s: float,
          timing: lease.Timing, plan: Plan = PLAN) -> State:
    """Return the state after its step.

    :param outcome: of exactly the step that :func:`step` returned.
    :param now_s: the time after it.
    :param sent_s: the time before it.
    """
    if state.doing in (Kind.STAND_BY, Kind.ACQUIRE):
        return _acquired(state, outcome, now_s, sent_s, timing, plan)
    if state.doing in plan.let_go:
        return _letting_go(state, outcome, now_s, plan)
    if outcome.result is not Result.DONE:
        if state.doing is Kind.ANNOUNCE:  # the addresses are there even so
            return _doing(state, now_s, Kind.SERVE)
        return _let_go(state, now_s, plan, 'it could not '
                       f'{state.doing.value}: {outcome.reason}')
    understand = _UNDERSTAND.get(state.doing)
    if understand is not None:
        understood = understand(state, outcome)
        if isinstance(understood, str):
            return _let_go(state, now_s, plan, understood)
        state = understood
    if state.is_serving:
        return _doing(state, now_s, Kind.SERVE)
    return _doing(state, now_s, _following(plan.take_over, state.doing))


def wants_renewal(state: State, now_s: float, patience_s: float) -> bool:
    """Tell whether the lease shall be renewed.

    :param patience_s: not any longer if one step takes longer than this: then
        another gateway shall have the target.
    """
    if state.term is None or now_s >= state.term.valid_until_s:
        return False
    if state.doing is Kind.SERVE:
        return True
    return ((state.doing not in PLAN.let_go or state.is_planned)
            and now_s - state.since_s < patience_s)


def renewed(state: State, cookie: str, sent_s: float, timing: lease.Timing
            ) -> State:
    """Return the state after a renewal that was confirmed.

    :param cookie: of the lease that was renewed.
    :param sent_s: when the renewal was sent.
    """
    if state.term is None or state.term.cookie != cookie:
        return state
    return dataclasses.replace(state, term=state.term.renewed(sent_s, timing))


def lost(state: State, cookie: str) -> State:
    """Return the state after Ceph has refused to renew a lease."""
    if state.term is None or state.term.cookie != cookie:
        return state
    return dataclasses.replace(state, term=state.term.lost())


def _doing(state: State, now_s: float, kind: Kind) -> State:
    if state.doing is kind:
        return state
    return dataclasses.replace(state, doing=kind, since_s=now_s)


def _following(order: tuple[Kind, ...], kind: Kind) -> Kind:
    return order[order.index(kind) + 1]


def _let_go(state: State, now_s: float, plan: Plan, reason: str,
            is_planned: bool = False) -> State:
    return dataclasses.replace(
        state, doing=plan.let_go[0], since_s=now_s, reason=reason,
        is_planned=is_planned)


def _acquired(state: State, outcome: Outcome, now_s: float, sent_s: float,
              timing: lease.Timing, plan: Plan) -> State:
    if state.doing is Kind.ACQUIRE and outcome.result is Result.DONE:
        return dataclasses.replace(
            state, doing=plan.take_over[0], since_s=now_s, turn=state.turn + 1,
            term=lease.Term.granted(state.cookie, sent_s, timing),
            was_clean=True, is_planned=False, reason='')
    if state.doing is Kind.ACQUIRE and outcome.result is Result.FAILED:
        # The lease may have been granted, or may be yet. Nothing of what
        # follows may be done in its name.
        state = dataclasses.replace(state, turn=state.turn + 1)
    return _doing(state, now_s, Kind.STAND_BY)


def _letting_go(state: State, outcome: Outcome, now_s: float, plan: Plan
                ) -> State:
    is_told = state.doing in (Kind.RELEASE, Kind.UNLOCK)
    if outcome.result is not Result.DONE and not is_told:
        return state  # again: what comes next relies on it
    if state.doing is Kind.UNMAP and outcome.was_forced:
        state = dataclasses.replace(state, was_clean=False)
    if state.doing is Kind.DISCONNECT:
        state = dataclasses.replace(state, client=None)
    if state.doing is Kind.DROP_ADDRESS:
        state = dataclasses.replace(state, address_until_s=None)
    kind = _following(plan.let_go, state.doing)
    if kind is Kind.RELEASE and (state.mine is None or not state.was_clean):
        kind = _following(plan.let_go, kind)
    if kind is Kind.UNLOCK and state.term is None:
        kind = _following(plan.let_go, kind)
    if kind is Kind.STAND_BY:
        state = dataclasses.replace(state, term=None, found=None, mine=None,
                                    is_planned=False)
    return _doing(state, now_s, kind)


def _read(state: State, outcome: Outcome) -> State | str:
    return dataclasses.replace(state, found=outcome.found)


def _connected(state: State, outcome: Outcome) -> State | str:
    if state.found is None or len(outcome.clients) != 1:
        return 'there is no record, or not exactly one client'
    client, = outcome.clients
    its = state.found.record
    if client in (*its.clients, *its.fence):
        return f'its client {client} is that of an earlier owner'
    return dataclasses.replace(state, client=client)


def _recorded(state: State, outcome: Outcome) -> State | str:
    its = step(state).its
    if its is None:
        return 'it has neither a record to replace nor a client'
    return dataclasses.replace(state, mine=lease.Found.of(its[0]))


def _mapped(state: State, outcome: Outcome) -> State | str:
    if not outcome.clients <= {state.client}:
        return 'images are mapped with another client than the recorded one'
    return state


def _has_address(state: State, outcome: Outcome) -> State | str:
    if outcome.until_s is None:
        return 'the kernel would not remove its addresses by itself'
    return dataclasses.replace(state, address_until_s=outcome.until_s)


_UNDERSTAND: Final[
    dict[Kind, Callable[[State, Outcome], State | str]]] = {
        Kind.READ: _read,
        Kind.CONNECT: _connected,
        Kind.RECORD: _recorded,
        Kind.MAP: _mapped,
        Kind.TAKE_ADDRESS: _has_address,
        Kind.EXTEND_ADDRESS: _has_address,
}
