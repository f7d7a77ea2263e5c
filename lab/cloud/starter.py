# SPDX-License-Identifier: Apache-2.0
"""Steps that start a part of the cloud and wait until it is ready."""

from collections.abc import Callable
import socket
import threading
import time
from typing import Any

from lab import errors as lab_errors
from lab import process
from lab.cloud import network, ready, settings
from lab.cloud.control import ceph, database, rest, seed, services
from lab.cloud.node import kinds, node
from lab.cloud.site import Site
from lab.cloud.steps import plan, wait
from lab.cloud.steps.registry import Registry

#: What a worker logs when it starts to serve. Its report to the database,
#: which counts in the end, comes some seconds later.
_SERVES = {
    'nova-conductor': 'Starting conductor node',
    'nova-scheduler': 'Starting scheduler node',
    'cinder-scheduler': 'Starting cinder-scheduler node',
}


class Starter:
    """Starts the parts of a cloud.

    :param site: the cloud.
    :param registry: records the processes.
    :param abort: set by another thread to stop all waiting.
    """

    def __init__(self, site: Site, registry: Registry,
                 abort: threading.Event) -> None:
        self._site = site
        self._registry = registry
        self._abort = abort
        self._client = rest.Client(site)
        self._since = time.time()

    @property
    def client(self) -> rest.Client:
        """A client for the APIs; it needs keystone to be up."""
        return self._client

    def mariadb(self) -> None:
        """Start MariaDB."""
        self._start(services.mariadb(self._site),
                    lambda: database.probe(self._site))

    def stop_mariadb(self) -> None:
        """Shut MariaDB down, so that its files are consistent."""
        self._registry.stop('mariadb', grace_s=60)

    def ceph(self) -> None:
        """Start Ceph."""
        ceph.start(self._site, self._registry)

    def etcd(self) -> None:
        """Start etcd."""
        self._start(services.etcd(self._site), lambda: _listens('etcd'))

    def rabbitmq(self) -> None:
        """Start RabbitMQ and its name service."""
        self._spawn(services.epmd(self._site))
        self._start(services.rabbitmq(self._site),
                    lambda: _listens('rabbitmq'))

    def api(self, name: str,
            make: Callable[[Site], services.Service]) -> plan.Run:
        """Return a step that starts an API and waits for an answer."""
        def run() -> None:
            self._start(make(self._site), ready.apis(self._client)[name])
        return run

    def worker(self, name: str) -> plan.Run:
        """Return a step that starts a service without an API."""
        def run() -> None:
            self._start(services.worker(self._site, name),
                        lambda: _SERVES[name] in self._log(name))
        return run

    def boot(self, name: str) -> plan.Run:
        """Return a step that boots a node, without its service."""
        def run() -> None:
            machine = self._node(name)
            machine.boot()
            machine.wait_booted(wait.DEADLINE_S)
        return run

    def agent(self, name: str) -> plan.Run:
        """Return a step that starts a node's OpenStack service."""
        def run() -> None:
            self._node(name).service('start')
        return run

    def leave_images(self) -> None:
        """Stop glance on the control plane and release its address."""
        self._registry.stop('glance', grace_s=10)
        network.release(settings.GLANCE)

    def move_images(self) -> None:
        """Move the seeded images to Ceph."""
        seed.move_images(self._client)

    def images(self) -> None:
        """Wait until glance on the storage node is ready."""
        wait.wait_for(ready.apis(self._client)['glance'],
                      'glance on the storage node to be ready',
                      abort=self._abort)

    def reported(self, name: str, on: str = '') -> plan.Run:
        """Return a step that waits until the APIs show a service as up.

        :param name: of the service's program.
        :param on: its node, where there are several.
        """
        def run() -> None:
            try:
                wait.wait_for(lambda: self._reports(name, on),
                              f'{name} to report itself up',
                              poll_s=0.3, abort=self._abort)
            except lab_errors.DeadlinePassed as e:
                raise lab_errors.DeadlinePassed(
                    e.what, e.timeout_s, f'{e}\n' + process.tail(
                        self._site.layout.log(
                            kinds.log_of(on) if on else name))) from e
        return run

    def _reports(self, name: str, on: str) -> bool:
        """Tell whether a service has reported itself up since its start.

        For a node's service that is the last start of the service, since a
        report from before a reboot may be recent.
        """
        options = self._site.options
        probe = ready.REPORTS[name]
        agent = self._node(on) if on else next(
            (self._node(n) for n in settings.NODES
             if kinds.service_of(n) == name), None)
        if not agent:
            return probe(self._client, options, self._since)
        if name == 'cinder-volume':
            ready.drivers_serve(agent.log_since_start(),
                                len(options.backends))
            return ready.volume(self._client, options, agent.started_at(),
                                agent.name)
        return probe(self._client, options, agent.started_at())

    def _node(self, name: str) -> node.Node:
        return node.Node(self._site, self._registry, name)

    def _log(self, name: str) -> str:
        """Return a service's log; empty if there is none yet."""
        try:
            return self._site.layout.log(name).read_text(errors='replace')
        except FileNotFoundError:
            return ''

    def _spawn(self, service: services.Service) -> process.Process:
        return self._registry.spawn(
            service.name, service.argv,
            self._site.environment(**service.env))

    def _start(self, service: services.Service,
               probe: Callable[[], Any]) -> None:
        """Start a service and wait for it; fail if it exits early."""
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
