# SPDX-License-Identifier: Apache-2.0
"""oslo.privsep's context, made to notice every end of its daemon.

It also keeps the errors of a verb apart from those of the connection.
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

#: A daemon's threads, unless ``thread_pool_size`` says otherwise. The default
#: of oslo.privsep is one a processor: then an attach would wait while LVM
#: works for another volume.
THREADS = 8

#: What a daemon and the programs that it runs have for an environment.
ENVIRONMENT = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C'}

# All that a daemon imports for a caller.
_VERB = re.compile(r'mydriver\.privileged(\.[a-z_]+)+\Z')

# Most that is told of an error that nobody expected; a caller may have sent
# a megabyte.
_REASON_CHARACTERS = 300


class PrivContext(priv_context.PrivContext):
    """A context whose daemon may be killed at any time.

    A daemon that dies with a call unread resets the connection, where
    oslo.privsep 3.12 knows only an orderly end: its reading thread breaks
    down, the call waits until its timeout, and no daemon is ever started
    again. Here a reset is an end like another.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cfg.CONF.set_default('thread_pool_size', THREADS,
                             group=self.cfg_section)
        self._restart_lock = threading.Lock()

    def entrypoint(self, func: Callable[..., Any]) -> functools.partial[Any]:
        """Make a verb of a function; see oslo.privsep.

        The daemon's errors are raised again on the client's side under their
        own class, so an ``OSError`` of the verb would look like a broken
        connection. Whatever is not an error of ours becomes one here.

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

        :param method: how; ours is by ``helper_command``.
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
        """Let go of a daemon that ended, so that the next call starts one.

        Alone: a second thread would close what the first has just started.
        """
        with self._restart_lock:
            if self.channel is not None and not self.channel.running:
                self.stop()


class _Daemon(daemon.Daemon):
    """A daemon that takes nothing from whoever has started it.

    oslo.privsep imports the module of the function that is called before it
    looks whether that may be called at all, and importing a module runs it.
    The environment is the caller's as far as sudo lets it pass: without
    ``secure_path``, the programs that a verb runs would be the caller's.
    """

    def run(self) -> None:
        """Serve until the caller is gone."""
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


# Both ways to start a daemon take the class by this name; the helper has
# imported this module by then, since it looked for the context.
daemon.Daemon = _Daemon  # type: ignore[misc]


class _Channel(daemon.RootwrapClientChannel):
    """The client's end of the connection to a daemon."""

    def _reader_main(self, reader: comm.Deserializer) -> None:
        super()._reader_main(_Reader(reader.readsock))


class _Reader(comm.Deserializer):
    """Reads messages until the connection ends, in whatever way."""

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except OSError:
            raise StopIteration from None
