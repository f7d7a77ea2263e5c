# SPDX-License-Identifier: Apache-2.0
"""A privileged call whose daemon dies, hangs or does not start."""

import functools
import unittest
from unittest import mock

from oslo_privsep import comm, daemon

from mydriver import exception
from mydriver.privileged import channel


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

    def test_errors_of_the_verb_pass_through(self):
        error = exception.TargetError('do it', 'no')
        with self.assertRaises(exception.TargetError) as caught:
            channel.run(self.verb(error))
        self.assertIs(error, caught.exception)
        self.assertEqual(1, len(self.calls))
