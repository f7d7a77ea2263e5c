# SPDX-License-Identifier: Apache-2.0
"""Gateways on a real Ceph and a real kernel, and an initiator that uses them.

All of it is on one node and its kernel.
"""

from pathlib import Path
import threading
import uuid

from oslo_concurrency import lockutils
from oslo_config import cfg

from mydriver import model
from mydriver.backend import devices, images
from mydriver.ceph import cluster
from mydriver.stores import names
from mydriver.target import pool
from mydriver.target.gateways import factory
from mydriver.waiting import wait_for
from tests.functional import base, lio
from tests.functional.ceph import base as ceph_base
from tests.functional.ceph import store as ceph_store

BACKEND = 'ceph'
MIB = 1 << 20
LONG_S = 60
#: Floating addresses, one for each target.
ADDRESSES = tuple(f'10.78.0.{n}' for n in range(100, 110))


def settings(connection, targets=1):
    """Return the settings of a backend with gateways.

    :param targets: how many targets it has.
    """
    return factory.settings_of(pool.Settings(
        BACKEND, 'iqn.2010-10.org.openstack:', (), False, '/nonexistent',
        targets=targets, gateways=pool.Gateways(tuple(
            (model.Portal(a),) for a in ADDRESSES[:targets]))), connection)


def build(its_settings, connection, name):
    """Return a gateway; it does nothing before it runs."""
    return factory.build_gateway(
        its_settings, connection, name,
        lambda target: images.PoolImages(connection, target))


class GatewayCase(ceph_base.CephTestCase):
    """One cinder-volume, one initiator, and the gateways that a test starts.

    :cvar targets: how many targets the backend has.
    """

    targets = 1

    def setUp(self):
        super().setUp()
        self.io = self.ceph.cluster.open_ioctx(ceph_base.VOLUMES)
        self.addCleanup(self.io.close)
        lio.use(self)
        ceph_store.use(self)
        self.addCleanup(lio.clear)
        self.addCleanup(ceph_store.clear, self.io)
        self.conf_path = Path(cfg.CONF.config_file[0])
        self.conf_path.write_text(
            self.conf_path.read_text() + 'mydriver_gateway_addresses = '
            f'{",".join(ADDRESSES[:self.targets])}\n')
        self.addCleanup(ceph_store.clear_namespace, self.io, BACKEND)
        lockutils.set_defaults('/run/lock')
        self.connection = cluster.Cluster(ceph_store.SETTINGS)
        self.addCleanup(self.connection.close)
        self.settings = settings(self.connection, self.targets)
        self.pool = pool.pool(self.settings)
        self.target = self.pool[0]
        self.store = ceph_store.make()
        self.store.prepare()
        self.store.recover()
        here = devices.StoreDevices(self.store)
        self.service = factory.build_service(
            self.settings, self.connection,
            devices.DistantDevices(self.store), here)
        self.addCleanup(self.service._journal.close)
        self.me = model.Iqn(base.initiator_name())


    def start(self, name='gw1', *, serves=True):
        """Start a gateway, and wait until it serves.

        :param serves: whether to wait.
        :returns: a function that stops it.
        """
        end = threading.Event()
        its = build(self.settings, self.connection, name)
        thread = threading.Thread(target=its.run, args=(end,))
        thread.start()

        def stop():
            end.set()
            thread.join(LONG_S)
            self.assertFalse(thread.is_alive())

        self.addCleanup(stop)
        if serves:
            self.served()
        return stop

    def registry(self):
        """Return what the gateways say about themselves."""
        return factory.registry_of(self.settings, self.connection)

    def served(self, timeout_s=LONG_S):
        """Wait until all targets are served."""
        registry = self.registry()
        wait_for(lambda: len({s for m in registry.all() for s in m.serves})
                 == self.targets, 'gateways that serve', timeout_s)

    def volume(self):
        """Return the id of a new volume of 64 MiB."""
        volume_id = str(uuid.uuid4())
        self.store.create(names.volume_name(volume_id), 64 * MIB)
        return volume_id

    def login(self):
        """Log in to the first target."""
        base.run('iscsiadm', '-m', 'node', '-T', str(self.target), '-p',
                 f'{ADDRESSES[0]}:3260', '-o', 'new')
        base.run('iscsiadm', '-m', 'node', '-T', str(self.target), '-p',
                 f'{ADDRESSES[0]}:3260', '--login')
        self.addCleanup(self.logout)

    def logout(self):
        """Log out of all targets."""
        if base.sessions():
            base.run('iscsiadm', '-m', 'node', '-u')

    def disk(self, volume_id):
        """Return the disk of a volume, once the initiator has it."""
        path = Path(f'/dev/disk/by-id/wwn-0x{model.naa_id(volume_id)}')
        wait_for(path.exists, f'{path}', LONG_S)
        return path
