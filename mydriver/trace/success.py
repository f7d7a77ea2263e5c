# SPDX-License-Identifier: Apache-2.0
"""Which errors count: a request may succeed in spite of some.

A last step that ended well proves that its request did. What came before it
was survived; what comes after it was not. Times are compared within one log
where it has a step to compare with, for clocks of hosts differ.
"""

from collections.abc import Iterable, Sequence
import re

from mydriver.trace import answers, clocks, ending, record, search, steps

#: Logs what a method of a service has raised, at the end of it, and how long
#: afterwards at most, seconds.
_RAISED, _SOON_S = 'oslo_messaging.rpc.server', 2.0
#: Connections to the message bus, which are made again and again.
_BUS = ('oslo_messaging._drivers', 'oslo.messaging._drivers')
#: How an error that comes of them is called.
_OF_BUS = re.compile(
    r'\b(?:Messag(?:ing|e)[A-Z]\w+|kombu\.|amqp\.)')

_SERVER = re.compile(rf'\[instance: ({record.UUID.pattern})\]')


def is_of_bus(one: record.Record) -> bool:
    """Tell whether a line is about a connection to the message bus.

    It is made again, so it is no failure, but it may be the cause of one.
    """
    return one.is_error and one.logger.startswith(_BUS)


def because_of_bus(one: answers.Failure) -> bool:
    """Tell whether a failure may come of a message bus that was gone."""
    texts = (one.error, one.proof) if isinstance(one, steps.Step) else (
        one.text, *one.more)
    return any(_OF_BUS.search(text) for text in texts)


def has_failed(kind: str, records: Sequence[record.Record],
               found: Sequence[steps.Step], its_proofs: Sequence[steps.Step],
               failures: Iterable[answers.Failure]) -> bool:
    """Tell whether failures made a request fail.

    :param kind: what the request does.
    :param records: of it.
    :param found: its steps.
    :param its_proofs: those of them that :func:`proofs` returns.
    :param failures: errors and failed steps.
    """
    if not its_proofs:
        return any(True for _ in failures)
    done = ending.ended(kind, records, found)
    offsets = clocks.offsets(records, found)
    return any(_counts(kind, one, its_proofs, done, found, offsets)
               for one in failures)


def proofs(kind: str, records: Iterable[record.Record],
           found: Iterable[steps.Step]) -> list[steps.Step]:
    """Return the last steps that show that a request succeeded."""
    return [s for s in ending.ended(kind, records, found)
            if s.outcome == steps.OK]


def _counts(kind: str, one: answers.Failure, its_proofs: Sequence[steps.Step],
            ended: Iterable[steps.Step], found: Iterable[steps.Step],
            offsets: Iterable[clocks.Offset]) -> bool:
    """Tell whether a failure counts though a last step ended well."""
    # Once a server runs, on whatever host, its build has succeeded.
    if kind == search.BOOT and any(
            p.name == 'build instance' for p in its_proofs):
        built = {s for p in its_proofs for s in _servers(p)}
        return bool(built) and not _servers(one) <= built
    if isinstance(one, record.Record) and one.logger == _RAISED and (
            one.source.service == 'nova-compute'):
        return True
    if kind == search.DETACH and (
            len(its_proofs) > 1 or isinstance(one, steps.Step)):
        # A server is deleted even if one of its volumes cannot be detached.
        return not isinstance(one, steps.Step) or not any(
            s.name == one.name and s.source == one.source
            and s.outcome == steps.OK and s.start >= one.end for s in found)
    time = answers.time_of(one)
    if own := [s.end for s in ended if s.source == one.source]:
        return time > max(own)
    done = [s.end for s in found if s.source == one.source
            and s.kind == steps.OPERATION and s.outcome == steps.OK]
    shown = [p.end + clocks.ahead(one.source.name, p.source.name, offsets)
             for p in its_proofs]
    return time > max(shown + done)


def mark_raised(records: Iterable[record.Record],
                found: Iterable[steps.Step]) -> None:
    """Mark methods of Nova's manager as failed of which an error was raised.

    The lock that shows such a method is released in any case.

    :param records: of a request that failed.
    :param found: its steps.
    """
    raised = [r for r in records if r.is_error and r.logger == _RAISED]
    for step in found:
        if step.name.endswith(' (manager)') and not step.is_open and (
                step.outcome == steps.UNKNOWN) and any(
                r.source == step.source and r.request_id == step.request_id
                and 0 <= r.time - step.end <= _SOON_S for r in raised):
            step.outcome = steps.FAILED


def _servers(one: answers.Failure) -> set[str]:
    """Return the servers that a failure or a step names."""
    return {*_SERVER.findall(one.proof if isinstance(one, steps.Step)
                             else one.text)}
