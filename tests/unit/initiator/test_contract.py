# SPDX-License-Identifier: Apache-2.0
"""The fake host passes the initiator's contract."""

import contextlib
from pathlib import Path
import tempfile
import unittest
import uuid

from mydriver import model
from mydriver.initiator import sysfs
from tests.contract import initiator as contract
from tests.fakes.initiator import PORTALS, TARGET, FakeHost, Lun


class FakeHostTest(contract.InitiatorContract, unittest.TestCase):
    """The same suite as a real node's."""

    def setUp(self):
        super().setUp()
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.host = FakeHost(folder / 'sys')
        self.verbs = self.host
        self.sysfs = sysfs.Sysfs(folder / 'sys')
        self.target = TARGET
        self.portals = PORTALS
        self.dead = model.Portal('192.0.2.3')
        self.host.down = {self.dead}
        self.chap = model.ChapCredentials('user', 'secret' * 3)
        self.host.chap = self.chap

    def map_volume(self):
        mapped = contract.Mapped(str(uuid.uuid4()), len(self.host.luns) + 1)
        self.host.luns[mapped.lun] = Lun.of(mapped.volume_id)
        return mapped

    def unmap(self, mapped):
        del self.host.luns[mapped.lun]

    def swap(self, mapped, other):
        self.host.luns[mapped.lun] = self.host.luns[other.lun]

    def grow(self, mapped, size_bytes):
        self.host.luns[mapped.lun].size_bytes = size_bytes

    @contextlib.contextmanager
    def claim(self, device):
        self.host.exclusive.add(device.name)
        yield
        self.host.exclusive.remove(device.name)

    def has_record(self, portal):
        return (str(self.target), portal) in self.host.records

    def start_multipathd(self):
        self.host.multipathd = True
