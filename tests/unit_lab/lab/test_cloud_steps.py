# SPDX-License-Identifier: Apache-2.0
"""Running steps side by side, and waiting with a deadline."""

import threading
import time
import unittest
from unittest import mock

import requests

from lab import errors as lab_errors
from lab.cloud import errors, up
from lab.cloud.steps import plan, wait


class HostsTest(unittest.TestCase):

    def test_services_of_hosts_that_others_boot_are_not_awaited(self) -> None:
        done = ('nova-api', 'cinder-api', 'keystone', 'placement',
                'nova-conductor', 'nova-scheduler', 'cinder-scheduler',
                'start of nova-compute', 'start of cinder-volume')
        for hosts in (True, False):
            report = mock.Mock()
            todo = plan.Plan(report, done)
            up.add_reports(todo, mock.Mock(), hosts)
            todo.run()
            ran = [call.args[1] for call in report.call_args_list]
            self.assertEqual(hosts, 'cinder-volume reports up' in ran)
            self.assertEqual(hosts, 'nova-compute reports up' in ran)
            self.assertIn('cinder-scheduler reports up', ran)


class PlanTest(unittest.TestCase):

    def setUp(self) -> None:
        self.reported: list[str] = []
        self.plan = plan.Plan(
            lambda at_s, name, took_s: self.reported.append(name))

    def test_order(self) -> None:
        done: list[str] = []
        self.plan.add('a', lambda: done.append('a'))
        self.plan.add('b', lambda: done.append('b'), ('a',))
        self.plan.add('c', lambda: done.append('c'), ('a', 'b'))
        self.plan.run()
        self.assertEqual(['a', 'b', 'c'], done)
        self.assertEqual(['a', 'b', 'c'], self.reported)

    def test_independent_steps_run_at_the_same_time(self) -> None:
        # Each waits for the other: one after another they would not end.
        barrier = threading.Barrier(2, timeout=30)
        self.plan.add('a', barrier.wait)
        self.plan.add('b', barrier.wait)
        self.plan.run()
        self.assertEqual({'a', 'b'}, set(self.reported))

    def test_failure_stops_the_others_and_is_the_one_raised(self) -> None:
        later: list[str] = []

        def fail() -> None:
            raise errors.CloudError('no luck')

        self.plan.add('waits', lambda: wait.wait_for(
            lambda: False, 'never', 60, abort=self.plan.abort))
        self.plan.add('fails', fail)
        self.plan.add('later', lambda: later.append('x'), ('fails',))
        start = time.monotonic()
        with self.assertRaisesRegex(errors.CloudError, 'no luck'):
            self.plan.run()
        self.assertLess(time.monotonic() - start, 30)
        self.assertEqual([], later)
        self.assertEqual([], self.reported)

    def test_need_must_be_known(self) -> None:
        with self.assertRaises(ValueError):
            self.plan.add('a', lambda: None, ('b',))

    def test_name_is_taken_once(self) -> None:
        self.plan.add('a', lambda: None)
        with self.assertRaises(ValueError):
            self.plan.add('a', lambda: None)

    def test_empty_plan_ends(self) -> None:
        self.plan.run()
        self.assertEqual([], self.reported)


class WaitTest(unittest.TestCase):

    def test_not_ready_is_asked_again(self) -> None:
        answers = iter([OSError('refused'), wait.NotReady('soon'),
                        requests.ConnectionError('no'), None, 'yes'])

        def probe() -> str | None:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.assertEqual('yes', wait.wait_for(probe, 'it', 30, poll_s=0))

    def test_deadline_says_what_and_what_was_seen(self) -> None:
        def probe() -> None:
            raise wait.NotReady('state is down')

        with self.assertRaisesRegex(
                lab_errors.DeadlinePassed,
                r'(?s)the thing.*NotReady: state is down'):
            wait.wait_for(probe, 'the thing', 0, poll_s=0)

    def test_error_of_ours_ends_it_at_once(self) -> None:
        def probe() -> None:
            raise lab_errors.ProcessEnded('keystone')

        with self.assertRaises(lab_errors.ProcessEnded):
            wait.wait_for(probe, 'it', 60)

    def test_abort(self) -> None:
        abort = threading.Event()
        abort.set()
        with self.assertRaisesRegex(errors.Aborted, 'the thing'):
            wait.wait_for(lambda: False, 'the thing', 60, abort=abort)
