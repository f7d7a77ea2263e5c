# SPDX-License-Identifier: Apache-2.0
"""Where the metrics go: a file, or whoever asks over HTTP."""

import contextlib
import io
import ipaddress
import socket
import socketserver
import threading
import time
from typing import Any
from wsgiref import simple_server

import prometheus_client
from prometheus_client import registry

from mydriver import exception, model

#: How long a client may take to send all of its request, and to take a part
#: of the answer, seconds.
_TIMEOUT_S = 10.0

#: How many clients are served at once; others are sent away.
_CLIENTS_MAX = 16


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
            '--listen', f'{exception.shown(text)!r} is not an address and a '
            f'port: {e.problem}', 'Use 127.0.0.1:PORT or [::1]:PORT.') from e
    if not anywhere and not ipaddress.ip_address(found.address).is_loopback:
        raise exception.ConfigurationError(
            '--listen', f'other hosts could read the metrics at {found}, '
            'without a password', 'Use 127.0.0.1, or add --listen-anywhere '
            'if a firewall decides who may.')
    return found


def server(at: model.Portal, found: registry.CollectorRegistry
           ) -> simple_server.WSGIServer:
    """Return a server of the metrics.

    :raises ConfigurationError: when it cannot listen there.
    """
    try:
        return simple_server.make_server(
            at.address, at.port, prometheus_client.make_wsgi_app(found),
            _Server6 if ':' in at.address else _Server, _Handler)
    except OSError as e:
        raise exception.ConfigurationError(
            '--listen', f'{at}: {e.strerror}', 'Is another program '
            'listening there? See ss -ltnp.') from e


class _Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """Serves a slow client and others at once, each in a thread."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._free = threading.Semaphore(_CLIENTS_MAX)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread, or close the connection if there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()  # there is no thread
            raise

    def process_request_thread(self, request: Any, client_address: Any
                               ) -> None:
        """Serve a client in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Request(io.RawIOBase):
    """What a client sends, until a deadline for all of it."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection
        self._until_s = time.monotonic() + _TIMEOUT_S

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Receive what is there.

        :raises TimeoutError: when the deadline has passed.
        """
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._connection.settimeout(left_s)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(_TIMEOUT_S)  # of the answer


class _Handler(simple_server.WSGIRequestHandler):

    def setup(self) -> None:
        """Read with a deadline."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Request(self.connection))

    def handle(self) -> None:
        """Answer, unless the client is too slow or has gone."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""
