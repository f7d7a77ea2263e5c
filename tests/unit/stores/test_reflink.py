# SPDX-License-Identifier: Apache-2.0
"""The reflink store on a tmpfs, with a copy instead of FICLONE.

Tests that need a real filesystem are in tests/functional.
"""

import contextlib
import errno
import fcntl
import os
import stat
import unittest
from unittest import mock

import ddt

from mydriver import exception, stores
from mydriver.stores import base
from mydriver.stores.reflink import files
from mydriver.stores.reflink import store as reflink
from tests.contract import store as contract
from tests.fakes import filesystem


class ReflinkContractTest(contract.StoreContract, unittest.TestCase):
    """The contract, with copies instead of shared extents."""

    def make_store(self) -> base.VolumeStore:
        """Return a store in memory."""
        self.folder = filesystem.folder(self)
        return self.reopen()

    def reopen(self) -> base.VolumeStore:
        """Return a store on the same directory."""
        return reflink.ReflinkStore(self.folder, filesystem.copy)

    def make_foreign(self, name, size_bytes, data=b''):
        """Put a file into the directory."""
        with open(os.path.join(self.folder, name), 'wb') as f:
            f.write(data)
            f.truncate(size_bytes)

    def make_odd(self, name):
        """Make a directory of that name."""
        os.mkdir(os.path.join(self.folder, name))

    @contextlib.contextmanager
    def away(self):
        """Replace the directory by an empty one, as after an unmount."""
        with filesystem.other_folder(self.folder):
            yield


class NoRoomStore(reflink.ReflinkStore):
    """A store whose filesystem is full."""

    def __init__(self, path: str) -> None:
        super().__init__(path, filesystem.failing(errno.ENOSPC))


@ddt.ddt
class ReflinkTest(unittest.TestCase):
    """What is specific to this store."""

    def setUp(self):
        super().setUp()
        self.path = filesystem.folder(self)
        self.store = reflink.ReflinkStore(self.path, filesystem.copy)

    def problem(self, store):
        """Return the text of the configuration error of a check."""
        with self.assertRaises(exception.ConfigurationError) as caught:
            store.check()
        self.assertEqual('mydriver_store_path', caught.exception.option)
        self.assertTrue(caught.exception.remedy)
        return str(caught.exception)

    def test_a_relative_path_is_refused(self):
        self.assertIn('absolute', self.problem(reflink.ReflinkStore('x')))

    def test_a_missing_directory_is_named(self):
        missing = os.path.join(self.path, 'missing')
        text = self.problem(reflink.ReflinkStore(missing))
        self.assertIn(f'{missing} does not exist', text)

    def test_a_file_is_not_a_directory(self):
        path = os.path.join(self.path, 'file')
        with open(path, 'w'):
            pass
        self.assertIn('is not a directory',
                      self.problem(reflink.ReflinkStore(path)))

    def test_the_kernel_says_whether_extents_can_be_shared(self):
        # tmpfs cannot: this is the real ioctl.
        text = self.problem(reflink.ReflinkStore(self.path))
        self.assertIn('cannot share extents', text)
        self.assertIn('reflink=1', text)
        self.assertEqual([], os.listdir(self.path))

    def test_a_directory_of_another_user_is_refused(self):
        os.chmod(self.path, 0o555)
        if os.geteuid() == 0:
            os.seteuid(filesystem.NOBODY)
            self.addCleanup(os.seteuid, 0)
        text = self.problem(self.store)
        self.assertIn('cannot be written', text)
        self.assertIn(f'user id {os.geteuid()}', text)

    def test_the_text_does_not_name_root(self):
        """Who checks the directory as root does so for the service."""
        for uid in (0, 42):
            with mock.patch.object(os, 'geteuid', return_value=uid):
                text = self.problem(reflink.ReflinkStore('/no/such'))
            self.assertEqual(bool(uid), 'user id 42' in text)
            self.assertEqual(bool(uid), 'user id' in text)

    def test_a_broken_filesystem_is_a_different_error(self):
        text = self.problem(reflink.ReflinkStore(
            self.path, filesystem.failing(errno.EIO)))
        self.assertIn('Input/output error', text)
        self.assertNotIn('reflink=1', text)

    @ddt.data(errno.ENOSPC, errno.EDQUOT)
    def test_a_full_filesystem_is_not_a_configuration_error(self, number):
        store = reflink.ReflinkStore(self.path, filesystem.failing(number))
        with self.assertRaisesRegex(exception.StoreError, self.path):
            store.check()

    def test_only_the_owner_can_read(self):
        name = contract.volume()
        self.store.create(name, contract.MIB)
        mode = os.stat(os.path.join(self.path, name)).st_mode
        self.assertEqual(0o600, stat.S_IMODE(mode))

    def test_files_are_sparse(self):
        name = contract.volume()
        self.store.create(name, 1024 ** 4)
        self.store.extend(name, 2 * 1024 ** 4)
        found = os.stat(os.path.join(self.path, name))
        self.assertEqual((2 * 1024 ** 4, 0), (found.st_size, found.st_blocks))

    def test_files_of_others_are_not_ours(self):
        for other in ('lost+found', 'volume-notes.txt', '.volume'):
            with open(os.path.join(self.path, other), 'w') as f:
                f.write('x')
        self.assertEqual((), self.store.names())
        self.assertEqual(0, self.store.capacity().provisioned_bytes)

    def test_a_symbolic_link_is_not_followed(self):
        target = os.path.join(self.path, 'elsewhere')
        with open(target, 'w') as f:
            f.write('not a volume')
        name = contract.volume()
        os.symlink(target, os.path.join(self.path, name))
        for call in (lambda: self.store.device(name),
                     lambda: self.store.extend(name, contract.MIB),
                     lambda: self.store.snapshot(name, contract.snapshot()),
                     lambda: self.store.create(name, contract.MIB)):
            with self.assertRaises(exception.StoreError):
                call()
        self.store.delete(name)
        self.assertEqual(['elsewhere'], os.listdir(self.path))

    def test_no_room_says_how_much_there_is(self):
        full = NoRoomStore(self.path)
        source = contract.volume()
        full.create(source, contract.MIB)
        with self.assertRaises(exception.StoreFull) as caught:
            full.clone(source, contract.volume(), contract.MIB)
        self.assertEqual(self.path, caught.exception.where)
        self.assertGreater(caught.exception.free_bytes, 0)
        self.assertEqual((source,), full.names())

    def test_nothing_new_is_made_where_little_is_free(self):
        name, kept = contract.volume(), contract.snapshot()
        self.store.create(name, contract.MIB)
        self.store.snapshot(name, kept)
        with self.room(free_percent=4):
            for call in (
                    lambda: self.store.create(contract.volume(),
                                              contract.MIB),
                    lambda: self.store.snapshot(name, contract.snapshot()),
                    lambda: self.store.clone(name, contract.volume(),
                                             contract.MIB),
                    lambda: self.store.revert(name, kept),
                    lambda: self.store.snapshot_group(
                        [(name, contract.snapshot())]),
                    lambda: self.store.extend(name, 2 * contract.MIB)):
                with self.assertRaises(exception.StoreFull) as caught:
                    call()
                self.assertEqual(5 << 30, caught.exception.needed_bytes)
                self.assertEqual(4 << 30, caught.exception.free_bytes)
            # Existing backings are kept, and can be deleted.
            self.store.create(name, contract.MIB)
            self.store.snapshot(name, kept)
            self.store.extend(name, contract.MIB)
            self.assertEqual(tuple(sorted((name, kept))), self.store.names())
            self.store.delete(kept)
        self.store.extend(name, 2 * contract.MIB)
        self.assertEqual((name,), self.store.names())

    def test_16_gib_are_enough_on_a_large_filesystem(self):
        for free_gib, refused in ((15, True), (16, False)):
            with self.room(free_percent=free_gib / 10.24, gib=1024):
                if refused:
                    with self.assertRaises(exception.StoreFull):
                        self.store.create(contract.volume(), contract.MIB)
                else:
                    self.store.create(contract.volume(), contract.MIB)

    def room(self, free_percent, gib=100):
        """Make the filesystem report that much free room."""
        blocks = gib << 18
        said = os.statvfs_result((
            4096, 4096, blocks, 0, round(blocks * free_percent / 100), 0, 0,
            0, 0, 255))
        return mock.patch('os.fstatvfs', return_value=said)

    @ddt.data(errno.EIO, errno.EOPNOTSUPP, errno.EINTR)
    def test_a_failed_copy_leaves_nothing(self, number):
        broken = reflink.ReflinkStore(self.path, filesystem.failing(number))
        source = contract.volume()
        broken.create(source, contract.MIB)
        for call in (lambda: broken.clone(source, contract.volume(),
                                          contract.MIB),
                     lambda: broken.snapshot(source, contract.snapshot())):
            with self.assertRaisesRegex(exception.StoreError,
                                        os.strerror(number)):
                call()
        self.assertEqual([source], os.listdir(self.path))

    def foreign(self, name='disk.raw', data=b'x' * 1024):
        """Put a file into the directory; return its path."""
        path = os.path.join(self.path, name)
        with open(path, 'wb') as f:
            f.write(data)
        return path

    def test_only_regular_files_can_be_adopted(self):
        elsewhere = self.foreign('elsewhere')
        os.mkdir(os.path.join(self.path, 'folder'))
        os.mkfifo(os.path.join(self.path, 'pipe'))
        os.symlink(elsewhere, os.path.join(self.path, 'link'))
        os.symlink('/etc/passwd', os.path.join(self.path, 'passwd'))
        hidden = f'.mydriver-{contract.volume()}'
        for name in ('.hidden', hidden, '-rf', 'two words', 'new\nline',
                     'a' * 200, os.fsdecode(b'\xff')):
            self.foreign(name)
        self.assertEqual(['elsewhere'],
                         [f.name for f in self.store.foreign()])
        before = sorted(os.listdir(self.path))
        for name in before:
            if name != 'elsewhere':
                with self.assertRaises((exception.StoreError,
                                        exception.BackingNotFound), msg=name):
                    self.store.adopt(name, contract.volume(), contract.MIB)
        self.assertEqual(before, sorted(os.listdir(self.path)))

    def test_hard_links_and_files_of_others_cannot_be_adopted(self):
        path = self.foreign('one')
        os.link(path, os.path.join(self.path, 'other'))
        self.foreign('empty', b'')
        if os.geteuid() == 0:
            os.chown(self.foreign('theirs'), filesystem.NOBODY,
                     filesystem.NOBODY)
        problems = {f.name: f.problem for f in self.store.foreign()}
        for name, text in (('one', 'hard links'), ('other', 'hard links'),
                           ('empty', 'empty'), ('theirs', 'belongs to')):
            if name in problems:
                self.assertIn(text, problems[name])
                with self.assertRaisesRegex(exception.StoreError, text):
                    self.store.adopt(name, contract.volume(), contract.MIB)
        self.assertGreaterEqual(len(problems), 3)
        self.assertEqual((), self.store.names())

    def test_adopted_files_are_readable_by_the_owner_only(self):
        os.chmod(self.foreign(), 0o666)
        name = contract.volume()
        self.store.adopt('disk.raw', name, contract.MIB)
        mode = os.stat(os.path.join(self.path, name)).st_mode
        self.assertEqual(0o600, stat.S_IMODE(mode))

    def test_an_interrupted_revert_is_cleaned_up(self):
        name, kept = contract.volume(), contract.snapshot()
        self.store.create(name, contract.MIB)
        self.store.snapshot(name, kept)
        left = self.foreign(f'.mydriver-{name}')
        other = self.foreign('.mydriver-notes')
        self.store.revert(name, kept)
        self.assertFalse(os.path.exists(left))
        with open(self.foreign(f'.mydriver-{name}')) as busy:
            fcntl.flock(busy, fcntl.LOCK_EX)
            self.store.recover()
            self.assertTrue(os.path.exists(left), 'another process has it')
        self.store.check()
        self.assertTrue(os.path.exists(left), 'a check changes nothing')
        self.assertEqual((), self.store.recover())
        self.assertFalse(os.path.exists(left))
        self.assertTrue(os.path.exists(other))

    def test_questions_change_nothing(self):
        name = contract.volume()
        self.store.create(name, contract.MIB)
        self.foreign(f'.mydriver-{name}')
        before = sorted(os.listdir(self.path))
        self.assertFalse(self.store.is_known)
        self.store.prepare()
        self.store.check()
        self.assertEqual((name,), self.store.names())
        self.assertEqual((), self.store.foreign())
        self.assertTrue(self.store.exists(name))
        self.store.extents(name)
        self.store.capacity()
        self.store.device(name)
        self.assertEqual(before, sorted(os.listdir(self.path)))
        self.assertFalse(self.store.is_known)

    def test_the_only_copy_of_a_volume_is_kept(self):
        name = contract.volume()
        left = self.foreign(f'.mydriver-{name}')
        kept = self.store.recover()
        self.assertTrue(os.path.exists(left))
        self.assertIn(name, ' '.join(kept or ()))

    def test_delete_removes_what_a_failed_revert_left(self):
        name = contract.volume()
        self.store.create(name, contract.MIB)
        left = self.foreign(f'.mydriver-{name}')
        self.store.delete(name)
        self.assertFalse(os.path.exists(left))
        self.assertEqual((), self.store.names())

    def test_a_revert_that_fails_changes_nothing(self):
        name, kept = contract.volume(), contract.snapshot()
        self.store.create(name, contract.MIB)
        self.store.snapshot(name, kept)
        contract.write(os.path.join(self.path, name), b'now')
        broken = reflink.ReflinkStore(self.path, filesystem.failing(errno.EIO))
        with self.assertRaises(exception.StoreError):
            broken.revert(name, kept)
        self.assertEqual(b'now', contract.read(
            os.path.join(self.path, name), 3))
        self.assertEqual(sorted([name, kept]), sorted(os.listdir(self.path)))

    def test_share_reports_extents_that_cannot_be_shared(self):
        real = reflink.ReflinkStore(self.path)  # tmpfs cannot
        with open(self.foreign()) as f:
            self.assertIs(False, real.share(
                f.fileno(), contract.volume(), contract.MIB))
        self.assertEqual(['disk.raw'], os.listdir(self.path))

    def test_a_failed_rename_is_the_systems_error(self):
        with self.store._directory.work('try') as opened, \
                self.assertRaises(OSError) as caught:
            files.rename(opened, 'a' * 300, 'b')
        self.assertEqual(errno.ENAMETOOLONG, caught.exception.errno)

    def test_a_removed_directory_is_named(self):
        gone = reflink.ReflinkStore(os.path.join(self.path, 'gone'))
        for call in (gone.names, gone.capacity,
                     lambda: gone.exists(contract.volume())):
            with self.assertRaisesRegex(exception.StoreError, 'gone'):
                call()


class BuildTest(unittest.TestCase):
    """The choice of a store by its kind."""

    def test_reflink(self):
        store = stores.build('reflink', '/srv/volumes')
        self.assertIsInstance(store, reflink.ReflinkStore)
        self.assertEqual('/srv/volumes', store.location)

    def test_an_unknown_kind_is_refused_with_the_choice(self):
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'mydriver_store.*reflink'):
            stores.build('tape', '/dev/st0')
