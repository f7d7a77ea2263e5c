# SPDX-License-Identifier: Apache-2.0
"""The Cinder driver on the real kernel, for tests.

Store and target are real, and so is Cinder's own way of connecting a volume
to the host that it runs on, by stock os-brick.
"""

from pathlib import Path

from cinder.volume import volume_utils
import os_brick
from os_brick import privileged as brick_privileged
from oslo_config import cfg

from mydriver.cinder_volume import driver
from tests.fakes import cinder as fakes
from tests.functional import base, lio, lvm

MIB = 1024 ** 2
GIB = 1024 ** 3
OPTIONS = """
    target_ip_address = 127.0.0.1
    target_secondary_ip_addresses = 127.0.0.2
    use_chap_auth = True
    mydriver_discovery_timeout = 10
"""


def kernel_driver(**kwargs):
    """Return the driver as it is, without a database."""
    return driver.LIODriver(**{'records': fakes.Records(), **kwargs})


class DriverCase(base.NodeTestCase, fakes.CinderTestCase):
    """What cinder-volume does, without its RPC and database."""

    #: More of the backend's options.
    options = ''

    def setUp(self):
        super().setUp()
        lio.use(self)
        for context in (brick_privileged.default,
                        brick_privileged.brick_privsep_hide_output):
            context.set_client_mode(False)
            self.addCleanup(context.set_client_mode, True)
        self.configure(OPTIONS + self.options)
        os_brick.setup(cfg.CONF)
        cfg.CONF.set_override('lock_path', f'{self.folder}/locks',
                              'os_brick')
        self.make_place()
        self.addCleanup(lio.clear)
        self.addCleanup(self.log_out)
        self.driver = self.new_driver(kernel_driver)
        self.driver.do_setup(fakes.context())
        self.addCleanup(self.driver.backend.exports._journal.close)
        self.driver.check_for_setup_error()
        self.clean = lio.dump()

    @staticmethod
    def log_out():
        """End the sessions that a failed test left."""
        if base.sessions():
            base.run('iscsiadm', '--mode', 'node', '--logoutall=all')

    def make_place(self):
        """Make the place of the store."""
        self.mount_xfs(Path(self.store_path))

    def attached(self, volume):
        """Connect a volume to this host as Cinder does; return how."""
        properties = volume_utils.brick_get_connector_properties()
        info, volume = self.driver._attach_volume(
            fakes.context(), volume, properties)
        return info, properties

    def detach(self, volume, info, properties):
        """Disconnect it."""
        self.driver._detach_volume(fakes.context(), info, volume, properties)

    def assert_nothing_left(self):
        """Assert that neither target nor host has anything left."""
        self.assertEqual(self.clean, lio.dump())
        self.assertEqual(set(), base.sessions())
        self.assertEqual(set(), base.scsi_devices())


class OnLvmThin:
    """Mix this in before it, and the store is in a thin pool."""

    options = f"""
    mydriver_store = lvmthin
    mydriver_store_path = {lvm.GROUP}
"""

    def make_place(self):
        """Make a volume group."""
        lvm.make_group(extent='4m')
        self.addCleanup(lvm.remove_group)
        self.addCleanup(lio.clear)  # before: it holds volumes open

    def path(self, of):
        """Return the device of a volume or snapshot."""
        name = Path(super().path(of)).name
        return f'/dev/{lvm.GROUP}/{name.replace("snapshot", "_snapshot")}'

    def read(self, of, length, offset=0):
        """Read past this host's cache, as the target writes past it."""
        start = offset // 4096 * 4096
        path = f'{self.folder}/read'
        base.run('dd', f'if={self.path(of)}', f'of={path}', 'iflag=direct',
                 'bs=4096', f'skip={start // 4096}',
                 f'count={-(-(offset - start + length) // 4096)}')
        with open(path, 'rb') as f:
            f.seek(offset - start)
            return f.read(length)
