# SPDX-License-Identifier: Apache-2.0
"""``mydriver gateway``: serve backends in Ceph, and look at who does."""

import argparse
from collections.abc import Sequence
import contextlib
import functools
import logging as std_logging
import signal
import socket
import threading
import time
from types import FrameType
from typing import TextIO

from cliff import command, lister
from oslo_log import log as logging

from mydriver import exception
from mydriver.backend import images
from mydriver.cmd import arguments, backends, gateways, listing
from mydriver.target.gateways import factory, gateway, members

LOG = logging.getLogger(__name__)

#: Pause between two attempts to start, seconds: cinder-volume may not have
#: made the journal yet, or Ceph may not answer.
_PAUSE_S = 5.0

COLUMNS = ('Backend', 'Gateway', 'State', 'Serves')
#: On a terminal; what tells the targets apart is at the end of their names.
_NARROWEST = {'Serves': 20}


class Gateway(command.Command):
    """Serve backends with gateways on this host, until it is told to end.

    It competes with the gateways on other hosts for the backends' targets.
    When it gets SIGTERM or SIGINT, it hands its targets over first.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        arguments.add(parser)
        _add_name(parser, 'name of this gateway, different on each host')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Serve; return the exit status."""
        found = _served(parsed_args, verbs=True)
        _log_with_times(self.app.stderr)
        end = threading.Event()

        def stop(number: int, _frame: FrameType | None) -> None:
            end.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        serving = [threading.Thread(
            target=_serve, args=(b, parsed_args.name, end), name=b.name)
            for b in found]
        for thread in serving:
            thread.start()
        for thread in serving:
            thread.join()
        return 0


class List(lister.Lister):
    """List the gateways of backends, and the targets that they serve."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        arguments.add(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace
                    ) -> tuple[tuple[str, ...], Sequence[Sequence[str]]]:
        """Return the columns and the rows."""
        rows: list[tuple[str, ...]] = []
        for backend in _served(parsed_args):
            with gateways.registry(backend) as registry:
                rows += [(backend.name, one.name, _state(one, is_alive),
                          '\n'.join(one.serves) if is_alive else '')
                         for one, is_alive in gateways.look(registry)]
        return COLUMNS, (listing.fitted(COLUMNS, rows, _NARROWEST, parsed_args)
                         if parsed_args.formatter == 'table' else rows)


class Drain(command.Command):
    """Move all targets away from a gateway, as before its host is restarted.

    The hosts that use them notice a pause of a second or two. It returns when
    the gateway serves nothing any more.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        arguments.add(parser)
        _add_name(parser, 'name of the gateway')
        parser.add_argument('--undo', action='store_true',
                            help='let it serve again')
        parser.add_argument('--timeout', type=float, default=60.0,
                            metavar='SECONDS', help='how long to wait until '
                            'it serves nothing (default: %(default)s)')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Ask the gateway; return the exit status."""
        with contextlib.ExitStack() as stack:
            its = _registries(stack, parsed_args)
            for registry in its.values():
                registry.drain(parsed_args.name, not parsed_args.undo)
            if parsed_args.undo:
                return 0
            deadline_s = time.monotonic() + parsed_args.timeout
            gone = [_is_drained(backend, registry, parsed_args, deadline_s)
                    for backend, registry in its.items()]
        return int(not all(gone))


class Forget(command.Command):
    """Remove from the list a gateway whose host is gone for good.

    That changes nothing else: what it has mapped stays fenced.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the argument parser."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        arguments.add(parser)
        parser.add_argument('--name', required=True,
                            help='name of the gateway')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Remove it; return the exit status."""
        with contextlib.ExitStack() as stack:
            its = _registries(stack, parsed_args)
            for backend, registry in its.items():
                if any(is_alive for one, is_alive in gateways.look(registry)
                       if one.name == parsed_args.name):
                    raise exception.ConfigurationError(
                        '--name', f'gateway {parsed_args.name} of backend '
                        f'{backend} is running', 'Stop it first.')
            for registry in its.values():
                registry.forget(parsed_args.name)
        return 0


def _log_with_times(stream: TextIO) -> None:
    """Log as a service does, not as a command for people."""
    handler = std_logging.StreamHandler(stream)
    handler.setFormatter(std_logging.Formatter(
        '%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s '
        '%(message)s', '%Y-%m-%d %H:%M:%S'))
    root = std_logging.getLogger()
    root.handlers = [handler]
    root.setLevel(std_logging.INFO)


def _add_name(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument('--name', default=socket.gethostname(),
                        help=f'{text}; default: that of this host')


def _state(one: members.Member, is_alive: bool) -> str:
    return ('gone' if not is_alive else
            'draining' if one.is_draining else 'up')


def _served(parsed: argparse.Namespace, *, verbs: bool = False
            ) -> list[backends.Backend]:
    """Return the selected backends that gateways serve.

    :param verbs: privileged verbs will be called.
    :raises ConfigurationError: when there is none, or when the operator has
        named one that they do not serve.
    """
    found = arguments.open_backends(parsed, verbs=verbs)
    if parsed.backend:
        for backend in found:
            gateways.refuse_without(backend)
    served = [b for b in found if b.has_gateways]
    if not served:
        raise exception.ConfigurationError(
            'mydriver_gateway_addresses', 'no backend sets it',
            'Set it for the backends that gateways serve.')
    return served


def _registries(stack: contextlib.ExitStack, parsed: argparse.Namespace
                ) -> dict[str, gateway.Registry]:
    """Return the registries that know a gateway, by backend.

    :param stack: closes their connections.
    :raises ConfigurationError: when none does.
    """
    found: dict[str, gateway.Registry] = {}
    others: set[str] = set()
    for backend in _served(parsed):
        registry = stack.enter_context(gateways.registry(backend))
        names = {m.name for m in registry.all()}
        if parsed.name in names:
            found[backend.name] = registry
        others |= names
    if not found:
        raise exception.ConfigurationError(
            '--name', f'there is no gateway {parsed.name}',
            f'The gateways are: {", ".join(sorted(others)) or "none"}.')
    return found


def _is_drained(backend: str, registry: gateway.Registry,
                parsed: argparse.Namespace, deadline_s: float) -> bool:
    """Wait until a gateway serves nothing of a backend; return whether so."""
    watch = members.Watch()
    serves: Sequence[str] = ()
    while True:
        found = registry.all()
        alive = watch.see(found)
        serves = next((m.serves for m in found if m.name == parsed.name), ())
        if not serves:
            return True
        if parsed.name not in alive:
            LOG.warning('Gateway %s of backend %s is not running; others take '
                        'over what it served', parsed.name, backend)
            return True
        if time.monotonic() >= deadline_s:
            LOG.error('Gateway %s still serves %s of backend %s after %g s. '
                      'Is there another gateway? See mydriver gateway list',
                      parsed.name, ', '.join(serves), backend, parsed.timeout)
            return False
        time.sleep(0.2)


def _serve(backend: backends.Backend, name: str, end: threading.Event
           ) -> None:
    """Serve a backend; start again whenever that fails."""
    while not end.is_set():
        try:
            with gateways.alone(backend):
                _gateway(backend, name).run(end)
        except exception.MyDriverError as e:
            LOG.error('Gateway %s cannot serve backend %s: %s', name,
                      backend.name, e)
        except Exception:  # the other backends go on
            LOG.exception('Gateway %s cannot serve backend %s', name,
                          backend.name)
        end.wait(_PAUSE_S)


def _gateway(backend: backends.Backend, name: str) -> gateway.Gateway:
    """Return the gateway of a backend.

    Its threads use the connection as long as they live.
    """
    connection = gateways.connect(backend)
    try:
        return factory.build_gateway(
            factory.settings_of(backend.settings, connection), connection,
            name, functools.partial(images.PoolImages, connection))
    except BaseException:
        connection.close()
        raise
