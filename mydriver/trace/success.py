# SPDX-License-Identifier: Apache-2.0
"""Which errors count: a request may succeed in spite of some.

A last step that ended well proves that its request did. What came before it
was survived; what comes after it was not. Times are compared within one log
where it has a step to compare with, for clocks of hosts differ.
"""

from collections.abc import Iterable, Sequence
import re

from mydriver.trace import answers, clocks, ending, record, search, steps

#: Logs what a method of a service has raised, at the end of it.
_RAISED = 'oslo_messaging.rpc.server'
#: Connections to the message bus, which are made again and again.
_BUS = ('oslo_messaging._drivers', 'oslo.messaging._drivers')
#: How an error that comes of them is called.
_OF_BUS = re.compile(
    r'\b(?:Messag(?:ing|e)[A-Z]\w+|kombu\.|amqp\.)')

#: When it logs it, at the latest, seconds.
_SOON_S = 2.0

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
               found: Sequence[steps.Step],
               failures: Iterable[answers.Failure]) -> bool:
    """Tell whether failures made a request fail.

    :param kind: what the request does.
    :param records: of it.
    :param found: its steps.
    :param failures: errors and failed steps.
    """
    ends, proofs = ending.names(kind, records), _proofs(kind, records, found)
    if not proofs:
        return any(True for _ in failures)
    offsets = clocks.offsets(records, found)
    return any(_counts(kind, one, proofs, ends, found, offsets)
               for one in failures)


def has_proof(kind: str, records: Sequence[record.Record],
              found: Iterable[steps.Step]) -> bool:
    """Tell whether a last step shows that a request succeeded."""
    return bool(_proofs(kind, records, found))


def _proofs(kind: str, records: Iterable[record.Record],
            found: Iterable[steps.Step]) -> list[steps.Step]:
    ends = ending.names(kind, records)
    return [s for s in found if s.name in ends and s.outcome == steps.OK]


def _counts(kind: str, one: answers.Failure, proofs: Sequence[steps.Step],
            ends: set[str], found: Iterable[steps.Step],
            offsets: Iterable[clocks.Offset]) -> bool:
    """Tell whether a failure counts though a last step ended well."""
    # Once a server runs, on whatever host, its build has succeeded.
    if kind == search.BOOT and any(
            p.name == 'build instance' for p in proofs):
        built = {s for p in proofs for s in _servers(p)}
        return bool(built) and not _servers(one) <= built
    if isinstance(one, record.Record) and one.logger == _RAISED and (
            one.source.service == 'nova-compute'):
        return True
    if kind == search.DETACH and (
            len(proofs) > 1 or isinstance(one, steps.Step)):
        # A server is deleted even if one of its volumes cannot be detached.
        return not isinstance(one, steps.Step) or not any(
            s.name == one.name and s.source == one.source
            and s.outcome == steps.OK and s.start >= one.end for s in found)
    time = one.end if isinstance(one, steps.Step) else one.time
    here = [s for s in found if s.source == one.source]
    if own := [s.end for s in here if s.name in ends
               and s.outcome != steps.FAILED and not s.is_open]:
        return time > max(own)
    done = [s.end for s in here if s.kind == steps.OPERATION
            and s.outcome == steps.OK]
    shown = [p.end + clocks.ahead(one.source.name, p.source.name, offsets)
             for p in proofs]
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
