# SPDX-License-Identifier: Apache-2.0
"""What wakes a thread from a callback of librados, and nothing more.

Such a callback runs in a thread of librados, in which nothing may wait, and
which in a service with green threads must not touch anything that eventlet has
replaced: no lock, no log.
"""

from collections.abc import Callable
import contextlib
import os
import selectors

#: How often to look without a notice, with a watch and without one; seconds.
_POLL_S, _POLL_ALONE_S = 1.0, 0.1

#: File descriptors of bells that are not used any more. None is ever closed:
#: a callback may be about to ring it, and its number could be another file's
#: by then. The next bell that has it rings once for nothing.
_UNUSED: list[int] = []
os.register_at_fork(after_in_child=_UNUSED.clear)


class Bell:
    """Rings when an object may have changed.

    :param is_watched: tells whether it would ring.
    """

    def __init__(self, is_watched: Callable[[], bool] = lambda: True) -> None:
        self._is_watched = is_watched
        try:
            self._fd = _UNUSED.pop()
        except IndexError:
            self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Return a file descriptor that can be read when the bell rang."""
        return self._fd

    def ring(self) -> None:
        """Wake who waits; in any thread, without waiting for anything."""
        with contextlib.suppress(BlockingIOError):  # rung very often
            os.eventfd_write(self._fd, 1)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is worth looking at the object.

        :param timeout_s: how long at most; in any case it is worth looking
            after a second, or a tenth of it where there is no watch.
        :returns: whether the bell rang.
        """
        poll_s = _POLL_S if self._is_watched() else _POLL_ALONE_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._fd, selectors.EVENT_READ)
            if not selector.select(max(0.0, min(timeout_s, poll_s))):
                return False
        self._calm()
        return True

    def close(self) -> None:
        """Release the file descriptor; the bell must not be used any more."""
        self._calm()
        _UNUSED.append(self._fd)

    def _calm(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
