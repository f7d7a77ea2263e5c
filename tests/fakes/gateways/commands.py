# SPDX-License-Identifier: Apache-2.0
"""Commands on backends that gateways serve."""

import json
from typing import Any
from unittest import mock

from mydriver import model
from mydriver.cmd import gateway as gateway_command
from mydriver.cmd import gateways
from mydriver.target import pool
from mydriver.target.gateways import factory, gateway, members
from mydriver.target.journal.rados import journal as journals
from mydriver.target.journal.rados import targets
from tests.fakes import commands
from tests.fakes.commands import FIRST, HOST, SECOND
from tests.fakes.notify import FakeNotices
from tests.fakes.omap import FakeObjects

CONF = """
    [DEFAULT]
    state_path = {folder}/state
    my_ip = 192.0.2.1
    enabled_backends = disks,ceph,fast
    [backend_defaults]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_store = rbd
    mydriver_rbd_ceph_conf = {folder}/ceph.conf
    [disks]
    mydriver_store = reflink
    mydriver_store_path = {folder}/store
    [ceph]
    mydriver_rbd_pool = volumes
    mydriver_gateway_addresses = 192.0.2.51,192.0.2.52
    [fast]
    mydriver_rbd_pool = fast
    mydriver_gateway_addresses = 192.0.2.61
"""
ONE, TWO = (model.Iqn(f'iqn.2010-10.org.openstack:mydriver-ceph-{n}')
            for n in range(2))


class GatewaysTestCase(commands.CommandTestCase):
    """Two backends in a Ceph in memory, and one on this host's disks."""

    def setUp(self) -> None:
        """Replace what is in Ceph by objects in memory."""
        super().setUp()
        self.write(CONF)
        self.objects = {name: FakeObjects() for name in ('ceph', 'fast')}
        for module, name, value in (
                (gateways, '_LOOK_S', 0.2), (members, 'ALIVE_S', 0.4),
                (gateway_command, '_PAUSE_S', 0.01),
                (factory, 'registry_of', self._registry_of),
                (factory, 'journal_of', self._journal_of),
                (factory, 'settings_of', lambda settings, _c: settings)):
            self.enterContext(mock.patch.object(module, name, value))

    def _registry_of(self, settings: pool.Settings, _connection: object
                     ) -> gateway.Registry:
        return self.registry(settings.backend)

    def _journal_of(self, settings: pool.Settings, _connection: object
                    ) -> journals.RadosJournal:
        return self.journal(settings.backend)

    def registry(self, backend: str = 'ceph') -> gateway.Registry:
        """Return what the gateways of a backend say."""
        return gateway.Registry(self.objects[backend])

    def journal(self, backend: str = 'ceph') -> journals.RadosJournal:
        """Return the journal of a backend."""
        return journals.RadosJournal(
            self.objects[backend], backend, targets.Run('host', 'run'),
            FakeNotices())

    def export_two(self) -> journals.RadosJournal:
        """Export two volumes, and map one; return the journal."""
        its = self.journal()
        its.create()
        its.add_targets([ONE, TWO])
        for volume_id, target in ((FIRST, ONE), (SECOND, TWO)):
            its.add_export(volume_id, model.BackingDevice(
                'iblock', f'/dev/rbd/volumes/volume-{volume_id}', 1 << 30),
                target)
        its.add_mapping(FIRST, HOST, read_only=False, mutual=False)
        return its

    def rows(self, *argv: str) -> tuple[int, list[dict[str, Any]], str]:
        """Run a command; return its status, its rows and its log."""
        status, out, err = self.run_command(*argv, '-f', 'json')
        return status, json.loads(out), err
