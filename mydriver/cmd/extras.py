# SPDX-License-Identifier: Apache-2.0
"""What commands say where an extra of the package is not installed."""

from mydriver import exception


class NotInstalled(exception.ConfigurationError):
    """A command needs a part of the package that is not installed."""


def needs_storage(command: str, missing: ModuleNotFoundError) -> NotInstalled:
    """Return the error of a command that needs the extra ``storage``.

    :param command: what the operator has typed after ``mydriver``.
    :param missing: what kept it from being imported.
    """
    return NotInstalled(
        f'mydriver {command}', str(missing),
        'This command is for storage hosts. Install mydriver[storage] there.')


def needs_either(command: str, missing: ModuleNotFoundError) -> NotInstalled:
    """Return the error of a command that both kinds of host run.

    :param command: see :func:`needs_storage`.
    :param missing: what is in both extras.
    """
    return NotInstalled(
        f'mydriver {command}', str(missing),
        'Install mydriver[compute] on a compute host, mydriver[storage] on a '
        'storage host.')
