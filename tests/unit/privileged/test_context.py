# SPDX-License-Identifier: Apache-2.0
"""A daemon that ends, in an orderly way or not."""

import os
from pathlib import Path
import socket
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

import ddt
from oslo_privsep import comm, daemon

from mydriver import exception, privileged
from mydriver.privileged import channel, context
from mydriver.privileged.initiator import command


class Daemon:
    """The far end of a connection: it answers a ping, then nothing."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        reader = comm.Deserializer(self.far)
        msgid, _ = next(reader)
        comm.Serializer(self.far).send((msgid, (comm.Message.PONG.value,)))

    def connect(self, channel: daemon.RootwrapClientChannel,
                of: context.PrivContext) -> None:
        """Make the channel's connection, in place of starting a helper."""
        daemon._ClientChannel.__init__(channel, self.near, of)


@ddt.ddt
class PrivContextTest(unittest.TestCase):
    """The client's side notices."""

    def setUp(self):
        super().setUp()
        self.context = context.PrivContext(
            'mydriver', cfg_section='mydriver_privsep_test', pypath='x.y',
            capabilities=[])
        self.started = []

        def connect(channel, of):
            self.started.append(Daemon())
            self.started[-1].connect(channel, of)

        self.enterContext(mock.patch.object(
            daemon.RootwrapClientChannel, '__init__', connect))
        self.addCleanup(self.close)

    def close(self):
        for one in self.started:
            one.near.close()
            one.far.close()

    def test_ours_are_such(self):
        for one in (privileged.target_context, privileged.initiator_context):
            self.assertIsInstance(one, context.PrivContext)

    @ddt.data(False, True)
    def test_end_is_noticed_at_once(self, unread):
        """A call that was not read makes a reset of the connection."""
        self.context.start()
        connection = self.context.channel
        caught = []

        def call():
            try:
                connection.remote_call('x', (), {}, 30)
            except OSError as e:
                caught.append(e)

        caller = threading.Thread(target=call)
        began = time.monotonic()
        caller.start()
        far = self.started[0].far
        far.recv(1, socket.MSG_PEEK)
        if not unread:
            far.recv(4096)
        far.close()
        caller.join(20)
        self.assertEqual(1, len(caught))
        self.assertLess(time.monotonic() - began, 10)
        connection.reader_thread.join(10)
        self.assertFalse(connection.running)

    @ddt.data(OSError(18, 'Invalid cross-device link', '/etc/x'),
              BrokenPipeError(32, 'Broken pipe'), ValueError('x' * 10 ** 6),
              TypeError('takes 2 arguments'))
    def test_error_of_a_verb_is_no_loss_of_the_daemon(self, error):
        calls = []

        def do_this():
            calls.append(1)
            raise error

        do_this.__module__ = 'mydriver.x'
        verb = self.context.entrypoint(do_this)
        self.context.set_client_mode(False)
        with self.assertRaises(exception.PrivilegedError) as caught:
            channel.run(verb)
        self.assertEqual([1], calls)
        text = str(caught.exception)
        self.assertIn(f'do_this: {type(error).__name__}: ', text)
        self.assertLess(len(text), 400)

    def test_error_of_ours_stays_as_it_is(self):
        error = exception.InitiatorError('do this', 'no')

        def do_this():
            raise error

        do_this.__module__ = 'mydriver.x'
        verb = self.context.entrypoint(do_this)
        self.context.set_client_mode(False)
        with self.assertRaises(exception.InitiatorError) as caught:
            channel.run(verb)
        self.assertIs(error, caught.exception)

    def test_daemon_that_cannot_be_started_is_no_loss(self):
        def do_this():
            raise AssertionError('nobody can call it')

        do_this.__module__ = 'mydriver.x'
        verb = self.context.entrypoint(do_this)
        with (mock.patch.object(
                daemon.RootwrapClientChannel, '__init__',
                side_effect=FileNotFoundError(2, 'No such file', 'sudo')),
              self.assertRaises(exception.PrivilegedError) as caught):
            channel.run(verb)
        self.assertIn('does not start', str(caught.exception))
        self.assertIn('sudo', str(caught.exception))

    def test_next_call_starts_another(self):
        self.context.start()
        first = self.context.channel
        self.context.drop_dead()
        self.assertIs(first, self.context.channel)
        self.started[0].far.close()
        first.reader_thread.join(10)
        threads = [threading.Thread(target=self.restart) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        self.assertEqual(2, len(self.started))
        self.assertTrue(self.context.channel.running)

    def restart(self):
        self.context.drop_dead()
        self.context.start()


@ddt.ddt
class DaemonTest(unittest.TestCase):
    """The daemon's side trusts nobody."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.daemon = daemon.Daemon(
            mock.Mock(), privileged.initiator_context)
        self.addCleanup(self.daemon.thread_pool.shutdown)

    def test_programs_are_not_the_callers(self):
        program = self.folder / 'iscsiadm'
        program.write_text(f'#!/bin/sh\ntouch {self.folder}/was_root\n')
        program.chmod(0o755)
        ran = []

        def run():
            with self.assertRaises(exception.InitiatorError):
                command.run('mydriver-iscsiadm')
            ran.append(command.run('sh', '-c', 'command -v iscsiadm; env'))

        with (mock.patch.dict(os.environ, {
                'PATH': f'{self.folder}:{os.environ["PATH"]}',
                'LD_LIBRARY_PATH': str(self.folder)}),
                mock.patch.multiple(
                    self.daemon, _drop_privs=mock.DEFAULT,
                    _close_stdio=mock.DEFAULT, loop=run),
                mock.patch.multiple(
                    os, chdir=mock.DEFAULT, umask=mock.DEFAULT)):
            (self.folder / 'mydriver-iscsiadm').symlink_to(program)
            self.daemon.run()
        self.assertNotIn(str(self.folder), ran[0].stdout)
        self.assertFalse((self.folder / 'was_root').exists())

    @ddt.data('planted.verb', 'os.system', 'unittest.__main__.x',
              'mydriver.privileged..x', 'mydriver.privileged.target.lio.x\n',
              '', None, 7, ['planted.verb'], b'planted.verb')
    def test_nothing_else_is_imported(self, name):
        """To import a module is to run it."""
        (self.folder / 'planted.py').write_text(
            f'__import__("os").mkdir({str(self.folder / "was_root")!r})\n')
        self.enterContext(mock.patch.object(
            sys, 'path', [*sys.path, str(self.folder)]))
        self.addCleanup(sys.modules.pop, 'planted', None)
        reply = self.daemon._process_cmd(
            'id', comm.Message.CALL, name, (), {})
        self.assertFalse((self.folder / 'was_root').exists())
        self.assertEqual((comm.Message.ERR.value,
                          'mydriver.exception.RequestRefused'), reply[:2])

    def test_a_verb_is_called(self):
        privileged.initiator_context.set_client_mode(False)
        self.addCleanup(privileged.initiator_context.set_client_mode, True)
        reply = self.daemon._process_cmd(
            'id', comm.Message.CALL,
            'mydriver.privileged.initiator.sessions.logout', (-1, 'x'), {})
        self.assertEqual('mydriver.exception.RequestRefused', reply[1])
