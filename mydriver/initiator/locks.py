# SPDX-License-Identifier: Apache-2.0
"""Who may log in to a session, use it and log out of it, and when.

A session carries the LUNs of many volumes, so an attach must not be held up
by another one, yet nobody may log out between an attach's login and its
device. Per session there are two locks, both in files, since os-brick in
another service (cinder-volume for an image) may use the same session:

* *use*, shared by all attaches under way, held alone by a logout;
* *decision*, held while somebody looks whether there is a session and then
  logs in or out. Its name is the one that os-brick takes for a login.

The order is use, then decision. A logout holds decision first, but only tries
use: when an attach is under way, the session stays.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import os
from pathlib import Path
import re

from oslo_concurrency import lockutils

_PREFIX = 'os-brick-'


class SessionLocks:
    """The locks of the sessions of this host.

    :param folder: where lock files are, os-brick's ``lock_path``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def attaching(self, session: str) -> Iterator[None]:
        """Keep the session from being logged out; waits for a logout.

        :param session: portal and target, ``ADDRESS:PORT-IQN``.
        """
        with self._use(session) as fd:
            fcntl.flock(fd, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def deciding(self, session: str) -> Iterator[None]:
        """Be the only one to log in or out."""
        with lockutils.lock(f'connect_to_iscsi_portal-{session}', _PREFIX,
                            external=True, lock_path=str(self._folder),
                            do_log=False):
            yield

    @contextlib.contextmanager
    def idle(self, session: str) -> Iterator[bool]:
        """Yield whether no attach is under way, and see that none begins."""
        with self._use(session) as fd:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextlib.contextmanager
    def volume(self, naa: str) -> Iterator[None]:
        """Be the only one in this process to work on a volume."""
        with lockutils.lock(f'mydriver-volume-{naa}', do_log=False):
            yield

    @contextlib.contextmanager
    def _use(self, session: str) -> Iterator[int]:
        """Open the file of the use lock; closing it lets go."""
        name = re.sub(r'[^A-Za-z0-9.:_-]', '_', session)
        self._folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._folder / f'mydriver-session-{name}',
                     os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield fd
        finally:
            os.close(fd)
