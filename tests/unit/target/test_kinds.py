# SPDX-License-Identifier: Apache-2.0
"""A changed setting does not affect hosts that are attached."""

import dataclasses
import os
import sqlite3
import unittest

from mydriver import exception, model
from mydriver.connection import iscsi
from mydriver.target import chap, kinds, pool
from tests.fakes import connecting
from tests.fakes import exports as exporting
from tests.unit.target.test_exports import ALICE, BOB, OURS

HOST = model.Iqn(ALICE['initiator'])


class KindsTest(exporting.ServiceCase):
    """Start with other settings while a host has a volume."""

    def change(self, rebooted=False, **settings):
        """Start the service with changed settings."""
        self.settings = dataclasses.replace(self.settings, **settings)
        self.target._chap = self.settings.chap
        self.target._portals = self.settings.portals
        if rebooted:
            self.target.targets.clear()
        self.restart()

    def neighbours(self):
        """Return two volumes on the same target."""
        first = self.exported()
        iqn = self.journal.export(first).target
        while True:
            second = self.exported()
            if self.journal.export(second).target == iqn:
                return first, second

    def password(self, volume_id, initiator=HOST):
        """Return what the target of a volume keeps for an initiator."""
        secrets = self.target.targets[str(self.journal.export(
            volume_id).target)].acls[str(initiator)].secrets
        return secrets and secrets.password

    def asks(self, volume_id, initiator=HOST):
        """Tell whether the target asks an initiator for CHAP."""
        return str(initiator) in self.target.observe(
            self.journal.export(volume_id).target).authenticated

    def attach(self, volume_id, connector=ALICE):
        return iscsi.Connection.parse(
            connecting.connect(self.service, volume_id, connector))

    def test_chap_turned_on(self):
        self.change(chap=False)
        first, second = self.neighbours()
        self.attach(first)
        for rebooted in (False, True):
            self.change(rebooted, chap=True)
            self.assertFalse(self.asks(first))
            # One more volume of the same target is on the same session.
            self.assertIsNone(self.attach(second).chap)
            self.assertFalse(self.asks(second))
            # Another host has no session yet.
            told = self.attach(second, BOB).chap
            self.assertTrue(self.asks(second, BOB['initiator']))
            self.assertEqual(told.password,
                             self.password(second, BOB['initiator']))
        for volume_id in (first, second):
            connecting.disconnect(self.service, volume_id, ALICE)
        told = self.attach(first).chap
        self.assertTrue(self.asks(first))
        self.assertEqual(told.password, self.password(first))

    def test_chap_turned_off(self):
        volume_id = self.exported()
        told = self.attach(volume_id).chap
        for rebooted in (False, True):
            self.change(rebooted, chap=False)
            self.assertTrue(self.asks(volume_id))
            self.assertEqual(told.password, self.password(volume_id))
            self.assertEqual(told, self.attach(volume_id).chap)
        connecting.disconnect(self.service, volume_id, ALICE)
        self.assertIsNone(self.attach(volume_id).chap)
        self.assertFalse(self.asks(volume_id))

    def replace_key(self):
        os.unlink(os.path.join(self.folder, 'chap.key'))

    def test_a_key_is_replaced(self):
        first, second = self.neighbours()
        told = self.attach(first, OURS).chap
        self.replace_key()
        for rebooted in (False, True):
            self.change(rebooted)
            self.assertEqual(told.password, self.password(first))
            self.assertEqual(told, self.attach(second, OURS).chap)
            self.assertNotEqual(told.password,
                                self.attach(second, BOB).chap.password)
        for volume_id in (first, second):
            connecting.disconnect(self.service, volume_id, OURS)
        self.assertNotEqual(told, self.attach(first, OURS).chap)
        self.change()
        self.assertEqual(3, len(self.keys_there()))
        self.service.reconciler.forget_keys([])
        self.assertEqual(
            ['chap.key', f'chap.key.{self.keys.current.fingerprint}'],
            self.keys_there())

    def keys_there(self):
        return sorted(n for n in os.listdir(self.folder)
                      if n.startswith('chap'))

    def test_keys_are_private_and_not_in_the_journal(self):
        self.attach(self.exported())
        self.change()
        with open(os.path.join(self.folder, 'chap.key'), 'rb') as f:
            key = f.read()
        for name in self.keys_there():
            self.assertEqual(0o100600, os.stat(
                os.path.join(self.folder, name)).st_mode)
        with open(os.path.join(self.folder, 'journal.sqlite'), 'rb') as f:
            text = f.read()
        self.assertNotIn(key, text)
        self.assertNotIn(key.hex().encode(), text)
        self.assertNotIn(key[:8].hex(), self.keys.current.fingerprint)

    def test_a_key_that_is_lost(self):
        first, second = self.neighbours()
        told = self.attach(first).chap
        for name in self.keys_there():
            os.unlink(os.path.join(self.folder, name))
        self.change()
        self.assertEqual(told.password, self.password(first))
        with self.assertRaises(exception.KeyLost) as caught:
            self.attach(second)
        self.assertIn('chap.key.', str(caught.exception))
        self.assertEqual([(ALICE['initiator'], 1, first)], self.seen()[1])
        self.attach(second, BOB)
        connecting.disconnect(self.service, first, ALICE)
        self.assertNotEqual(told, self.attach(second).chap)

    def test_portals_change(self):
        volume_id = self.exported()
        old = {str(p) for p in self.attach(volume_id).portals}
        new = (model.Portal('127.0.0.9', 3261),)
        iqn = self.journal.export(volume_id).target
        for rebooted in (False, True):
            self.change(rebooted, portals=new)
            self.assertEqual(old | {str(new[0])}, self.target.listening(iqn))
        self.assertEqual({str(new[0])}, set().union(*(
            self.target.listening(t) for t in pool.pool(self.settings)
            if t != iqn)))
        connecting.disconnect(self.service, volume_id, ALICE)
        self.reachable = new
        self.assertEqual(new, self.attach(volume_id).portals)
        self.change(rebooted=True)
        self.assertEqual({str(new[0])}, self.target.listening(iqn))

    def test_portals_change_between_two_volumes(self):
        first, second = self.neighbours()
        self.attach(first)
        more = (model.Portal('127.0.0.9', 3261),)
        self.change(portals=more)
        self.reachable = more
        self.assertEqual(more, self.attach(second).portals)
        self.change(portals=(model.Portal('127.0.0.10'),), rebooted=True)
        self.assertEqual(
            {'127.0.0.1:3260', '127.0.0.2:3260', '127.0.0.9:3261',
             '127.0.0.10:3260'},
            self.target.listening(self.journal.export(first).target))

    def test_fewer_targets_and_another_prefix(self):
        told = {}
        while len({t.paths[0].target for t in told.values()}) < 4:
            volume_id = self.exported()
            told[volume_id] = self.attach(volume_id)
        for rebooted in (False, True):
            self.change(rebooted, targets=1,
                        target_prefix='iqn.2026-11.org.example:')
            self.assertEqual(told, {v: self.attach(v) for v in told})
        new = self.exported()
        self.assertEqual(
            str(pool.pool(self.settings)[0]),
            str(self.attach(new).paths[0].target))

    def test_a_journal_of_version_1(self):
        volume_id = self.exported()
        told = self.attach(volume_id)
        self.journal.close()
        with sqlite3.connect(self.journal.path) as db:
            for column in ('chap', 'key', 'portals'):
                db.execute(f'ALTER TABLE node DROP COLUMN {column}')
            db.execute('ALTER TABLE mapping DROP COLUMN doomed')
            db.execute('DROP TABLE seal')
            db.execute('PRAGMA application_id = 0')
            db.execute('PRAGMA user_version = 1')
        db.close()
        os.unlink(f'{self.journal.path}.mark')
        for chap_by_now in (False, True):
            self.change(chap=chap_by_now)
            self.assertTrue(self.asks(volume_id))
            self.assertEqual(told, self.attach(volume_id))
        node, = self.journal.nodes()
        self.assertEqual(
            model.NodeKind(True, False, self.keys.current.fingerprint,
                         frozenset(str(p) for p in self.portals)), node.kind)

    def test_who_keeps_an_old_kind(self):
        self.attach(self.exported())
        self.assertEqual({}, kinds.outdated(
            self.journal.nodes(), self.service._kinds.of_new))
        self.replace_key()
        for settings, text in (
                ({}, 'secrets of an earlier chap.key'),
                ({'chap': False}, 'CHAP')):
            self.change(**settings)
            (what, (node,)), = kinds.outdated(
                self.journal.nodes(), self.service._kinds.of_new).items()
            self.assertEqual((text, HOST), (what, node.initiator))


class KeyRingTest(unittest.TestCase):
    """No directory, no other keys."""

    def test_without_a_folder(self):
        ring = chap.KeyRing(chap.ChapKey(b'k' * 32))
        self.assertIs(ring.current, ring.get(ring.current.fingerprint))
        self.assertIsNone(ring.get('0' * 16))
        ring.keep()
        ring.forget([])
        self.assertNotIn('k' * 8, repr(ring))
