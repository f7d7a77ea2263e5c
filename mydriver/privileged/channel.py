# SPDX-License-Identifier: Apache-2.0
"""Calling a privileged verb when the daemon may die, hang or not start.

The verbs are idempotent, so a call whose daemon died is made once more; the
new call starts a new daemon. An ``OSError`` here is the connection's: those of
the verbs arrive as errors of ours (:meth:`.PrivContext.entrypoint`).
"""

import contextlib
import functools
import time
from typing import Any

from oslo_log import log as logging
from oslo_privsep import comm, daemon

from mydriver import exception, turns
from mydriver.privileged import context

LOG = logging.getLogger(__name__)

#: How long a verb may take. The kernel's own waits, for the last command of
#: a LUN that goes, are far below it as long as nothing hangs.
TIMEOUT_S = 60.0

#: Verbs of a module that exclude each other in the daemon anyway wait here, in
#: the order of asking and not for ever. There, they would take all of its
#: threads (context.THREADS), and let verbs of other modules wait as well. A
#: second verb is on its way while the first is at work.
_IN_TURN = {
    'mydriver.privileged.target.lio':
        turns.Turns('the kernel target', 20.0, 2),
    # Commands of LVM take their time; who creates volumes has it.
    'mydriver.privileged.stores.thin': turns.Turns("LVM's commands", 600.0, 4),
}

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
    :raises WaitTimeout: when other calls do not let it in.
    :raises MyDriverError: what the verb raises.
    """
    function = verb.args[0]  # partial(PrivContext._wrap, function)
    with _IN_TURN.get(function.__module__, contextlib.nullcontext()):
        return _run(verb, function.__name__, timeout_s, *args)


def _run(verb: functools.partial[Any], name: str, timeout_s: float,
         *args: Any) -> Any:
    try:
        return _once(verb, name, timeout_s, *args)
    except OSError as e:
        LOG.warning('The privileged daemon was lost during %s (%s): trying '
                    'once more', name, e)
    for pause_s in _PAUSES_S:
        try:
            return _once(verb, name, timeout_s, *args)
        except BrokenPipeError:
            # It did not get the call. oslo.privsep starts a new daemon only
            # when its reading thread has noticed the end of the old one.
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
        raise exception.PrivilegedError(
            name, f'it does not start: {e}; see helper_command of its '
            'section, and sudoers') from e
