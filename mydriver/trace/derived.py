# SPDX-License-Identifier: Apache-2.0
"""What follows from the steps that lines show."""

from mydriver import events
from mydriver.trace.steps import OK, OPERATION, PHASE, REQUEST, WAIT, Step

#: Times in a log have milliseconds.
_TICK_S = 0.002

#: Of a driver's operation, the part on the host, and the rest.
_PARTS = {'attach_volume': ('connect_volume', 'attach_device'),
          'detach_volume': ('disconnect_volume', 'detach_device')}


def ordered(found: list[Step]) -> list[Step]:
    """Return steps in the order of their beginnings."""
    return sorted(found, key=lambda s: (s.start, s.kind, -s.end))


def without_doubles(found: list[Step]) -> list[Step]:
    """Keep of several proofs of a step the first of the best kind.

    An event says more than a timed line, and that more than a pair of lines
    or a lock that was held. An API that holds a lock does so for its request.
    """
    kept: list[Step] = []
    for step in sorted(found, key=_trust):
        if step.kind in (OPERATION, WAIT) and any(
                k.name == step.name and k.source == step.source
                and (k.kind == WAIT) == (step.kind == WAIT)
                and k.request_id == step.request_id
                and k.start <= step.end + _TICK_S
                and step.start <= k.end + _TICK_S for k in kept):
            continue
        kept.append(step)
    return kept


def rest_of(found: list[Step]) -> list[Step]:
    """Return the parts of nova's attach and detach around the host's own.

    Nova attaches the device to the guest after the host has it, and detaches
    it from the guest before (LibvirtDriver.attach_volume, detach_volume).
    """
    rest: list[Step] = []
    for outer in found:
        if outer.name not in _PARTS or outer.kind != OPERATION:
            continue
        inner, name = _PARTS[outer.name]
        for step in found:
            if step.name != inner or step.outcome != OK or not _within(
                    step, outer):
                continue
            start, end = ((step.end, outer.end) if name == 'attach_device'
                          else (outer.start, step.start))
            if end > start and not any(k.name == name for k in found):
                rest.append(Step(
                    name, outer.source, start, end, PHASE,
                    f'the rest of {outer.name} beside {inner}',
                    outer.outcome, outer.error, outer.request_id))
    return rest


def _within(step: Step, outer: Step) -> bool:
    return (step.source == outer.source
            and step.request_id == outer.request_id
            and outer.start - _TICK_S <= step.start
            and step.end <= outer.end + _TICK_S)


def _trust(step: Step) -> int:
    if events.MARK in step.proof or step.kind == REQUEST:
        return 0
    return 1 if step.proof.startswith('mydriver.') else 2
