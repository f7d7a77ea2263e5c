# SPDX-License-Identifier: Apache-2.0
"""Errors that only repeat what another service has answered.

The other service has failed before, even if its clock is ahead and its lines
seem to be later.
"""

from collections.abc import Iterable, Sequence
import re

from mydriver.trace import record, steps, tracebacks

#: An error, or a step that failed.
Failure = record.Record | steps.Step

#: Errors of Nova's client of Cinder, and of Nova because of one.
_ERRORS = ('ClientException', 'VolumeAttachFailed')
_STATUS = re.compile(r'\bHTTP (\d{3})\b')
_TEXT = 'Update attachment failed'
_TIMEOUT = 'MessagingTimeout'

#: Whom the APIs ask by messages.
_CALLED = {'cinder-api': ('cinder-volume', 'cinder-scheduler'),
           'nova-api': ('nova-compute', 'nova-conductor', 'nova-scheduler')}


def is_timeout(one: record.Record) -> bool:
    """Tell whether an error is that nobody has answered a message."""
    return any(_TIMEOUT in line for line in (one.text, *one.more))


def is_one(one: Failure) -> bool:
    """Tell whether an error is what Cinder has answered to Nova."""
    if one.source.service.startswith('cinder-'):
        return False
    if isinstance(one, steps.Step):
        return one.error in _ERRORS
    error, text = _said(one)
    return (error in _ERRORS or _TEXT in text
            or any(int(s) >= 400 for s in _STATUS.findall(text)))


def origin(failures: Sequence[Failure], found: Sequence[steps.Step],
           logged: Iterable[str]) -> Failure:
    """Return the first failure that is not the answer to another one.

    :param failures: of one request, in the order of their times.
    :param found: its steps.
    :param logged: the services that have lines of it.
    """
    services, one = {*logged}, failures[0]
    for _ in failures:
        own = _behind(one, failures, found, services)
        if not own:
            break
        one = own[0]
    return one


def _behind(one: Failure, failures: Iterable[Failure],
            found: Sequence[steps.Step], services: Iterable[str]
            ) -> list[Failure]:
    """Return the failures that a failure repeats."""
    called = _CALLED.get(one.source.service, ())
    if called and isinstance(one, record.Record) and not is_timeout(one) and (
            own := [f for f in failures if f.source.service in called
                    and f.request_id == one.request_id]) and any(
                        s.request_id == one.request_id for s in _refused(
                            found, one.source.service)):
        return own
    if not is_one(one):
        return []
    requests = _answered(one, found, services)
    return [f for f in failures if f.source.service.startswith('cinder-')
            and (requests is None or f.request_id in requests)]


def _answered(one: Failure, found: Sequence[steps.Step],
              services: Iterable[str]) -> set[str] | None:
    """Return the requests that an error may be the answer to.

    :returns: None if it may be any.
    """
    text = one.proof if isinstance(one, steps.Step) else _said(one)[1]
    if named := {*record.REQUEST.findall(text)}:
        return named
    refused = _refused(found, 'cinder-api')
    if statuses := {f'HTTP {s}' for s in _STATUS.findall(text)}:
        refused = [s for s in refused if s.error in statuses]
    if refused:
        time = time_of(one)
        return {min(refused, key=lambda s: abs(s.end - time)).request_id}
    return set() if 'cinder-api' in services else None


def time_of(one: Failure) -> float:
    """Return when something failed, seconds."""
    return one.end if isinstance(one, steps.Step) else one.time


def _refused(found: Iterable[steps.Step], service: str) -> list[steps.Step]:
    """Return the requests to an API that failed."""
    return [s for s in found if s.kind == steps.REQUEST
            and s.source.service == service and s.outcome == steps.FAILED]


def _said(one: record.Record) -> tuple[str, str]:
    """Return the first error of a record, and its text."""
    chain = tracebacks.chain(one.more)
    error, text = chain[0] if chain else ('', '')
    return error, text or one.text
