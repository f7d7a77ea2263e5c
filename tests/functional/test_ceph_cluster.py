# SPDX-License-Identifier: Apache-2.0
"""The lab's Ceph itself, which runs in the node here."""

from collections.abc import Sequence
import os
from pathlib import Path
import shutil
import subprocess

import rbd

from lab import process
from lab.ceph import admin, cluster
from tests.functional import base

_ADDRESS = '127.0.0.1'

#: A node is slow.
_TIMEOUT_S = 300


class TestCluster(base.NodeTestCase):
    """Start from nothing, and from what was kept."""

    def setUp(self):
        super().setUp()
        self.mount_xfs(Path('/mnt/test-ceph'))
        self.state = Path('/mnt/test-ceph/ceph')
        self.running: list[process.Process] = []
        self.addCleanup(self._stop)

    def _spawn(self, name: str,
               argv: Sequence[str | Path]) -> process.Process:
        started = process.spawn(name, argv, Path(f'/tmp/{name}.log'))
        self.running.append(started)
        return started

    def _stop(self) -> None:
        while self.running:
            self.running.pop().end(grace_s=60)

    def _cluster(self) -> cluster.Cluster:
        return cluster.Cluster(self.state, _ADDRESS, ('one', 'two'), 3 << 30)

    def test_a_copy_of_what_was_kept(self):
        first = self._cluster()
        first.prepare()
        first.up(self._spawn, _TIMEOUT_S)
        data = os.urandom(1 << 20)
        with admin.Admin(first.conf) as ceph:
            self.assertEqual([], ceph.list_images('two'))
            with ceph.cluster.open_ioctx('one') as pool:
                rbd.RBD().create(pool, 'image', 4 << 20)
            with ceph.image('one', 'image', write=True) as image:
                image.write(data, 0)
            self.assertGreater(ceph.stats()['kb'], 2 << 20)
        self._stop()
        copy = self.state.with_name('copy')
        subprocess.run(['cp', '-a', '--sparse=always', self.state, copy],
                       check=True)
        shutil.rmtree(self.state)
        copy.rename(self.state)
        again = self._cluster()
        self.assertTrue(again.there())
        again.up(self._spawn, _TIMEOUT_S)
        with (admin.Admin(again.conf) as ceph,
              ceph.image('one', 'image') as image):
            self.assertEqual(data, image.read(0, len(data)))
