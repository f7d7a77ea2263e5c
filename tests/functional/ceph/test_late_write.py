# SPDX-License-Identifier: Apache-2.0
"""A write that a lost gateway still has in hand: with the fence and without.

Without it the write overwrites a later one, which was acknowledged: so the
tests of takeovers can fail. One kernel stands for both gateways; the lost one
is its client in a network namespace that is cut off from Ceph.
"""

import contextlib
import json
import threading

import rbd

from lab import netns, process
from tests.functional import base
from tests.functional.ceph.kernel_clients import (
    BLOCK,
    FIRST,
    SECOND,
    KernelClientsCase,
)

LOST = 'lost'
#: For how long the lost gateway does not reach Ceph, seconds.
CUT_S = 5


class TestLateWrite(KernelClientsCase):
    """One gateway is cut off with a write in flight, another one writes."""

    def setUp(self):
        super().setUp()
        # No lock: only the fence can keep the late write out.
        rbd.RBD().create(self.pool, 'plain', 16 << 20,
                         features=rbd.RBD_FEATURE_LAYERING)
        self.addCleanup(rbd.RBD().remove, self.pool, 'plain')
        self.addCleanup(self.unmap_all)
        self.ceph_address = self.monitor.rpartition(':')[0]
        self.make_namespace()

    def make_namespace(self):
        """Make a namespace with another address in Ceph's network."""
        route, = json.loads(base.run(
            'ip', '-j', 'route', 'get', self.ceph_address))
        device = route['dev']
        address = f'{self.ceph_address.rpartition(".")[0]}.201'
        base.run('ip', 'netns', 'add', LOST)
        self.addCleanup(base.run, 'ip', 'netns', 'delete', LOST)
        base.run('ip', 'link', 'add', 'near', 'type', 'veth', 'peer', 'name',
                 'far', 'netns', LOST)
        base.run('ip', 'link', 'set', 'near', 'up')
        for name in ('near', device):
            base.run('sysctl', '-q', '-w',
                     f'net.ipv4.conf.{name}.proxy_arp=1',
                     f'net.ipv4.conf.{name}.forwarding=1')
        base.run('ip', 'route', 'add', f'{address}/32', 'dev', 'near')
        netns.ip('address', 'add', f'{address}/24', 'dev', 'far', netns=LOST)
        netns.ip('link', 'set', 'far', 'up', netns=LOST)
        netns.ip('link', 'set', 'lo', 'up', netns=LOST)

    @contextlib.contextmanager
    def cut_off(self):
        """Let the lost gateway reach Ceph no more."""
        blackhole = 'blackhole', f'{self.ceph_address}/32'
        netns.ip('route', 'add', *blackhole, netns=LOST)
        try:
            yield
        finally:
            netns.ip('route', 'del', *blackhole, netns=LOST)

    def content(self):
        """Return the image's first block."""
        with rbd.Image(self.pool, 'plain', read_only=True) as image:
            return image.read(0, BLOCK)

    def race(self, is_fenced):
        """Write A there, then B here; return the error of A."""
        with netns.inside(LOST):
            first, client = self.map('plain', FIRST)
        self.put(first, b'x')
        failed = []

        def write():
            try:
                self.put(first, b'A')
            except OSError as e:
                failed.append(e)

        late = threading.Thread(target=write)
        with self.cut_off():
            late.start()
            late.join(1)
            self.assertTrue(late.is_alive(), 'A is in flight')
            if is_fenced:
                self.fence.fence([client])
            second, _ = self.map('plain', SECOND)
            self.put(second, b'B')
            self.assertEqual(b'B' * BLOCK, self.content())
            late.join(CUT_S)
            self.assertTrue(late.is_alive(), 'A is still in flight')
        process.wait_for(lambda: not late.is_alive(), 'A to end', 120)
        return failed

    def test_without_the_fence_an_acknowledged_write_is_lost(self):
        self.assertEqual([], self.race(is_fenced=False))
        self.assertEqual(b'A' * BLOCK, self.content())

    def test_with_the_fence_it_stays(self):
        error, = self.race(is_fenced=True)
        self.assertIsInstance(error, OSError)
        self.assertEqual(b'B' * BLOCK, self.content())
