# SPDX-License-Identifier: Apache-2.0
"""Bookkeeping of processes, on real ones."""

import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import unittest

from lab import process
from lab.cloud import down, errors, network, settings
from lab.cloud.steps import registry

_SLEEP = [sys.executable, '-c', 'import time; time.sleep(60)']

#: A service that starts another process in its session and then ends.
_ORPHAN = ['/bin/sh', '-c', 'sleep 60 & exit 0']


class RegistryTest(unittest.TestCase):

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.layout = settings.Layout(Path(folder.name))
        self.registry = registry.Registry(
            self.layout.pids, self.layout.logs)
        self.addCleanup(self.registry.end)

    def spawn(self, name: str, argv: list[str]) -> process.Process:
        return self.registry.spawn(name, argv, {'PATH': os.environ['PATH']})

    def test_note_is_found_by_another_registry(self) -> None:
        started = self.spawn('one', _SLEEP)
        other = registry.Registry(self.layout.pids, self.layout.logs)
        self.assertEqual(started, other.get('one'))
        self.assertEqual([started], other.all())
        self.assertTrue(started.alive())

    def test_end_by_name_leaves_the_others(self) -> None:
        one, two = self.spawn('one', _SLEEP), self.spawn('two', _SLEEP)
        self.registry.end(['one'])
        self.assertFalse(one.alive())
        self.assertTrue(two.alive())
        self.assertEqual([two], self.registry.all())

    def test_end_twice(self) -> None:
        self.spawn('one', _SLEEP)
        self.registry.end()
        self.registry.end()
        self.assertEqual([], self.registry.all())

    def test_end_takes_what_outlived_its_leader(self) -> None:
        started = self.spawn('one', _ORPHAN)
        process.wait_for(lambda: not started.alive(), 'the leader', 30)
        orphans = started.members()
        self.assertEqual(1, len(orphans))
        self.registry.end()
        process.wait_for(lambda: not Path('/proc', str(orphans[0])).exists(),
                         'the orphan to be reaped', 30)

    def test_somebody_elses_process_with_the_pid_is_left_alone(self) -> None:
        with subprocess.Popen(_SLEEP, start_new_session=True) as foreign:
            self.addCleanup(foreign.kill)
            self.layout.pids.mkdir(parents=True)
            (self.layout.pids / 'old').write_text(json.dumps({
                'name': 'old', 'pid': foreign.pid, 'started': 1,
                'log': '/dev/null'}))
            self.registry.end()
            self.assertIsNone(foreign.poll())
            self.assertEqual([], self.registry.all())
            foreign.kill()

    def test_marker_tells_our_processes(self) -> None:
        ours = self.spawn('one', _SLEEP)
        with subprocess.Popen(_SLEEP) as foreign:
            self.addCleanup(foreign.kill)
            pids = [ours.pid, foreign.pid]
            # Between fork and exec it still has our own environment.
            process.wait_for(lambda: registry.marked(pids) == [ours.pid],
                             'the marker', 30)
            self.assertEqual([], registry.marked(pids, 'other'))
            foreign.kill()


class DownTest(unittest.TestCase):

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.layout = settings.Layout(Path(folder.name))

    def test_only_one_at_a_time(self) -> None:
        with down.exclusively(self.layout), self.assertRaisesRegex(
                Exception, 'another command'), \
                down.exclusively(self.layout):
            self.fail('got the lock twice')

    def test_state_is_for_its_owner_alone(self) -> None:
        with down.exclusively(self.layout):
            mode = self.layout.state.stat().st_mode
        self.assertEqual(0, mode & 0o077)

    def test_lock_is_free_again(self) -> None:
        for _ in range(2):
            with down.exclusively(self.layout):
                pass


class NetworkTest(unittest.TestCase):

    def test_names_fit_into_the_kernels_limits(self) -> None:
        # IFNAMSIZ, linux/if.h: 16 with the NUL.
        for node in settings.ALL_NODES:
            self.assertLessEqual(len(network.tap(node)), 15)
            self.assertLessEqual(len(network.ceph_tap(node)), 15)

    def test_taps_follow_the_networks(self) -> None:
        plain, ceph = settings.Options(), settings.Options(store='rbd')
        self.assertEqual(('tap-compute',), network.taps('compute', plain))
        for where, wanted in (
                (network.ALL, ('tap-gw1', 'ceph-gw1')),
                (network.CLIENTS, ('tap-gw1',)),
                (network.CEPH, ('ceph-gw1',))):
            self.assertEqual(wanted, network.taps('gw1', ceph, where))
        with self.assertRaisesRegex(errors.CloudError, 'no Ceph'):
            network.taps('compute', plain, network.CEPH)

    def test_clones_get_namespaces_of_their_own(self) -> None:
        self.assertNotEqual(settings.clone_id(Path('/a/x')),
                            settings.clone_id(Path('/b/x')))
        self.assertEqual(settings.clone_id(Path('/a/x')),
                         settings.clone_id(Path('/a/x')))

    def test_unknown_namespace(self) -> None:
        with self.assertRaisesRegex(Exception, 'not up'):
            network.enter('lab-no-such-namespace')
        self.assertEqual([], network.pids('lab-no-such-namespace'))
