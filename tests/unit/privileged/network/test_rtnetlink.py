# SPDX-License-Identifier: Apache-2.0
"""Messages of rtnetlink: parsed, packed, and asked of this very kernel."""

import socket
import struct
import unittest
from unittest import mock

import ddt

from mydriver.privileged.network import rtnetlink


def attribute(kind, value):
    """Return an attribute of a message."""
    length = 4 + len(value)
    return struct.pack('=HH', length, kind) + value + b'\0' * (-length % 4)


def message(family, prefix, *attributes):
    """Return the body of a message about an address of interface 3."""
    return struct.pack('=BBBBI', family, prefix, 0, 0, 3) + b''.join(
        attribute(kind, value) for kind, value in attributes)


def lifetimes(valid_s):
    """Return the attribute with the lifetimes."""
    return 6, struct.pack('=IIII', 0, valid_s, 1, 1)


@ddt.ddt
class AddressesTest(unittest.TestCase):
    """What the kernel says about addresses."""

    @ddt.data((5, 5), (0xffffffff, None))
    @ddt.unpack
    def test_an_address(self, valid_s, found_s):
        here, subnet = (socket.inet_aton(a) for a in (
            '192.0.2.5', '192.0.2.1'))
        self.assertEqual(
            rtnetlink.Address(3, '192.0.2.5', 24, '192.0.2.1', found_s),
            rtnetlink.parse_address(message(
                socket.AF_INET, 24, (1, subnet), (2, here), (3, b'eth0\0'),
                lifetimes(valid_s))))

    def test_ipv6_has_no_local_one(self):
        packed = socket.inet_pton(socket.AF_INET6, '2001:db8::5')
        self.assertEqual(
            rtnetlink.Address(3, '2001:db8::5', 64, '2001:db8::5', 9),
            rtnetlink.parse_address(message(
                socket.AF_INET6, 64, (1, packed), lifetimes(9))))

    def test_another_family(self):
        self.assertIsNone(rtnetlink.parse_address(message(
            socket.AF_APPLETALK, 8)))

    def test_this_kernel(self):
        self.assertIn(('127.0.0.1', 8, None), [
            (a.address, a.prefix, a.valid_s) for a in rtnetlink.addresses()])

    def test_an_error_of_this_kernel(self):
        with self.assertRaises(OSError) as caught:
            rtnetlink.delete_address(1, '192.0.2.99')
        self.assertIn(caught.exception.strerror, (
            'Operation not permitted', 'Cannot assign requested address'))

    def test_a_truncated_answer_ends(self):
        for size in range(40):
            list(rtnetlink.messages(struct.pack('=I', 0) * size))


class RequestsTest(unittest.TestCase):
    """What is asked of the kernel."""

    def sent(self, function, *args):
        """Return type, flags and body of the request."""
        with mock.patch.object(rtnetlink, '_call') as call:
            function(*args)
        return call.call_args.args

    def test_an_address_stands_alone(self):
        for address, prefix, preferred_s in (('192.0.2.5', 32, 4),
                                             ('2001:db8::5', 128, 0)):
            kind, flags, body = self.sent(
                rtnetlink.put_address, 3, address, 4)
            self.assertEqual((20, 4 | 0x500), (kind, flags))
            self.assertEqual(
                rtnetlink.Address(3, address, prefix, address, 4),
                rtnetlink.parse_address(body))
            self.assertIn(struct.pack('=II', preferred_s, 4), body)

    def test_only_routes_to_somewhere_expire(self):
        _kind, _flags, body = self.sent(
            rtnetlink.put_default_route, 7, rtnetlink.UNICAST, 1, 3, 4)
        self.assertIn(attribute(23, struct.pack('=I', 4)), body)
        _kind, _flags, body = self.sent(
            rtnetlink.put_default_route, 7, rtnetlink.BLACKHOLE, 9)
        self.assertNotIn(struct.pack('=HH', 8, 23), body)
