# SPDX-License-Identifier: Apache-2.0
"""The contract suite of stores: what each of them promises.

A test case that inherits from :class:`StoreContract` and
:class:`unittest.TestCase` implements the abstract methods for its store. The
unit tests run the suite on stand-ins in memory, the functional tests on the
real filesystem and the real LVM in a kernel node.
"""

import concurrent.futures
import contextlib
import os
import tempfile
from typing import TYPE_CHECKING
import unittest
import uuid

from oslo_utils import units

from mydriver import exception
from mydriver.cinder_volume import manageable
from mydriver.stores import base, names

MIB = units.Mi

if TYPE_CHECKING:
    # The suite is not a test case by itself: it would be run without a store.
    _TestCase = unittest.TestCase
else:
    _TestCase = object


def volume() -> str:
    """Return a new name of a volume's backing."""
    return names.volume_name(str(uuid.uuid4()))


def snapshot() -> str:
    """Return a new name of a snapshot's backing."""
    return names.snapshot_name(str(uuid.uuid4()))


def write(path: str, data: bytes, offset: int = 0) -> None:
    """Write in place, as a guest does."""
    with open(path, 'r+b') as f:
        f.seek(offset)
        f.write(data)


def read(path: str, length: int, offset: int = 0) -> bytes:
    """Read from a path."""
    with open(path, 'rb') as f:
        f.seek(offset)
        return f.read(length)


class StoreContract(_TestCase):
    """The tests; a store's test case implements the first five methods."""

    def make_store(self) -> base.VolumeStore:
        """Return an empty store; ``setUp`` calls this for each test."""
        raise NotImplementedError

    def reopen(self) -> base.VolumeStore:
        """Return another object for the same store, as after a restart."""
        raise NotImplementedError

    def make_foreign(self, name: str, size_bytes: int,
                     data: bytes = b'') -> None:
        """Put something into the place that can be adopted, as others do."""
        raise NotImplementedError

    def make_odd(self, name: str) -> None:
        """Make something of a backing's name that cannot be used.

        It may also be a backing that cannot be used.
        """
        raise NotImplementedError

    def away(self) -> contextlib.AbstractContextManager[None]:
        """Make the store's place disappear, or exchange it for another."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Start from an empty store."""
        super().setUp()
        self.store = self.make_store()

    def path(self, name: str) -> str:
        """Return the local path of a backing."""
        return self.store.bring_up(name).path

    def made(self, size_bytes: int = MIB, data: bytes = b'') -> str:
        """Return the name of a new volume that holds some data."""
        name = volume()
        self.store.create(name, size_bytes)
        if data:
            write(self.path(name), data)
        return name

    # The store

    def test_it_can_do_its_work(self) -> None:
        self.store.check()
        self.store.check()
        self.assertEqual((), self.store.names())

    def test_backings_are_as_the_traits_say(self) -> None:
        traits, device = self.store.traits, self.store.device(self.made())
        self.assertEqual(traits.backstore, device.kind)
        self.assertIn(traits.fixed_block_bytes,
                      (None, self.store.block_bytes()))
        self.assertEqual(0, self.store.block_bytes() % base.BLOCK_BYTES)
        self.assertGreater(self.store.block_bytes(), 0)

    def test_other_names_are_refused(self) -> None:
        good = self.made()
        for bad in ('', '.', '..', 'volume-', 'volume-../../etc/passwd',
                    f'../{good}', f'{good}/x', f'{good}\n', good.upper(),
                    f'{good}x', 'snapshot-x'):
            for call in (lambda n: self.store.create(n, MIB),
                         self.store.delete, self.store.exists,
                         self.store.device, self.store.bring_up,
                         self.store.let_down,
                         lambda n: self.store.extend(n, MIB),
                         lambda n: self.store.snapshot(good, n),
                         lambda n: self.store.snapshot(n, snapshot()),
                         lambda n: self.store.clone(good, n, MIB),
                         lambda n: self.store.revert(n, good),
                         lambda n: self.store.revert(good, n),
                         lambda n: self.store.rename(n, volume()),
                         lambda n: self.store.rename(good, n),
                         lambda n: self.store.adopt(good, n, MIB)):
                with self.assertRaisesRegex(exception.StoreError, 'UUID'):
                    call(bad)
        self.assertEqual((good,), self.store.names())

    def test_capacity_adds_up_the_sizes(self) -> None:
        before = self.store.capacity()
        self.assertEqual(0, before.provisioned_bytes)
        self.assertGreater(before.total_bytes, 0)
        self.assertGreaterEqual(before.total_bytes, before.free_bytes)
        size_bytes = 4 * MIB
        if self.store.traits.thin:
            size_bytes = 2 * before.total_bytes // MIB * MIB
        name = self.made(size_bytes)
        self.store.snapshot(name, snapshot())
        after = self.store.capacity()
        self.assertEqual(2 * size_bytes, after.provisioned_bytes)
        self.assertGreater(after.free_bytes, before.free_bytes - 8 * MIB)

    # Absence is not proof

    def test_a_missing_place_is_not_an_empty_store(self) -> None:
        kept, copy = self.made(data=b'kept'), snapshot()
        self.store.snapshot(kept, copy)
        self.store.recover()
        with self.away():
            for call in (self.store.names, self.store.foreign,
                         lambda: self.store.exists(kept),
                         lambda: self.store.delete(kept),
                         lambda: self.store.create(volume(), MIB),
                         lambda: self.store.rename(kept, volume()),
                         lambda: self.store.revert(kept, copy),
                         self.store.prepare, self.store.check,
                         self.store.recover):
                with self.assertRaises((exception.StoreError,
                                        exception.ConfigurationError)):
                    call()
        self.assertEqual(sorted([kept, copy]), list(self.store.names()))
        self.assertEqual(b'kept', read(self.path(kept), 4))

    def test_an_unusable_backing_does_not_affect_others(self) -> None:
        good, odd = self.made(), volume()
        provisioned_bytes = self.store.capacity().provisioned_bytes
        self.make_odd(odd)
        self.make_foreign('web.disk', 4 * MIB, b'data')
        self.assertIn(good, self.store.names())
        self.assertLessEqual(self.store.capacity().provisioned_bytes,
                             provisioned_bytes + MIB)
        self.assertEqual(['web.disk'], [f.name for f in self.store.foreign()])
        for call in (lambda: self.store.device(odd),
                     lambda: self.store.bring_up(odd),
                     lambda: self.store.create(odd, MIB),
                     lambda: self.store.snapshot(odd, snapshot())):
            with self.assertRaises(exception.StoreError):
                call()
        listed = {e['reference']['source-name']: e for e in manageable.volumes(
            self.store, {}, lambda name: None)}
        self.assertIs(True, listed[good]['safe_to_manage'])
        self.assertIs(True, listed['web.disk']['safe_to_manage'])
        if odd in listed:
            self.assertIs(False, listed[odd]['safe_to_manage'])
            self.assertIn(f'could not use {odd}',
                          listed[odd]['reason_not_safe'])
        self.assertEqual((), self.store.recover())

    # Create

    def test_a_new_volume_reads_as_zeros(self) -> None:
        name = volume()
        self.assertFalse(self.store.exists(name))
        self.store.create(name, 3 * MIB)
        self.assertTrue(self.store.exists(name))
        device = self.store.bring_up(name)
        self.assertEqual(3 * MIB, device.size_bytes)
        self.assertTrue(os.path.isabs(device.path))
        self.assertEqual(bytes(3 * MIB), read(device.path, 4 * MIB))
        self.assertEqual((name,), self.store.names())

    def test_create_twice_is_once(self) -> None:
        name = self.made()
        self.store.create(name, MIB)
        self.assertEqual(MIB, self.store.device(name).size_bytes)

    def test_create_never_replaces_another_volume(self) -> None:
        empty, full = self.made(), self.made(data=b'precious')
        for name, size_bytes in ((empty, 2 * MIB), (full, MIB)):
            with self.assertRaisesRegex(exception.StoreError, 'already'):
                self.store.create(name, size_bytes)
        self.assertEqual(MIB, self.store.device(empty).size_bytes)
        self.assertEqual(b'precious', read(self.path(full), 8))

    def test_sizes_are_whole_blocks(self) -> None:
        for size_bytes in (0, -512, 511, MIB + 1):
            with self.assertRaisesRegex(exception.StoreError, '512'):
                self.store.create(volume(), size_bytes)
        self.assertEqual((), self.store.names())

    # Delete

    def test_delete_twice_is_once(self) -> None:
        name, other = self.made(), self.made()
        self.store.delete(name)
        self.store.delete(name)
        self.assertFalse(self.store.exists(name))
        self.assertEqual((other,), self.store.names())
        with self.assertRaises(exception.BackingNotFound):
            self.store.device(name)

    def test_a_deleted_volume_leaks_nothing_into_the_next(self) -> None:
        name = self.made(data=b'secret of one tenant' * 1000)
        self.store.delete(name)
        self.store.create(name, MIB)
        self.assertEqual(bytes(MIB), read(self.path(name), MIB))

    # Extend

    def test_extend_keeps_the_data_and_adds_zeros(self) -> None:
        name = self.made(data=b'x' * MIB)
        self.store.extend(name, 2 * MIB)
        self.store.extend(name, 2 * MIB)
        self.assertEqual(2 * MIB, self.store.device(name).size_bytes)
        self.assertEqual(b'x' * MIB + bytes(MIB),
                         read(self.path(name), 3 * MIB))

    def test_extend_never_shrinks(self) -> None:
        name = self.made(2 * MIB)
        with self.assertRaisesRegex(exception.StoreError, 'shrunk'):
            self.store.extend(name, MIB)
        self.assertEqual(2 * MIB, self.store.device(name).size_bytes)

    def test_extend_is_seen_by_those_who_have_it_open(self) -> None:
        name = self.made()
        with open(self.path(name), 'r+b') as user:
            self.store.extend(name, 2 * MIB)
            user.seek(0, os.SEEK_END)
            self.assertEqual(2 * MIB, user.tell())

    # Snapshot

    def test_a_snapshot_keeps_what_was_there(self) -> None:
        name, kept = self.made(data=b'before'), snapshot()
        self.store.snapshot(name, kept)
        write(self.path(name), b'after!')
        self.assertEqual(b'before', read(self.path(kept), 6))
        self.assertEqual(b'after!', read(self.path(name), 6))
        self.assertEqual(MIB, self.store.device(kept).size_bytes)
        self.assertEqual(sorted([kept, name]), list(self.store.names()))

    def test_a_snapshot_has_what_an_open_user_wrote(self) -> None:
        name, kept = self.made(), snapshot()
        fd = os.open(self.path(name), os.O_RDWR)
        try:
            os.pwrite(fd, b'not yet flushed', 4096)
            self.store.snapshot(name, kept)
            os.pwrite(fd, b'later..........', 4096)
        finally:
            os.close(fd)
        self.assertEqual(b'not yet flushed',
                         read(self.path(kept), 15, 4096))

    def test_snapshot_twice_keeps_the_first(self) -> None:
        name, kept = self.made(data=b'first'), snapshot()
        self.store.snapshot(name, kept)
        write(self.path(name), b'other')
        self.store.snapshot(name, kept)
        self.assertEqual(b'first', read(self.path(kept), 5))

    def test_a_snapshot_outlives_its_volume(self) -> None:
        name, kept = self.made(data=b'kept'), snapshot()
        self.store.snapshot(name, kept)
        self.store.delete(name)
        self.assertEqual(b'kept', read(self.path(kept), 4))

    def test_a_volume_outlives_its_snapshot(self) -> None:
        name, kept = self.made(data=b'kept'), snapshot()
        self.store.snapshot(name, kept)
        self.store.delete(kept)
        self.store.delete(kept)
        self.assertEqual(b'kept', read(self.path(name), 4))

    # Several snapshots

    def test_a_group_keeps_what_was_there(self) -> None:
        names = [self.made(data=bytes([i]) * 512) for i in range(3)]
        pairs = [(n, snapshot()) for n in names]
        self.store.snapshot_group(pairs)
        for n in names:
            write(self.path(n), b'later')
        self.store.snapshot_group(pairs)
        for i, (_n, kept) in enumerate(pairs):
            self.assertEqual(bytes([i]) * 512, read(self.path(kept), 512))
        self.store.snapshot_group([])
        self.assertEqual(6, len(self.store.names()))

    def test_a_group_is_all_or_nothing(self) -> None:
        names = [self.made(data=b'one'), self.made(MIB // 2), self.made()]
        earlier = (names[0], snapshot())
        self.store.snapshot(*earlier)
        before = self.store.names()
        for last, error in (
                ((volume(), snapshot()), exception.BackingNotFound),
                ((names[2], names[1]), exception.StoreError),
                ((names[2], 'snapshot-x'), exception.StoreError)):
            with self.assertRaises(error):
                self.store.snapshot_group(
                    [earlier, (names[1], snapshot()), last])
            self.assertEqual(before, self.store.names())
        self.assertEqual(b'one', read(self.path(earlier[1]), 3))

    def test_snapshots_of_a_group_may_be_volumes(self) -> None:
        names = [self.made(data=bytes([i]) * 512) for i in range(2)]
        pairs = [(n, volume()) for n in names]
        self.store.snapshot_group(pairs)
        for i, (source, name) in enumerate(pairs):
            self.store.extend(name, 2 * MIB)
            write(self.path(source), b'later')
            self.assertEqual(bytes([i]) * 512, read(self.path(name), 512))
            write(self.path(name), b'mine')
            self.assertEqual(b'later', read(self.path(source), 5))

    # Clone

    def test_a_clone_and_its_source_diverge(self) -> None:
        for source in (self.made(data=b'same'), self._snapshot_of(b'same')):
            name = volume()
            self.store.clone(source, name, MIB)
            self.assertEqual(b'same', read(self.path(name), 4))
            write(self.path(name), b'mine')
            self.assertEqual(b'same', read(self.path(source), 4))
            self.store.delete(source)
            self.assertEqual(b'mine', read(self.path(name), 4))

    def _snapshot_of(self, data: bytes) -> str:
        kept = snapshot()
        self.store.snapshot(self.made(data=data), kept)
        return kept

    def test_a_clone_may_be_larger(self) -> None:
        source, name = self.made(data=b'x' * MIB), volume()
        self.store.clone(source, name, 3 * MIB)
        self.assertEqual(3 * MIB, self.store.device(name).size_bytes)
        self.assertEqual(b'x' * MIB + bytes(2 * MIB),
                         read(self.path(name), 4 * MIB))
        self.assertEqual(MIB, self.store.device(source).size_bytes)

    def test_a_clone_is_never_smaller(self) -> None:
        source, name = self.made(2 * MIB), volume()
        with self.assertRaises(exception.StoreError):
            self.store.clone(source, name, MIB)
        self.assertFalse(self.store.exists(name))

    def test_a_clone_of_a_clone(self) -> None:
        first, second, third = self.made(data=b'gene'), volume(), volume()
        self.store.clone(first, second, MIB)
        self.store.clone(second, third, MIB)
        self.store.delete(first)
        self.store.delete(second)
        self.assertEqual(b'gene', read(self.path(third), 4))

    def test_copies_never_replace_another_volume(self) -> None:
        source, other = self.made(data=b'source'), self.made(data=b'other')
        smaller = self.made(MIB // 2)
        with self.assertRaisesRegex(exception.StoreError, 'already'):
            self.store.clone(source, other, MIB)
        with self.assertRaisesRegex(exception.StoreError, 'already'):
            self.store.snapshot(source, smaller)
        self.assertEqual(b'other', read(self.path(other), 5))
        self.assertEqual(MIB // 2, self.store.device(smaller).size_bytes)

    # Revert

    def test_revert_brings_back_what_the_snapshot_kept(self) -> None:
        name, kept = self.made(data=b'before'), snapshot()
        self.store.snapshot(name, kept)
        for _ in range(2):
            write(self.path(name), b'after!')
            write(self.path(name), b'more', MIB // 2)
            self.store.revert(name, kept)
            self.store.revert(name, kept)
            self.assertEqual(b'before', read(self.path(name), 6))
            self.assertEqual(bytes(4), read(self.path(name), 4, MIB // 2))
        write(self.path(name), b'mine')
        self.assertEqual(b'before', read(self.path(kept), 6))
        self.assertEqual(sorted([kept, name]), list(self.store.names()))

    def test_revert_keeps_the_size_that_it_has_now(self) -> None:
        name, kept = self.made(data=b'x' * MIB), snapshot()
        self.store.snapshot(name, kept)
        self.store.extend(name, 2 * MIB)
        write(self.path(name), b'y' * 2 * MIB)
        self.store.revert(name, kept)
        self.assertEqual(2 * MIB, self.store.device(name).size_bytes)
        self.assertEqual(b'x' * MIB + bytes(MIB),
                         read(self.path(name), 3 * MIB))

    def test_revert_neither_shrinks_nor_creates(self) -> None:
        name, large = self.made(data=b'now'), self.made(2 * MIB)
        kept, gone = snapshot(), volume()
        self.store.snapshot(large, kept)
        with self.assertRaises(exception.StoreError):
            self.store.revert(name, kept)
        for pair in ((name, snapshot()), (gone, kept)):
            with self.assertRaises(exception.BackingNotFound):
                self.store.revert(*pair)
        self.assertEqual(b'now', read(self.path(name), 3))
        self.assertFalse(self.store.exists(gone))

    # Names

    def test_rename_twice_is_once(self) -> None:
        old, new = self.made(data=b'same'), volume()
        self.store.rename(old, new)
        self.store.rename(old, new)
        self.assertEqual((new,), self.store.names())
        self.assertEqual(b'same', read(self.path(new), 4))

    def test_rename_never_replaces(self) -> None:
        old, new = self.made(data=b'old'), self.made(data=b'new')
        with self.assertRaisesRegex(exception.StoreError, 'already'):
            self.store.rename(old, new)
        with self.assertRaises(exception.BackingNotFound):
            self.store.rename(volume(), volume())
        self.assertEqual((b'old', b'new'), tuple(
            read(self.path(n), 3) for n in (old, new)))

    # What others made

    def test_foreign_volumes_are_listed(self) -> None:
        self.assertEqual((), self.store.foreign())
        mine = self.made()
        for name in ('web.disk', 'db_1'):
            self.make_foreign(name, 4 * MIB, b'data')
        self.assertEqual(
            (base.Foreign('db_1', 4 * MIB), base.Foreign('web.disk', 4 * MIB)),
            self.store.foreign())
        self.assertEqual((mine,), self.store.names())

    def test_adopt_twice_is_once(self) -> None:
        self.make_foreign('web.disk', 4 * MIB, b'data')
        name = volume()
        self.store.adopt('web.disk', name, 8 * MIB)
        self.store.adopt('web.disk', name, 8 * MIB)
        self.assertEqual((), self.store.foreign())
        self.assertEqual((name,), self.store.names())
        self.assertEqual(8 * MIB, self.store.device(name).size_bytes)
        self.assertEqual(b'data' + bytes(8 * MIB - 4),
                         read(self.path(name), 9 * MIB))

    def test_a_backing_can_be_adopted_anew(self) -> None:
        old, new = self.made(4 * MIB, b'was managed before'), snapshot()
        self.store.adopt(old, new, 4 * MIB)
        self.assertEqual((new,), self.store.names())
        self.assertEqual(b'was', read(self.path(new), 3))

    def test_adopt_refuses_everything_else(self) -> None:
        self.make_foreign('web.disk', 4 * MIB, b'data')
        other = self.made(data=b'other')
        with self.assertRaisesRegex(exception.StoreError, 'already'):
            self.store.adopt('web.disk', other, 4 * MIB)
        with self.assertRaises(exception.StoreError):
            self.store.adopt('web.disk', volume(), 2 * MIB)
        with self.assertRaises(exception.BackingNotFound):
            self.store.adopt('nothing', volume(), 4 * MIB)
        for bad in ('', '.', '..', '../x', '/etc/passwd', 'a/b', '.hidden',
                    'web.disk\n', 'web.disk\0', '-x'):
            with self.assertRaisesRegex(exception.StoreError, 'take over'):
                self.store.adopt(bad, volume(), 4 * MIB)
        self.assertEqual(['web.disk'], [f.name for f in self.store.foreign()])
        self.assertEqual((other,), self.store.names())
        self.assertEqual(b'other', read(self.path(other), 5))

    # The life of a device

    def test_bring_up_twice_is_once(self) -> None:
        name = self.made(data=b'data')
        device = self.store.bring_up(name)
        self.assertEqual(device, self.store.bring_up(name))
        self.assertEqual(device, self.store.device(name))
        self.assertEqual(b'data', read(device.path, 4))

    def test_let_down_twice_is_once(self) -> None:
        name = self.made(data=b'data')
        device = self.store.bring_up(name)
        self.store.let_down(name)
        self.store.let_down(name)
        self.assertEqual((name,), self.store.names())
        self.assertEqual(device, self.store.bring_up(name))
        self.assertEqual(b'data', read(device.path, 4))
        self.assertEqual(MIB, device.size_bytes)

    def test_a_device_that_never_was_up_can_be_let_down(self) -> None:
        name = volume()
        self.store.create(name, MIB)
        self.store.let_down(name)
        self.assertEqual(bytes(MIB), read(self.path(name), MIB))

    def test_a_device_outlives_a_crash(self) -> None:
        name = self.made()
        device = self.store.bring_up(name)
        write(device.path, b'before')
        later = self.reopen()
        later.prepare()
        self.assertEqual((), later.recover())
        self.assertEqual(device, later.bring_up(name))
        self.assertEqual(b'before', read(device.path, 6))
        later.let_down(name)
        later.let_down(name)
        self.assertEqual(device, later.bring_up(name))
        self.assertEqual(b'before', read(device.path, 6))

    def test_a_missing_backing_has_no_device(self) -> None:
        name, other = volume(), self.made(data=b'other')
        for _ in range(2):
            with self.assertRaisesRegex(exception.BackingNotFound, name):
                self.store.bring_up(name)
            self.store.let_down(name)
        deleted = self.made()
        self.store.bring_up(deleted)
        self.store.let_down(deleted)
        self.store.delete(deleted)
        self.store.let_down(deleted)
        self.assertEqual((other,), self.store.names())
        self.assertEqual(b'other', read(self.path(other), 5))

    # Files of others

    def test_a_file_elsewhere_is_never_copied(self) -> None:
        name = volume()
        with tempfile.TemporaryFile() as file:
            file.write(b'image' * 1024)
            file.flush()
            shared = self.store.share(file.fileno(), name, MIB)
        self.assertIn(shared, (False, self.store.traits.shares_files))
        self.assertEqual(shared, self.store.exists(name))

    # Extents

    def test_extents_are_counted_where_they_matter(self) -> None:
        name = self.made(data=b'data')
        self.assertGreaterEqual(self.store.extents(name), 0)
        if not self.store.traits.copies_hold_writes:
            self.assertEqual(0, self.store.extents(name))

    # Missing backings, and concurrency

    def test_a_missing_backing_is_named(self) -> None:
        name = volume()
        for call in (lambda: self.store.extend(name, MIB),
                     lambda: self.store.snapshot(name, snapshot()),
                     lambda: self.store.clone(name, volume(), MIB),
                     lambda: self.store.device(name),
                     lambda: self.store.bring_up(name)):
            with self.assertRaisesRegex(exception.BackingNotFound, name):
                call()
        self.assertEqual((), self.store.names())

    def test_many_threads_at_once(self) -> None:
        source = self.made(data=b'shared')
        names = [volume() for _ in range(24)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(self.store.clone, source, n, MIB)
                         for n in names]:
                done.result()
        self.assertEqual(sorted([source, *names]), list(self.store.names()))
        for name in names:
            self.assertEqual(b'shared', read(self.path(name), 6))

    def test_one_of_many_gets_the_name(self) -> None:
        sources = [self.made(data=bytes([i]) * 512) for i in range(8)]
        name = volume()

        def attempt(source: str) -> str | None:
            try:
                self.store.clone(source, name, MIB)
            except exception.StoreError:
                return None
            return source

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            winners = [w for w in pool.map(attempt, sources) if w]
        self.assertEqual(1, len(winners))
        self.assertEqual(read(self.path(winners[0]), MIB),
                         read(self.path(name), MIB))
