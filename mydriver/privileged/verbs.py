# SPDX-License-Identifier: Apache-2.0
"""Translate errors of the system and of Python in privileged verbs."""

from collections.abc import Callable
import functools
import inspect
from typing import Any

from mydriver import exception
from mydriver.privileged import values

#: A class of errors with the fields ``what`` and ``reason``.
Error = (type[exception.TargetError] | type[exception.StoreError]
         | type[exception.InitiatorError] | type[exception.AddressError])


def translating_os_errors(
        what: str, error: Error
        ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a verb so that it raises only errors of ours.

    A verb checks each value. If one causes an error of Python's all the same,
    that must not reach the caller, since it shows internals.

    :param what: what the verb does, for the error's text.
    :param error: the class that an ``OSError`` becomes.
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
                # The path names the object; the value is never shown.
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
