# SPDX-License-Identifier: Apache-2.0
"""The operator's command after a boot that left the thin pool inactive."""

from mydriver.backend import devices, settings
from mydriver.cmd import health
from mydriver.stores import names
from tests.functional import base, lio, lvm, test_command


class CommandOnLvmThinTest(test_command.CommandTest):
    """The tests of the ``reflink`` store, on a thin pool."""

    place = ('mydriver_store = lvmthin\n'
             f'mydriver_store_path = {lvm.GROUP}')

    def make_place(self):
        """Create a volume group; the driver creates its pool."""
        lvm.make_group(extent='4m')
        self.addCleanup(lvm.remove_group)
        (self.folder / 'store').mkdir()

    def make_volume(self, volume_id):
        """Create a volume."""
        self.store().create(names.volume_name(volume_id),
                            64 * test_command.MIB)

    def devices(self):
        """Return the devices of the store."""
        return devices.StoreDevices(self.store())

    def store(self):
        """Return the backend's store, brought up."""
        store = settings.store_of(self.backend.section,
                                  self.backend.name)
        store.prepare()
        return store

    def lose_volume(self):
        """Remove a volume's backing; return the volume's id."""
        lio.clear()
        name = self.store().names()[0]
        base.run('lvremove', '-q', '-f', f'{lvm.GROUP}/{name}')
        return name.removeprefix('volume-')

    def boot(self):
        """Leave the target empty and the volume group inactive."""
        lio.clear()
        base.run('lvchange', '-q', '-an', lvm.GROUP)

    def test_status_before_the_first_start(self):
        """In this process: there is no sudo for the command's daemon."""
        store, host = health.check_host(self.backend)
        self.assertEqual((True, True), (store.ok, host.ok))
        self.assertIn(f'no thin pool {lvm.POOL} yet, cinder-volume',
                      store.detail)
        self.assertEqual('', base.run('lvs', '--noheadings', lvm.GROUP))

    def test_an_incomplete_volume_is_left_to_cinder_volume(self):
        self.fill()
        store = self.store()
        pool = store._pool
        source, name = store.names()[0], names.volume_name(
            '00000000-0000-4000-8000-000000000000')
        pool.copy(source, name, ['mydriver.size=134217728'])
        status, out = self.run_command('restore')
        self.assertEqual(0, status, out)
        self.assertIn(name, [v.name for v in pool.volumes()])
        self.assertNotIn(name, store.names())
        store.recover()
        self.assertNotIn(name, [v.name for v in pool.volumes()])
