# SPDX-License-Identifier: Apache-2.0
"""What the verbs for a thin pool share: errors and serialisation."""

from collections.abc import Callable
import functools
import threading
from typing import Any

from mydriver import exception
from mydriver.privileged import verbs

#: Decorator with the verb's task: turns the system's errors into ours.
translated = functools.partial(verbs.translating_os_errors,
                               error=exception.StoreError)

# What a verb has seen of a volume must still hold when it acts. LVM's lock of
# the group protects single commands only.
_lock = threading.Lock()


def serialised(what: str
               ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Run a verb that uses LVM alone, and translate its errors.

    :param what: the verb's task, for the text of an error.
    """
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @translated(what)
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with _lock:
                return function(*args, **kwargs)
        return wrapper
    return decorate
