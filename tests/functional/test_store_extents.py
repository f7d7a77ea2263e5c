# SPDX-License-Identifier: Apache-2.0
"""How long writes wait while their volume is copied, on a real XFS."""

import os
from pathlib import Path
import random
import sys
import tempfile
import threading
import time

from oslo_utils import units

from mydriver.stores.reflink import extents
from mydriver.stores.reflink import store as reflink
from tests.contract import store as contract
from tests.functional import base

BLOCK = 4096

#: The default of `mydriver_max_extents`.
LIMIT = 30000


class ExtentsTest(base.NodeTestCase):
    """A volume of 1 GiB with random writes of 4 KiB."""

    def setUp(self):
        super().setUp()
        folder = Path(tempfile.mkdtemp(dir='/run'))
        self.store = reflink.ReflinkStore(str(self.mount_xfs(folder)))
        self.random = random.Random(1)

    def written(self, blocks):
        """Return the name of a volume with that many blocks written."""
        name = contract.volume()
        self.store.create(name, units.Gi)
        self.write(name, blocks)
        return name

    def write(self, name, blocks):
        """Write blocks at random."""
        device = self.store.device(name)
        with open(device.path, 'r+b', buffering=0) as f:
            for at in self.random.sample(range(device.size_bytes // BLOCK),
                                         blocks):
                os.pwrite(f.fileno(), b'x' * BLOCK, at * BLOCK)
            os.fsync(f.fileno())

    def stalled(self, name):
        """Return for how long a copy takes and a write waits, in seconds."""
        with open(self.store.device(name).path, 'r+b', buffering=0) as f:
            writer = Writer(f.fileno())
            started = time.monotonic()
            self.store.snapshot(name, contract.snapshot())
            copy_s = time.monotonic() - started
            return copy_s, writer.stop()

    def test_extents_are_counted(self):
        self.assertEqual(0, self.store.extents(self.written(0)))
        name = self.written(200)
        counted = self.store.extents(name)
        self.assertGreater(counted, 150)
        self.assertLessEqual(counted, 200)
        # Both have the same number until the source is written to.
        kept = contract.snapshot()
        self.store.snapshot(name, kept)
        self.assertEqual(counted, self.store.extents(kept))
        self.assertEqual(counted, self.store.extents(name))
        self.write(name, 200)
        self.assertGreater(self.store.extents(name), counted)
        self.assertEqual(counted, self.store.extents(kept))

    def test_counting_is_cheap_and_copying_is_not(self):
        for blocks in (0, 1000, 35000):
            name = self.written(blocks)
            started = time.monotonic()
            counted = self.store.extents(name)
            count_s = time.monotonic() - started
            copy_s, stall_s = self.stalled(name)
            print(f'{counted:6d} extents: counted in {count_s * 1e3:6.1f} ms, '
                  f'copied in {copy_s * 1e3:7.1f} ms, a write waited '
                  f'{stall_s * 1e3:7.1f} ms', file=sys.stderr)
        self.assertGreater(counted, 0.95 * LIMIT)
        self.assertLess(count_s, copy_s / 5)
        # Goal: 3 s on a host. Nodes on a busy machine are slower.
        self.assertLess(copy_s, 30)

    def test_extents_that_a_snapshot_made_can_be_merged(self):
        name = contract.volume()
        self.store.create(name, units.Gi // 8)
        path = self.store.device(name).path
        with open(path, 'r+b') as f:
            for _ in range(units.Gi // 8 // contract.MIB):
                f.write(os.urandom(contract.MIB))
            os.fsync(f.fileno())
        self.store.snapshot(name, contract.snapshot())
        self.write(name, 2000)
        broken, held = self.store.extents(name), Path(path).read_bytes()
        base.run('xfs_fsr', '-v', path)
        merged = self.store.extents(name)
        print(f'{broken} extents, merged into {merged}', file=sys.stderr)
        self.assertGreater(broken, 1000)
        self.assertLess(merged, 100)
        self.assertEqual(held, Path(path).read_bytes())

    def test_a_filesystem_without_fiemap(self):
        with tempfile.TemporaryFile(dir='/dev/shm') as f:
            self.assertEqual(0, extents.count(f.fileno()))


class Writer:
    """Writes one block continuously, in another thread.

    :param fd: open for writing.
    """

    def __init__(self, fd):
        self._fd = fd
        self._end = threading.Event()
        self._worst_s = 0.0
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self):
        while not self._end.is_set():
            started = time.monotonic()
            os.pwrite(self._fd, b'z' * BLOCK, 0)
            self._worst_s = max(self._worst_s, time.monotonic() - started)
            time.sleep(0.001)

    def stop(self):
        """Return how long the slowest write took."""
        self._end.set()
        self._thread.join()
        return self._worst_s
