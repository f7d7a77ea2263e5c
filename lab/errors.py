# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in the lab, in words for whoever runs it."""


class LabError(Exception):
    """Base of all errors of the lab; its text is shown as it is.

    :cvar exit_status: what ``python -m lab`` returns for it.
    """

    exit_status = 1


class MissingProgram(LabError):
    """A program of the machine is needed and is not there."""

    def __init__(self, program: str, package: str) -> None:
        super().__init__(f'{program} is missing. Install it: '
                         f'apt-get install {package}')
        self.program = program
        self.package = package


class DeadlinePassed(LabError):
    """Something did not happen in time.

    :param what: what was waited for.
    :param timeout_s: for how long, seconds.
    :param details: what was seen instead, such as the end of a log.
    """

    #: As timeout(1) has it.
    exit_status = 124

    def __init__(self, what: str, timeout_s: float,
                 details: str = '') -> None:
        text = f'timed out after {timeout_s:g} s: waiting for {what}'
        super().__init__(f'{text}\n{details}' if details else text)
        self.what = what
        self.timeout_s = timeout_s


class ProcessEnded(LabError):
    """A process is gone that should be there.

    :param name: of the process.
    :param details: what is known of its end, such as the end of its log.
    """

    def __init__(self, name: str, details: str = '') -> None:
        text = f'{name} has ended'
        super().__init__(f'{text}\n{details}' if details else text)
        self.name = name
