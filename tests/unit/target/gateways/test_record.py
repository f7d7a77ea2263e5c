# SPDX-License-Identifier: Apache-2.0
"""The ownership record: what it says, and that it is never misread."""

import dataclasses
import json
import unittest

from mydriver import exception
from mydriver.target.gateways.record import Client, OwnershipRecord

ONE = Client('10.68.0.11', 1)
TWO = Client('10.68.0.12', 4294967295)
SIX = Client('2001:db8::1', 7)
OWNED = OwnershipRecord(3, 'gw1', (ONE,), (TWO, SIX), released=False)


class ClientTest(unittest.TestCase):
    """Clients as sysfs shows them."""

    def test_both_families(self):
        for client in (ONE, TWO, SIX):
            self.assertEqual(client, Client.parse(str(client)))
        self.assertEqual('[2001:db8::1]:0/7', str(SIX))
        self.assertEqual(SIX, Client('2001:0DB8::1', 7))

    def test_anything_else_is_refused(self):
        for text in ('', '10.68.0.11', '10.68.0.11:0', '10.68.0.11:0/0',
                     '10.68.0.11:0/4294967296', '10.68.0.11:6789/1',
                     '10.68.0.11:0/-1', '10.68.0.999:0/1', ' 10.68.0.11:0/1',
                     '10.68.0.11:0/1\n', '2001:db8::1:0/1',
                     '[fe80::1%eth0]:0/1', '[10.68.0.11]:0/1',
                     '10.68.0.11:0/\u0661', 'v1:10.68.0.11:0/1', None,
                     7, b'10.68.0.11:0/1'):
            with self.assertRaises(ValueError, msg=repr(text)):
                Client.parse(text)
        for address, nonce in (('10.68.0.11', True), ('fe80::1%eth0', 1)):
            with self.assertRaises(ValueError):
                Client(address, nonce)


class RecordTest(unittest.TestCase):
    """Who owns a target, and whom the next owner has to fence."""

    def test_stored_form(self):
        for its in (OwnershipRecord(), OWNED, OWNED.let_go()):
            self.assertEqual(its, OwnershipRecord.parse('t', its.dump()))
        self.assertEqual(
            {'version': 1, 'epoch': 3, 'owner': 'gw1',
             'clients': ['10.68.0.11:0/1'],
             'fence': ['10.68.0.12:0/4294967295', '[2001:db8::1]:0/7'],
             'released': False}, json.loads(OWNED.dump()))

    def test_a_takeover_fences_all_that_did_not_let_go(self):
        new = Client('10.68.0.13', 9)
        self.assertEqual(
            OwnershipRecord(4, 'gw2', (new,), (ONE, TWO, SIX), False),
            OWNED.taken('gw2', new))
        self.assertEqual(OWNED.taken('gw2', new).fence,
                         OWNED.taken('gw1', new).fence)

    def test_a_release_keeps_those_before_it(self):
        new = Client('10.68.0.13', 9)
        self.assertEqual(
            OwnershipRecord(4, 'gw2', (new,), (TWO, SIX), False),
            OWNED.let_go().taken('gw2', new))

    def test_no_owner_uses_a_client_of_an_earlier_one(self):
        for client in (ONE, TWO):
            with self.assertRaises(ValueError):
                OWNED.taken('gw2', client)

    def test_contradictions_are_refused(self):
        for changes in (
                {'released': True}, {'owner': None}, {'clients': ()},
                {'epoch': 0}, {'epoch': -1}, {'epoch': True},
                {'owner': ''}, {'owner': 'gw\n'}, {'owner': '-'},
                {'clients': (TWO,)}, {'fence': (SIX, TWO)},
                {'fence': (TWO, TWO)}, {'owner': 'x' * 300}):
            with self.assertRaises(ValueError, msg=changes):
                dataclasses.replace(OWNED, **changes)
        with self.assertRaises(ValueError):
            OwnershipRecord(released=False)

    def test_damage_is_an_error(self):
        text = OWNED.dump()
        found = json.loads(text)
        damaged = [text[:end] for end in range(len(text))]
        damaged += [text + 'x', '[' * 100000, 'null', '[]', '1', 'NaN']
        for key in found:
            for value in (None, 7.0, float('nan'), [], {}, [7], [['a']], 'x',
                          [found['clients'][0], found['clients'][0]], True,
                          -1):
                damaged.append(json.dumps({**found, key: value}))
            damaged.append(json.dumps(
                {k: v for k, v in found.items() if k != key}))
            damaged.append(json.dumps({**found, key + '2': 1}))
            damaged.append(
                text[:-1] + f',"{key}":{json.dumps(found[key])}}}')
        damaged = [d for d in damaged if d not in (
            json.dumps({**found, 'fence': []}),
            json.dumps({**found, 'owner': 'x'}))]
        for one in damaged:
            with self.assertRaises(exception.OwnershipDamaged,
                                   msg=one) as caught:
                OwnershipRecord.parse('iqn.x', one)
            self.assertIn('iqn.x', str(caught.exception))
            self.assertLess(len(str(caught.exception)), 1000)
