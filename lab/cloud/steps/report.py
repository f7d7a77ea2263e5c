# SPDX-License-Identifier: Apache-2.0
"""What ``up`` and its like say while they work."""

import threading

_lock = threading.Lock()


def say(text: str) -> None:
    """Print a line at once."""
    with _lock:
        print(text, flush=True)


def step(at_s: float, name: str, took_s: float) -> None:
    """Print that a step is done.

    :param at_s: seconds since the beginning.
    :param took_s: seconds that the step took by itself.
    """
    say(f'{at_s:7.1f} s  {name} ({took_s:.1f} s)')
