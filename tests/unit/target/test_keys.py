# SPDX-License-Identifier: Apache-2.0
"""CHAP keys in files and in Ceph pass one contract."""

import os
import unittest
from unittest import mock

import fixtures

from mydriver import exception
from mydriver.target import chap, key_files, key_objects
from tests.contract import keys as contract
from tests.fakes import omap


class FilesTest(contract.KeysContract, unittest.TestCase):
    """Keys as files of a backend's state."""

    def setUp(self):
        super().setUp()
        temporary = fixtures.TempDir()
        temporary.setUp()
        self.addCleanup(temporary.cleanUp)
        self.folder = temporary.path
        self.storage = key_files.KeyFiles(self.folder)

    def remove_current(self):
        os.unlink(os.path.join(self.folder, 'chap.key'))

    def damage(self, fingerprint):
        os.truncate(os.path.join(
            self.folder, '.'.join(filter(None, ('chap.key', fingerprint)))),
            5)

    def an_hour_later(self):
        """Files have one user."""


class ObjectsTest(contract.KeysContract, unittest.TestCase):
    """Keys in Ceph, which is in memory here."""

    def setUp(self):
        super().setUp()
        self.now = 0.0
        self.objects = omap.FakeObjects()
        self.storage = key_objects.KeyObjects(self.objects, lambda: self.now)

    def remove_current(self):
        self.objects.write(key_objects.OBJECT, {}, [key_objects.CURRENT])

    def damage(self, fingerprint):
        key = (key_objects.KEPT + fingerprint if fingerprint
               else key_objects.CURRENT)
        stored = self.objects.content[key_objects.OBJECT]
        stored[key] = stored[key].translate(str.maketrans('0123', '1230'))

    def an_hour_later(self):
        self.now += 3601

    def test_every_other_form_is_damaged(self):
        self.storage.create()
        self.storage.keep('f' * 16, b'k' * 32)
        stored = self.objects.content[key_objects.OBJECT]
        text = stored[key_objects.CURRENT]
        for damaged in ('', text[:-1], text + ' ', ' ' + text, text.upper(),
                        '00' + text[2:], stored[f'kept/{"f" * 16}']):
            if damaged == text:
                continue
            stored[key_objects.CURRENT] = damaged
            with self.assertRaises(exception.ConfigurationError) as caught:
                self.storage.current()
            self.assertNotIn(text[:20], str(caught.exception))

    def test_no_key_is_shown_with_what_was_read(self):
        key = self.storage.create()
        self.assertNotIn(key.hex(), repr(self.objects.read(
            key_objects.OBJECT, [key_objects.CURRENT])))

    def test_others_notice_a_new_key(self):
        other = chap.KeyRing.load_from(self.storage)
        other.keep()
        old = other.current.fingerprint
        self.remove_current()
        new = chap.KeyRing.load_from(self.storage).current.fingerprint
        self.assertEqual(old, other.current.fingerprint)
        with mock.patch.object(chap, 'REFRESH_S', -1):
            self.assertEqual(new, other.current.fingerprint)
        self.assertIsNotNone(other.get(old))

    def test_a_key_in_use_elsewhere_is_not_forgotten_at_once(self):
        other = chap.KeyRing.load_from(self.storage)
        other.keep()
        self.remove_current()
        ring = chap.KeyRing.load_from(self.storage)
        ring.forget([])
        self.assertIsNotNone(ring.get(other.current.fingerprint))
        self.an_hour_later()
        ring.forget([])
        self.assertIsNone(ring.get(other.current.fingerprint))

    def test_without_ceph_the_key_stays(self):
        ring = chap.KeyRing.load_from(self.storage)
        with (mock.patch.object(chap, 'REFRESH_S', -1),
              mock.patch.object(self.objects, 'read',
                                side_effect=exception.CephError('x', 'y'))):
            self.assertIsNotNone(ring.current)
            with self.assertRaises(exception.CephError):
                ring.get('f' * 16)
