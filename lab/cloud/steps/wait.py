# SPDX-License-Identifier: Apache-2.0
"""Waiting for something to become true, never longer than a deadline."""

from collections.abc import Callable
import threading
import time
from typing import TypeVar

import requests

from lab import errors as lab_errors
from lab.cloud import errors

T = TypeVar('T')

#: Seconds that one wait is given. Generous: a busy machine is no failure.
DEADLINE_S = 300.0


class NotReady(Exception):
    """Raised by a probe: not yet, and why."""


def wait_for(probe: Callable[[], T | None], what: str,
             timeout_s: float = DEADLINE_S, *, poll_s: float = 0.1,
             abort: threading.Event | None = None) -> T:
    """Call ``probe`` until it returns something true.

    Unlike :func:`lab.process.wait_for` it takes what a service says while it
    starts (a refused connection, a 500) for "not yet", and can be stopped.

    :param probe: returns something true when ready; may raise
        :class:`NotReady`, OSError, ValueError or a requests error for "not
        yet". A :class:`~lab.errors.LabError` ends the wait at once.
    :param what: what is waited for, for the error's text.
    :param poll_s: seconds between two looks.
    :param abort: set from elsewhere to give up.
    :returns: what the probe returned.
    :raises DeadlinePassed: after ``timeout_s``, with what was seen last.
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
