# SPDX-License-Identifier: Apache-2.0
"""A step of a request, and the line that proves it."""

import dataclasses
import re

from mydriver.trace import record, safe

OK, FAILED, UNKNOWN = 'ok', 'failed', 'unknown'
#: Of a request of which no line shows the end.
UNFINISHED = 'unfinished'

#: Kinds of steps, outermost first.
REQUEST, SERVICE, OPERATION, PHASE, WAIT = range(5)

#: Begin and end of a function that os-brick traces.
CALL = re.compile(r'==> (\w+): call')
RETURN = re.compile(r'<== (\w+): (return|exception) \(([0-9.]{1,20})ms\)')

_PROOF_MAX = 160


@dataclasses.dataclass(slots=True)
class Step:
    """What a service did for a while.

    :param name: of the step.
    :param source: the log that shows it.
    :param start: seconds.
    :param end: seconds.
    :param kind: :data:`REQUEST` and so on.
    :param proof: the line, shortened.
    :param outcome: :data:`OK`, :data:`FAILED` or :data:`UNKNOWN`.
    :param error: class of the error, or HTTP status.
    :param request_id: of the request.
    """

    name: str
    source: record.Source
    start: float
    end: float
    kind: int
    proof: str
    outcome: str = OK
    error: str = ''
    request_id: str = ''

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start

    @property
    def is_open(self) -> bool:
        """Whether no line shows its end."""
        return self.outcome == UNKNOWN and bool(self.error)


def proof(one: record.Record) -> str:
    """Return a line in the form in which it is shown, without secrets."""
    # Not what a traced function was given or returns.
    if traced := (RETURN.search(one.text) or CALL.search(one.text)):
        return f'{one.logger}: {traced[0]}'
    text = safe.masked(one.text[:4000])
    return f'{one.logger}: ' + (
        text if len(text) <= _PROOF_MAX else text[:_PROOF_MAX - 3] + '...')
