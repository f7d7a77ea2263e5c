# SPDX-License-Identifier: Apache-2.0
"""One thread at a time changes an image, within this process.

librbd locks an image for each handle, also among the handles of one process,
and hands the lock over by messages through the cluster. With several threads
on one image that takes long, and librbd 16 was seen to hang and to abort.
"""

from collections.abc import Iterator
import contextlib
import threading

_guard = threading.Condition()
_busy: set[str] = set()


@contextlib.contextmanager
def with_images(*ids: str | None) -> Iterator[None]:
    """Keep other threads from images for the block; not reentrant.

    :param ids: of the images; None and empty ones are left out.
    """
    wanted = {i for i in ids if i}
    with _guard:
        _guard.wait_for(lambda: not wanted & _busy)
        _busy.update(wanted)
    try:
        yield
    finally:
        with _guard:
            _busy.difference_update(wanted)
            _guard.notify_all()
