# SPDX-License-Identifier: Apache-2.0
"""Secrets in what keystoneauth logs."""

import json
import logging
import unittest

from mydriver import connection, model
from mydriver.connection import iscsi
from mydriver.nova_virt import log_mask

BODY = json.dumps({'attachment': {'connection_info': iscsi.Connection(
    '6beb6f14-77ec-4490-a9f3-e8e987c34d2a',
    iscsi.paths(model.Iqn('iqn.2010-10.org.openstack:t-0'),
                [model.Portal('192.0.2.1')], 1),
    model.ChapCredentials('user', 'secret-one', 'target', 'secret-two')
).to_data(connection.Capabilities(True, True))}})


class HushTest(unittest.TestCase):
    """The filter on keystoneauth's loggers."""

    def setUp(self):
        super().setUp()
        for name in log_mask.LOGGERS:
            logger = logging.getLogger(name)
            self.addCleanup(setattr, logger, 'filters', logger.filters[:])
        log_mask.install()
        log_mask.install()

    def said(self, name, *args):
        with self.assertLogs(name, logging.DEBUG) as logs:
            logging.getLogger(name).debug(*args)
        return logs.records[0].getMessage()

    def test_secrets_are_masked(self):
        for name in log_mask.LOGGERS:
            for args in ((f'RESP BODY: {BODY}',), ('RESP BODY: %s', BODY)):
                text = self.said(name, *args)
                self.assertNotIn('secret-', text)
                self.assertIn('192.0.2.1', text)
                self.assertIn('***', text)

    def test_other_records_stay_as_they_are(self):
        self.assertEqual('100% of %s', self.said(
            log_mask.LOGGERS[0], '100% of %s'))
        self.assertEqual('a b', self.said(log_mask.LOGGERS[0], 'a %s', 'b'))

    def test_installed_once(self):
        self.assertEqual(
            1, len(logging.getLogger(log_mask.LOGGERS[0]).filters))
