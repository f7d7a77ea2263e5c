# SPDX-License-Identifier: Apache-2.0
"""What the steps of the verification share: a server, volumes, observers."""

from typing import Any

from lab.cloud import api
from lab.scenario import clients, observe
from lab.scenario.console import Guest
from lab.scenarios.verify import look

GIB = 1 << 30


class Bench:
    """The cloud and what the steps have made on it.

    :param cloud: the cloud that is up.
    """

    def __init__(self, cloud: api.Cloud) -> None:
        self.cloud = cloud
        self.look = look.Looker(cloud)
        self.observer = observe.Observer(cloud)
        self.clients: clients.Clients
        #: Cinder's API, for requests that the clients do not have.
        self.api: Any = None
        self.before: observe.Seen
        self.guest: Guest
        self.server = ''
        #: The first volume is attached, the second one is not.
        self.volumes: list[str] = []

    def connect(self) -> None:
        """Connect to the APIs."""
        connected = self.cloud.connect()
        self.api = connected.block_storage
        self.clients = clients.Clients(connected)

    def prepare(self) -> str:
        """Make the server and two volumes."""
        self.server = self.clients.create_server(
            'verify', image_id=api.IMAGE_ID)
        for _ in range(2):
            self.new_volume()
        self.clients.wait_server(self.server)
        self.guest = self.clients.guest('verify', self.server)
        self.guest.wait('disk', 'vda', 'booted')
        return ', '.join(self.volumes)

    def new_volume(self) -> str:
        """Make one more volume."""
        self.volumes.append(self.clients.create_volume(
            f'verify-{len(self.volumes)}', 1))
        return self.volumes[-1]

    def clean_up(self) -> str:
        """Delete what was made, attached or not."""
        if self.server:
            self.clients.delete_server(self.server)
        for volume_id in self.volumes:
            self.clients.wait_volume(volume_id, 'available')
            self.clients.delete_volume(volume_id)
        return f'1 server, {len(self.volumes)} volumes'
