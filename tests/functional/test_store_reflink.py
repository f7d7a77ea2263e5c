# SPDX-License-Identifier: Apache-2.0
"""The reflink store on a real XFS, in a kernel node with a spare disk."""

import os
from pathlib import Path
import shutil
import signal
import tempfile
import time

from oslo_utils import units

from mydriver import exception
from mydriver.stores import identity
from mydriver.stores.reflink import store as reflink
from tests.contract import store as contract
from tests.fakes import filesystem
from tests.functional import base

#: Goals for an idle machine; the test reports the times.
COPY_GOAL_S = 0.1
DELETE_GOAL_S = 1.0


class ReflinkStoreTest(contract.StoreContract, base.NodeTestCase):
    """The contract with the real FICLONE, and tests that need XFS."""

    @classmethod
    def setUpClass(cls):
        """Put one XFS on the spare disk for all tests."""
        super().setUpClass()
        cls.mount = Path(tempfile.mkdtemp(dir='/run'))
        base.node_function('node_xfs', str(base.DISK), str(cls.mount))
        cls.addClassCleanup(base.run, 'umount', cls.mount)

    def make_store(self):
        """Return a store in an empty directory."""
        self.folder = Path(tempfile.mkdtemp(dir=self.mount))
        self.addCleanup(shutil.rmtree, self.folder)
        return self.reopen()

    def reopen(self):
        """Return a store on the same directory."""
        return reflink.ReflinkStore(str(self.folder))

    def make_foreign(self, name, size_bytes, data=b''):
        """Put a file into the directory."""
        with open(self.folder / name, 'wb') as f:
            f.write(data)
            f.truncate(size_bytes)

    def make_odd(self, name):
        """Create a link to something that must not be touched."""
        (self.folder / name).symlink_to('/etc/passwd')

    def away(self):
        """Replace the directory by an empty one."""
        return filesystem.other_folder(str(self.folder))

    def free_extents(self):
        """Make XFS free the extents of deleted files, which it does later.

        A freeze waits for that; a sync does not.
        """
        base.run('fsfreeze', '--freeze', self.mount)
        base.run('fsfreeze', '--unfreeze', self.mount)

    def used_bytes(self):
        """Return how much of the filesystem is in use."""
        self.free_extents()
        room = os.statvfs(self.mount)
        return (room.f_blocks - room.f_bfree) * room.f_frsize

    def test_copies_share_their_extents(self):
        name = self.made(64 * contract.MIB, os.urandom(64 * contract.MIB))
        before = self.used_bytes()
        for _ in range(10):
            self.store.snapshot(name, contract.snapshot())
            self.store.clone(name, contract.volume(), units.Gi)
        self.assertLess(self.used_bytes() - before, 8 * contract.MIB)

    def test_copies_and_deletes_take_no_time(self):
        name = self.made(2 * units.Gi)
        chunk = os.urandom(4 * contract.MIB)
        for i in range(256):  # 1 GiB in pieces, to have many extents
            contract.write(self.path(name), chunk, i * 8 * contract.MIB)
        os.sync()
        timed = {}
        kept = contract.snapshot()
        for what, call in (
                ('snapshot', lambda: self.store.snapshot(name, kept)),
                ('clone', lambda: self.store.clone(
                    kept, contract.volume(), 4 * units.Gi)),
                ('delete', lambda: self.store.delete(name))):
            started = time.monotonic()
            call()
            timed[what] = time.monotonic() - started
        print(*(f'{k} of 1 GiB in 256 extents: {v * 1e3:.1f} ms'
                for k, v in timed.items()), sep='\n')
        # Ten times the goals: copying 1 GiB takes longer than that here.
        self.assertLess(timed['snapshot'], 10 * COPY_GOAL_S)
        self.assertLess(timed['clone'], 10 * COPY_GOAL_S)
        self.assertLess(timed['delete'], 10 * DELETE_GOAL_S)

    def test_deleting_a_volume_frees_its_room(self):
        before = self.used_bytes()
        name = self.made(64 * contract.MIB, os.urandom(64 * contract.MIB))
        self.assertGreater(self.used_bytes() - before, 60 * contract.MIB)
        self.store.delete(name)
        self.assertLess(self.used_bytes() - before, 8 * contract.MIB)

    def test_a_full_filesystem_is_reported_and_stays_intact(self):
        name = self.made(contract.MIB, b'kept')
        with open(self.mount / 'ballast', 'wb') as ballast:
            free = os.statvfs(self.mount)
            os.posix_fallocate(ballast.fileno(), 0, (
                free.f_bavail - 64) * free.f_frsize)
        other = contract.volume()
        for call in (lambda: self.store.create(other, contract.MIB),
                     lambda: self.store.clone(name, other, contract.MIB)):
            with self.assertRaises(exception.StoreFull) as caught:
                call()
            self.assertEqual(str(self.folder), caught.exception.where)
        self.assertEqual((name,), self.store.names())
        contract.write(self.path(name), b'kept')
        (self.mount / 'ballast').unlink()
        self.free_extents()
        self.store.create(other, contract.MIB)
        self.assertEqual(b'kept', contract.read(self.path(name), 4))

    def test_a_kill_at_any_time_leaves_complete_files_or_none(self):
        data = os.urandom(contract.MIB)
        name = self.made(contract.MIB, data)
        for i in range(20):
            before = len(os.listdir(self.folder))
            child = os.fork()
            if child == 0:
                while True:
                    self.store.clone(name, contract.volume(),
                                     contract.MIB)
            # Kill it at a random time, but not before its first clone.
            base.process.wait_for(
                lambda n=before: len(os.listdir(self.folder)) > n,
                'a clone', 60, poll_s=0.002)
            time.sleep(0.003 * i)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        found = sorted(os.listdir(self.folder))
        self.assertEqual(found, list(self.store.names()), 'no leftovers')
        self.assertGreater(len(found), 20)
        for other in found:
            self.assertEqual(contract.MIB, self.store.device(other).size_bytes)
        for other in found[::20]:
            self.assertEqual(data, Path(self.path(other)).read_bytes())

    def test_a_kill_while_reverting_leaves_all_of_one_or_the_other(self):
        name, kept = self.made(contract.MIB, b'1' * contract.MIB), \
            contract.snapshot()
        self.store.snapshot(name, kept)
        other = contract.snapshot()
        contract.write(self.path(name), b'2' * contract.MIB)
        self.store.snapshot(name, other)
        for i in range(20):
            child = os.fork()
            if child == 0:
                while True:
                    self.store.revert(name, kept)
                    self.store.revert(name, other)
            time.sleep(0.01 + 0.003 * i)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            self.assertIn(Path(self.path(name)).read_bytes(), (
                b'1' * contract.MIB, b'2' * contract.MIB))
        self.assertEqual((), self.store.recover())
        self.assertEqual(sorted(['.mydriver-store', name, kept, other]),
                         sorted(os.listdir(self.folder)), 'no leftovers')

    def test_a_file_elsewhere_on_the_filesystem_is_shared(self):
        source, empty = self.mount / 'image', self.used_bytes()
        source.write_bytes(os.urandom(64 * contract.MIB))
        before, name = self.used_bytes(), contract.volume()
        with source.open('rb') as f:
            self.assertIs(True, self.store.share(f.fileno(), name, units.Gi))
            with self.assertRaisesRegex(exception.StoreError, 'already'):
                self.store.share(f.fileno(), name, units.Gi)
        self.assertLess(self.used_bytes() - before, 8 * contract.MIB)
        self.assertEqual(units.Gi, self.store.device(name).size_bytes)
        self.assertEqual(source.read_bytes(), contract.read(
            self.path(name), 64 * contract.MIB))
        with open('/etc/passwd', 'rb') as f:
            self.assertIs(False, self.store.share(
                f.fileno(), contract.volume(), units.Gi))
        source.unlink()
        self.assertEqual(units.Gi, self.store.device(name).size_bytes)
        self.store.delete(name)
        # The next test may want to fill the filesystem.
        base.process.wait_for(
            lambda: self.used_bytes() - empty < 8 * contract.MIB,
            'XFS to free the extents', 30)

    def test_completed_work_survives_a_power_failure(self):
        # `xfs_io -c shutdown` without -f is like a power failure: XFS loses
        # what is not in its log.
        name = self.made(contract.MIB)
        kept, copy = contract.snapshot(), contract.volume()
        contract.write(self.path(name), b'guest')
        self.store.snapshot(name, kept)
        self.store.clone(kept, copy, 2 * contract.MIB)
        self.store.extend(copy, 4 * contract.MIB)
        gone = self.made(contract.MIB)
        self.store.delete(gone)
        reverted, moved = self.made(contract.MIB), contract.volume()
        self.store.revert(reverted, kept)
        self.store.rename(reverted, moved)
        base.run('xfs_io', '-x', '-c', 'shutdown', self.mount)
        base.run('umount', self.mount)
        base.run('mount', base.DISK, self.mount)
        self.assertEqual(sorted([name, kept, copy, moved]),
                         list(self.store.names()))
        self.assertEqual(4 * contract.MIB,
                         self.store.device(copy).size_bytes)
        for of in (kept, copy, moved):
            self.assertEqual(b'guest', contract.read(self.path(of), 5))

    def test_the_service_needs_no_root(self):
        os.chown(self.folder, 65534, 65534)
        os.chmod(self.mount, 0o755)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                self.store.check()
                name = self.made(contract.MIB, b'mine')
                self.store.snapshot(name, contract.snapshot())
                self.store.clone(name, contract.volume(), contract.MIB)
                self.store.extend(name, 2 * contract.MIB)
                self.store.delete(name)
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(0, os.waitstatus_to_exitcode(
            os.waitpid(child, 0)[1]))
        self.assertEqual({(65534, 0o600)}, {
            (p.stat().st_uid, p.stat().st_mode & 0o777)
            for p in self.folder.iterdir()})
        self.assertEqual(2, len(self.store.names()))


class WithoutReflinkTest(base.NodeTestCase):
    """Unsuitable filesystems are refused with the reason."""

    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp(dir='/run'))
        self.addCleanup(shutil.rmtree, self.folder)

    def mounted(self, *mkfs):
        """Return a store on a filesystem made by a command."""
        base.run(*mkfs, base.DISK)
        base.run('mount', base.DISK, self.folder)
        self.addCleanup(base.run, 'umount', self.folder)
        return reflink.ReflinkStore(str(self.folder))

    def refusal(self, store):
        """Return the text of the error of a check."""
        with self.assertRaises(exception.ConfigurationError) as caught:
            store.check()
        return str(caught.exception)

    def test_xfs_without_reflink(self):
        text = self.refusal(self.mounted('mkfs.xfs', '-q', '-f', '-m',
                                         'reflink=0'))
        self.assertIn('cannot share extents', text)

    def test_ext4(self):
        text = self.refusal(self.mounted('mkfs.ext4', '-q', '-F'))
        self.assertIn('cannot share extents', text)

    def test_a_filesystem_that_is_not_mounted(self):
        record = identity.Record(tempfile.mkdtemp() + '/store')
        self.mounted('mkfs.xfs', '-q', '-f')
        store, name = self.store(record), contract.volume()
        store.create(name, units.Gi)
        self.assertEqual((), store.recover())
        base.run('umount', self.folder)
        later = self.store(identity.Record(record.path))
        for call in (lambda: store.delete(name), store.names, later.prepare,
                     later.check, lambda: later.create(name, units.Gi)):
            with self.assertRaisesRegex(exception.ConfigurationError,
                                        'mounted'):
                call()
        self.assertEqual([], list(self.folder.iterdir()))
        base.run('mount', base.DISK, self.folder)
        for each in (store, later):
            self.assertEqual((name,), each.names())

    def store(self, record):
        """Return a store with a record."""
        return reflink.ReflinkStore(str(self.folder), record=record)

    def test_a_read_only_mount(self):
        store = self.mounted('mkfs.xfs', '-q', '-f')
        base.run('mount', '-o', 'remount,ro', self.folder)
        self.assertIn('cannot be written', self.refusal(store))
