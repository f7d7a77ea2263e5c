# SPDX-License-Identifier: Apache-2.0
"""Wait for a condition, up to a deadline."""

from collections.abc import Callable
import threading
import time
from typing import TypeVar

import requests

from lab import errors as lab_errors
from lab.cloud import errors

T = TypeVar('T')

#: Default deadline, seconds. It is generous: a busy machine is no failure.
DEADLINE_S = 300.0


class NotReady(Exception):
    """Raised by a probe that is not yet true, with the reason."""


def wait_for(probe: Callable[[], T | None], what: str,
             timeout_s: float = DEADLINE_S, *, poll_s: float = 0.1,
             abort: threading.Event | None = None) -> T:
    """Call ``probe`` until it returns something true.

    Unlike :func:`lab.process.wait_for` it tolerates the errors of a service
    that is starting (a refused connection, a 500), and can be stopped.

    :param probe: returns something true when ready. While not ready it may
        raise :class:`NotReady`, OSError, ValueError or a requests error. A
        :class:`~lab.errors.LabError` ends the wait.
    :param what: the thing waited for, for the error's text.
    :param timeout_s: timeout in seconds.
    :param poll_s: pause between two calls, seconds.
    :param abort: ends the wait when another thread sets it.
    :returns: what the probe returned.
    :raises DeadlinePassed: after ``timeout_s``, with the last error.
    :raises Aborted: when ``abort`` was set.
    """
    end = time.monotonic() + timeout_s
    seen = ''
    pause = abort or threading.Event()
    while True:
        try:
            value = probe()
            if value:
                return value
        except (NotReady, OSError, requests.RequestException,
                ValueError) as e:
            seen = f'last seen: {type(e).__name__}: {e}'[:400]
        if time.monotonic() > end:
            raise lab_errors.DeadlinePassed(what, timeout_s, seen)
        if pause.wait(poll_s):
            raise errors.Aborted(f'stopped waiting for {what}')
