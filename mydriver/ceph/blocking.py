# SPDX-License-Identifier: Apache-2.0
"""Calls of librados and librbd, which block the thread that makes them.

cinder-volume may run on green threads, all of which stand still while one of
them is in a call of C code. It sets a function here that runs such calls in
native threads. What is marked as a step is run by it as a whole.

A step must not take a lock, log, or call a privileged verb: these wait for
other green threads, which a native thread cannot do.
"""

from collections.abc import Callable
import functools
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec('_P')
_T = TypeVar('_T')

#: Runs a function without arguments, and returns its result.
Runner = Callable[[Callable[[], Any]], Any]


def _directly(function: Callable[[], Any]) -> Any:
    return function()


_run: Runner = _directly


def use(runner: Runner | None) -> None:
    """Run all steps of this process with a function from now on.

    :param runner: the function; None runs them directly, as at first.
    """
    global _run
    _run = runner or _directly


def step(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Mark a function that makes blocking calls, and nothing else."""
    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        result: _T = _run(lambda: function(*args, **kwargs))
        return result
    return call
