# SPDX-License-Identifier: Apache-2.0
"""The fake of objects with an omap passes the contract of the real ones."""

import unittest

from tests.contract import omap as contract
from tests.fakes import omap


class FakeObjectsTest(contract.OmapContract, unittest.TestCase):
    """In memory."""

    def setUp(self):
        super().setUp()
        self.objects = omap.FakeObjects()
