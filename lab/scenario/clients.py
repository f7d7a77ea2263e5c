# SPDX-License-Identifier: Apache-2.0
"""Use the public APIs through openstacksdk, and wait for the result."""

import time
from typing import Any

from openstack import connection, exceptions

from lab import errors, process
from lab.cloud import api
from lab.scenario import console
from lab.scenario.report import Timing

#: Timeout for a change of state, seconds; generous, for a busy machine.
_TIMEOUT_S = 600

#: Timeout for what nova records right after a change of state, seconds.
_FAULT_S = 10

_POLL_S = 0.25


class ServiceFailed(errors.LabError):
    """A service failed to do what it was asked for."""


class Clients:
    """Operations on servers and volumes.

    :param connected: an SDK connection.
    """

    def __init__(self, connected: connection.Connection) -> None:
        self._compute = connected.compute
        self._volumes = connected.block_storage

    def wait_backend(self) -> None:
        """Wait until the scheduler takes the default backend to be up.

        cinder-volume tells it once a minute.
        """
        def is_up() -> bool:
            return any(
                pool.capabilities.get('volume_backend_name') == api.VOLUME_TYPE
                and pool.capabilities.get('backend_state') == 'up'
                for pool in self._volumes.backend_pools())

        process.wait_for(is_up, f'backend {api.VOLUME_TYPE} to be up',
                         _TIMEOUT_S, poll_s=_POLL_S)

    def create_volume(self, name: str, size_gib: int,
                      image_id: str | None = None,
                      volume_type: str = api.VOLUME_TYPE) -> str:
        """Create a volume and wait until it is available.

        :returns: its UUID.
        """
        made = self._volumes.create_volume(
            name=name, size=size_gib, image_id=image_id,
            volume_type=volume_type)
        self.wait_volume(made.id, 'available')
        return made.id

    def extend_volume(self, volume_id: str, size_gib: int) -> None:
        """Extend a volume, in use or not, and wait until that is done."""
        status = str(self._volumes.get_volume(volume_id).status)
        self._volumes.extend_volume(volume_id, size_gib)
        process.wait_for(
            lambda: self._volumes.get_volume(volume_id).size == size_gib,
            f'volume {volume_id} to have {size_gib} GiB', _TIMEOUT_S,
            poll_s=_POLL_S)
        self.wait_volume(volume_id, status)

    def wait_volume(self, volume_id: str, wanted: str,
                    given_up: tuple[str, ...] = (),
                    timeout_s: float = _TIMEOUT_S) -> None:
        """Wait for a volume's status.

        :param given_up: states that mean failure, besides error states.
        :param timeout_s: timeout in seconds.
        :raises ServiceFailed: on one of these, or on an error state.
        """
        def reached() -> bool:
            status = str(self._volumes.get_volume(volume_id).status)
            if status.startswith('error') or status in given_up:
                raise ServiceFailed(
                    f'volume {volume_id} is {status} rather than {wanted}')
            return status == wanted

        process.wait_for(reached, f'volume {volume_id} to be {wanted}',
                         timeout_s, poll_s=_POLL_S)

    def delete_volume(self, volume_id: str) -> None:
        """Delete a volume and wait until it is gone."""
        self._volumes.delete_volume(volume_id)

        def gone() -> bool:
            found = self._find(self._volumes.get_volume, volume_id)
            if found is not None and found.status == 'error_deleting':
                raise ServiceFailed(f'volume {volume_id} is error_deleting')
            return found is None

        process.wait_for(gone, f'volume {volume_id} to be gone', _TIMEOUT_S,
                         poll_s=_POLL_S)

    def create_server(self, name: str, *, image_id: str | None = None,
                      volume_id: str | None = None) -> str:
        """Request a server that boots from an image or a volume.

        :returns: its UUID; :meth:`wait_server` waits for it.
        """
        attrs: dict[str, Any] = {'image_id': image_id} if image_id else {
            'block_device_mapping': [{
                'boot_index': 0, 'uuid': volume_id, 'source_type': 'volume',
                'destination_type': 'volume'}]}
        return self._compute.create_server(
            name=name, flavor_id=api.FLAVOR_ID, networks='none', **attrs).id

    def wait_server(self, server_id: str) -> None:
        """Wait until a server is active.

        :raises ServiceFailed: with nova's reason.
        """
        def active() -> bool:
            server = self._compute.get_server(server_id)
            if server.status == 'ERROR':
                raise ServiceFailed(
                    f'server {server.name}: {self._fault(server_id)}')
            return bool(server.status == 'ACTIVE')

        process.wait_for(active, f'server {server_id} to be active',
                         _TIMEOUT_S, poll_s=_POLL_S)

    def _fault(self, server_id: str) -> str:
        """Return why a server is in state ERROR.

        Nova records the state before the reason.
        """
        try:
            fault: dict[str, str] = process.wait_for(
                lambda: self._compute.get_server(server_id).fault,
                'a reason', _FAULT_S, poll_s=_POLL_S)
        except errors.DeadlinePassed:
            return 'no reason given'
        return fault.get('message', 'no reason given')

    def guest(self, name: str, server_id: str) -> console.Guest:
        """Return a server's console."""
        return console.Guest(name, lambda: (
            self._compute.get_server_console_output(server_id)['output']
            or ''))

    def delete_server(self, server_id: str) -> None:
        """Delete a server and wait until it is gone."""
        self._compute.delete_server(server_id)
        process.wait_for(
            lambda: self._find(self._compute.get_server, server_id) is None,
            f'server {server_id} to be gone', _TIMEOUT_S, poll_s=_POLL_S)

    def begin_attach(self, server_id: str, volume_id: str) -> None:
        """Request an attachment, without waiting for it."""
        self._compute.create_volume_attachment(server_id,
                                               volume_id=volume_id)

    def attach(self, what: str, server_id: str, volume_id: str) -> Timing:
        """Attach a volume and wait until it is in use.

        When nova fails, the only sign is that the volume is available again.
        """
        start = time.monotonic()
        self.begin_attach(server_id, volume_id)
        answered = time.monotonic()
        self.wait_volume(volume_id, 'in-use', given_up=('available',))
        return Timing(what, answered - start, time.monotonic() - start)

    def detach(self, what: str, server_id: str, volume_id: str) -> Timing:
        """Detach a volume and wait until it is available."""
        start = time.monotonic()
        self._compute.delete_volume_attachment(server_id, volume_id)
        answered = time.monotonic()
        self.wait_volume(volume_id, 'available')
        return Timing(what, answered - start, time.monotonic() - start)

    @staticmethod
    def _find(get: Any, resource_id: str) -> Any:
        try:
            return get(resource_id)
        except exceptions.NotFoundException:
            return None
