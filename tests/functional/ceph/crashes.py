# SPDX-License-Identifier: Apache-2.0
"""Operations of the rbd store that end, or stop, before a step of theirs."""

import rbd

from mydriver.stores.rbd import intents
from tests.contract import store as contract
from tests.functional.ceph import store as ceph_store
from tests.functional.ceph import test_store_rbd

MIB = contract.MIB
#: More steps than any operation has.
MOST_STEPS = 60


class CrashCase(test_store_rbd.RbdCase):
    """A test case with a store in an empty pool, and looks at its images."""

    def setUp(self):
        super().setUp()
        self.store = ceph_store.make()
        self.store.prepare()
        self.store.recover()

    def written(self, data, size_bytes=MIB):
        """Return the name of a new volume with some data."""
        name = contract.volume()
        self.store.create(name, size_bytes)
        with rbd.Image(self.io, name) as image:
            image.write(data, 0)
        return name

    def data(self, name):
        """Return the first bytes of an image."""
        with rbd.Image(self.io, name, read_only=True) as image:
            return image.read(0, 3)

    def assert_clean(self):
        """Nothing is left but backings."""
        self.assertEqual({}, intents.everything(self.io))
        left = [i['name'] for i in rbd.RBD().list2(self.io)]
        self.assertEqual(sorted(left), list(self.store.names()))
        for name in left:
            with rbd.Image(self.io, name, read_only=True) as image:
                for snap in [s['name'] for s in image.list_snaps()]:
                    image.set_snap(snap)
                    self.assertTrue(list(image.list_children2()), snap)
        ids = {o.key.removeprefix('rbd_id.') for o in self.io.list_objects()
               if o.key.startswith('rbd_id.')}
        self.assertEqual({*left}, ids)


class Operations:
    """Tests of operations, for a :class:`CrashCase` that has ``each_step``.

    ``each_step(prepare, check)`` lets an operation end before steps of it.
    ``prepare`` returns the operation and its arguments; ``check`` is given the
    arguments.
    """

    def test_create(self):
        def check(name, size_bytes, done=False):
            if done or self.store.exists(name):
                self.assertEqual(size_bytes,
                                 self.store.device(name).size_bytes)

        self.each_step(lambda: ('create', contract.volume(), MIB), check)

    def test_snapshot(self):
        def check(source, name, done=False):
            self.assertEqual(b'one', self.data(source))
            if done or self.store.exists(name):
                self.assertEqual(b'one', self.data(name))

        self.each_step(lambda: ('snapshot', self.written(b'one'),
                                contract.snapshot()), check)

    def test_delete(self):
        kept = contract.snapshot()

        def prepare():
            name = self.written(b'one')
            self.store.snapshot(name, kept)
            return 'delete', name

        def check(name, done=False):
            self.assertEqual(b'one', self.data(kept))
            if done or not self.store.exists(name):
                self.assertNotIn(name, self.store.names())
            else:
                self.assertEqual(b'one', self.data(name))

        self.each_step(prepare, check)
        self.store.recover()
        self.assertEqual([], self.trash())

    def test_rename(self):
        def check(old, new, done=False):
            there = [n for n in (old, new) if self.store.exists(n)]
            self.assertEqual(1, len(there))
            self.assertEqual(b'one', self.data(there[0]))
            if done:
                self.assertEqual([new], there)

        self.each_step(lambda: ('rename', self.written(b'one'),
                                contract.volume()), check)

    def test_revert(self):
        def prepare():
            name, kept = self.written(b'one'), contract.snapshot()
            self.store.snapshot(name, kept)
            with rbd.Image(self.io, name) as image:
                image.write(b'two', 0)
            return 'revert', name, kept

        def check(name, kept, done=False):
            self.assertEqual(b'one', self.data(kept))
            self.assertIn(self.data(name), (b'one', b'two'))
            if done:
                self.assertEqual(b'one', self.data(name))

        self.each_step(prepare, check, every=7)
