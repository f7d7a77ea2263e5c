# SPDX-License-Identifier: Apache-2.0
"""What peers of lost connections are sent."""

import ipaddress
import socket
import struct
import unittest
from unittest import mock

from mydriver.privileged.network import segments


class SegmentTest(unittest.TestCase):
    """The segments, byte by byte."""

    def test_it_acknowledges_nothing(self):
        found = segments.segment(('192.0.2.51', 3260), ('192.0.2.12', 43234))
        self.assertEqual(bytes.fromhex(
            '0cbc a8e2 00000000 00000000 50 10 0000'), found[:16])
        self.assertEqual(20, len(found))

    def test_its_checksum(self):
        for one, other in (('192.0.2.51', '198.51.100.7'),
                           ('2001:db8::51', '2001:db8:1::7')):
            for port in range(40000, 40200):
                found = segments.segment((one, 3260), (other, port))
                checked = b''.join(
                    ipaddress.ip_address(a).packed for a in (one, other)
                    ) + struct.pack('!II', len(found), 6) + found
                total = sum(struct.unpack(f'!{len(checked) // 2}H', checked))
                self.assertEqual(0, total % 0xffff)

    def test_each_peer_gets_one_from_the_address(self):
        for address, family in (('192.0.2.51', socket.AF_INET),
                                ('2001:db8::51', socket.AF_INET6)):
            with mock.patch('socket.socket') as made:
                s = made.return_value.__enter__.return_value
                segments.send(address, 3260, [(address, 1), (address, 2)])
            self.assertEqual(family, made.call_args.args[0])
            s.bind.assert_called_once_with((address, 0))
            self.assertEqual(
                [(segments.segment((address, 3260), (address, n)),
                  (address, 0)) for n in (1, 2)],
                [c.args for c in s.sendto.call_args_list])
