# SPDX-License-Identifier: Apache-2.0
"""Two cinder-volume drivers of one cluster, with Ceph, etcd and a gateway.

All of it is on one node; the locks are in an etcd of its own.
"""

import socket
import subprocess
import threading

from cinder import coordination
from cinder.volume import configuration
from cinder.volume import driver as cinder_driver
from oslo_config import cfg

from mydriver.backend import settings as backend_settings
from mydriver.ceph import cluster
from mydriver.target.gateways import factory
from mydriver.waiting import wait_for
from tests.fakes import cinder as fakes
from tests.functional import base, driving, lio
from tests.functional.ceph import base as ceph_base
from tests.functional.ceph import gateways
from tests.functional.ceph import store as ceph_store

ADDRESS = gateways.ADDRESSES[0]
PORT = 2379
LONG_S = gateways.LONG_S

OPTIONS = f"""
    mydriver_store = rbd
    mydriver_rbd_pool = {ceph_base.VOLUMES}
    mydriver_rbd_user = {ceph_base.USER}
    mydriver_rbd_native = NATIVE
    mydriver_gateway_addresses = {ADDRESS}
    use_chap_auth = True
    mydriver_discovery_timeout = 10
"""


def new_driver(host, records):
    """Return the driver of a service of the cluster, not set up."""
    return driving.kernel_driver(
        configuration=configuration.Configuration(
            cinder_driver.volume_opts, config_group=fakes.BACKEND),
        host=f'{host}@{fakes.BACKEND}',
        cluster_name=f'cloud@{fakes.BACKEND}', is_vol_db_empty=False,
        active_backend_id=None, records=records)


class ClusterCase(ceph_base.CephTestCase, fakes.CinderTestCase):
    """The services ``one`` and ``two``.

    :cvar native: ``mydriver_rbd_native`` of the backend.
    :cvar url: where Cinder's locks are.
    """

    native = 'never'
    url = f'etcd3+http://127.0.0.1:{PORT}'

    def setUp(self):
        super().setUp()
        lio.use(self)
        self.configure(OPTIONS.replace('NATIVE', self.native))
        base.run('modprobe', 'rbd', 'single_major=Y')
        self.io = self.ceph.cluster.open_ioctx(ceph_base.VOLUMES)
        self.addCleanup(self.io.close)
        self.addCleanup(ceph_store.clear, self.io)
        self.addCleanup(lio.clear)
        self.addCleanup(ceph_store.clear_namespace, self.io, fakes.BACKEND)
        self.start_etcd()
        self.records = fakes.Records()
        self.one, self.two = self.service('one'), self.service('two')
        self.start_gateway()

    def start_etcd(self):
        """Keep Cinder's locks in an etcd."""
        etcd = subprocess.Popen(
            ['etcd', '--data-dir', f'{self.folder}/etcd',
             '--listen-client-urls', f'http://127.0.0.1:{PORT}',
             '--advertise-client-urls', f'http://127.0.0.1:{PORT}'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(etcd.wait)
        self.addCleanup(etcd.kill)

        def listens():
            try:
                socket.create_connection(('127.0.0.1', PORT)).close()
            except OSError:
                return False
            return True

        wait_for(listens, 'etcd', LONG_S)
        coordination.COORDINATOR.stop()
        cfg.CONF.set_override('backend_url', self.url, group='coordination')
        coordination.COORDINATOR.start()
        self.addCleanup(coordination.COORDINATOR.stop)

    def service(self, host):
        """Return the driver of a service of the cluster, started."""
        made = new_driver(host, self.records)
        made.do_setup(fakes.context())
        self.addCleanup(made.backend.exports._journal.close)
        made.check_for_setup_error()
        return made

    def start_gateway(self):
        """Serve the only target from this node."""
        connection = cluster.Cluster(ceph_store.SETTINGS)
        self.addCleanup(connection.close)
        settings = factory.settings_of(backend_settings.of_service(
            self.one.configuration, fakes.BACKEND), connection)
        end = threading.Event()
        its = gateways.build(settings, connection, 'gw1')
        thread = threading.Thread(target=its.run, args=(end,))
        thread.start()
        self.addCleanup(thread.join, LONG_S)
        self.addCleanup(end.set)
        registry = factory.registry_of(settings, connection)
        wait_for(lambda: [m for m in registry.all() if m.serves],
                 'a gateway that serves', LONG_S)

