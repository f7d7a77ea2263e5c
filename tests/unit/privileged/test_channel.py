# SPDX-License-Identifier: Apache-2.0
"""Privileged calls whose daemon dies, hangs or does not start."""

import collections
import functools
import importlib
import itertools
import pkgutil
import threading
import time
import unittest
from unittest import mock

from oslo_privsep import comm, daemon

from mydriver import exception, privileged
from mydriver.privileged import channel, context


class ChannelTest(unittest.TestCase):
    """``run`` over something that has an entry point's shape."""

    def setUp(self):
        super().setUp()
        self.calls = []

    def verb(self, *outcomes):
        left = list(outcomes)

        def wrap(_function, *args, _wrap_timeout):
            self.calls.append((args, _wrap_timeout))
            outcome = left.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        def do_this():
            raise AssertionError('only its name counts')

        return functools.partial(wrap, do_this)

    def assert_fails(self, text, *outcomes):
        with self.assertRaises(exception.PrivilegedError) as caught:
            channel.run(self.verb(*outcomes))
        self.assertIn('do_this', str(caught.exception))
        self.assertIn(text, str(caught.exception))

    def test_result(self):
        self.assertEqual(7, channel.run(self.verb(7), 'a', 1))
        self.assertEqual([(('a', 1), channel.TIMEOUT_S)], self.calls)

    def test_lost_daemon_is_asked_again(self):
        self.assertEqual(7, channel.run(self.verb(OSError('eof'), 7)))
        self.assertEqual(2, len(self.calls))

    def test_lost_twice(self):
        self.assert_fails('lost twice', OSError('eof'), OSError('eof'))

    def test_loss_that_is_not_noticed_at_once(self):
        self.assertEqual(7, channel.run(self.verb(
            BrokenPipeError(), BrokenPipeError(), BrokenPipeError(), 7)))

    def test_loss_that_is_never_noticed(self):
        with mock.patch.object(channel, '_PAUSES_S', (0, 0)):
            self.assert_fails('lost twice', *[BrokenPipeError()] * 4)

    def test_hung_daemon_is_not_asked_again(self):
        self.assert_fails('no answer in 60 s', comm.PrivsepTimeout())
        self.assertEqual(1, len(self.calls))

    def test_daemon_that_does_not_start(self):
        self.assert_fails('helper_command',
                          daemon.FailedToDropPrivileges('exit 1'))

    def test_what_the_helper_says_is_logged_first(self):
        """Another thread reads it, which may be late."""
        logger, said = daemon._fd_logger(), []

        def log(*_):
            time.sleep(0.2)
            said.append('late')

        def start(*_args, **_kwargs):
            logger.write('sudo: a password is required\n')
            logger.close()
            raise daemon.FailedToDropPrivileges('exit 1')

        with mock.patch.object(daemon.LOG, 'log', log), \
                self.assertRaises(exception.PrivilegedError):
            channel._once(functools.partial(start), 'verb', 1.0)
        self.assertEqual(['late'], said)

    def test_errors_of_the_verb_pass_through(self):
        error = exception.TargetError('do it', 'no')
        with self.assertRaises(exception.TargetError) as caught:
            channel.run(self.verb(error))
        self.assertIs(error, caught.exception)
        self.assertEqual(1, len(self.calls))


class QueueTest(unittest.TestCase):
    """Many calls at a time: who waits, and for whom."""

    #: No call takes that long, however slow the machine is.
    LONG_S = 60

    def setUp(self):
        super().setUp()
        self.inside = collections.Counter()
        self.may_end = threading.Event()
        self.threads = []
        self.modules = itertools.cycle(('one', 'another'))
        self.addCleanup(self.end)

    def end(self):
        self.may_end.set()
        for thread in self.threads:
            thread.join()

    def verb(self, package, *, waits=True):
        """Return a verb of a package; it ends when it may."""
        def wrap(function, *, _wrap_timeout):
            self.inside[package] += 1
            if waits:
                self.may_end.wait(self.LONG_S)
            return function.__name__

        def a_verb():
            raise AssertionError('only its name counts')

        a_verb.__module__ = f'{package}.{next(self.modules)}'
        return functools.partial(wrap, a_verb)

    def call_often(self, package):
        """Call more verbs of a package than the daemon has threads."""
        queue = channel._IN_TURN[package]
        count = 2 * context.THREADS
        self.threads += [threading.Thread(
            target=channel.run, args=(self.verb(package),))
            for _ in range(count)]
        for thread in self.threads[-count:]:
            thread.start()
        deadline = time.monotonic() + self.LONG_S
        while len(queue._queue) + self.inside[package] < count:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.001)

    def test_the_queues_are_those_of_packages_with_verbs(self):
        found = set()
        for info in pkgutil.walk_packages(privileged.__path__,
                                          'mydriver.privileged.'):
            module = importlib.import_module(info.name)
            if [v for v in vars(module).values() if isinstance(
                    v, functools.partial) and v.args
                    and v.args[0].__module__ == info.name]:
                found.add(info.name.rpartition('.')[0])
        # Verbs of the initiator do not exclude each other, and those of the
        # network must not wait for a target that hangs. Those of no package
        # do nothing.
        self.assertEqual(
            {*channel._IN_TURN, 'mydriver.privileged',
             'mydriver.privileged.initiator',
             'mydriver.privileged.network'}, found)

    def test_the_daemon_has_threads_for_other_verbs(self):
        for package in channel._IN_TURN:
            self.call_often(package)
        self.assertEqual(len(channel._IN_TURN), len(self.inside))
        self.assertLess(self.inside.total(), context.THREADS)
        # Nor do they wait on our side.
        self.assertEqual('a_verb', channel.run(
            self.verb('mydriver.privileged.initiator', waits=False)))

    def test_who_does_not_come_in_is_told_for_what_it_waited(self):
        package = 'mydriver.privileged.target'
        self.call_often(package)
        with (mock.patch.object(channel._IN_TURN[package], '_timeout_s', 0.01),
              self.assertRaises(exception.WaitTimeout) as caught):
            channel.run(self.verb(package))
        self.assertIn(f'the kernel target; {2 * context.THREADS - 2} others '
                      'wait',
                      str(caught.exception))
