# SPDX-License-Identifier: Apache-2.0
"""Steps that start something and wait until it is ready."""

from collections.abc import Callable
import re
import socket
import threading
import time
from typing import Any

from lab import errors as lab_errors
from lab import process
from lab.cloud import (
    database,
    nodes,
    plan,
    processes,
    ready,
    rest,
    services,
    settings,
    wait,
)
from lab.cloud.site import Site

#: What a worker logs when it is about to serve; its report to the database,
#: which readiness asks for in the end, comes some seconds later.
_SERVES = {
    'nova-conductor': r'Starting conductor node',
    'nova-scheduler': r'Starting scheduler node',
    'cinder-scheduler': r'Starting cinder-scheduler node',
}


class Starter:
    """Starts the parts of one cloud; each method returns when it is ready.

    :param site: the cloud.
    :param registry: where processes are noted.
    :param abort: set to end all waits.
    """

    def __init__(self, site: Site, registry: processes.Registry,
                 abort: threading.Event) -> None:
        self._site = site
        self._registry = registry
        self._abort = abort
        self._client = rest.Client(site)
        # A report counts from here on; an agent's from its own start, since
        # the one of before a reboot may be quite young.
        self._since = dict.fromkeys(ready.REPORTS, time.time())

    @property
    def client(self) -> rest.Client:
        """A client for the APIs; keystone must be up when it is used."""
        return self._client

    def mariadb(self) -> None:
        """Start MariaDB."""
        self._start(services.mariadb(self._site),
                    lambda: database.probe(self._site))

    def stop_mariadb(self) -> None:
        """Stop MariaDB in an orderly way, its files are whole afterwards."""
        self._registry.stop('mariadb', grace_s=60)

    def rabbitmq(self) -> None:
        """Start RabbitMQ and its name service."""
        self._spawn(services.epmd(self._site))
        self._start(services.rabbitmq(self._site),
                    lambda: _listens('rabbitmq'))

    def api(self, name: str,
            make: Callable[[Site], services.Service]) -> plan.Run:
        """Return a step for an API; ready when it answers a real request."""
        def run() -> None:
            self._start(make(self._site), ready.apis(self._client)[name])
        return run

    def worker(self, name: str) -> plan.Run:
        """Return a step for a service without an API."""
        def run() -> None:
            log = self._site.layout.log(name)
            self._start(services.worker(self._site, name), lambda: re.search(
                _SERVES[name], log.read_text(errors='replace')))
        return run

    def boot(self, name: str) -> plan.Run:
        """Return a step that boots a node, its service not yet."""
        def run() -> None:
            machine = nodes.Node(self._site, self._registry, name)
            machine.boot()
            machine.wait_booted(wait.DEADLINE_S)
        return run

    def agent(self, name: str) -> plan.Run:
        """Return a step that starts a node's OpenStack service."""
        def run() -> None:
            self.restarted(nodes.service_of(name))
            nodes.Node(self._site, self._registry, name).service('start')
        return run

    def restarted(self, service: str) -> None:
        """Let only reports from now on count for a service."""
        self._since[service] = time.time()

    def reported(self, name: str) -> plan.Run:
        """Return a step that waits until the APIs say a service is up.

        :param name: a binary's name.
        """
        def probe() -> bool:
            return ready.REPORTS[name](
                self._client, self._site.options, self._since[name])

        def run() -> None:
            try:
                wait.wait_for(probe, f'{name} to report itself up',
                              poll_s=0.3, abort=self._abort)
            except lab_errors.DeadlinePassed as e:
                raise lab_errors.DeadlinePassed(
                    e.what, e.timeout_s, f'{e}\n' + process.tail(
                        self._site.layout.log(name))) from e
        return run

    def _spawn(self, service: services.Service) -> process.Process:
        return self._registry.spawn(
            service.name, service.argv,
            self._site.environment(**service.env))

    def _start(self, service: services.Service,
               probe: Callable[[], Any]) -> None:
        """Start a service and wait for it, noticing its early end."""
        started = self._spawn(service)

        def look() -> Any:
            if not started.alive():
                raise lab_errors.ProcessEnded(service.name, started.tail())
            return probe()

        wait.wait_for(look, f'{service.name} to be ready',
                      abort=self._abort)


def _listens(port: str) -> bool:
    """Tell whether something listens on a port of the control plane.

    :raises OSError: when nothing does.
    """
    with socket.create_connection(
            (settings.CONTROL, settings.PORTS[port]), timeout=5):
        return True
