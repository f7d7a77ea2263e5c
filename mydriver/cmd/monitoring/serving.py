# SPDX-License-Identifier: Apache-2.0
"""Where the metrics go: a file, or whoever asks over HTTP."""

import ipaddress
import socket
from typing import Any
from wsgiref import simple_server

import prometheus_client
from prometheus_client import registry

from mydriver import exception, model

#: How long a client may take to send its request, seconds: the next one waits.
_TIMEOUT_S = 10


def write(path: str, found: registry.CollectorRegistry) -> None:
    """Write the metrics to a file, which is replaced as a whole.

    :raises ConfigurationError: when it cannot be written.
    """
    try:
        prometheus_client.write_to_textfile(path, found)
    except OSError as e:
        raise exception.ConfigurationError(
            '--textfile', f'{path}: {e.strerror}', 'Give its directory to '
            'the user that owns the state directory.') from e


def address(text: str, *, anywhere: bool) -> model.Portal:
    """Parse the address to listen at.

    :param text: ``ADDRESS:PORT``.
    :param anywhere: other hosts may reach it.
    :raises ConfigurationError: when it is not valid, or not allowed.
    """
    try:
        if not text.rpartition(':')[2].isdecimal() or text.endswith(']'):
            raise exception.InvalidPortal(exception.shown(text),
                                          'it has no port')
        found = model.Portal.parse(text)
    except exception.InvalidPortal as e:
        raise exception.ConfigurationError(
            '--listen', str(e), 'Use 127.0.0.1:PORT or [::1]:PORT.') from e
    if not anywhere and not ipaddress.ip_address(found.address).is_loopback:
        raise exception.ConfigurationError(
            '--listen', f'other hosts could read the metrics at {found}, '
            'without a password', 'Use 127.0.0.1, or add --listen-anywhere '
            'if a firewall decides who may.')
    return found


def server(at: model.Portal, found: registry.CollectorRegistry
           ) -> simple_server.WSGIServer:
    """Return a server of the metrics, one request at a time.

    :raises ConfigurationError: when it cannot listen there.
    """
    try:
        return simple_server.make_server(
            at.address, at.port, prometheus_client.make_wsgi_app(found),
            _Server6 if ':' in at.address else simple_server.WSGIServer,
            _Handler)
    except OSError as e:
        raise exception.ConfigurationError(
            '--listen', f'{at}: {e.strerror}', 'Is another program '
            'listening there? See ss -ltnp.') from e


class _Server6(simple_server.WSGIServer):
    address_family = socket.AF_INET6


class _Handler(simple_server.WSGIRequestHandler):
    timeout = _TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""
