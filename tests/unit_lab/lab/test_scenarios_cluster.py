# SPDX-License-Identifier: Apache-2.0
"""The scenario of a cluster: when a kill explains a failure."""

from pathlib import Path
import tempfile
import time
import unittest

from lab.scenarios.cluster import ledger

ONE = 'req-11111111-2222-4333-8444-555555555555'
TWO = 'req-22222222-2222-4333-8444-555555555555'


class LedgerTest(unittest.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.ledger = ledger.Ledger()

    def failed(self, began_s: float, ended_s: float) -> None:
        self.ledger.add(ledger.Operation(
            'create', began_s, [ONE], ended_s, 'volume x is error'))

    def test_a_kill_of_the_service_that_had_it(self) -> None:
        self.failed(100, 200)
        self.ledger.kills = [ledger.Kill('storage', 150.0, 150.1)]
        self.assertEqual([], self.ledger.unexplained({ONE: {'storage'}}))
        odd, = self.ledger.unexplained({ONE: {'storage2'}})
        self.assertIn('volume x is error', odd)
        self.assertIn('carried out on storage2, killed storage', odd)

    def test_a_kill_before_it_was_logged(self) -> None:
        self.failed(100, 200)
        self.ledger.kills = [ledger.Kill('storage', 150.0, 150.1)]
        self.assertEqual([], self.ledger.unexplained({}))

    def test_a_kill_at_another_time(self) -> None:
        self.failed(100, 200)
        self.ledger.kills = [
            ledger.Kill('storage', 90.0, 99.9),
            ledger.Kill('storage', 201.0, 202.0)]
        self.assertEqual(1, len(self.ledger.unexplained({ONE: {'storage'}})))
        self.assertEqual(1, len(self.ledger.unexplained({})))

    def test_a_request_between_the_order_to_kill_and_the_end(self) -> None:
        self.failed(100, 200)
        self.ledger.kills = [ledger.Kill('storage', 97.0, 100.4)]
        self.assertEqual([], self.ledger.unexplained({ONE: {'storage'}}))

    def test_a_kill_lasts_until_its_command_returns(self) -> None:
        with self.ledger.killing('storage'):
            began_s = time.time()
            self.assertEqual([], self.ledger.kills)
        kill, = self.ledger.kills
        self.assertEqual('storage', kill.node)
        self.assertLessEqual(kill.began_s, began_s)
        self.assertLessEqual(began_s, kill.ended_s)

    def test_counts(self) -> None:
        self.failed(1, 2)
        self.ledger.add(ledger.Operation('create', 1, [TWO], 2))
        self.ledger.add(ledger.Operation('clone', 1, [TWO], 2))
        self.assertEqual('clone 1, create 2 (1 failed)', self.ledger.counts())

    def test_nodes_are_read_from_logs(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            logs = {name: Path(folder, name) for name in ('a', 'b')}
            logs['a'].write_text(f'INFO x [{ONE} y]\n[None req-] z\n')
            logs['b'].write_text(f'[None {ONE} y]\n[{TWO}]\n')
            self.assertEqual({ONE: {'a', 'b'}},
                             ledger.nodes_of([ONE], logs))
