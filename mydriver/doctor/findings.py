# SPDX-License-Identifier: Apache-2.0
"""Checks of a host, and what they find."""

from collections.abc import Callable, Iterable, Sequence
import dataclasses
import enum

from mydriver.doctor.host import Host
from mydriver.hostfiles import choices

#: Both kinds of host.
BOTH = choices.KINDS
STORAGE, COMPUTE = (choices.STORAGE,), (choices.COMPUTE,)

#: How long a check may take unless it says otherwise, seconds.
TIMEOUT_S = 20.0


class Severity(enum.StrEnum):
    """How bad a finding is."""

    #: Everything is as it should be.
    OK = enum.auto()
    #: Nothing is wrong as far as can be known; something was not looked at.
    INFO = enum.auto()
    #: It could not be checked.
    UNKNOWN = enum.auto()
    #: It works, but will cause trouble.
    WARNING = enum.auto()
    #: It does not work.
    ERROR = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What a check has found.

    :param severity: how bad it is.
    :param what: a sentence.
    :param remedy: the command that mends it, or what to do by hand; empty if
        nothing has to be done.
    :param fix: does the same, if that is safe; returns what it did.
    """

    severity: Severity
    what: str
    remedy: str = ''
    fix: Callable[[], str] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """A check.

    :param id: its stable name, in kebab case.
    :param kinds: the kinds of host that it is for.
    :param title: what it looks at.
    :param why: why it matters.
    :param look: looks; yields nothing when all is well.
    :param timeout_s: how long it may take.
    """

    id: str
    kinds: tuple[str, ...]
    title: str
    why: str
    look: Callable[[Host], Iterable[Found]]
    timeout_s: float = TIMEOUT_S


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found on a host.

    :param check: the check.
    :param kind: the kind of host that it looked at.
    :param found: what it has found.
    """

    check: Check
    kind: str
    found: Found

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.found.severity


def ok(what: str) -> Found:
    """Return that all is well."""
    return Found(Severity.OK, what)


def info(what: str) -> Found:
    """Return what is not known, and need not be."""
    return Found(Severity.INFO, what)


def unknown(what: str, remedy: str = '') -> Found:
    """Return what could not be checked."""
    return Found(Severity.UNKNOWN, what, remedy)


def warning(what: str, remedy: str, fix: Callable[[], str] | None = None
            ) -> Found:
    """Return what will cause trouble."""
    return Found(Severity.WARNING, what, remedy, fix)


def error(what: str, remedy: str, fix: Callable[[], str] | None = None
          ) -> Found:
    """Return what does not work."""
    return Found(Severity.ERROR, what, remedy, fix)


#: Exit statuses as those of Nagios plugins, the most severe one first.
_STATUSES = ((Severity.ERROR, 2), (Severity.WARNING, 1),
             (Severity.UNKNOWN, 3))

#: The words that such a plugin begins its line with.
WORDS = {0: 'OK', 1: 'WARNING', 2: 'CRITICAL', 3: 'UNKNOWN'}


def exit_status(findings: Sequence[Finding]) -> int:
    """Return the exit status: 0, 1 warning, 2 critical, 3 unknown."""
    severities = {finding.severity for finding in findings}
    return next((status for severity, status in _STATUSES
                 if severity in severities), 0)
