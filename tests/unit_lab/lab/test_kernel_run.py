# SPDX-License-Identifier: Apache-2.0
"""Tests of running a command in a node; the node is a shell here."""

import io
from pathlib import Path
import sys
import tempfile
import unittest
from unittest import mock

from lab import errors, netns, paths, process
from lab.kernel import node, run


class Stream(io.StringIO):
    """A text stream with the bytes below it, like sys.stdout."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = io.BytesIO()


class TestRun(unittest.TestCase):
    """The payload itself runs, with the node's set-up left out."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.stdout, self.stderr = Stream(), Stream()
        self.payload = ('node_udev() { :; }; node_lio() { :; }; '
                        'node_dm() { :; }; node_initiator() { :; }; '
                        'node_log() { echo "$*"; }; '
                        'node_wait() { until [ -e "$1" ]; do sleep 0.1; '
                        'done; }; '
                        '. "$NODE_ENV"; . "$NODE_INIT"')
        for patch in (mock.patch.object(paths, 'RUN', self.folder / 'run'),
                      mock.patch.object(node, 'start', self._start),
                      mock.patch.object(
                          run, '_outputs', return_value=('stdout', 'stderr')),
                      mock.patch.object(sys, 'stdout', self.stdout),
                      mock.patch.object(sys, 'stderr', self.stderr)):
            patch.start()
            self.addCleanup(patch.stop)

    def _start(self, spec, state_dir, netns, *, log, die_with_parent):
        self.assertTrue(die_with_parent)
        self.assertIsNone(netns)
        environ = state_dir / 'node.env'
        environ.write_text(node._environ(spec, state_dir))
        return process.spawn('node', ['bash', '-c', self.payload], log,
                             env={'NODE_ENV': str(environ),
                                  'PATH': '/usr/bin:/bin'})

    def _run(self, *argv: str, timeout_s: int = 60, **kwargs) -> int:
        return run.run(run.Request(argv, timeout_s=timeout_s, **kwargs))

    def _assert_nothing_left(self) -> None:
        self.assertEqual([], list((self.folder / 'run').iterdir()))

    def test_output_and_status_come_through(self):
        status = self._run('sh', '-c', r'printf "a\377\0"; echo b >&2; exit 7')
        self.assertEqual(7, status)
        self.assertEqual(b'a\xff\0', self.stdout.buffer.getvalue())
        self.assertEqual(b'b\n', self.stderr.buffer.getvalue())
        self._assert_nothing_left()

    def test_words_come_through(self):
        words = ['a b', '', '$HOME', 'x\ny', "it's"]
        self._run('printf', '%s|', *words)
        self.assertEqual(''.join(f'{w}|' for w in words).encode(),
                         self.stdout.buffer.getvalue())

    def test_environment(self):
        self._run('sh', '-c', 'echo "$A"', environ={'A': "x 'y'"})
        self.assertEqual(b"x 'y'\n", self.stdout.buffer.getvalue())

    def test_one_file_where_both_outputs_are_one(self):
        with mock.patch.object(run, '_outputs',
                               return_value=('stdout', 'stdout')):
            self._run('sh', '-c', 'echo 1; echo 2 >&2; echo 3')
        self.assertEqual(b'1\n2\n3\n', self.stdout.buffer.getvalue())

    def test_a_signal(self):
        self.assertEqual(137, self._run('sh', '-c', 'kill -9 $$'))

    def test_deadline(self):
        with self.assertRaisesRegex(errors.DeadlinePassed,
                                    'timed out after 1 s .*sleep 1000'):
            self._run('sleep', '1000', timeout_s=1)
        self._assert_nothing_left()

    def test_a_node_that_ends(self):
        self.payload = 'echo panic; exit 1'
        with self.assertRaisesRegex(errors.ProcessEnded, 'panic'):
            self._run('true')
        self._assert_nothing_left()

    def test_a_node_that_is_not_ready(self):
        self.payload = self.payload.replace('node_lio() { :; }',
                                            'node_lio() { return 1; }')
        self.assertEqual(125, self._run('true'))

    def test_what_a_killed_caller_left_is_swept(self):
        left = self.folder / 'run' / f'kernel-{1 << 30}-abc'
        left.mkdir(parents=True)
        orphan = process.spawn('orphan', ['sleep', '1000'], left / 'console')
        orphan.save(left / 'process.json')
        daemon = process.spawn('daemon', ['sleep', '1000'], left / 'log')
        daemon.save(left / 'ceph-mon.json')
        with mock.patch.object(netns, 'delete') as delete:
            self._run('true')
        delete.assert_any_call(f'lab-{left.name}')
        self.assertFalse(orphan.alive())
        self.assertFalse(daemon.alive())
        self._assert_nothing_left()
