# SPDX-License-Identifier: Apache-2.0
"""``compute_driver = mydriver.LibvirtDriver``: Nova's, with our plugins."""

import dataclasses
import logging
from typing import Any

from nova.virt.libvirt import driver

from mydriver import connection, events
from mydriver.nova_virt import log_mask, plugins
from mydriver.nova_virt.connector_properties import ConnectorProperties
from mydriver.nova_virt.native import NativeAccess

__all__ = ('LibvirtDriver',)

LOG = logging.getLogger(__name__)

#: What any host with this plugin can do beyond stock os-brick.
CAPABILITIES = connection.Capabilities(verifies_wwn=True, mutual_chap=True)


class LibvirtDriver(driver.LibvirtDriver):
    """Nova's libvirt driver, with volume drivers from other packages.

    :param args: as nova's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        log_mask.install()
        self._classes = plugins.volume_driver_classes()
        self._connector_properties = ConnectorProperties()
        self._native = NativeAccess(self._host)

    def init_host(self, host: str) -> None:
        """Create the volume drivers, so that a broken one stops the service.

        :param host: name of this host.
        """
        for driver_type in self._classes:
            self._get_volume_driver({'driver_volume_type': driver_type})
        super().init_host(host)

    def _get_volume_driver(self, connection_info: dict[str, Any]) -> Any:
        """Return the volume driver for a connection: a plugin's, or nova's.

        :param connection_info: as Cinder gave it.
        """
        driver_type = connection_info.get('driver_volume_type')
        if driver_type in self._classes:
            if driver_type not in self.volume_drivers:
                self.volume_drivers[driver_type] = plugins.volume_driver(
                    driver_type, self._classes[driver_type], self._host)
            return self.volume_drivers[driver_type]
        return super()._get_volume_driver(connection_info)

    def attach_volume(self, context: Any, connection_info: dict[str, Any],
                      *args: Any, **kwargs: Any) -> None:
        """Attach a volume to a server, as Nova does, and report it.

        :param connection_info: as Cinder gave it.
        """
        with events.operation('attach_volume', _volume_id(connection_info)):
            super().attach_volume(context, connection_info, *args, **kwargs)

    def detach_volume(self, context: Any, connection_info: dict[str, Any],
                      *args: Any, **kwargs: Any) -> None:
        """Detach a volume from a server, as Nova does, and report it.

        :param connection_info: as Cinder gave it.
        """
        with events.operation('detach_volume', _volume_id(connection_info)):
            super().detach_volume(context, connection_info, *args, **kwargs)

    def get_volume_connector(self, instance: Any) -> dict[str, Any]:
        """Return the connector of this host, marked with what it can do.

        :param instance: not used.
        """
        with events.operation('get_volume_connector'):
            properties = self._connector_properties.get(
                lambda: super(LibvirtDriver, self).get_volume_connector(
                    instance))
            properties[connection.MARKER] = dataclasses.replace(
                CAPABILITIES, rbd_secrets=self._native.secrets()).mark()
            return properties


def _volume_id(connection_info: dict[str, Any]) -> object:
    """Return the UUID of the volume of a connection."""
    return (connection_info.get('serial')
            or connection_info.get('data', {}).get('volume_id'))
