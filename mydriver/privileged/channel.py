# SPDX-License-Identifier: Apache-2.0
"""Call privileged verbs although the daemon may die, hang or not start.

The verbs are idempotent, so a call whose daemon died is repeated once, which
starts a new daemon. An ``OSError`` here is one of the connection: those of the
verbs arrive as errors of ours (:meth:`.PrivContext.entrypoint`).
"""

import contextlib
import functools
import threading
import time
from typing import Any

from oslo_log import log as logging
from oslo_privsep import comm, daemon

from mydriver import exception, turns
from mydriver.privileged import context

LOG = logging.getLogger(__name__)

#: How long a verb may take. The kernel's own waits, such as for the last
#: command to a LUN that is removed, are far shorter unless something hangs.
TIMEOUT_S = 60.0

#: Verbs that exclude each other in the daemon anyway queue up here, by their
#: package, with a limited wait. In the daemon they would occupy all threads
#: (context.THREADS) and delay the verbs of other packages. One more is let in
#: than can work, so that the next one is at hand.
_IN_TURN = {
    'mydriver.privileged.target': turns.Turns('the kernel target', 20.0, 2),
    # LVM's commands are slow, and creating a volume is not urgent.
    'mydriver.privileged.stores': turns.Turns("LVM's commands", 600.0, 4),
    # Gateways map several images at a time, others one; with a cluster that is
    # gone, each waits.
    'mydriver.privileged.rbd': turns.Turns("Ceph's kernel client", 120.0, 4),
}

#: oslo.privsep's thread that logs what the helper prints, and how long it may
#: take, seconds.
_LOGGER, _LOGGED_S = 'fd_logger', 2.0

_PAUSES_S = (0.01, 0.05, 0.25, 1.25)


def run(verb: functools.partial[Any], *args: Any,
        timeout_s: float = TIMEOUT_S) -> Any:
    """Call a privileged verb.

    :param verb: an entry point of a privilege context, idempotent.
    :param args: primitives.
    :param timeout_s: how long it may take.
    :returns: what the verb returns.
    :raises PrivilegedError: when the daemon does not start, does not answer
        in time, or died twice.
    :raises WaitTimeout: when other calls occupy the daemon for too long.
    :raises MyDriverError: whatever the verb raises.
    """
    function = verb.args[0]  # partial(PrivContext._wrap, function)
    package = function.__module__.rpartition('.')[0]
    with _IN_TURN.get(package, contextlib.nullcontext()):
        return _run(verb, function.__name__, timeout_s, *args)


def _run(verb: functools.partial[Any], name: str, timeout_s: float,
         *args: Any) -> Any:
    try:
        return _once(verb, name, timeout_s, *args)
    except OSError as e:
        LOG.warning('The privileged daemon was lost during %s (%s): retrying',
                    name, e)
    for pause_s in _PAUSES_S:
        try:
            return _once(verb, name, timeout_s, *args)
        except BrokenPipeError:
            # The call did not reach it. oslo.privsep starts a new daemon only
            # once its reader thread has noticed the end of the old one.
            time.sleep(pause_s)
        except OSError as e:
            raise _lost(name, e) from e
    try:
        return _once(verb, name, timeout_s, *args)
    except OSError as e:
        raise _lost(name, e) from e


def _lost(name: str, error: OSError) -> exception.PrivilegedError:
    return exception.PrivilegedError(name, f'it was lost twice: {error}')


def _once(verb: functools.partial[Any], name: str, timeout_s: float,
          *args: Any) -> Any:
    daemons = getattr(verb.func, '__self__', None)
    if isinstance(daemons, context.PrivContext):
        daemons.drop_dead()
    try:
        return verb(*args, _wrap_timeout=timeout_s)
    except comm.PrivsepTimeout as e:
        raise exception.PrivilegedError(
            name, f'no answer in {timeout_s:.0f} s; see the kernel log for '
            'hung tasks') from e
    except daemon.FailedToDropPrivileges as e:
        _let_it_be_logged()
        raise exception.PrivilegedError(
            name, f'it does not start: {e}; see helper_command of its '
            'section, and sudoers') from e


def _let_it_be_logged() -> None:
    """Wait until what the helper has printed is logged.

    It says why it did not start. Another thread of oslo.privsep reads it until
    the helper's last process has closed it, and a command would end before.
    """
    deadline = time.monotonic() + _LOGGED_S
    for thread in threading.enumerate():
        if thread.name == _LOGGER:
            thread.join(max(0.0, deadline - time.monotonic()))
