# SPDX-License-Identifier: Apache-2.0
"""The privileged verbs pass the initiator's contract on a real kernel."""

import contextlib
import os
from pathlib import Path

from mydriver import model
from mydriver.connection import iscsi
from mydriver.initiator import sysfs, verbs
from tests.contract import initiator as contract
from tests.functional import attaching

NODES = Path('/etc/iscsi/nodes')


class KernelTest(attaching.AttachTestCase, contract.InitiatorContract):
    """The same suite as the fake's."""

    def setUp(self):
        super().setUp()
        self.verbs = verbs.PrivilegedVerbs()
        self.sysfs = sysfs.Sysfs()
        self.portals = attaching.PORTALS
        self.dead = model.Portal('127.0.0.9')
        self.first, connection = self.mapped()
        self.target = connection.paths[0].target
        self.chap = connection.chap

    def mapped(self):
        volume_id = self.cloud.volume()
        connection = iscsi.Connection.parse(
            self.cloud.attach(volume_id, marked=True))
        return (contract.Mapped(volume_id, connection.paths[0].lun),
                connection)

    def map_volume(self):
        if self.first:
            mapped, self.first = self.first, None
            return mapped
        while True:
            mapped, connection = self.mapped()
            if connection.paths[0].target == self.target:
                return mapped

    def unmap(self, mapped):
        self.cloud.unmap_behind(mapped.volume_id)

    def swap(self, mapped, other):
        self.cloud.swap(mapped.volume_id, other.volume_id)

    def grow(self, mapped, size_bytes):
        self.cloud.grow(mapped.volume_id, size_bytes)

    @contextlib.contextmanager
    def claim(self, device):
        fd = os.open(f'/dev/{device.name}', os.O_RDONLY | os.O_EXCL)
        try:
            yield
        finally:
            os.close(fd)

    def has_record(self, portal):
        folder = NODES / str(self.target)
        return folder.is_dir() and any(
            p.name.startswith(f'{portal.address},{portal.port}')
            for p in folder.iterdir())

    def tear_down(self, session):
        super().tear_down(session)
        if not self.sysfs.sessions(self.target):
            self.assert_nothing_left('wwids', 'multipath maps')
