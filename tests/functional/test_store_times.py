# SPDX-License-Identifier: Apache-2.0
"""How long snapshots and clones take on both stores, in one run."""

import os
from pathlib import Path
import sys
import tempfile
import time

from oslo_utils import units

from mydriver.stores.lvmthin import store as lvmthin
from mydriver.stores.reflink import store as reflink
from tests.contract import store as contract
from tests.functional import base, lvm

MIB = contract.MIB

#: Goal for an idle machine; the test reports the times.
GOAL_S = 0.1


class TimesTest(base.NodeTestCase):
    """A volume of 10 GiB with 256 MiB of data in 64 places."""

    def setUp(self):
        super().setUp()
        lvm.use(self)
        lvm.make_group(extent='4m')
        self.addCleanup(lvm.remove_group)

    def on_reflink(self):
        """Return a store on an XFS in the group."""
        base.run('lvcreate', '-q', '-Wn', '-L', '1g', '-n', 'xfs', lvm.GROUP)
        folder = tempfile.mkdtemp(dir='/run')
        base.node_function('node_xfs', f'/dev/{lvm.GROUP}/xfs', folder)
        self.addCleanup(Path(folder).rmdir)
        self.addCleanup(base.run, 'umount', folder)
        return reflink.ReflinkStore(folder)

    def on_lvmthin(self):
        """Return a store in a thin pool of the group."""
        store = lvmthin.LvmThinStore(lvm.GROUP)
        store.prepare()
        return store

    def filled(self, store):
        """Return the name of the volume."""
        name, chunk = contract.volume(), os.urandom(4 * MIB)
        store.create(name, 10 * units.Gi)
        for i in range(64):
            contract.write(store.device(name).path, chunk, i * 160 * MIB)
        os.sync()
        return name

    def timed(self, store):
        """Return for each operation our own seconds and the LVM commands."""
        name, kept = self.filled(store), contract.snapshot()
        found = {}
        with lvm.timed_commands() as spent:
            for what, call in (
                    ('snapshot', lambda: store.snapshot(name, kept)),
                    ('clone', lambda: store.clone(
                        kept, contract.volume(), 10 * units.Gi)),
                    ('larger clone', lambda: store.clone(
                        kept, contract.volume(), 11 * units.Gi)),
                    ('device', lambda: store.device(name)),
                    ('delete', lambda: store.delete(name))):
                del spent[:]
                started = time.monotonic()
                call()
                total_s = time.monotonic() - started
                found[what] = total_s - sum(spent), len(spent)
                print(f'{type(store).__name__:14s} {what:12s} '
                      f'ours {found[what][0] * 1e3:8.1f} ms, {len(spent)} '
                      f'LVM command(s) {sum(spent) * 1e3:8.1f} ms',
                      file=sys.stderr)
        return found

    def test_both_stores(self):
        times = self.timed(self.on_reflink())
        self.assertEqual([0] * 5, [n for _own_s, n in times.values()])
        thin = self.timed(self.on_lvmthin())
        self.assertEqual([1, 1, 2, 0, 1], [n for _own_s, n in thin.values()])
        for own_s in (s for t in (times, thin) for s, _n in t.values()):
            self.assertLess(own_s, 10 * GOAL_S)
