# SPDX-License-Identifier: Apache-2.0
"""What named verbs have in common: how they tell what went wrong."""

from collections.abc import Callable
import functools
from typing import Any

from mydriver import exception

#: Takes what could not be done and the reason.
Error = (type[exception.TargetError] | type[exception.StoreError]
         | type[exception.InitiatorError])


def telling(what: str, error: Error
            ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn the system's errors into one of ours.

    :param what: what the verb does, for the error's text.
    :param error: the class of the error.
    """
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except OSError as e:
                # The path tells the object; never the value that was written.
                where = f' ({e.filename})' if e.filename else ''
                raise error(
                    what, f'{e.strerror or type(e).__name__}{where}') from e
        return wrapper
    return decorate
