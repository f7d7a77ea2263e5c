# SPDX-License-Identifier: Apache-2.0
"""Which cases run, what is left over, and that long pauses are noticed."""

import unittest
from unittest import mock

import ddt

from lab import errors
from lab.cloud import driver
from lab.scenario.expect import NotProven
from lab.scenarios.takeover import cases, owners, table


def row(pause_ms: int, is_planned: bool = False) -> table.Row:
    """Return a run."""
    return table.Row('power lost', is_planned, 'gw1>gw2', pause_ms, 900, 123,
                     2.5)


class CasesTest(unittest.TestCase):
    """The choice."""

    def test_each_once(self) -> None:
        self.assertEqual(list(cases.CASES), cases.chosen(None, None))

    def test_in_turn(self) -> None:
        found = cases.chosen(['stall', 'drain'], 3)
        self.assertEqual(['stall', 'drain', 'stall'],
                         [case.name for case in found])

    def test_an_unknown_one(self) -> None:
        with self.assertRaisesRegex(errors.LabError, "no case 'fire'"):
            cases.chosen(['fire'], None)

    def test_names_are_unique(self) -> None:
        names = [case.name for case in cases.CASES]
        self.assertEqual(sorted(set(names)), sorted(names))


@ddt.ddt
class TableTest(unittest.TestCase):
    """The results, and the goals."""

    def test_rows(self) -> None:
        self.assertIn('gw1>gw2    6.3 s    0.9 s      123',
                      table.text([row(6300)]))

    def test_goals_that_are_met(self) -> None:
        self.assertEqual(
            '3 takeovers: median 6.0 s, longest 15.0 s; 1 planned moves: '
            'longest 1.9 s', table.check(
                [row(6000), row(15000), row(1900, True), row(5000)]))

    @ddt.data([row(6000), row(6000), row(15100)], [row(8000)],
              [row(2000, True)])
    def test_goals_that_are_missed(self, rows: list[table.Row]) -> None:
        with self.assertRaisesRegex(NotProven, 'the goal'):
            table.check(rows)


@ddt.ddt
class LeftOverTest(unittest.TestCase):
    """What a gateway must not have."""

    def setUp(self) -> None:
        super().setUp()
        cloud = mock.Mock()
        cloud.options.gateway_nodes = ('gw1',)
        cloud.ceph().omaps.return_value = {
            f'{driver.OWNER}iqn-0': {
                'record': '{"owner": "gw1", "epoch": 3}'},
            f'{driver.OWNER}iqn-1': {
                'record': '{"owner": null, "epoch": 4}'}}
        self.owners = owners.Owners(cloud, mock.Mock())

    def left(self, held: owners.Held) -> dict[str, str]:
        with mock.patch.object(self.owners, 'held', return_value=held):
            return self.owners.left_over()

    def test_what_it_owns(self) -> None:
        self.assertEqual({'iqn-0': 'gw1', 'iqn-1': ''}, self.owners.all())
        self.assertEqual(('gw1', 3), self.owners.record('iqn-0'))
        self.assertEqual(('', 4), self.owners.record('iqn-1'))
        for images, targets in (((), ()), (('p/volume-1/-',), ('iqn-0',))):
            self.assertEqual({}, self.left(owners.Held(
                targets, ('10.77.0.101',), images, len(images) + 1)))

    @ddt.data(
        owners.Held(('iqn-0', 'iqn-1'), ('10.77.0.101',), ('v',), 2),
        owners.Held(('iqn-0',), ('10.77.0.101', '10.77.0.102'), ('v',), 2),
        owners.Held(('iqn-0',), (), ('v',), 2),
        owners.Held((), ('10.77.0.101',), ('v',), 2),
        owners.Held(('iqn-0',), ('10.77.0.101',), ('v',), 3))
    def test_more_or_less(self, held: owners.Held) -> None:
        self.assertIn('gw1', self.left(held))
