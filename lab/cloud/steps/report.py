# SPDX-License-Identifier: Apache-2.0
"""Progress of ``up`` and other commands."""

import threading

_lock = threading.Lock()


def say(text: str) -> None:
    """Print a line, without buffering."""
    with _lock:
        print(text, flush=True)


def step(at_s: float, name: str, took_s: float) -> None:
    """Print that a step is done.

    :param at_s: seconds since the start.
    :param took_s: duration of the step, seconds.
    """
    say(f'{at_s:7.1f} s  {name} ({took_s:.1f} s)')
