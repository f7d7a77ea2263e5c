# SPDX-License-Identifier: Apache-2.0
"""Tests of starting and ending processes."""

import contextlib
import io
import os
from pathlib import Path
import signal
import tempfile
import unittest

from lab import errors, process


class TestProcess(unittest.TestCase):
    """Real processes of this machine."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.log = self.folder / 'log'

    def _spawn(self, script: str) -> process.Process:
        spawned = process.spawn('test', ['bash', '-c', script], self.log)
        self.addCleanup(spawned.end, grace_s=0)
        return spawned

    def _wait_log(self, text: str) -> None:
        process.wait_for(lambda: text in self.log.read_text(), text, 30)

    def test_end_takes_what_it_started(self):
        spawned = self._spawn('sleep 1000 & trap "" TERM; echo up; sleep 1000')
        self._wait_log('up')
        process.wait_for(lambda: len(spawned.members()) > 1, 'its child', 30)
        members = spawned.members()
        spawned.end(grace_s=0.1)
        self.assertFalse(spawned.alive())
        for pid in members:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                stat = Path('/proc', str(pid), 'stat').read_text()
                self.assertEqual('Z', stat.rpartition(')')[2][1])

    def test_end_lets_it_finish(self):
        spawned = self._spawn('trap "echo bye; exit" TERM; echo up; '
                              'while :; do sleep 0.05; done')
        self._wait_log('up')
        spawned.end(grace_s=30)
        self.assertIn('bye', self.log.read_text())

    def test_end_takes_what_outlived_its_leader(self):
        spawned = self._spawn('sleep 1000 & echo up')
        self._wait_log('up')
        process.wait_for(lambda: not spawned.alive(), 'the leader to go', 30)
        self.assertEqual(1, len(spawned.members()))
        spawned.end()
        self.assertEqual([], spawned.members())

    def test_a_signal_is_for_the_leader_alone(self):
        spawned = self._spawn('sleep 1000 & echo up; wait')
        self._wait_log('up')
        [child] = set(spawned.members()) - {spawned.pid}

        def state(pid: int) -> str:
            return Path('/proc', str(pid), 'stat').read_text().rpartition(
                ')')[2].split()[0]

        spawned.signal(signal.SIGSTOP)
        process.wait_for(lambda: state(spawned.pid) == 'T', 'it to stop', 10)
        self.assertNotEqual('T', state(child))
        spawned.signal(signal.SIGCONT)
        process.wait_for(lambda: state(spawned.pid) != 'T', 'it to run', 10)
        spawned.end(grace_s=0)
        spawned.signal(signal.SIGCONT)

    def test_end_twice(self):
        spawned = self._spawn('exit 3')
        spawned.end()
        spawned.end()
        self.assertFalse(spawned.alive())

    def test_another_process_with_the_same_id_is_left_alone(self):
        ours = self._spawn('sleep 1000')
        recycled = process.Process(
            'old', ours.pid, ours.started - 1, self.log)
        self.assertFalse(recycled.alive())
        self.assertEqual([], recycled.members())
        recycled.end()
        self.assertTrue(ours.alive())

    def test_record(self):
        spawned = self._spawn('sleep 1000')
        spawned.save(self.folder / 'record')
        loaded = process.Process.load(self.folder / 'record')
        self.assertEqual(spawned, loaded)
        self.assertTrue(loaded.alive())
        self.assertIsNone(process.Process.load(self.folder / 'none'))

    def test_a_program_that_is_not_there(self):
        with self.assertRaisesRegex(errors.LabError, 'cannot start x: .*nix'):
            process.spawn('x', [self.folder / 'nix'], self.log)

    def test_session_of_its_own(self):
        spawned = self._spawn('sleep 1000')
        self.assertEqual(spawned.pid, os.getsid(spawned.pid))


class TestWaitFor(unittest.TestCase):
    """Waiting with a deadline."""

    def test_returns_what_the_probe_returned(self):
        answers = iter([None, 0, 'found'])
        self.assertEqual('found', process.wait_for(
            lambda: next(answers), 'it', 30, poll_s=0))

    def test_says_what_it_waited_for(self):
        with self.assertRaises(errors.DeadlinePassed) as caught:
            process.wait_for(lambda: False, 'rain', 0, details=lambda: 'sun')
        self.assertEqual('timed out after 0 s waiting for rain\nsun',
                         str(caught.exception))
        self.assertEqual(124, caught.exception.exit_status)


class TestFiles(unittest.TestCase):
    """Reading files that grow."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, 'file')

    def test_follower_copies_what_is_new(self):
        self.path.write_bytes(b'one')
        to = io.BytesIO()
        with process.Follower(self.path, to) as follower:
            follower.copy()
            with self.path.open('ab') as f:
                f.write(b'\xfftwo')
            follower.copy()
            follower.copy()
        self.assertEqual(b'one\xfftwo', to.getvalue())

    def test_tail(self):
        self.path.write_text('a\nb\r\nc\n')
        self.assertEqual('b\nc', process.tail(self.path, 2))
        self.assertEqual('', process.tail(self.path.with_name('none')))
