# SPDX-License-Identifier: Apache-2.0
"""The libvirt volume driver for ``driver_volume_type`` iscsi."""

from nova import utils
import nova.conf
from nova.virt.libvirt.volume import iscsi

from mydriver.nova_virt.connector import ISCSIConnector

CONF = nova.conf.CONF


class LibvirtISCSIVolumeDriver(iscsi.LibvirtISCSIVolumeDriver):
    """Nova's own driver with our connector.

    :param host: :class:`nova.virt.libvirt.host.Host`.
    """

    def __init__(self, host: object) -> None:
        super().__init__(host)
        self.connector = ISCSIConnector(
            utils.get_root_helper(),
            use_multipath=CONF.libvirt.volume_use_multipath,
            device_scan_attempts=CONF.libvirt.num_volume_scan_tries,
            transport=self._get_transport())
