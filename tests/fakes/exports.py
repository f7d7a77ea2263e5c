# SPDX-License-Identifier: Apache-2.0
"""An export service on a real journal and a target in memory."""

from collections.abc import Sequence
import os
import unittest
import uuid

import fixtures
from oslo_concurrency import lockutils

from mydriver import connection, exception, model
from mydriver.target import chap, exports, pool
from mydriver.target.journal import base, sqlite
from tests.fakes import devices
from tests.fakes.target import MemoryTarget

ALICE = {'initiator': 'iqn.1993-08.org.debian:01:alice', 'host': 'a'}
BOB = {'initiator': 'iqn.1993-08.org.debian:01:bob', 'host': 'b'}
OURS = {**ALICE, connection.MARKER:
        connection.Capabilities(True, True).mark()}
MIB = 1 << 20


class ServiceCase(unittest.TestCase):
    """A service on a real journal and a target in memory."""

    reachable: tuple[model.Portal, ...]
    journal: base.Journal
    keys: chap.KeyRing | None
    service: exports.ExportService

    def setUp(self) -> None:
        super().setUp()
        temporary = fixtures.TempDir()
        temporary.setUp()
        self.addCleanup(temporary.cleanUp)
        self.folder = temporary.path
        lockutils.set_defaults(self.folder)
        self.portals = (model.Portal('127.0.0.1'), model.Portal('127.0.0.2'))
        self.devices = devices.MemoryDevices()
        self.reachable = self.portals
        self.runs = 0
        self.prepare()
        self.restart()

    def prepare(self) -> None:
        """Make what outlives restarts."""
        self.settings = pool.Settings(
            'be', 'iqn.2010-10.org.openstack:', self.portals, True,
            self.folder)
        self.target = MemoryTarget('be', self.portals)

    def restart(self) -> None:
        """Restart the service on the state of the earlier run."""
        self.runs += 1
        if self.runs > 1:
            self.journal.close()
        self.service = self.build()
        self.addCleanup(self.journal.close)
        self.service.reconciler.start()

    def lose_kernel(self) -> None:
        """Lose all that is in the kernel, as a reboot does."""
        self.target.targets.clear()

    def build(self) -> exports.ExportService:
        """Return a service; set its journal."""
        self.journal = sqlite.SqliteJournal(
            os.path.join(self.folder, 'journal.sqlite'), f'run-{self.runs}')
        self.keys = chap.KeyRing.load(self.folder)
        return exports.ExportService(
            self.settings, self.journal, self.target, self.keys,
            self.target.name_prefix, self.devices, self.discover)

    def discover(self, target: model.Iqn, initiator: model.Iqn,
                 portals: Sequence[model.Portal], timeout_s: float
                 ) -> tuple[model.Portal, ...]:
        """Show a target to those that have a NodeACL there."""
        seen = self.target.observe(target)
        if not (seen and self.reachable) or str(initiator) not in seen.acls:
            raise exception.TargetNotDiscovered(
                str(target), str(initiator), 'Nobody answers.')
        return tuple(p for p in portals if p in self.reachable)

    def volume(self) -> tuple[str, model.BackingDevice]:
        """Return the id and the device of a new volume."""
        volume_id = str(uuid.uuid4())
        path = os.path.join(self.folder, f'volume-{volume_id}')
        with open(path, 'wb') as f:
            f.truncate(MIB)
        self.devices.known[volume_id] = model.BackingDevice(
            'fileio', path, MIB)
        return volume_id, self.devices.known[volume_id]

    def exported(self) -> str:
        """Return the id of a new, exported volume."""
        volume_id, _device = self.volume()
        self.service.create_export(volume_id)
        return volume_id

    def seen(self) -> tuple[list[str], list[tuple[str, int, str]], list[str]]:
        """Return volumes, (initiator, LUN, volume) and ACLs in the kernel."""
        targets = [t for i in pool.pool(self.settings)
                   if (t := self.target.observe(i))]
        serials = {(t.iqn, e.lun): e.serial for t in targets
                   for e in t.exports}
        return (sorted(serials.values()),
                sorted((m.initiator, m.lun, serials[t.iqn, m.tpg_lun])
                       for t in targets for m in t.mappings),
                sorted(a for t in targets for a in t.acls))
