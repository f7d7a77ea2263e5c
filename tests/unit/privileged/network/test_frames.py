# SPDX-License-Identifier: Apache-2.0
"""What neighbours are told."""

import struct
import unittest

from mydriver.privileged.network import frames

HARDWARE = bytes.fromhex('02005e102030')


class AnnouncementsTest(unittest.TestCase):
    """The frames, byte by byte."""

    def test_gratuitous_arp(self):
        request, reply = frames.announcements('192.0.2.51', HARDWARE)
        head = 'ffffffffffff 02005e102030 0806 0001 0800 06 04'
        sender = '02005e102030 c0000233'
        self.assertEqual(bytes.fromhex(
            f'{head} 0001 {sender} 000000000000 c0000233'), request)
        self.assertEqual(bytes.fromhex(
            f'{head} 0002 {sender} 02005e102030 c0000233'), reply)

    def test_unsolicited_neighbour_advertisement(self):
        frame, = frames.announcements('2001:db8::51', HARDWARE)
        address = '20010db8' + '0' * 20 + '0051'
        self.assertEqual(bytes.fromhex(
            '333300000001 02005e102030 86dd 60000000 0020 3a ff '
            f'{address} ff02{"0" * 26}01 8800'), frame[:56])
        self.assertEqual(bytes.fromhex(
            f'20000000 {address} 0201 02005e102030'), frame[58:])

    def test_its_checksum(self):
        for last in range(256):
            frame, = frames.announcements(f'2001:db8::{last:x}', HARDWARE)
            checked = frame[22:54] + struct.pack('!II', 32, 58) + frame[54:]
            total = sum(struct.unpack(f'!{len(checked) // 2}H', checked))
            self.assertEqual(0, total % 0xffff)
