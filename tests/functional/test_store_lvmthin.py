# SPDX-License-Identifier: Apache-2.0
"""The lvmthin store on a real device-mapper, in a kernel node."""

import contextlib
import os
import signal
import tempfile
import time
from unittest import mock

from mydriver import exception
from mydriver.privileged import dm
from mydriver.privileged.stores import freeze, thin
from mydriver.stores import identity
from mydriver.stores.lvmthin import room, setup
from mydriver.stores.lvmthin import store as lvmthin
from tests.contract import store as contract
from tests.functional import base, lvm

#: Tag of a request.
REQUEST = 'mydriver.request=0123456789ab'


class LvmThinStoreTest(contract.StoreContract, base.NodeTestCase):
    """The contract with the real LVM, and tests that need it."""

    @classmethod
    def setUpClass(cls):
        """Put one volume group on the spare disk for all tests."""
        super().setUpClass()
        lvm.make_group()
        cls.addClassCleanup(lvm.remove_group)

    def make_store(self):
        """Return a store in an empty pool."""
        lvm.use(self)
        self.addCleanup(lvm.remove_volumes)
        store = self.reopen()
        store.prepare()
        return store

    def reopen(self):
        """Return a store on the same pool."""
        return lvmthin.LvmThinStore(lvm.GROUP)

    def make_foreign(self, name, size_bytes, data=b''):
        """Create a volume as an operator does."""
        base.run('lvcreate', '-q', '-Wn', '-V', f'{size_bytes}b', '-n', name,
                 '--thinpool', lvm.POOL)
        if data:
            contract.write(f'/dev/{lvm.GROUP}/{name}', data)

    def make_odd(self, name):
        """Make a volume that is not active."""
        self.store.create(name, contract.MIB)
        base.run('lvchange', '-an', f'{lvm.GROUP}/{name}')

    @contextlib.contextmanager
    def away(self):
        """Give the group another name for a while."""
        base.run('vgrename', '-q', lvm.GROUP, 'elsewhere')
        with mock.patch.object(room, 'ABSENCE_S', 1):
            yield
        base.run('vgrename', '-q', 'elsewhere', lvm.GROUP)

    # In doubt

    def test_a_missing_pool_is_not_created_again(self):
        path = tempfile.mkdtemp() + '/store'
        store = lvmthin.LvmThinStore(lvm.GROUP, record=identity.Record(path))
        store.recover()
        base.run('lvrename', '-q', lvm.GROUP, 'mydriver', 'elsewhere')
        self.addCleanup(base.run, 'lvrename', '-q', lvm.GROUP, 'elsewhere',
                        'mydriver')
        for call in (store.prepare, lvmthin.LvmThinStore(
                lvm.GROUP, record=identity.Record(path)).prepare):
            with self.assertRaisesRegex(exception.ConfigurationError,
                                        'held store'):
                call()

    def test_missing_disks_of_the_group_are_counted(self):
        self.assertEqual(0, self.store._pool.group().missing_disks)

    # What a crash leaves

    def test_a_suspended_volume_is_resumed(self):
        name = self.made()
        base.run('dmsetup', 'suspend', self.path(name))
        with mock.patch.object(setup, 'PATIENCE_S', 0.1):
            self.store.prepare()
        contract.write(self.path(name), b'goes on')

    def test_a_guard_outlives_the_daemon(self):
        name = self.made()
        child = os.fork()
        if child == 0:
            device = lvm.device_of(self.path(name))
            with freeze._guarded([device]):
                freeze.suspend(device)
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        base.process.wait_for(
            lambda: not self.store._pool.is_suspended(name),
            'the guard to resume the volume', 30)

    def test_a_repeated_verb_finds_its_work_done(self):
        # As when the daemon dies but its LVM command completes.
        one, two = self.made(data=b'old'), contract.volume()
        names = []
        for _ in range(2):
            self.run_verb(thin.copy, one, two, [], True, REQUEST)
            names.append(self.store.names())
            self.run_verb(thin.extend, two, 2 * contract.MIB)
            contract.write(self.path(two), b'new')
        self.assertEqual(*names)
        self.assertEqual(b'new', contract.read(self.path(two), 3))
        self.assertEqual(2 * contract.MIB, self.store.device(two).size_bytes)
        renamed = contract.volume()
        for _ in range(2):
            self.run_verb(thin.rename, two, renamed)
            self.assertEqual({one, renamed}, set(self.store.names()))
        adopted = contract.volume()
        for _ in range(2):
            self.run_verb(thin.adopt, 'mydriver', renamed, adopted,
                          4 * contract.MIB)
            self.assertEqual({one, adopted}, set(self.store.names()))

    def test_a_repeated_creation_activates_the_volume(self):
        name = contract.volume()
        self.run_verb(thin.create, 'mydriver', name, contract.MIB, REQUEST)
        base.run('lvchange', '-an', f'{lvm.GROUP}/{name}')
        self.run_verb(thin.create, 'mydriver', name, contract.MIB, REQUEST)
        self.assertEqual(bytes(512), contract.read(self.path(name), 512))

    def test_the_volume_of_another_request_is_an_error(self):
        one, two = self.made(), self.made(data=b'kept')
        other = 'mydriver.request=ba9876543210'
        for call in (
                lambda: self.run_verb(thin.copy, one, two, [], True, other),
                lambda: self.run_verb(thin.create, 'mydriver', two,
                                      contract.MIB, other),
                lambda: self.run_verb(thin.rename, one, two),
                lambda: self.run_verb(thin.extend, one, 512 * 1024)):
            with self.assertRaises(exception.StoreError):
                call()
        self.assertEqual(b'kept', contract.read(self.path(two), 4))

    @staticmethod
    def run_verb(verb, *args):
        """Call a verb as the daemon does."""
        verb(lvm.GROUP, *args)

    # Groups

    def group_under_load(self):
        """Snapshot two volumes to which a writer writes in turn.

        :returns: the last write that each snapshot has.
        """
        names = [self.made(), self.made()]
        kept = [contract.snapshot(), contract.snapshot()]
        with lvm.OrderedWriter([self.path(n) for n in names]) as writer:
            writer.wait_for(10)
            self.store.snapshot_group(list(zip(names, kept, strict=True)))
            writer.wait_for(writer.count + 10)
        found = [lvm.count_in(self.path(n)) for n in kept]
        self.assertGreaterEqual(min(found), 10)
        self.assertLess(max(found), writer.count)
        return found

    def test_a_group_is_of_one_point_in_time(self):
        with slow_messages():
            for _ in range(3):
                first, second = self.group_under_load()
                self.assertIn(first - second, (0, 1))

    def test_a_group_without_suspension_is_not(self):
        # This shows that the test above can fail.
        with slow_messages(), mock.patch.object(freeze, 'suspend'):
            first, second = self.group_under_load()
        self.assertGreater(second - first, 1)

    def test_a_group_leaves_nothing_when_it_fails(self):
        names = [self.made(data=b'a'), self.made(data=b'b')]
        pairs = [(n, contract.snapshot()) for n in names]
        real = dm.message

        def fail(device, text):
            if text.startswith('create_snap') and fail.left == 0:
                raise OSError(5, 'the test wants it')
            fail.left -= text.startswith('create_snap')
            real(device, text)

        for fail.left in (0, 1):
            with mock.patch.object(dm, 'message', fail), \
                    self.assertRaisesRegex(exception.StoreError, 'wants it'):
                self.store.snapshot_group(pairs)
            self.assertEqual(sorted(names), list(self.store.names()))
            for n in names:
                self.assertFalse(self.store._pool.is_suspended(n))
        self.store.snapshot_group(pairs)
        self.assertEqual([b'a', b'b'], [
            contract.read(self.path(kept), 1) for _name, kept in pairs])
        self.store.snapshot_group(pairs)
        self.store.check()


@contextlib.contextmanager
def slow_messages():
    """Wait half a second after each snapshot of a group."""
    real = dm.message

    def slow(device, text):
        real(device, text)
        if text.startswith('create_snap'):
            time.sleep(0.5)

    with mock.patch.object(dm, 'message', slow):
        yield
