# SPDX-License-Identifier: Apache-2.0
"""The contract of where CHAP keys are kept."""

from collections.abc import Callable
import threading
from typing import TYPE_CHECKING
import unittest

from mydriver import exception, model
from mydriver.target import chap

TARGET = model.Iqn('iqn.2010-10.org.openstack:t-0')
ALICE = model.Iqn('iqn.1993-08.org.debian:01:alice')

if TYPE_CHECKING:
    _Case = unittest.TestCase
else:
    _Case = object


class KeysContract(_Case):
    """Mix it into a TestCase that sets ``storage``, an empty one."""

    storage: chap.Storage
    #: Removes the key of new mappings, as an operator would.
    remove_current: Callable[[], None]
    #: Damages a key; takes its fingerprint, or the empty text for the one of
    #: new mappings.
    damage: Callable[[str], None]
    #: Lets an hour pass, where that matters.
    an_hour_later: Callable[[], None]

    def test_created_once(self) -> None:
        self.assertIsNone(self.storage.current())
        key = self.storage.create()
        self.assertEqual(32, len(key))
        self.assertEqual(key, self.storage.create())
        self.assertEqual(key, self.storage.current())
        self.assertEqual([], self.storage.kept())

    def test_all_who_ask_at_once_get_the_same(self) -> None:
        found: list[bytes] = []
        barrier = threading.Barrier(8)

        def work() -> None:
            barrier.wait()
            found.append(self.storage.create())

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((8, 1), (len(found), len(set(found))))

    def test_new_and_old(self) -> None:
        first = chap.KeyRing.load_from(self.storage)
        self.assertTrue(first.is_new)
        again = chap.KeyRing.load_from(self.storage)
        self.assertFalse(again.is_new)
        self.assertEqual(first.current.fingerprint,
                         again.current.fingerprint)
        self.assertTrue(again.is_only)

    def test_rotation(self) -> None:
        old = chap.KeyRing.load_from(self.storage)
        for _ in range(2):
            old.keep()
        told = old.current.credentials(ALICE, TARGET, True)
        self.remove_current()
        ring = chap.KeyRing.load_from(self.storage)
        ring.keep()
        self.assertTrue(ring.is_new)
        self.assertFalse(ring.is_only)
        self.assertNotEqual(old.current.fingerprint, ring.current.fingerprint)
        fingerprint = ring.source_of(told, ALICE, TARGET)
        self.assertEqual(old.current.fingerprint, fingerprint)
        key = ring.get(fingerprint)
        self.assertEqual(told, key and key.credentials(ALICE, TARGET, True))
        self.assertEqual('', ring.source_of(model.ChapCredentials(
            str(ALICE), 'another secret'), ALICE, TARGET))
        self.an_hour_later()
        ring.forget([fingerprint])
        self.assertIsNotNone(ring.get(fingerprint))
        ring.forget([])
        self.assertIsNone(ring.get(fingerprint))
        self.assertTrue(ring.is_only)
        self.assertEqual([ring.current.fingerprint], self.storage.kept())

    def test_unknown_key(self) -> None:
        ring = chap.KeyRing.load_from(self.storage)
        for fingerprint in ('', 'f' * 16):
            self.assertIsNone(ring.get(fingerprint))
        self.assertIn('f' * 16, ring.path('f' * 16) or '')
        ring.forget(['f' * 16])

    def test_a_key_under_another_fingerprint_is_not_that_key(self) -> None:
        ring = chap.KeyRing.load_from(self.storage)
        self.storage.keep('f' * 16, b'k' * 32)
        self.assertIsNone(ring.get('f' * 16))

    def test_only_kept_keys(self) -> None:
        self.assertIsNone(chap.KeyRing.load_kept_from(self.storage))
        old = chap.KeyRing.load_from(self.storage)
        old.keep()
        self.damage('')
        with self.assertRaises(exception.ConfigurationError):
            chap.KeyRing.load_from(self.storage)
        ring = chap.KeyRing.load_kept_from(self.storage)
        self.assertEqual(old.current.fingerprint,
                         ring and ring.current.fingerprint)

    def test_damaged_keys_are_refused_and_not_shown(self) -> None:
        ring = chap.KeyRing.load_from(self.storage)
        ring.keep()
        key = self.storage.create()
        self.remove_current()
        ring = chap.KeyRing.load_from(self.storage)
        fingerprint, = self.storage.kept()
        self.damage(fingerprint)
        with self.assertRaises(exception.ConfigurationError) as caught:
            ring.get(fingerprint)
        self.assertIn(fingerprint, str(caught.exception))
        for text in (str(caught.exception), repr(ring), repr(ring.current)):
            for secret in (key, self.storage.create()):
                self.assertNotIn(secret.hex()[:16], text)
                self.assertNotIn(repr(secret)[2:-1], text)
