# SPDX-License-Identifier: Apache-2.0
"""oslo.privsep's context, which notices whenever its daemon ends.

It also distinguishes errors of a verb from errors of the connection.
"""

from collections.abc import Callable
import functools
import os
import re
import threading
from typing import Any

from oslo_config import cfg
from oslo_privsep import comm, daemon, priv_context

from mydriver import exception

#: Threads of a daemon, unless ``thread_pool_size`` is set. oslo.privsep's
#: default is one per processor, so that an attach might wait for LVM commands
#: on other volumes.
THREADS = 12

#: The environment of a daemon and of the programs that it runs.
ENVIRONMENT = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C'}

# The only names that a daemon imports for a caller.
_VERB = re.compile(r'mydriver\.privileged(\.[a-z_]+)+\Z')

# Longest text of an unexpected error; it may contain what a caller sent.
_REASON_CHARACTERS = 300


class PrivContext(priv_context.PrivContext):
    """A context whose daemon may be killed at any time.

    A daemon that dies with a call unread resets the connection, but
    oslo.privsep 3.12 expects an orderly end: its reader thread fails, the
    call waits until its timeout, and no daemon is ever started again. Here a
    reset counts as an end.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cfg.CONF.set_default('thread_pool_size', THREADS,
                             group=self.cfg_section)
        self._restart_lock = threading.Lock()

    def entrypoint(self, func: Callable[..., Any]) -> functools.partial[Any]:
        """Turn a function into a verb; see oslo.privsep.

        The daemon's errors are raised again on the client's side under their
        own class, so an ``OSError`` of the verb would look like one of the
        connection. Any error that is not ours becomes one here.

        :param func: the function.
        """
        @functools.wraps(func)
        def verb(*args: Any, **kwargs: Any) -> Any:
            try:
                return func(*args, **kwargs)
            except exception.MyDriverError:
                raise
            except Exception as e:
                reason = f'{type(e).__name__}: {e}'[:_REASON_CHARACTERS]
                raise exception.PrivilegedError(
                    func.__name__, reason.rstrip('.')) from e

        return super().entrypoint(verb)

    def start(self, method: priv_context.Method = priv_context.Method.ROOTWRAP
              ) -> None:
        """Start the daemon; see oslo.privsep.

        :param method: how to start it; ours is ``helper_command``.
        """
        if method is not priv_context.Method.ROOTWRAP:
            super().start(method)
            return
        with self.start_lock:
            if self.channel is None:
                try:
                    self.channel = _Channel(self)
                except OSError as e:     # no sudo, or no room in /tmp
                    raise daemon.FailedToDropPrivileges(str(e)) from e

    def drop_dead(self) -> None:
        """Stop using a daemon that ended, so that the next call starts one.

        Under a lock: a second thread would close the daemon that the first
        has just started.
        """
        with self._restart_lock:
            if self.channel is not None and not self.channel.running:
                self.stop()


class _Daemon(daemon.Daemon):
    """A daemon that inherits nothing from the process that started it.

    oslo.privsep imports the module of a called function before it checks
    that the function is an entry point, and importing a module runs it. The
    environment comes from the caller as far as sudo passes it on: without
    ``secure_path``, a verb would run the caller's programs.
    """

    def run(self) -> None:
        """Serve until the client has gone."""
        if isinstance(self.context, PrivContext):
            os.environ.clear()
            os.environ.update(ENVIRONMENT)
        super().run()

    def _process_cmd(self, msgid: str, cmd: comm.Message, *args: Any
                     ) -> tuple[Any, ...]:
        name = args[0] if args else None
        if (isinstance(self.context, PrivContext)
                and cmd == comm.Message.CALL
                and not (isinstance(name, str) and _VERB.match(name))):
            error = exception.RequestRefused(
                f'to call {exception.shown(name)}', 'it is not a verb')
            return (comm.Message.ERR.value,
                    f'{exception.__name__}.{type(error).__name__}',
                    error.args, str(error))
        reply: tuple[Any, ...] = super()._process_cmd(msgid, cmd, *args)
        return reply


# Both ways to start a daemon look the class up by this name. The helper has
# imported this module by then, in order to find the context.
daemon.Daemon = _Daemon  # type: ignore[misc]


class _Channel(daemon.RootwrapClientChannel):
    """The client's end of the connection to a daemon."""

    def _reader_main(self, reader: comm.Deserializer) -> None:
        super()._reader_main(_Reader(reader.readsock))


class _Reader(comm.Deserializer):
    """Reads messages until the connection ends, orderly or not."""

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except OSError:
            raise StopIteration from None
