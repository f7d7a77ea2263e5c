# SPDX-License-Identifier: Apache-2.0
"""The first cause of a failure."""

from collections.abc import Iterable, Sequence
import dataclasses

from mydriver.trace import (
    answers,
    record,
    safe,
    search,
    steps,
    success,
    tracebacks,
)

#: Which lines of another error come with it, seconds.
_NEAR_S = 2.0
_TEXT_MAX = tracebacks.TEXT_MAX
#: They are called by HTTP, not by messages.
_APIS = ('nova-api', 'cinder-api')

#: Loggers of libraries whose errors concern no request.
_SIDE_SHOWS = ('stevedore', 'oslo_cache', 'keystonemiddleware')

#: What to do about errors that are not of this package, whose own texts say
#: it.
_HINTS = {
    'MessagingTimeout': 'The service that was called did not answer within '
    'rpc_response_timeout. Look at its own log, and at '
    '"openstack volume service list".',
    'DBConnectionError': 'The database does not answer.',
    'PrivsepTimeout': 'The privileged daemon did not answer; see "Privileges" '
    'in the documentation.',
    'FailedToDropPrivileges': 'Check the helper_command of the section and '
    'sudoers.',
    'TargetPortalNotFound': 'No portal answers. Check the network between '
    'the hosts and "mydriver status" on the storage host.',
    'VolumeAttachFailed': 'See the error before it.',
    'ClientException': 'Cinder\'s answer; its own log has the cause.',
}
_BUS_HINT = ('The message bus (RabbitMQ) did not answer. Look at its own log, '
             'and at transport_url.')


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """What failed first.

    :param source: the log that shows it.
    :param time: seconds.
    :param step: name of the step that failed; empty if none is known.
    :param error: class of the error; empty if none is known.
    :param text: what is logged about it.
    :param hint: what to do; empty where the text says it.
    :param line: of the log, if that itself is the cause.
    """

    source: str
    time: float
    step: str
    error: str
    text: str
    hint: str = ''
    line: str = ''


def first(records: Sequence[record.Record], found: Sequence[steps.Step],
          kind: str = search.ATTACH) -> Cause | None:
    """Return the first cause of a failure; None if nothing failed.

    :param records: of one request, in the order of their times.
    :param found: its steps.
    :param kind: what it does.
    """
    errors = [r for r in records if _is_failure(r)]
    failed = sorted((s for s in found if s.outcome == steps.FAILED
                     and s.kind != steps.REQUEST
                     and (s.kind != steps.PHASE or _counts(s, found))),
                    key=lambda s: (s.end, -s.kind))
    bus = [r for r in records if success.is_of_bus(r)]
    proofs = success.proofs(kind, records, found)
    if not success.has_failed(kind, records, found, proofs, [
            *errors, *(s for s in failed if s.kind == steps.OPERATION)]):
        return None if proofs else _of_request(found, bus)
    failures: list[answers.Failure] = sorted(
        [*failed, *errors], key=answers.time_of)
    one = answers.origin(failures, found, {r.source.service for r in records})
    if success.because_of_bus(one) and (gone := _of_bus(
            bus, one.source, answers.time_of(one), found)):
        return gone
    if isinstance(one, steps.Step):
        return _of_step(one, records, errors)
    return _with_silent(_of_record(one, found), records)


def consequences(records: Iterable[record.Record],
                 cause: Cause) -> list[tuple[str, str]]:
    """Return what failed because of it: log and text, one for each log.

    What the cause says already is left out, and that the message bus is gone.
    """
    seen: dict[str, str] = {}
    for one in records:
        if one.is_error and not success.is_of_bus(one) and (
                one.time >= cause.time or answers.is_one(one)) and (
                    one.source.name != cause.source or one.text != cause.line):
            seen.setdefault(one.source.name, _shortened(
                one.text.replace(cause.text, '...') if cause.text
                else one.text))
    return list(seen.items())


def _is_failure(one: record.Record) -> bool:
    if one.logger.startswith(_SIDE_SHOWS) or success.is_of_bus(one):
        return False
    return one.is_error or any(
        line.startswith('Traceback (most recent call last)')
        for line in one.more)


def _counts(phase: steps.Step, found: Iterable[steps.Step]) -> bool:
    """Tell whether the operation failed that a failed phase is part of.

    An attach goes on with the next path when a login fails.
    """
    operation = phase.name.partition(':')[0]
    return any(s.name == operation and s.outcome == steps.FAILED
               and s.source == phase.source
               and s.start <= phase.end and phase.start <= s.end
               for s in found if s.kind == steps.OPERATION)


def _of_request(found: Sequence[steps.Step],
                bus: Sequence[record.Record]) -> Cause | None:
    """Return a request that was refused without any line about why.

    What only looks something up may find nothing.

    :param bus: lines about a message bus that does not answer.
    """
    refused = [s for s in found if s.outcome == steps.FAILED
               and s.kind == steps.REQUEST
               and not s.name.lower().startswith('get ')]
    if not refused:
        return None
    one = min(refused, key=lambda s: s.end)
    if one.error.startswith('HTTP 5') and (gone := _of_bus(
            [r for r in bus if r.source == one.source], one.source, one.end,
            found)):
        return gone
    return Cause(one.source.name, one.end, one.name, one.error, one.proof,
                 'The service logs no more about it at this level.')


def _of_bus(bus: Sequence[record.Record], source: record.Source, time: float,
            found: Sequence[steps.Step]) -> Cause | None:
    """Return the first sign that the message bus was gone before a failure.

    :param bus: lines that say so.
    :param source: the log of the failure, whose own lines are told first.
    :param time: of the failure.
    """
    project = source.service.partition('-')[0]
    before = [r for r in bus if r.source == source and r.time <= time] or [
        r for r in bus if r.source != source
        and r.source.service.partition('-')[0] == project]
    return dataclasses.replace(
        _of_record(before[0], found), hint=_BUS_HINT) if before else None


def _with_silent(found: Cause, records: Sequence[record.Record]) -> Cause:
    """Add to a timeout where the service that did not answer was last.

    It may have been killed or stuck there.
    """
    if found.error != 'MessagingTimeout':
        return found
    others = [r for r in records if r.source.name != found.source
              and r.time <= found.time and r.source.service not in _APIS]
    if not others:
        return found
    last = max(others, key=lambda r: r.time)
    return dataclasses.replace(
        found, hint=f'{found.hint} Its last line of this request is of '
        f'{record.clock(last.time)}: {last.source.name}: {steps.proof(last)}')


def _of_step(step: steps.Step, records: Sequence[record.Record],
             errors: Sequence[record.Record]) -> Cause:
    """Return a failed step, with the text of the error as it is logged."""
    # Nova logs an error after it has cleaned up, which can take long.
    for one in records:
        if (one.source.service == step.source.service
                and step.end - _NEAR_S <= one.time):
            for error, text in tracebacks.chain(one.more):
                if error == step.error and text:
                    return _made(step.source.name, step.end, step.name,
                                 error, text)
    warned = [r for r in records
              if r.source == step.source and r.level in (
                  'WARNING', 'ERROR', 'CRITICAL')
              and step.start <= r.time <= step.end + _NEAR_S]
    near = [*warned, *sorted(errors, key=lambda r: r.source != step.source)]
    line = near[0].text if near else ''
    return _made(step.source.name, step.end, step.name, step.error,
                 line or step.proof, line)


def _of_record(one: record.Record, found: Sequence[steps.Step]) -> Cause:
    inside = [s for s in found if s.source == one.source
              and s.start <= one.time <= s.end]
    step = min(inside, key=lambda s: s.duration).name if inside else ''
    chain = tracebacks.chain(one.more)
    error, text = chain[0] if chain else ('', '')
    return _made(one.source.name, one.time, step, error, text or one.text,
                 one.text)


def _made(source: str, time: float, step: str, error: str, text: str,
          line: str = '') -> Cause:
    return Cause(source, time, step, error, _shortened(text),
                 _HINTS.get(error, ''), line)


def _shortened(text: str) -> str:
    text = safe.masked(text[:4 * _TEXT_MAX])
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX - 3] + '...'
