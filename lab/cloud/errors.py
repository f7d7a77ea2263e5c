# SPDX-License-Identifier: Apache-2.0
"""Errors of the lab's cloud: each text says what to do or where to look."""

from lab import errors


class CloudError(errors.LabError):
    """Something that a person must know; shown without a traceback."""


class Aborted(CloudError):
    """Another step failed, so this one stopped."""


class StepFailed(CloudError):
    """A program that had to succeed did not.

    :param name: of the step.
    :param status: its exit status.
    :param details: the end of its log.
    """

    def __init__(self, name: str, status: int, details: str) -> None:
        super().__init__(f'{name}: exit status {status}\n{details}')
        self.name = name
        self.status = status
