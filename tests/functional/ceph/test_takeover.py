# SPDX-License-Identifier: Apache-2.0
"""The protocol of the gateways, with a real Ceph and the kernel's client.

Exports and addresses are left out: what is shown here is the lease, the
record, the fence and the maps.
"""

import threading
import time
import uuid

import rbd

from mydriver import exception
from mydriver.ceph import cluster, fence
from mydriver.target.gateways import lease, takeover
from mydriver.target.gateways.ownership import RadosOwnership
from mydriver.target.gateways.steps import (
    DONE,
    Kind,
    Outcome,
    Result,
)
from tests.functional.ceph import base
from tests.functional.ceph.kernel_clients import (
    BLOCK,
    FIRST,
    SECOND,
    KernelClientsCase,
)

TIMING = lease.Timing()


class Gateway:
    """One gateway: does what the state machine says."""

    def __init__(self, case, name, option, target):
        self.case = case
        self.name = name
        self.option = option
        its = case.connect()
        self.ownership = RadosOwnership(its, target, 'be')
        self.fence = fence.Fence(its)
        self.mapped = {}
        self.times = {}
        self.lock = threading.Lock()
        self.start()

    def start(self):
        """Start anew, after a crash too; the kernel keeps what it has."""
        self.state = takeover.start(self.name, str(uuid.uuid4()))

    def run(self, until, is_wanted=True, timeout_s=90.0):
        """Take steps until one is next, and renew the lease meanwhile."""
        ended = threading.Event()
        renewer = threading.Thread(target=self.renew, args=(ended,))
        renewer.start()
        try:
            deadline_s = time.monotonic() + timeout_s
            while time.monotonic() < deadline_s:
                if self.take_step(until, is_wanted):
                    return
        finally:
            ended.set()
            renewer.join()
        raise AssertionError(f'{until} did not come: {self.state}')

    def take_step(self, until, is_wanted):
        """Take one step; tell whether a certain one is next instead."""
        with self.lock:
            self.state = takeover.decide(self.state, lease.now_s(), is_wanted)
            step = takeover.step(self.state)
        if step.kind is until:
            return True
        sent_s = lease.now_s()
        try:
            outcome = self.perform(step)
        except (exception.MyDriverError, OSError) as e:
            outcome = Outcome(Result.FAILED, reason=str(e))
        now_s = lease.now_s()
        self.times[step.kind] = now_s - sent_s
        with self.lock:
            self.state = takeover.after(self.state, outcome, now_s, sent_s,
                                        TIMING)
        if outcome.result is not Result.DONE:
            time.sleep(0.1)
        return False

    def renew(self, ended):
        """Renew the lease, until it is told to end."""
        while not ended.wait(TIMING.renew_s):
            sent_s = lease.now_s()
            state = self.state
            if not takeover.wants_renewal(state, sent_s, 60.0):
                continue
            is_held = self.ownership.renew(state.cookie, TIMING.duration_s)
            with self.lock:
                self.state = takeover.renewed(
                    self.state, state.cookie, sent_s, TIMING) if is_held else (
                        takeover.lost(self.state, state.cookie))

    def perform(self, step):
        """Do what a step says."""
        do = {Kind.ACQUIRE: self.acquire, Kind.READ: self.read,
              Kind.CONNECT: self.connect, Kind.RECORD: self.write,
              Kind.RELEASE: self.write, Kind.FENCE: self.put_fence,
              Kind.FENCE_AGAIN: self.put_fence, Kind.MAP: self.map,
              Kind.UNMAP: self.unmap, Kind.DISCONNECT: self.disconnect,
              Kind.UNLOCK: lambda s: self.ownership.release(s.cookie)}
        if step.kind in (Kind.TAKE_ADDRESS, Kind.EXTEND_ADDRESS):
            return Outcome(Result.DONE, until_s=step.until_s)
        return do.get(step.kind, lambda step: None)(step) or DONE

    def acquire(self, step):
        """Ask for the lease."""
        if not self.ownership.acquire(step.cookie, TIMING.duration_s):
            return Outcome(Result.REFUSED)
        return None

    def read(self, step):
        """Read the record."""
        return Outcome(Result.DONE, found=self.ownership.read())

    def write(self, step):
        """Write a record."""
        if not self.ownership.write(step.cookie, *step.its):
            return Outcome(Result.REFUSED)
        return None

    def put_fence(self, step):
        """Fence."""
        self.fence.fence(step.clients)

    def connect(self, step):
        """Start a client."""
        return self.map_one('anchor', 'ro')

    def map(self, step):
        """Map the image."""
        return self.map_one('image', 'exclusive')

    def map_one(self, image, *options):
        """Map something; return the client it is mapped with."""
        self.mapped[image], client = self.case.map(image, *options,
                                                   self.option)
        return Outcome(Result.DONE, clients=frozenset({client}))

    def unmap(self, step):
        """Unmap the image."""
        self.unmap_one('image')

    def disconnect(self, step):
        """End the client."""
        self.unmap_one('anchor')

    def unmap_one(self, image):
        """Unmap something."""
        if image in self.mapped:
            self.case.unmap(self.mapped[image])
            del self.mapped[image]

    def put(self, letter):
        """Write a block."""
        self.case.put(self.mapped['image'], letter)


class TestTakeover(KernelClientsCase):
    """Two gateways of one target."""

    def setUp(self):
        super().setUp()
        target = f't-{uuid.uuid4()}'
        RadosOwnership(self.connect(), target, 'be').create()
        self.one = Gateway(self, 'gw1', FIRST, target)
        self.two = Gateway(self, 'gw2', SECOND, target)

    def connect(self):
        """Return a connection of a gateway's."""
        its = cluster.Cluster(cluster.Settings(
            base.VOLUMES, base.USER, str(self.conf)), timeout_s=2)
        self.addCleanup(its.close)
        return its

    def content(self):
        """Return the image's first block."""
        with rbd.Image(self.pool, 'image', read_only=True) as image:
            return image.read(0, BLOCK)

    def test_owner_that_is_silent_is_fenced_and_replaced(self):
        self.one.run(Kind.SERVE)
        self.one.put(b'A')
        mine = self.one.state.client
        began_s = time.monotonic()
        self.two.run(Kind.SERVE)
        self.assertLess(time.monotonic() - began_s, 60.0)
        self.two.put(b'B')
        with self.assertRaises(OSError):
            self.one.put(b'A')
        self.assertEqual(b'B' * BLOCK, self.content())
        found = self.two.ownership.read().record
        self.assertEqual(('gw2', 2, (mine,)),
                         (found.owner, found.epoch, found.fence))
        # The first one goes on, notices, and cleans up; then it gets the
        # target back by a planned move, with another client.
        self.one.run(Kind.STAND_BY, is_wanted=False)
        self.assertEqual({}, self.one.mapped)
        self.two.run(Kind.STAND_BY, is_wanted=False)
        self.assertTrue(self.one.ownership.read().record.released)
        self.one.run(Kind.SERVE)
        self.one.put(b'C')
        self.assertEqual(b'C' * BLOCK, self.content())
        found = self.one.ownership.read().record
        self.assertNotEqual(mine, self.one.state.client)
        self.assertEqual(('gw1', 3, (mine,)),
                         (found.owner, found.epoch, found.fence))

    def test_planned_move_fences_nobody(self):
        self.one.run(Kind.SERVE)
        began_s = time.monotonic()
        self.one.run(Kind.STAND_BY, is_wanted=False)
        self.two.run(Kind.SERVE)
        self.assertLess(time.monotonic() - began_s, 60.0)
        self.assertEqual((), self.two.ownership.read().record.fence)
        self.assertEqual({}, dict(self.fence.read().entries))

    def test_crash_of_the_process(self):
        for kind in (Kind.RECORD, Kind.FENCE, Kind.MAP, Kind.SERVE):
            self.one.run(kind)
            # The process dies. Its successor on the host cleans up.
            self.one.start()
            self.one.run(Kind.ACQUIRE)
            self.assertEqual({}, self.one.mapped)
        self.two.run(Kind.SERVE)
        self.two.put(b'D')
        self.assertEqual(b'D' * BLOCK, self.content())

    def test_without_a_fence_nothing_is_mapped(self):
        self.one.run(Kind.SERVE)
        victim = self.one.state.client
        # Somebody broke its lock, for an hour.
        self.ceph.command('osd blocklist', blocklistop='add',
                          addr=str(victim), expire=3600.0)
        self.two.run(Kind.UNLOCK)
        self.assertNotIn(Kind.MAP, self.two.times)
        self.assertIn('only until', self.two.state.reason)
        self.assertIn(victim, self.two.ownership.read().record.fence)
