# SPDX-License-Identifier: Apache-2.0
"""The grammar of ``connection_info['data']`` as stock os-brick reads it."""

import unittest

from os_brick.initiator.connectors import iscsi as os_brick_iscsi
from oslo_utils import strutils

from tests.fakes.grammar import (
    ALL,
    FULL,
    NOTHING,
    OTHER_TARGET,
    SIMPLE,
    SPREAD,
    TARGET,
)


class StockTest(unittest.TestCase):
    """What stock os-brick makes of it."""

    def targets(self, wanted):
        return os_brick_iscsi.ISCSIConnector('')._get_all_targets(
            wanted.to_data(NOTHING))

    def test_single_path(self):
        self.assertEqual([('192.0.2.1:3260', str(TARGET), 7)],
                         self.targets(SIMPLE))

    def test_several(self):
        self.assertEqual(
            [('192.0.2.1:3260', str(TARGET), 300),
             ('[2001:db8::1]:3261', str(TARGET), 300)],
            self.targets(FULL))

    def test_targets_and_luns_that_differ(self):
        self.assertEqual(
            [('192.0.2.1:3260', str(TARGET), 7),
             ('[2001:db8::1]:3261', str(OTHER_TARGET), 300)],
            self.targets(SPREAD))

    def test_secrets_are_masked_where_stock_logs(self):
        """os-brick and nova mask by the names of keys."""
        masked = strutils.mask_password(str(FULL.to_data(ALL)))
        self.assertIn('user', masked)
        self.assertNotIn('hidden', masked)
        self.assertNotIn('hidden', str(strutils.mask_dict_password(
            FULL.to_data(ALL))))
