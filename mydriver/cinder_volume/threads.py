# SPDX-License-Identifier: Apache-2.0
"""Native threads beside cinder-volume's green ones: all use of eventlet."""

from collections.abc import Callable
from typing import TypeVar, cast
import warnings

from eventlet import patcher, tpool

from mydriver.stores import base

_T = TypeVar('_T')


def native(store: base.VolumeStore) -> base.VolumeStore:
    """Return a store whose methods run in native threads, if it needs them.

    A method that flushes a file blocks its thread; other green
    threads run meanwhile.
    """
    if not store.traits.needs_native_thread:
        return store
    return cast(base.VolumeStore, tpool.Proxy(store))


def run(step: Callable[[], _T]) -> _T:
    """Run something in a native thread and wait for its result."""
    return cast(_T, tpool.execute(step))


def are_green() -> bool:
    """Tell whether cinder-volume's threads are eventlet's green ones.

    Cinder 29 has a choice, and a module that knows of it
    (cinder/monkey_patch.py). Cinder 28 has neither, its threads are always
    green (cinder/cmd/volume.py). eventlet knows it under both.
    """
    return bool(patcher.is_monkey_patched('thread'))


def adapt_pool() -> None:
    """Adapt eventlet's thread pool to cinder-volume's threading mode.

    Cinder reads and writes images through ``eventlet.tpool`` in both modes
    (cinder/image/image_utils.py, fetch). With green threads that works. With
    native threads the pool hands results to a hub in whichever thread came
    first, and every other thread waits for ever. A pool of no threads calls
    straight through, which is all that native threads need.
    """
    if are_green():
        return
    tpool.set_num_threads(0)
    with warnings.catch_warnings():
        # eventlet warns of exactly this.
        warnings.simplefilter('ignore', RuntimeWarning)
        tpool.setup()
