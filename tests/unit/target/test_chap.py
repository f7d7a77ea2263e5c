# SPDX-License-Identifier: Apache-2.0
"""Derived CHAP credentials and their key."""

import os
import stat
import unittest

import fixtures

from mydriver import exception, model
from mydriver.target import chap

TARGET = model.Iqn('iqn.2010-10.org.openstack:t-0')
ALICE = model.Iqn('iqn.1993-08.org.debian:01:alice')
BOB = model.Iqn('iqn.1993-08.org.debian:01:bob')


class ChapTest(unittest.TestCase):
    """One key in a temporary directory."""

    def setUp(self):
        super().setUp()
        temporary = fixtures.TempDir()
        temporary.setUp()
        self.addCleanup(temporary.cleanUp)
        self.folder = temporary.path
        self.path = temporary.join('chap.key')
        self.key = chap.ChapKey.load(self.path)

    def test_key_is_private_and_stays(self):
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.path).st_mode))
        self.assertEqual(['chap.key'], os.listdir(self.folder))
        again = chap.ChapKey.load(self.path)
        self.assertEqual(self.key.credentials(ALICE, TARGET, True),
                         again.credentials(ALICE, TARGET, True))

    def test_secrets_differ_by_initiator_target_side_and_key(self):
        other = model.Iqn('iqn.2010-10.org.openstack:t-1')
        alice = self.key.credentials(ALICE, TARGET, True)
        secrets = {
            alice.password, alice.mutual_password,
            self.key.credentials(BOB, TARGET, True).password,
            self.key.credentials(ALICE, other, True).password,
            chap.ChapKey(b'x' * 32).credentials(ALICE, TARGET, True).password}
        self.assertEqual(5, len(secrets))
        self.assertEqual({16}, {len(s) for s in secrets})

    def test_mutual_only_when_asked_for(self):
        plain = self.key.credentials(ALICE, TARGET, False)
        self.assertIsNone(plain.mutual_username)
        self.assertIsNone(plain.mutual_password)

    def test_no_secret_in_any_repr(self):
        credentials = self.key.credentials(ALICE, TARGET, True)
        self.assertNotIn(credentials.password, repr(credentials))
        self.assertNotIn(credentials.mutual_password, repr(credentials))
        with open(self.path, 'rb') as f:
            self.assertNotIn(repr(f.read()), repr(self.key))

    def test_readable_key_is_refused(self):
        os.chmod(self.path, 0o640)
        with self.assertRaises(exception.ConfigurationError) as caught:
            chap.ChapKey.load(self.path)
        self.assertIn(f'chmod 600 {self.path}', str(caught.exception))

    def test_damaged_key_is_refused(self):
        os.truncate(self.path, 5)
        with self.assertRaises(exception.ConfigurationError) as caught:
            chap.ChapKey.load(self.path)
        self.assertIn('damaged', str(caught.exception))

    def test_missing_folder_is_named(self):
        with self.assertRaises(exception.ConfigurationError) as caught:
            chap.ChapKey.load(os.path.join(self.folder, 'no', 'chap.key'))
        self.assertIn('no/chap.key', str(caught.exception))
