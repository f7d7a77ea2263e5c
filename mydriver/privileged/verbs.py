# SPDX-License-Identifier: Apache-2.0
"""What named verbs have in common: how they tell what went wrong."""

from collections.abc import Callable
import functools
import inspect
from typing import Any

from mydriver import exception
from mydriver.privileged import values

#: Takes what could not be done and the reason.
Error = (type[exception.TargetError] | type[exception.StoreError]
         | type[exception.InitiatorError])


def telling(what: str, error: Error
            ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn the system's errors into one of ours, and what else there may be.

    A verb checks each value. What goes wrong with one all the same must not
    reach the caller as an error of Python's, which tells of the inside.

    :param what: what the verb does, for the error's text.
    :param error: the class of the error.
    """
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as e:
                values.refuse(f'to {what}', str(e)[:200])
            try:
                return function(*args, **kwargs)
            except OSError as e:
                # The path tells the object; never the value that was written.
                where = f' ({e.filename})' if e.filename else ''
                raise error(
                    what, f'{e.strerror or type(e).__name__}{where}') from e
            except (TypeError, ValueError, LookupError, AttributeError,
                    ArithmeticError, RecursionError) as e:
                raise exception.RequestRefused(
                    f'to {what}', f'it met a {type(e).__name__}') from e
        return wrapper
    return decorate
