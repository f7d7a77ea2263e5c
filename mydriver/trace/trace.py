# SPDX-License-Identifier: Apache-2.0
"""All that is known about one request, ready to be shown."""

import dataclasses
from typing import Any

from mydriver.trace import (
    breakdown,
    cause,
    clocks,
    coverage,
    ending,
    finder,
    logs,
    record,
    safe,
    search,
    steps,
    success,
)
from mydriver.trace.steps import Step

#: Most lines that are kept for the output.
_LINES_MAX = 500
#: When a line belongs to a request no more, after its last step, seconds.
_LATE_S = 5.0
#: What nova-compute logs when it leaves a build to another host, and what
#: nova-conductor logs when there is none.
_FAILED_HERE = 'Failed to build and run instance'
_GIVEN_UP = 'Failed to compute_task_build_instances'


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """One request and those that it caused.

    :param subject: what was searched for.
    :param flow: the request.
    :param start: of its first line or step, seconds.
    :param end: of its last one.
    :param steps: in the order of their beginnings.
    :param shares: where the time went, the longest first.
    :param gaps: periods without a step, the longest first.
    :param pauses: periods without a line within steps, the longest first.
    :param cause: of the failure, if it failed.
    :param is_unfinished: no line shows that it came to its end.
    :param unended: the steps that keep it from its end.
    :param consequences: what failed because of it: log and text.
    :param offsets: clocks that differ.
    :param notes: what cannot be seen.
    :param lines: those at INFO and above.
    :param others: other requests that could have been meant.
    """

    subject: str
    flow: search.Flow
    start: float
    end: float
    steps: list[steps.Step]
    shares: list[breakdown.Share]
    gaps: list[breakdown.Gap]
    pauses: list[breakdown.Pause]
    cause: cause.Cause | None
    is_unfinished: bool
    unended: list[Step]
    consequences: list[tuple[str, str]]
    offsets: list[clocks.Offset]
    notes: list[str]
    lines: list[record.Record]
    others: list[search.Flow]

    @property
    def outcome(self) -> str:
        """``ok``, ``failed`` or ``unfinished``."""
        if self.cause:
            return steps.FAILED
        return steps.UNFINISHED if self.is_unfinished else steps.OK

    @property
    def last_step(self) -> Step | None:
        """The last step of a request that is unfinished."""
        return ending.last(self.steps, self.unended) if (
            self.outcome == steps.UNFINISHED) else None

    def to_dict(self) -> dict[str, Any]:
        """Return it as primitives; times in milliseconds since the start."""
        def ms(seconds: float) -> float:
            return round(seconds * 1e3, 1)

        last = self.last_step
        return {
            'subject': self.subject,
            'request_id': self.flow.key,
            'kind': self.flow.kind,
            'outcome': self.outcome,
            'last_step': None if last is None else {
                'name': last.name, 'log': last.source.name,
                'start_ms': ms(last.start - self.start),
                'error': last.error},
            'volumes': sorted(self.flow.volumes),
            'started_at': record.clock(self.start),
            'duration_ms': ms(self.end - self.start),
            'steps': [{
                'name': s.name, 'log': s.source.name,
                'start_ms': ms(s.start - self.start),
                'duration_ms': ms(s.duration), 'outcome': s.outcome,
                'error': s.error, 'request_id': s.request_id,
                'proof': s.proof} for s in self.steps],
            'breakdown': [{
                'name': s.name, 'log': s.source, 'duration_ms': ms(s.seconds)}
                for s in self.shares],
            'gaps': [{
                'start_ms': ms(g.start - self.start),
                'duration_ms': ms(g.seconds), 'after': g.after,
                'before': g.before} for g in self.gaps],
            'pauses': [{
                'step': p.step, 'log': p.source,
                'start_ms': ms(p.start - self.start),
                'duration_ms': ms(p.seconds), 'after': p.after}
                for p in self.pauses],
            'cause': None if self.cause is None else {
                'log': self.cause.source, 'step': self.cause.step,
                'at_ms': ms(self.cause.time - self.start),
                'error': self.cause.error, 'text': self.cause.text,
                'hint': self.cause.hint},
            'consequences': [{'log': log, 'text': text}
                             for log, text in self.consequences],
            'clock_differences': [{
                'ahead': o.ahead, 'behind': o.behind,
                'at_least_ms': ms(o.seconds), 'request_id': o.request_id}
                for o in self.offsets],
            'notes': self.notes,
            'other_requests': [other(f) for f in self.others],
        }


def other(flow: search.Flow) -> dict[str, str]:
    """Return what tells requests apart, as primitives."""
    return {'request_id': flow.key, 'kind': flow.kind,
            'started_at': record.clock(flow.first)}


def of(its_logs: logs.Logs, subject: str, kind: str = '') -> Trace:
    """Trace a request.

    :param subject: ``req-UUID``, or the UUID of a server or volume.
    :param kind: what the request has to do; by default attach, detach, boot.
    :raises ConfigurationError: if the logs have no such request.
    """
    subject = search.check(subject)
    known = search.flows(its_logs.records([subject]))
    flow = search.choose(known, subject, kind, its_logs.problems)
    if not subject.startswith('req-') and not flow.volumes:
        flow.volumes.add(subject)
    records, cut = search.collect(its_logs, flow)
    _learn(flow, records)
    found = finder.Finder().find(records)
    records, late = _without_late(records, found)
    start = min(t for t in (*(r.time for r in records),
                            *(s.start for s in found)))
    end = max(r.time for r in records)
    reason = cause.first(records, found, flow.kind)
    if reason:
        success.mark_raised(records, found)
    offsets = clocks.offsets(records, found)
    unended = ending.unended(flow.kind, records, found, offsets)
    is_unfinished = reason is None and ending.is_missing(
        flow, records, found, unended)
    notes = coverage.missing(flow.kind, its_logs.sources, records, found,
                             reason is not None or is_unfinished)
    if is_unfinished:
        notes.insert(0, 'No line shows that the request came to its end: a '
                     'service still works on it or was stopped, or the end '
                     'is in a log that was not read.')
    notes += [f'{p}.' for p in its_logs.problems]
    if cut:
        notes.append(f'The request has more than {search.RECORDS_MAX} lines; '
                     'the others were left out.')
    if late:
        notes.append(
            (f'{late} more lines name this request long after its last step '
             'and were' if late > 1 else
             'One more line names this request long after its last step and '
             'was')
            + ' left out: threads of Nova that it began keep its name.')
    notes += _of_others(flow, records, reason, is_unfinished)
    if flow.kind == search.OTHER:
        notes.append('This request is no attach, detach or boot.')
    return Trace(
        subject, flow, start, end, found,
        breakdown.shares(found, start, end),
        breakdown.gaps(found, start, end),
        breakdown.pauses(found, records, start, end), reason, is_unfinished,
        unended,
        cause.consequences(records, reason) if reason else [],
        offsets, notes,
        [_masked(r) for r in records if r.level != 'DEBUG'][:_LINES_MAX],
        [f for f in known if f is not flow and f.kind != search.OTHER])


def _of_others(flow: search.Flow, records: list[record.Record],
               reason: cause.Cause | None, is_unfinished: bool) -> list[str]:
    """Return notes about what is judged by less than all of it."""
    said: list[str] = []
    if its := ending.other(records):
        name, last = its
        said.append(f'This request is {name}: only what concerns volumes is '
                    'shown, and ' + (
                        f'it counts as done with {last[0]}.' if last else
                        'no line shows whether it came to its end.'))
    if reason and flow.kind == search.BOOT and any(
            _FAILED_HERE in r.text for r in records) and not any(
                r.source.service == 'nova-conductor' and (
                    r.is_error or _GIVEN_UP in r.text) for r in records):
        said.append('Nova builds the server on another host after such a '
                    'failure, if there is one: no line shows whether it did.')
    gone = next((r for r in records if success.is_of_bus(r)), None)
    if is_unfinished and gone:
        said.append(f'{gone.source.name} did not reach the message bus at '
                    f'{record.clock(gone.time)}: {safe.masked(gone.text)}')
    return said


def _masked(one: record.Record) -> record.Record:
    return dataclasses.replace(
        one, text=safe.masked(one.text),
        more=[safe.masked(line) for line in one.more])


def _without_late(records: list[record.Record], found: list[steps.Step]
                  ) -> tuple[list[record.Record], int]:
    """Leave out lines that come long after the last step.

    Nova's thread for libvirt's events keeps the context of the request that
    began it, and logs events of all servers under its name.

    :param records: in the order of their times.
    :returns: the others, and how many were left out.
    """
    if not found:
        return records, 0
    last = max(s.end for s in found) + _LATE_S
    own = [r for r in records if not _of_the_next(r, found)]
    kept = [r for r in own if r.time <= last or r.is_error]
    return kept, len(own) - len(kept)


def _of_the_next(one: record.Record, found: list[steps.Step]) -> bool:
    """Tell whether a line is of the next request of an API's thread.

    The thread keeps the last request's name until the next one has a context,
    which is after its token was checked.
    """
    if one.is_error or not one.logger.startswith('keystoneauth.'):
        return False
    own = [s.end for s in found if s.source == one.source]
    return one.source.service.endswith('-api') and bool(own) and (
        one.time > max(own))


def _learn(flow: search.Flow, records: list[record.Record]) -> None:
    """Take over what all lines of the request show of it."""
    for one in search.flows(records):
        flow.kinds |= one.kinds
        flow.volumes |= one.volumes
        flow.ids |= one.ids
