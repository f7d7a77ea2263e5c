# SPDX-License-Identifier: Apache-2.0
"""What the verbs have in common: how they report errors."""

from collections.abc import Callable
import functools
import inspect
from typing import Any

from mydriver import exception
from mydriver.privileged import values

#: Classes of error that take what could not be done and the reason.
Error = (type[exception.TargetError] | type[exception.StoreError]
         | type[exception.InitiatorError])


def translating_os_errors(
        what: str, error: Error
        ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a verb so that all of its errors are ours.

    An ``OSError`` becomes ``error``. A verb checks its values; if one of them
    leads to an error of Python's nevertheless, that becomes
    :class:`.RequestRefused`, since it would tell the caller about the inside.

    :param what: what the verb does, for the error's text.
    :param error: the class for the system's errors.
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
                # The path names the object. The value written is not shown.
                where = f' ({e.filename})' if e.filename else ''
                raise error(
                    what, f'{e.strerror or type(e).__name__}{where}') from e
            except (TypeError, ValueError, LookupError, AttributeError,
                    ArithmeticError, RecursionError) as e:
                raise exception.RequestRefused(
                    f'to {what}',
                    f'the call failed with {type(e).__name__}') from e
        return wrapper
    return decorate
