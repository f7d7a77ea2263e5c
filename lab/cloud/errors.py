# SPDX-License-Identifier: Apache-2.0
"""Errors of the cloud. Each text says what to do or where to look."""

from lab import errors


class CloudError(errors.LabError):
    """An error for the person who runs the lab; shown without traceback."""


class Aborted(CloudError):
    """A step was stopped because another one failed."""


class StepFailed(CloudError):
    """A program of a step failed.

    :param name: of the step.
    :param status: its exit status.
    :param details: the end of its log.
    """

    def __init__(self, name: str, status: int, details: str) -> None:
        super().__init__(f'{name}: exit status {status}\n{details}')
        self.name = name
        self.status = status
