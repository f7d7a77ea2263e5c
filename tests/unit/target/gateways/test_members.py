# SPDX-License-Identifier: Apache-2.0
"""Which gateways are alive, and which serves what."""

import collections
import json
import unittest

import ddt

from mydriver import model
from mydriver.target.gateways import members

TARGETS = [model.Iqn(f'iqn.2010-10.org.openstack:mydriver-x-{n}')
           for n in range(4)]


def member(name, beat, run='r'):
    return members.Member(name, run, beat)


class AssignTest(unittest.TestCase):
    """Every gateway gets its share, and few targets move."""

    def test_nobody(self):
        self.assertEqual({}, members.assign(TARGETS, []))

    def test_shares_are_even(self):
        for number in range(1, 7):
            names = [f'gw{n}' for n in range(number)]
            found = members.assign(TARGETS, names)
            self.assertEqual(set(TARGETS), set(found))
            loads = collections.Counter(found.values())
            self.assertLessEqual(max(loads.values()), -(-4 // number))

    def test_order_does_not_matter(self):
        self.assertEqual(members.assign(TARGETS, ['a', 'b', 'c']),
                         members.assign(TARGETS[::-1], ['c', 'a', 'b']))

    def test_of_a_gateway_that_goes_only_its_own_targets_must_move(self):
        """With an even share, targets of those that stay may stay."""
        many = [model.Iqn(f'iqn.2010-10.org.openstack:mydriver-y-{n}')
                for n in range(12)]
        names = ['a', 'b', 'c', 'd']
        before = members.assign(many, names)
        moved = []
        for gone in names:
            after = members.assign(many, set(names) - {gone})
            moved.append(sum(before[t] != after[t] for t in many))
        # 3 of 12 have to move each time; a rehash of all would move 9.
        self.assertLess(sum(moved) / len(moved), 6)


class WatchTest(unittest.TestCase):
    """A gateway is alive while what it says changes."""

    def setUp(self):
        super().setUp()
        self.watch = members.Watch()

    def test_a_beat_that_rises_keeps_it_alive(self):
        for now in range(10):
            alive = self.watch.see([member('a', now)], float(now))
        self.assertEqual({'a': 9.0}, alive)

    def test_a_beat_that_stays_is_that_of_a_dead_one(self):
        self.watch.see([member('a', 7)], 100.0)
        self.assertIn('a', self.watch.see([member('a', 7)], 102.0))
        self.assertNotIn('a', self.watch.see([member('a', 7)], 103.0))

    def test_one_that_returns_has_to_settle_again(self):
        for now in (0.0, 1.0, 2.0):
            self.watch.see([member('a', int(now))], now)
        self.assertEqual({}, self.watch.see([member('a', 2)], 60.0))
        self.watch.see([member('a', 0, 'next')], 61.0)
        self.assertEqual({'a': 1.0},
                         self.watch.see([member('a', 1, 'next')], 62.0))

    def test_a_new_run_with_the_same_beat_is_a_change(self):
        self.watch.see([member('a', 7)], 0.0)
        self.watch.see([member('a', 7, 'next')], 2.0)
        self.assertIn('a', self.watch.see([member('a', 7, 'next')], 4.0))


@ddt.ddt
class MemberTest(unittest.TestCase):
    """What a gateway says comes from Ceph, and is checked."""

    def test_is_read_as_it_was_written(self):
        said = members.Member('gw1', 'run', 3, True, ('t1', 't2'))
        self.assertEqual(said, members.Member.parse(said.text()))

    @ddt.data('', 'null', '[]', '{}', '{"name": "a"}',
              json.dumps({'name': 'a', 'run': 'r', 'beat': True,
                          'is_draining': False, 'serves': []}),
              json.dumps({'name': 'a', 'run': 'r', 'beat': 1,
                          'is_draining': 'no', 'serves': []}),
              json.dumps({'name': 'a', 'run': 'r', 'beat': 1,
                          'is_draining': False, 'serves': [1]}))
    def test_of_another_form_is_refused(self, text):
        with self.assertRaises(ValueError):
            members.Member.parse(text)
