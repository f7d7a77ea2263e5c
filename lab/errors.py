# SPDX-License-Identifier: Apache-2.0
"""Errors of the lab. Each text is for the person who runs it."""


class LabError(Exception):
    """Base of all errors of the lab; the text is shown unchanged.

    :cvar exit_status: what ``python -m lab`` returns for it.
    """

    exit_status = 1


class MissingProgram(LabError):
    """A program that the lab needs is not installed."""

    def __init__(self, program: str, package: str) -> None:
        super().__init__(f'{program} is missing. Install it: '
                         f'apt-get install {package}')
        self.program = program
        self.package = package


class DeadlinePassed(LabError):
    """Something did not happen in time.

    :param what: the thing waited for.
    :param timeout_s: timeout in seconds.
    :param details: what was seen instead, such as the end of a log.
    """

    #: As timeout(1) has it.
    exit_status = 124

    def __init__(self, what: str, timeout_s: float,
                 details: str = '') -> None:
        text = f'timed out after {timeout_s:g} s waiting for {what}'
        super().__init__(f'{text}\n{details}' if details else text)
        self.what = what
        self.timeout_s = timeout_s


class ProcessEnded(LabError):
    """A process ended that should be running.

    :param name: of the process.
    :param details: what is known of its end, such as the end of its log.
    """

    def __init__(self, name: str, details: str = '') -> None:
        text = f'{name} has ended'
        super().__init__(f'{text}\n{details}' if details else text)
        self.name = name
