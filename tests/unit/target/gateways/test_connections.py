# SPDX-License-Identifier: Apache-2.0
"""The connections that a takeover breaks."""

from pathlib import Path
import socket
import unittest
from unittest import mock

from mydriver import model
from mydriver.target.gateways import connections

PORTAL = model.Portal('192.0.2.51', 3260)
TABLE = '''  sl  local_address rem_address   st tx_queue rx_queue tr tm->when
   0: 330200C0:0CBC 00000000:0000 0A 00000000:00000000 00:00000000 0
   1: 330200C0:0CBC 0C0200C0:A8E2 01 00000000:00000000 00:00000000 0
   2: 330200C0:0CBC 0D0200C0:A8E3 06 00000000:00000000 00:00000000 0
   3: 340200C0:0CBC 0E0200C0:A8E4 01 00000000:00000000 00:00000000 0
'''


class ConnectionsTest(unittest.TestCase):
    """What is found in the kernel, and what others tell."""

    def use(self, text):
        path = mock.Mock(spec=Path)
        path.read_text.return_value = text
        missing = mock.Mock(spec=Path)
        missing.read_text.side_effect = FileNotFoundError
        patch = mock.patch.object(connections, '_TABLES', (path, missing))
        patch.start()
        self.addCleanup(patch.stop)

    def test_established_ones_of_the_portals_are_found(self):
        self.use(TABLE)
        self.assertEqual({'192.0.2.51': ('192.0.2.12:43234',)},
                         connections.current([PORTAL]))

    def test_one_of_the_real_kernel_is_found(self):
        for family, address in ((socket.AF_INET, '127.0.0.1'),
                                (socket.AF_INET6, '::1')):
            with socket.socket(family) as listener:
                listener.bind((address, 0))
                listener.listen()
                portal = model.Portal(address, listener.getsockname()[1])
                with socket.create_connection(listener.getsockname()[:2]
                                              ) as client:
                    mine = model.Portal(address, client.getsockname()[1])
                    self.assertEqual({address: (str(mine),)},
                                     connections.current([portal]))

    def test_what_others_had_may_be_lost(self):
        self.use(TABLE)
        its = connections.Connections([PORTAL])
        its.remember([{'192.0.2.51': ('192.0.2.12:43234', '192.0.2.12:1',
                                      '[2001:db8::1]:2', 'nonsense'),
                       '198.51.100.1': ('192.0.2.12:2',)}, {}])
        wanted = PORTAL, [model.Portal('192.0.2.12', 1)]
        self.assertEqual(wanted, its.lost('192.0.2.51'))
        # Its next run knows of none, but that says nothing.
        its.remember([{}])
        self.assertEqual(wanted, its.lost('192.0.2.51'))

    def test_after_a_while_it_does_not_matter_any_more(self):
        self.use('')
        its = connections.Connections([PORTAL])
        with mock.patch('time.monotonic') as now:
            now.return_value = 1000.0
            its.remember([{'192.0.2.51': ('192.0.2.12:1',)}])
            now.return_value += connections.REMEMBERED_S
            its.remember([])
        self.assertEqual((PORTAL, []), its.lost('192.0.2.51'))
