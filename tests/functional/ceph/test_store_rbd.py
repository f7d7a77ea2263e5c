# SPDX-License-Identifier: Apache-2.0
"""The rbd store on a real Ceph and the kernel's client."""

import contextlib
import dataclasses
import os
from pathlib import Path
import subprocess
import sys
import threading
from unittest import mock

import rbd

from mydriver import exception, waiting
from mydriver.privileged import krbd
from mydriver.stores import imaging
from mydriver.stores.rbd import images, keeper, local, pool, trash
from tests.contract import native as native_contract
from tests.contract import store as contract
from tests.functional import base
from tests.functional.ceph import base as ceph_base
from tests.functional.ceph import openers
from tests.functional.ceph import store as ceph_store

MIB = contract.MIB


class RbdCase(ceph_base.CephTestCase):
    """A test case with an empty pool, as an operator sees it."""

    def setUp(self):
        self.io = self.ceph.cluster.open_ioctx(ceph_base.VOLUMES)
        self.addCleanup(self.io.close)
        ceph_store.use(self)
        self.addCleanup(ceph_store.clear, self.io)
        super().setUp()

    def trash(self):
        """Return what is in the trash, by name."""
        return sorted(e['name'] for e in rbd.RBD().trash_list(self.io))

    def image(self, name):
        """Return an open image of the pool."""
        found = rbd.Image(self.io, name, read_only=True)
        self.addCleanup(found.close)
        return found


class RbdStoreTest(contract.StoreContract, RbdCase):
    """The contract with the real Ceph, and tests that need it."""

    def make_store(self):
        """Return a store in an empty pool."""
        store = self.reopen()
        store.prepare()
        return store

    def reopen(self):
        """Return another store on the same pool."""
        return ceph_store.make()

    def make_foreign(self, name, size_bytes, data=b''):
        """Create an image as an operator does."""
        rbd.RBD().create(self.io, name, size_bytes, old_format=False,
                         features=images.features())
        if data:
            with rbd.Image(self.io, name) as image:
                image.write(data, 0)

    def make_odd(self, name):
        """Make an image that has lost its header."""
        self.store.create(name, MIB)
        with rbd.Image(self.io, name, read_only=True) as image:
            self.io.remove_object(f'rbd_header.{image.id()}')

    @contextlib.contextmanager
    def away(self):
        """Put the mark of another store into the pool for a while."""
        mark = self.io.read(pool.MARKER)
        self.io.write_full(pool.MARKER, b'0123456789abcdef')
        yield
        self.io.write_full(pool.MARKER, mark)


class RbdNativeTest(native_contract.NativeContract, RbdCase):
    """The contract of native access."""

    def make_native(self):
        """Return a store in an empty pool."""
        return ceph_store.make()

    def reopen_native(self):
        """Return another store on the same pool."""
        return ceph_store.make()


class RbdImageTest(RbdCase):
    """Images of Glance, in a pool of their own."""

    def setUp(self):
        super().setUp()
        self.images = self.ceph.cluster.open_ioctx(ceph_base.IMAGES)
        # After the store's images, which are clones of these.
        self._cleanups[:0] = [(self.images.close, (), {}),
                              (ceph_store.clear, (self.images,), {})]
        self.store = ceph_store.make()
        self.store.prepare()
        rbd.RBD().create(self.images, 'system', 4 * MIB, old_format=False,
                         features=images.features())
        with rbd.Image(self.images, 'system') as image:
            image.write(b'system', 0)
            self.system_id = image.id()
            image.create_snap('snap')
            image.protect_snap('snap')
        self.place = imaging.ImageLocation(
            self.ceph.cluster.get_fsid(), ceph_base.IMAGES, 'system', 'snap')

    def test_a_volume_shares_the_data_of_its_image(self):
        name, kept = contract.volume(), contract.snapshot()
        self.assertTrue(self.store.clone_image(self.place, name, 8 * MIB))
        self.assertEqual(b'system\0', self.store.head(name, 7))
        self.assertEqual(8 * MIB, self.store.device(name).size_bytes)
        self.assertEqual([], [o.key for o in self.io.list_objects()
                              if o.key.startswith('rbd_data.')])
        self.store.snapshot(name, kept)
        path = self.store.bring_up(name).path
        self.assertEqual(b'system', contract.read(path, 6))
        contract.write(path, b'guest!')
        self.assertEqual(b'system', self.store.head(kept, 6))
        ceph_store.unprotect(ceph_base.IMAGES, self.system_id, 'snap')
        with rbd.Image(self.images, 'system') as image:
            self.assertEqual(b'system', image.read(0, 6))
            image.remove_snap('snap')
        self.assertEqual(b'system', self.store.head(kept, 6))

    def test_what_is_elsewhere_is_not_cloned(self):
        name = contract.volume()
        for changed in ({'fsid': '457eb676-33da-42ec-9a8c-9293d545c337'},
                        {'pool': 'nowhere'}, {'image': 'other'},
                        {'snapshot': 'other'}):
            self.assertFalse(self.store.clone_image(
                dataclasses.replace(self.place, **changed), name, 8 * MIB))
        with self.assertRaises(exception.StoreError):
            self.store.clone_image(self.place, name, MIB)
        self.assertEqual((), self.store.names())


class GreenTest(RbdCase):
    """eventlet's threads, which a call of librbd must not stop."""

    def test_the_others_run_meanwhile(self):
        out = base.run(sys.executable, '-m', 'tests.functional.ceph.green')
        left, ticks = map(int, out.splitlines()[-1].split())
        self.assertEqual(1, left)
        self.assertGreater(ticks, 50)


class OpenerTest(RbdCase):
    """Threads that open images, and close them at once."""

    def test_no_image_is_freed_too_early(self):
        out = base.run(sys.executable, '-m', 'tests.functional.ceph.openers')
        self.assertEqual(f'{openers.CLONES} clones', out.splitlines()[-1])


class DeadClientTest(RbdCase):
    """A client that was killed keeps its lock of an image."""

    def test_its_lock_is_broken(self):
        store = ceph_store.make()
        name = contract.volume()
        store.create(name, MIB)
        holder = subprocess.Popen(
            [sys.executable, '-m', 'tests.functional.ceph.holder', name],
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        self.assertEqual('locked\n', holder.stdout.readline())
        holder.kill()
        holder.wait()
        # Ceph takes it for alive until its watch has timed out.
        kept = contract.snapshot()
        waiting.wait_for(
            lambda: not images.watchers(self.io, images.id_of(self.io, name)),
            'the watch of a dead client to end', 2 * local.WATCH_TIMEOUT_S)
        store.snapshot(name, kept)
        store.extend(name, 2 * MIB)
        self.assertEqual(sorted([name, kept]), sorted(store.names()))


class TrashTest(RbdCase):
    """An image that outlives its name, because of clones."""

    def test_it_goes_after_the_last_clone_although_nothing_is_deleted(self):
        store = ceph_store.make()
        name, kept = contract.volume(), contract.snapshot()
        store.create(name, MIB)
        store.snapshot(name, kept)
        store.delete(name)
        self.assertEqual([name], self.trash())
        # As a service that is killed before it comes to the parent.
        with mock.patch.object(trash, 'remove'), \
                mock.patch.object(trash, 'empty'):
            store.delete(kept)
        self.assertIn(name, self.trash())
        with mock.patch.object(keeper, '_TRASH_S', 0.0):
            store.keeper._settles = True
            store.keeper._settle()
        self.assertEqual([], self.trash())


class RemapTest(RbdCase):
    """An image that is mapped again before udev has noticed the unmap."""

    def test_the_device_is_not_found_by_the_old_link(self):
        store = ceph_store.make()
        name = contract.volume()
        store.create(name, MIB)
        link = Path(store.bring_up(name).path)
        was = link.resolve()
        base.run('udevadm', 'settle')
        base.run('udevadm', 'control', '--stop-exec-queue')
        goes_on = threading.Event()

        def go_on():
            goes_on.set()
            base.run('udevadm', 'control', '--start-exec-queue')

        timer = threading.Timer(1, go_on)
        self.addCleanup(timer.join)
        timer.start()
        store.let_down(name)
        self.assertTrue(link.is_symlink())
        store.bring_up(name)
        self.assertTrue(goes_on.is_set())
        self.assertEqual(was, link.resolve())
        self.assertTrue(was.is_block_device())


class UsedElsewhereTest(RbdCase):
    """An image has one user at a time."""

    def setUp(self):
        super().setUp()
        self.store = ceph_store.make()
        self.name = contract.volume()
        self.store.create(self.name, MIB)

    def test_an_image_that_a_client_has_open_is_not_mapped(self):
        with mock.patch.object(local, 'WATCH_TIMEOUT_S', 0.5), rbd.Image(
                self.io, self.name):
            for call in (self.store.bring_up, self.store.delete,
                         lambda n: self.store.rename(n, contract.volume())):
                with self.assertRaisesRegex(exception.StoreError,
                                            r'\d/\d+ has it open'):
                    call(self.name)
        self.assertEqual([], [*krbd.mappings()])
        self.store.bring_up(self.name)

    def test_two_hosts_that_look_at_the_same_time_both_give_way(self):
        real = self.store.host._refuse_used
        looked = []

        def look(*args):
            looked.append(args)
            if len(looked) > 1:
                real(*args)

        with (mock.patch.object(self.store.host, '_refuse_used', look),
              mock.patch.object(local, '_GLANCE_TIMEOUT_S', 0.5),
              rbd.Image(self.io, self.name),
              self.assertRaisesRegex(exception.StoreError, 'has it open')):
            self.store.bring_up(self.name)
        self.assertEqual(2, len(looked))
        self.assertEqual([], [*krbd.mappings()])

    def test_a_snapshot_of_a_mapped_image_needs_no_unmap(self):
        path = self.store.bring_up(self.name).path
        with open(path, 'r+b', buffering=0) as f:
            self.store.snapshot(self.name, contract.snapshot())
            self.store.extend(self.name, 2 * MIB)
            f.write(b'later' + bytes(507))
            os.fsync(f)
        self.assertEqual(b'later', self.store.head(self.name, 5))
