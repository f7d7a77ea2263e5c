# SPDX-License-Identifier: Apache-2.0
"""Clocks of hosts that differ: an effect that precedes its cause.

A service has a request's lines only after the API has received it, and the
API answers only after the work that it waits for. If it is the other way
round, one of both clocks is wrong by at least that much. Times are shown as
they are logged, never corrected.
"""

from collections.abc import Iterable, Iterator, Sequence
import dataclasses

from mydriver.trace import answers, record, steps

#: Smaller differences are the precision of logs, seconds.
_TOLERANCE_S = 0.01

#: The service whose lines of a request come first, and those it causes.
_CAUSES = (
    ('nova-api', ('nova-conductor', 'nova-scheduler', 'nova-compute',
                  'cinder-api', 'cinder-volume')),
    ('cinder-api', ('cinder-scheduler', 'cinder-volume')),
)
#: The work of cinder-volume that cinder-api waits for.
_WAITED_FOR = {
    'attachment_create': ('create_export', 'initialize_connection'),
    'attachment_update': ('create_export', 'initialize_connection'),
    'attachment_delete': ('terminate_connection', 'remove_export'),
}
#: Steps of nova-compute and requests to cinder-api of which one waits for the
#: other: the end of the first comes before the beginning of the second.
_IN_TURN = (
    ('get_volume_connector', 'attachment_update'),
    ('attachment_update', 'connect_volume'),
    # Not connect_volume: a boot completes an attachment before it connects.
    ('attach_volume', 'attachment_complete'),
    ('disconnect_volume', 'attachment_delete'),
)
#: The same of ends: the second step contains the first.
_WITHIN = (
    ('attachment_complete', 'attach_volume (manager)'),
    ('attachment_delete', 'detach_volume (manager)'),
)
_IN_TURN_SERVICES = ('nova-compute', 'cinder-api')


@dataclasses.dataclass(frozen=True, slots=True)
class Offset:
    """Two clocks that differ.

    :param ahead: the log whose times are later.
    :param behind: the log whose times are earlier.
    :param seconds: by how much at least.
    :param request_id: the request that shows it.
    :param is_late: what shows it is work that ends after the answer to the
        request, not lines before the request.
    :param turn: what shows it is the first of two steps, which ends after the
        second one has begun, or ended; empty otherwise.
    """

    ahead: str
    behind: str
    seconds: float
    request_id: str
    is_late: bool = False
    turn: tuple[str, ...] = ()


def offsets(records: Sequence[record.Record],
            its_steps: Sequence[steps.Step]) -> list[Offset]:
    """Return which clocks differ, as far as the lines show.

    :param records: of one request and those that it caused.
    :param its_steps: of the same; an API may log a request at its end only,
        with its duration.
    """
    found: dict[tuple[str, str], Offset] = {}
    for cause, effects in _CAUSES:
        begun: dict[str, tuple[float, record.Source]] = {}
        for time, request, source in (
                *((r.time, r.request_id, r.source) for r in records),
                *((s.start, s.request_id, s.source) for s in its_steps
                  if s.kind == steps.REQUEST)):
            if source.service == cause and request and (
                    request not in begun or time < begun[request][0]):
                begun[request] = time, source
        for one in records:
            if one.source.service not in effects:
                continue
            for request in {one.request_id, one.global_id} - {''}:
                if request not in begun:
                    continue
                began, source = begun[request]
                if began - one.time > _TOLERANCE_S:
                    _note(found, Offset(source.name, one.source.name,
                                        began - one.time, request))
    for late in (*_late(records, its_steps), *_in_turn(its_steps)):
        _note(found, late)
    return sorted(found.values(), key=lambda o: -o.seconds)


def _late(records: Iterable[record.Record], its_steps: Sequence[steps.Step]
          ) -> Iterator[Offset]:
    """Yield which clocks differ because work ends after the answer to it."""
    # The API gave up waiting; the work went on.
    given_up = {r.request_id for r in records if answers.is_timeout(r)}
    for api in its_steps:
        if (api.source.service != 'cinder-api' or api.kind != steps.REQUEST
                or api.is_open or api.request_id in given_up):
            continue
        for work in its_steps:
            if (work.source.service == 'cinder-volume'
                    and work.request_id == api.request_id
                    and work.name in _WAITED_FOR.get(api.name, ())
                    and not work.is_open
                    and work.end - api.end > _TOLERANCE_S):
                yield Offset(work.source.name, api.source.name,
                             work.end - api.end, api.request_id, True)


def _in_turn(its_steps: Iterable[steps.Step]) -> Iterator[Offset]:
    """Yield which clocks differ because a step does not wait for another.

    Only steps that a request has once are known to belong together.
    """
    known: dict[str, list[steps.Step]] = {}
    for step in its_steps:
        if step.source.service in _IN_TURN_SERVICES:
            known.setdefault(step.name, []).append(step)
    once = {name: its[0] for name, its in known.items()
            if len(its) == 1 and its[0].outcome != steps.FAILED
            and not its[0].is_open}
    for turns, time in ((_IN_TURN, 'start'), (_WITHIN, 'end')):
        for names in turns:
            if not {*names} <= once.keys():
                continue
            first, second = (once[name] for name in names)
            late: float = first.end - getattr(second, time)
            if first.source.service != second.source.service and (
                    late > _TOLERANCE_S):
                yield Offset(first.source.name, second.source.name, late,
                             first.request_id, turn=names)


def _note(found: dict[tuple[str, str], Offset], one: Offset) -> None:
    known = found.get((one.ahead, one.behind))
    if known is None or known.seconds < one.seconds:
        found[one.ahead, one.behind] = one


def ahead(log: str, other: str, offsets: Iterable[Offset]) -> float:
    """Return how far a log's clock is ahead of another's, as far as known."""
    return sum(o.seconds if (o.ahead, o.behind) == (log, other)
               else -o.seconds if (o.ahead, o.behind) == (other, log)
               else 0.0 for o in offsets)
