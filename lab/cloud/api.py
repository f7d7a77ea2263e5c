# SPDX-License-Identifier: Apache-2.0
"""The cloud's interface for other Python code.

::

    from lab.cloud import api

    api.up()                       # or with options, see settings.Options
    cloud = api.Cloud()
    connection = cloud.connect()   # openstack.connection.Connection, admin
    status, output = cloud.node_exec('compute', ['lsblk'])
    api.down()

The APIs can be reached only from within the cloud's network namespace.
:func:`up` and :meth:`Cloud.connect` move the calling thread into it
(:func:`lab.cloud.network.enter`); threads and processes that it starts
afterwards inherit it. Only the network differs: files and programs are the
machine's.
"""

from collections.abc import Sequence
import os
from pathlib import Path
import signal
from typing import TYPE_CHECKING, BinaryIO

from lab.ceph import admin
from lab.cloud import down as cloud_down
from lab.cloud import driver, errors, network, settings, starter
from lab.cloud import site as cloud_site
from lab.cloud import up as cloud_up
from lab.cloud.control import ceph
from lab.cloud.node import kinds, node
from lab.cloud.steps import plan, report
from lab.cloud.steps.registry import Registry

if TYPE_CHECKING:
    from openstack import connection

#: Names and ids in a fresh cloud.
IMAGE, IMAGE_ID = settings.IMAGE, settings.IMAGE_ID
FLAVOR, FLAVOR_ID = settings.FLAVOR, settings.FLAVOR_ID
VOLUME_TYPE = driver.BACKEND

#: Has servers without a network (``networks='none'``); the microversion that
#: the lab was tested with.
COMPUTE_MICROVERSION = '2.79'


def up(options: settings.Options | None = None) -> None:
    """Bring the cloud up, as ``python -m lab cloud up`` does."""
    cloud_up.up(options or settings.Options(), settings.Layout())


def down() -> None:
    """Stop it, as ``python -m lab cloud down`` does."""
    cloud_down.down(settings.Layout())


class Cloud:
    """The cloud that is up.

    :raises CloudError: when no cloud is up.
    """

    def __init__(self) -> None:
        self._layout = settings.Layout()
        if not self._layout.read_status():
            raise errors.CloudError(
                'the cloud is not up: run "python -m lab cloud up"')
        self._site = cloud_site.load(self._layout)
        self._registry = Registry(
            self._layout.pids, self._layout.logs)

    @property
    def options(self) -> settings.Options:
        """The options that it was brought up with."""
        return self._site.options

    def environment(self) -> dict[str, str]:
        """Return the variables of OpenStack's clients, for the admin user."""
        return self._site.admin_environment()

    def connect(self) -> 'connection.Connection':
        """Return an SDK connection as admin, from within the namespace."""
        import openstack
        network.enter()
        env = self.environment()
        return openstack.connection.Connection(
            auth={'auth_url': env['OS_AUTH_URL'],
                  'username': env['OS_USERNAME'],
                  'password': env['OS_PASSWORD'],
                  'project_name': env['OS_PROJECT_NAME'],
                  'user_domain_id': env['OS_USER_DOMAIN_ID'],
                  'project_domain_id': env['OS_PROJECT_DOMAIN_ID']},
            region_name=env['OS_REGION_NAME'],
            compute_api_version=COMPUTE_MICROVERSION,
            compute_default_microversion=COMPUTE_MICROVERSION)

    def ceph(self) -> admin.Admin:
        """Connect to the cloud's Ceph, from within the namespace.

        :raises LabError: when it does not answer.
        """
        network.enter()
        return ceph.connect(self._site)

    def node_exec(self, name: str, argv: Sequence[str], *,
                  timeout_s: int = 120) -> tuple[int, str]:
        """Run a command on a node.

        :returns: its exit status, and its standard output followed by its
            standard error.
        """
        box = self._node(name).mailbox()
        box.wait_ready()
        result = box.run(argv, timeout_s=timeout_s)
        return result.status, (result.stdout + result.stderr).decode(
            errors='replace')

    def node_stream(self, name: str, argv: Sequence[str], stdout: BinaryIO,
                    stderr: BinaryIO, *, timeout_s: int = 3600) -> int:
        """Run a command on a node and copy its output as it appears.

        :returns: its exit status.
        """
        box = self._node(name).mailbox()
        box.wait_ready()
        return box.stream(argv, stdout, stderr, timeout_s=timeout_s)

    def node_service(self, name: str, action: str,
                     code: str | None = None) -> None:
        """Start, stop, kill or restart a node's OpenStack service.

        ``kill`` sends SIGKILL to it and to its privsep daemons.
        :meth:`wait_service` waits until it is up again.

        :param name: of the node.
        :param code: directory that has the driver's package for it, empty for
            the clone's own; None for the one of :attr:`options`.
        """
        self._node(name).service(action, code)

    def wait_service(self, name: str) -> None:
        """Wait until a node's OpenStack service has reported itself up.

        Reports count from its last start by :meth:`node_service`,
        :meth:`reboot` or ``up``.
        """
        network.enter()
        todo = plan.Plan(report.step)
        start = starter.Starter(self._site, self._registry, todo.abort)
        start.reported(kinds.service_of(name), name)()

    def kill(self, name: str) -> None:
        """Cut a node's power; no error if it is off."""
        self._node(name).kill()

    def boot(self, name: str) -> None:
        """Boot a node that is off, and wait until its service is up.

        Its connection to the networks is as it was.

        :raises CloudError: when it is running.
        """
        if self._node(name).runs():
            raise errors.CloudError(
                f'node {name} is running; "reboot" power-cycles it')
        self.reboot(name)

    def reboot(self, name: str) -> None:
        """Power-cycle a node and wait until its service is up again.

        If the node is running, its service is stopped and its disks are synced
        first. Nobody reports for a gateway: see :meth:`node_exec`.
        """
        machine = self._node(name)
        network.enter()
        todo = plan.Plan(report.step)
        start = starter.Starter(self._site, self._registry, todo.abort)
        todo.add(f'{name} off', machine.shut_down)
        todo.add(f'node {name}', start.boot(name), (f'{name} off',))
        todo.add('start of its service', start.agent(name),
                 (f'node {name}',))
        service = kinds.service_of(name)
        if service != kinds.GATEWAY:
            todo.add(f'{service} reports up', start.reported(service, name),
                     ('start of its service',))
        todo.run()

    def cut(self, name: str, where: str = network.ALL) -> None:
        """Cut a node off a network: what it sends and gets is lost.

        :param where: which one, from :data:`network.PLACES`.
        :raises CloudError: when there is no such network or node.
        """
        self._node(name)
        network.connect(network.taps(name, self.options, where), False)

    def join(self, name: str) -> None:
        """Connect a node to all of its networks again."""
        self._node(name)
        network.connect(network.taps(name, self.options), True)

    def stall(self, name: str) -> None:
        """Stop a node's kernel, as a hypervisor would pause a machine.

        Its clocks have gone on when it resumes. Only the kernel gets the
        signal: it traces its programs, and would not survive one to them.

        :raises CloudError: when it is not running.
        """
        self._node(name).process().signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a stopped kernel run on.

        :raises CloudError: when it is not running.
        """
        self._node(name).process().signal(signal.SIGCONT)

    def log(self, name: str) -> Path:
        """Return the path of a service's log."""
        return self._layout.log(name)

    def logs(self) -> list[Path]:
        """Return the paths of all logs."""
        return sorted(self._layout.logs.glob('*.log'))

    def shell(self, argv: Sequence[str]) -> int:
        """Replace this process by a command in the namespace.

        :param argv: the command; empty for a shell.
        """
        network.enter()
        env = {**os.environ, **self.environment(),
               'PATH': f'{self._site.venv}/bin:{os.environ["PATH"]}'}
        command = list(argv) or [os.environ.get('SHELL', '/bin/bash')]
        os.execvpe(command[0], command, env)

    def _node(self, name: str) -> node.Node:
        return node.Node(self._site, self._registry, name)
