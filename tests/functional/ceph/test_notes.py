# SPDX-License-Identifier: Apache-2.0
"""The contract of native stores, on notes in the metadata of images.

The store is the least that the suite needs: librbd, and the parts of the
driver that a store in Ceph has its notes and addresses from.
"""

import contextlib

import rbd

from mydriver import exception
from mydriver.ceph import cluster, monitors, notes
from mydriver.stores import base, names, native
from tests.contract import native as contract
from tests.functional.ceph import base as ceph_base

_LAYERED = rbd.RBD_FEATURE_LAYERING | rbd.RBD_FEATURE_EXCLUSIVE_LOCK


class Images:
    """Images of a pool; see :class:`mydriver.stores.native.NativeStore`."""

    traits = base.Traits(
        backstore='iblock', consistent_groups=False, thin=True,
        shares_files=False, copies_hold_writes=False,
        fixed_block_bytes=base.BLOCK_BYTES, needs_native_thread=True,
        native=True)

    def __init__(self, conf):
        self.cluster = cluster.Cluster(cluster.Settings(
            ceph_base.VOLUMES, ceph_base.USER, conf))

    @contextlib.contextmanager
    def opened(self, name, *, read_only=False):
        """Open an image."""
        names.check_name(name)
        try:
            with rbd.Image(self.cluster.pool(), name,
                           read_only=read_only) as image:
                yield image
        except rbd.ImageNotFound as e:
            raise exception.BackingNotFound(name, 'the pool') from e

    def create(self, name, size_bytes):
        """Create an image."""
        rbd.RBD().create(self.cluster.pool(), name, size_bytes,
                         features=_LAYERED)

    def delete(self, name):
        """Remove an image."""
        rbd.RBD().remove(self.cluster.pool(), name)

    def rename(self, old, new):
        """Rename an image."""
        rbd.RBD().rename(self.cluster.pool(), old, new)

    def clone(self, source, name, size_bytes):
        """Clone an image, as librbd does."""
        pool = self.cluster.pool()
        with self.opened(source) as image:
            image.create_snap(name)
        # A snapshot need not be protected then.
        self.cluster.handle().conf_set('rbd_default_clone_format', '2')
        rbd.RBD().clone(pool, source, name, pool, name, features=_LAYERED)

    def snapshot(self, source, name):
        """Keep a snapshot as a clone."""
        self.clone(source, name, 0)

    def native_location(self, name):
        """Return where an image is."""
        with self.opened(name, read_only=True):
            return native.NativeLocation(
                ceph_base.VOLUMES, name, ceph_base.USER,
                monitors.addresses(self.cluster.handle()),
                self.cluster.fsid())

    def native_notes(self, name):
        """Return the versions of notes."""
        with self.opened(name, read_only=True) as image:
            return notes.versions(image)

    def native_users(self, name):
        """Return who is noted."""
        return tuple(self.native_notes(name))

    def add_native_user(self, name, user):
        """Note a user."""
        with self.opened(name) as image:
            return notes.add(image, user)

    def drop_native_user(self, name, user, version=None):
        """Remove a note."""
        with (contextlib.suppress(exception.BackingNotFound),
              self.opened(name) as image):
            if version is not None:
                return notes.drop_version(self.cluster.pool(), image.id(),
                                          user, version)
            notes.drop(image, user)
        return True


class NotesTest(contract.NativeContract, ceph_base.CephTestCase):
    """The suite, and what is special to Ceph."""

    def make_native(self):
        return self.reopen_native()

    def reopen_native(self):
        store = Images(str(self.conf))
        self.addCleanup(store.cluster.close)
        return store

    def test_a_clone_has_what_it_inherited_and_does_not_read_it(self):
        self.notes.add_native_user(self.name, 'a')
        clone = self.name[:-1] + ('0' if self.name[-1] != '0' else '1')
        self.notes.clone(self.name, clone, 0)
        with self.notes.opened(clone) as image:
            self.assertIn('a', [v for k, v in image.metadata_list()
                                if k.startswith('mydriver.')])
        self.assertEqual((), self.notes.native_users(clone))

    def test_damage_is_an_error_and_not_nobody(self):
        self.notes.add_native_user(self.name, 'a')
        with self.notes.opened(self.name) as image:
            key, = (k for k, user in image.metadata_list() if user == 'a')
            image.metadata_set(key, 'b')
        with self.assertRaisesRegex(exception.CephError, 'is damaged'):
            self.notes.native_users(self.name)

    def test_a_writer_keeps_its_lock(self):
        with self.notes.opened(self.name) as writer:
            writer.write(b'x', 0)
            writer.flush()
            self.assertTrue(writer.is_exclusive_lock_owner())
            other = self.reopen_native()
            for n in range(5):
                other.add_native_user(self.name, f'host-{n}')
                other.drop_native_user(self.name, f'host-{n}')
            self.assertTrue(writer.is_exclusive_lock_owner())
