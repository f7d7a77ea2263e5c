# SPDX-License-Identifier: Apache-2.0
"""Which messages of libraries an operator sees beside a command's output."""

import collections
import contextlib
import logging
import threading

#: oslo.privsep logs each start of a daemon in a dozen lines. Those that matter
#: when it fails come before, and after, its message that it has failed: what
#: sudo and the helper print is read in another thread.
#: oslo.log names a logger with a dot for the underscore, logging does not.
_PRIVSEP = ('oslo.privsep', 'oslo_privsep')

#: The most recent lines that are kept.
_KEPT = 200


class OnFailure(logging.Filter):
    """Holds the messages of oslo.privsep until one says that it has failed.

    :param handler: the handler that this is a filter of.
    """

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler
        self._held: collections.deque[logging.LogRecord] = collections.deque(
            maxlen=_KEPT)
        self._has_failed = False
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a message is shown now."""
        if not record.name.startswith(_PRIVSEP):
            return True
        with self._lock:
            if not self._has_failed and record.levelno < logging.CRITICAL:
                self._held.append(record)
                return False
            self._has_failed = True
            with self._handler.lock or contextlib.nullcontext():
                while self._held:
                    self._handler.emit(self._held.popleft())
        return True


def limit(handler: logging.Handler) -> None:
    """Show on a handler only what an operator needs.

    oslo.utils says at INFO that a host has no default route, of which nobody
    needs to be told.
    """
    handler.addFilter(OnFailure(handler))
    logging.getLogger('oslo_utils').setLevel(logging.WARNING)
