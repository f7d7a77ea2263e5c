# SPDX-License-Identifier: Apache-2.0
"""Poll for a condition, with growing pauses.

sysfs sends no events for most conditions (a block device below a SCSI device,
a slave below a map), and most are met within a few milliseconds. So poll often
at first and less often later.
"""

from collections.abc import Callable
import fcntl
import time
from typing import TypeVar

from mydriver import exception

T = TypeVar('T')

_FIRST_S = 0.002
_FACTOR = 1.5
_LONGEST_S = 0.1


def wait_for(probe: Callable[[], T | None], what: str,
             timeout_s: float) -> T:
    """Call ``probe`` until it returns something true.

    :param probe: checks once, without blocking.
    :param what: the condition, for the error: "waiting for {what}".
    :param timeout_s: how long to poll; ``probe`` is called once more at the
        end.
    :returns: what ``probe`` returned.
    :raises WaitTimeout: if the time is up.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_S
    while True:
        late = time.monotonic() >= deadline
        found = probe()
        if found:
            return found
        if late:
            raise exception.WaitTimeout(what, round(timeout_s, 1))
        time.sleep(max(0, min(pause_s, deadline - time.monotonic())))
        pause_s = min(pause_s * _FACTOR, _LONGEST_S)


def try_lock(fd: int, kind: int) -> bool:
    """Try to lock a file by flock(2); tell whether it is locked now.

    :param fd: its descriptor.
    :param kind: ``fcntl.LOCK_SH`` or ``fcntl.LOCK_EX``.
    """
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
