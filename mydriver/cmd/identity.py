# SPDX-License-Identifier: Apache-2.0
"""Which user the command is.

The state belongs to the user of cinder-volume. Were root to open the journal,
sqlite would leave files behind that cinder-volume cannot open. So a command
that root starts, as at boot, becomes that user; one that changes the target
starts the privileged daemon before, while it still may.
"""

from collections.abc import Iterable, Iterator
import contextlib
import os
import pwd

from oslo_privsep import priv_context

from mydriver import exception, privileged
from mydriver.target import state


def assume(state_paths: Iterable[str], *, verbs: bool = False) -> None:
    """Become the owner of the first state's folder that can be trusted.

    Nothing happens when there is none, or when this is not root: privileged
    verbs then take the way that they take in cinder-volume. A folder that
    cannot be trusted is told of where it is used (see
    :meth:`.backends.Backend.has_journal`).

    :param state_paths: folders of the backends' state.
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
    """Fork the daemon, with the context's capabilities."""
    parent = os.getpid()
    try:
        privileged.target_context.start(priv_context.Method.FORK)
    finally:
        if os.getpid() != parent:
            os._exit(1)  # a daemon that failed must not run our code


def _become(uid: int, gid: int) -> None:
    """Give up root for good."""
    os.setgroups([])
    with contextlib.suppress(KeyError):
        os.initgroups(pwd.getpwuid(uid).pw_name, gid)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
