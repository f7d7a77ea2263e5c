# SPDX-License-Identifier: Apache-2.0
"""A guest has a volume group of the same name as the storage host."""

import contextlib
import shutil
import sys
import time

from mydriver import exception
from mydriver.cinder_volume import stats
from mydriver.privileged.stores import lvm as runner
from mydriver.stores.lvmthin import store as lvmthin
from tests.contract import store as contract
from tests.functional import attaching, base, lio, lvm

MIB = contract.MIB


class GuestsGroupTest(attaching.AttachTestCase):
    """The guest's disk is visible on the storage host as well."""

    chap = False

    def setUp(self):
        super().setUp()
        self.image = self.cloud.folder / 'image'
        self.uuid = self.make_image()
        lvm.make_group(extent='4m')
        self.addCleanup(lvm.remove_group)
        lio.grant(self, be=str(self.cloud.folder), ours=lvm.GROUP)
        runner._known.clear()
        self.addCleanup(runner._known.clear)
        self.store = lvmthin.LvmThinStore(lvm.GROUP)
        self.store.prepare()

    def make_image(self):
        """Create a disk image with a volume group of our name.

        :returns: the UUID of the group.
        """
        with self.image.open('wb') as f:
            f.truncate(64 * MIB)
        base.run('modprobe', 'loop')
        with self.loop() as disk:
            base.run('vgcreate', '-q', lvm.GROUP, disk)
            uuid = base.run('vgs', '-o', 'vg_uuid', '--noheadings',
                            lvm.GROUP).strip()
        return uuid.replace('-', '')

    @contextlib.contextmanager
    def loop(self):
        """Attach the image as a disk of this host."""
        disk = base.run('losetup', '--find', '--show',
                        str(self.image)).strip()
        base.run('udevadm', 'settle')
        try:
            yield disk
        finally:
            base.run('losetup', '--detach', disk)
            base.run('udevadm', 'settle')

    def attach_guests_disk(self):
        """Attach a volume on which a guest has created a group."""
        volume_id = self.cloud.volume(64 * MIB)
        shutil.copyfile(self.image, self.cloud.path(volume_id))
        attachment = self.attach(volume_id=volume_id)
        self.addCleanup(self.detach, attachment)
        base.run('udevadm', 'settle')
        self.assertIn(lvm.GROUP, base.run(
            'vgs', '--devices', attachment.path, '-o', 'vg_name'))

    def stats(self):
        """Return the state of the backend that the scheduler gets."""
        return stats.build(stats.Backend(
            'ours', '1', 'place', 0, 1.0, 'lvmthin'), self.store,
            lambda: None)['pools'][0]['backend_state']

    def work(self):
        """Use volumes in all ways; return the errors."""
        one, two = contract.volume(), contract.snapshot()
        problems = []
        for what, args in (
                ('check', ()), ('create', (one, 64 * MIB)),
                ('extend', (one, 128 * MIB)), ('snapshot', (one, two)),
                ('snapshot_group', ([(one, contract.snapshot())],)),
                ('delete', (two,)), ('delete', (one,)), ('names', ())):
            started = time.monotonic()
            try:
                getattr(self.store, what)(*args)
            except exception.MyDriverError as e:
                problems.append(f'{what}: {e}')
            print(f'{what} {time.monotonic() - started:.2f} s',
                  file=sys.stderr)
        print(f'\n{self.id().rpartition(".")[2]}: {problems}, stats say '
              f'{self.stats()}', file=sys.stderr)
        return problems

    def test_a_group_of_the_same_name_on_a_guests_disk(self):
        self.attach_guests_disk()
        self.assertEqual([], self.work())
        self.assertEqual('up', self.stats())

    def test_the_same_after_a_boot(self):
        name = contract.volume()
        self.store.create(name, 64 * MIB)
        base.run('lvchange', '-q', '-an', lvm.GROUP)
        self.attach_guests_disk()
        runner._known.clear()
        self.store = lvmthin.LvmThinStore(lvm.GROUP)
        self.store.prepare()
        self.assertEqual((name,), self.store.names())
        self.assertEqual([], self.work())

    def test_a_group_of_the_same_name_on_another_disk(self):
        lio.grant(self, ours=lvm.GROUP)  # so the file is in no store of ours
        with self.loop() as disk:
            # The group with the active pool is ours.
            runner._known.clear()
            self.assertEqual([], self.work())
            base.run('lvchange', '-q', '-an', '--devices', str(base.DISK),
                     lvm.GROUP)
            runner._known.clear()
            with self.assertRaises(exception.StoreError) as caught:
                self.store.prepare()
            print(f'\n{caught.exception}', file=sys.stderr)
            for part in (disk, str(base.DISK), self.uuid):
                self.assertIn(part, str(caught.exception))
            self.assertEqual('down', self.stats())

    def test_a_disk_that_was_added_is_used(self):
        self.assertEqual([], self.work())
        lio.grant(self, ours=lvm.GROUP)
        with self.image.open('wb') as f:
            f.truncate(0)
            f.truncate(64 * MIB)
        with self.loop() as disk:
            base.run('vgextend', '-q', lvm.GROUP, disk)
            name = contract.volume()
            self.store.create(name, 64 * MIB)
            self.assertIn(name, self.store.names())
            base.run('vgreduce', '-q', lvm.GROUP, disk)
