# SPDX-License-Identifier: Apache-2.0
"""Locks on the sessions and volumes of this host.

A session carries the LUNs of many volumes. Attaches must not wait for each
other, yet nobody may log out between an attach's login and its device. So each
session has two locks. Both are files, since os-brick in another service
(cinder-volume for an image) may use the same session:

* *use* is shared by all attaches in progress; a logout takes it exclusively;
* *decision* is held while somebody checks whether there is a session, and then
  logs in or out. It has the name of the lock that os-brick takes for a login.

The order is use, then decision. A logout takes decision first and only tries
use: while an attach is in progress, the session stays.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import hashlib
import math
import os
from pathlib import Path
from urllib import parse

from oslo_concurrency import lockutils

from mydriver import waiting

_PREFIX = 'os-brick-'
#: The longest name of a use lock, within what file systems take (NAME_MAX).
_NAME_CHARACTERS = 200


class SessionLocks:
    """The locks of the sessions of this host.

    :param folder: directory of the lock files, os-brick's ``lock_path``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def attaching(self, session: str) -> Iterator[None]:
        """Keep the session from being logged out; wait for a logout.

        It polls: threads of nova-compute may be green (by default up to
        Nova 33), and flock(2) would then stop all of them, also the one that
        logs out.

        :param session: portal and target, ``ADDRESS:PORT-IQN``.
        """
        with self._use(session) as fd:
            waiting.wait_for(lambda: waiting.try_lock(fd, fcntl.LOCK_SH),
                             f'the logout of {session}', math.inf)
            yield

    @contextlib.contextmanager
    def deciding(self, session: str) -> Iterator[None]:
        """Keep all others from logging in or out."""
        with lockutils.lock(f'connect_to_iscsi_portal-{session}', _PREFIX,
                            external=True, lock_path=str(self._folder),
                            do_log=False):
            yield

    @contextlib.contextmanager
    def idle(self, session: str) -> Iterator[bool]:
        """Yield whether no attach is in progress, and let none begin."""
        with self._use(session) as fd:
            yield waiting.try_lock(fd, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def volume(self, naa: str) -> Iterator[None]:
        """Lock a volume against all other threads of this process."""
        with lockutils.lock(f'mydriver-volume-{naa}', do_log=False):
            yield

    @contextlib.contextmanager
    def _use(self, session: str) -> Iterator[int]:
        """Open the file of the use lock, and release the lock in the end.

        Closing the file would not do: a process that another thread forks has
        it, too, until it executes its program.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._folder / _use_name(session),
                     os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield fd
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


def _use_name(session: str) -> str:
    """Return the file name of a use lock, another one for each session."""
    name = f'mydriver-session-{parse.quote(session, safe=":")}'
    if len(name) <= _NAME_CHARACTERS:
        return name
    # An IQN alone may have 223 characters.
    digest = hashlib.sha256(session.encode()).hexdigest()
    return f'{name[:_NAME_CHARACTERS - len(digest) - 1]}_{digest}'
