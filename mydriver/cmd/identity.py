# SPDX-License-Identifier: Apache-2.0
"""The user that a command runs as.

The state belongs to the user of cinder-volume. If root opened the journal,
sqlite would create files that cinder-volume cannot open. So a command that is
started by root, as at boot, switches to that user. If it needs privileged
verbs, it starts the privileged daemon first, while it is still root.
"""

from collections.abc import Iterable, Iterator
import contextlib
import os
import pwd

from oslo_privsep import priv_context

from mydriver import exception, privileged
from mydriver.target import state


def become_owner(state_paths: Iterable[str], *, verbs: bool = False) -> None:
    """Switch to the owner of the first state directory that can be trusted.

    Does nothing when there is no such directory or when the caller is not
    root; privileged verbs are then called the way cinder-volume calls them. A
    directory that cannot be trusted is reported where it is used (see
    :meth:`.backends.Backend.has_journal`).

    :param state_paths: the backends' state directories.
    :param verbs: privileged verbs will be called.
    """
    if os.geteuid():
        return
    uid, gid = next(_owners(state_paths), (None, None))
    if uid is None or gid is None:
        return
    if uid == 0:
        if verbs:
            privileged.target_context.set_client_mode(False)
        return
    if verbs:
        _start_daemon()
    _become(uid, gid)


def _owners(state_paths: Iterable[str]) -> Iterator[tuple[int, int]]:
    for path in state_paths:
        with contextlib.suppress(OSError, exception.ConfigurationError):
            yield state.owner(path)


def _start_daemon() -> None:
    """Fork the privileged daemon with the context's capabilities."""
    parent = os.getpid()
    try:
        privileged.target_context.start(priv_context.Method.FORK)
    finally:
        if os.getpid() != parent:
            os._exit(1)  # a failed daemon must not go on as the command


def _become(uid: int, gid: int) -> None:
    """Drop root privileges permanently."""
    os.setgroups([])
    with contextlib.suppress(KeyError):
        os.initgroups(pwd.getpwuid(uid).pw_name, gid)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
