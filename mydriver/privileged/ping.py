# SPDX-License-Identifier: Apache-2.0
"""Privileged verbs that show that a daemon works, and do nothing."""

import os

from mydriver import exception, privileged
from mydriver.privileged import grants, verbs


@privileged.target_context.entrypoint
@verbs.translating_os_errors('look at the configuration',
                             exception.TargetError)
def ping_target() -> int:
    """Return the user id of cinder-volume's daemon.

    :raises ConfigurationError: when others than root can change its
        configuration files.
    """
    grants.current()
    return os.geteuid()


@privileged.initiator_context.entrypoint
@verbs.translating_os_errors('answer', exception.InitiatorError)
def ping_initiator() -> int:
    """Return the user id of nova-compute's daemon."""
    return os.geteuid()
