# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of the lab: who gets a tap's packets, and who does not.

A node has a kernel of its own, so that nothing on the machine is touched.
"""

import fcntl
import os
from pathlib import Path
import select
import struct

from lab import errors, netns
from tests.functional import base

_NAME, _BRIDGE = 'test-netns', 'br0'

# linux/if_tun.h
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454ca, 2, 0x1000

#: A broadcast of an unused type (IEEE 802, local experiments).
_FRAME = b'\xff' * 6 + bytes.fromhex('02000000000188b5') + b'x' * 46


class TestNetns(base.NodeTestCase):
    """Two taps on a bridge, with a program at each."""

    def setUp(self):
        super().setUp()
        base.run('modprobe', '-a', 'tun', 'bridge')
        tun = Path('/dev/net/tun')
        if not tun.exists():
            tun.parent.mkdir(exist_ok=True)
            os.mknod(tun, 0o20600, os.makedev(10, 200))
        netns.create(_NAME)
        self.addCleanup(netns.delete, _NAME)
        netns.add_bridge(_NAME, _BRIDGE, '192.0.2.1')
        for tap in ('tap-a', 'tap-b'):
            netns.add_tap(_NAME, tap, _BRIDGE)

    def _open(self, tap: str) -> int:
        """Open the other end of a tap, as a node's kernel does."""
        with netns.inside(_NAME):
            fd = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
            self.addCleanup(os.close, fd)
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack(
                '16sH', tap.encode(), _IFF_TAP | _IFF_NO_PI))
        return fd

    @staticmethod
    def _got(fd: int, timeout_s: float) -> bool:
        """Tell whether our frame arrives in time, among any others."""
        while select.select([fd], [], [], timeout_s)[0]:
            if os.read(fd, 2048) == _FRAME:
                return True
        return False

    def test_twice_is_once(self):
        netns.create(_NAME)
        netns.add_bridge(_NAME, _BRIDGE, '192.0.2.1')
        netns.add_tap(_NAME, 'tap-a', _BRIDGE)
        self.assertTrue(netns.exists(_NAME))
        netns.delete(_NAME)
        netns.delete(_NAME)
        self.assertFalse(netns.exists(_NAME))
        self.assertEqual([], netns.pids(_NAME))

    def test_packets_are_dropped_in_both_directions(self):
        a, b = self._open('tap-a'), self._open('tap-b')
        for forward in (True, False, True):
            netns.forward(_NAME, 'tap-a', forward)
            for source, target in ((a, b), (b, a)):
                # A write must not fail: that would break a node's device.
                self.assertEqual(len(_FRAME), os.write(source, _FRAME))
                self.assertIs(forward, self._got(target, 2 if forward
                                                 else 0.5))

    def test_inside_and_back(self):
        before = os.readlink('/proc/thread-self/ns/net')
        with netns.inside(_NAME):
            self.assertNotEqual(before,
                                os.readlink('/proc/thread-self/ns/net'))
        self.assertEqual(before, os.readlink('/proc/thread-self/ns/net'))
        with (self.assertRaises(FileNotFoundError),
              netns.inside('no-such-netns')):
            pass
        self.assertEqual(before, os.readlink('/proc/thread-self/ns/net'))

    def test_errors_say_what_failed(self):
        with self.assertRaisesRegex(errors.LabError, 'tap-c'):
            netns.forward(_NAME, 'tap-c', True)
