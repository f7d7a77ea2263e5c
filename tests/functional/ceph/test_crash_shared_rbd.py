# SPDX-License-Identifier: Apache-2.0
"""Two services on one pool, one of them killed or stopped.

The other one never restarts. It does the same operation once more, as Cinder
does for a request that it repeats, and finds the state that is right. A
service that was stopped goes on afterwards, as a virtual machine can, and must
not change anything any more.
"""

import faulthandler
import multiprocessing
import os
import signal
import threading
import time

import rbd

from mydriver import exception, waiting
from mydriver.ceph import blocking, omap
from mydriver.stores.rbd import intents, sessions
from tests.contract import store as contract
from tests.functional import base
from tests.functional.ceph import crashes
from tests.functional.ceph import store as ceph_store

MIB = contract.MIB
#: Between two signs of life, seconds.
BEAT_S = 0.3
#: Exit status of a process whose operation failed.
_FAILED = 3

_processes = multiprocessing.get_context('forkserver')
_processes.set_forkserver_preload([__name__])


def _signal_before_step(number, sent, operation, args):
    """Run an operation of a service; get a signal before a step of it."""
    faulthandler.dump_traceback_later(50, exit=True)
    store = ceph_store.make(service='first@ceph', is_shared=True)
    store.sessions.beat_s = BEAT_S
    store.names()  # connects
    count = 0

    def run(function):
        nonlocal count
        if threading.current_thread() is threading.main_thread():
            count += 1
            if count == number:
                os.kill(os.getpid(), sent)
        return function()

    blocking.use(run)
    try:
        getattr(store, operation)(*args)
    except exception.MyDriverError as e:
        print(f'  step {number}: {e}', flush=True)
        os._exit(_FAILED)


class SharedCase(crashes.CrashCase):
    """A test case with another service, which survives."""

    def setUp(self):
        super().setUp()
        self.store = ceph_store.make(service='second@ceph', is_shared=True)
        self.store.sessions.beat_s = BEAT_S
        self.store.prepare()
        self.assertEqual((), self.store.recover())
        self.addCleanup(self.let_go)

    def let_go(self):
        """End the threads of the survivor."""
        self.store = None

    def assert_clean(self):
        """Nothing is left but backings, and the session of the survivor."""
        waiting.wait_for(
            lambda: not self.store.sessions.live(self.io)
            and not self.store.sessions.ended(self.io), 'sessions', 30)
        self.store.recover()
        super().assert_clean()


class Ended(crashes.Operations):
    """Operations of a service that ends, or stops, before a step.

    :cvar sent: the signal that it gets.
    """

    sent = signal.SIGKILL

    def start(self, number, operation, *args):
        """Run an operation in another service up to a step.

        :returns: the process, and whether it came that far.
        """
        child = _processes.Process(target=_signal_before_step, args=(
            number, self.sent, operation, args))
        child.start()
        waiting.wait_for(lambda: not child.is_alive() or base.is_stopped(
            child.pid), 'the other service', 60)
        return child, child.exitcode != 0

    def go_on(self, child):
        """End the process of a service; return its exit status."""
        if child.is_alive():
            os.kill(child.pid, signal.SIGCONT)
        child.join(60)
        return child.exitcode

    def each_step(self, prepare, check, every=4):
        """Stop before steps; let the survivor do it again.

        :param every: leave out steps between; MYDRIVER_EVERY_STEP=1 in the
            environment leaves out none.
        """
        every = int(os.environ.get('MYDRIVER_EVERY_STEP', every))
        ends = {}
        for number in range(1, crashes.MOST_STEPS, every):
            operation, *args = prepare()
            child, happened = self.start(number, operation, *args)
            with self.subTest(operation, number=number, happened=happened):
                started = time.monotonic()
                getattr(self.store, operation)(*args)
                took_s = time.monotonic() - started
                check(*args, done=True)
                status = self.go_on(child)
                ends[status] = ends.get(status, 0) + 1
                check(*args, done=True)
                self.assertIn(status, (0, _FAILED, -signal.SIGKILL))
                self.assert_clean()
                self.assertLess(took_s, 25)
            for name in self.store.names():
                self.store.delete(name)
            if not happened:
                print(f'{operation}: {number - every} steps or more, exit '
                      f'statuses {ends}', flush=True)
                return
        self.fail('it never came to its end')


class KilledTest(Ended, SharedCase):
    """The other service is killed."""


class StoppedTest(Ended, SharedCase):
    """The other service is stopped, and goes on later."""

    sent = signal.SIGSTOP


class LiveTest(SharedCase):
    """Nobody touches what a service does that is alive."""

    def test_recovery_leaves_the_intents_of_others(self):
        first = ceph_store.make(service='first@ceph', is_shared=True)
        first.sessions.beat_s = BEAT_S
        name = contract.volume()
        with first.pool.work('test') as io, first.intents.held(io, name) as (
                claim):
            first.keeper.start()
            claim.record(intents.MAKE)
            rbd.RBD().create(io, name, MIB, features=61)
            late = ceph_store.make(service='third@ceph', is_shared=True)
            late.sessions.beat_s = BEAT_S
            self.assertEqual((), late.recover())
            with self.assertRaisesRegex(exception.StoreError, 'under way'):
                self.store.delete(name)
            self.assertEqual(claim.intent, intents.find(io, name))
            self.assertIn(name, [i['name'] for i in rbd.RBD().list2(io)])
        self.assertTrue(self.store.exists(name))

    def test_a_snapshot_of_a_clone_in_the_making_stays(self):
        first = ceph_store.make(service='first@ceph', is_shared=True)
        source, name = self.written(b'one'), contract.snapshot()
        with first.pool.work('test') as io, first.intents.held(io, name) as (
                claim):
            claim.record(intents.MAKE, source='', snap='mydriver.0123')
            with rbd.Image(io, source) as image:
                image.create_snap('mydriver.0123')
                image.create_snap('mydriver.4567')
            self.assertEqual((), self.store.recover())
            with rbd.Image(io, source, read_only=True) as image:
                self.assertEqual(['mydriver.0123'], [
                    s['name'] for s in image.list_snaps()])
        self.store.recover()
        self.assert_clean()

    def test_what_a_service_had_mapped_is_unmapped_at_its_next_start(self):
        name = self.written(b'one')
        lost = ceph_store.make(service='first@ceph', is_shared=True)
        lost.bring_up(name)
        again = ceph_store.make(service='first@ceph', is_shared=True)
        with open(lost.device(name).path, 'rb'):
            kept, = again.recover()
            self.assertIn(name, kept)
            with self.assertRaisesRegex(exception.StoreError, 'in use'):
                self.store.delete(name)
        again.recover()
        self.store.delete(name)
        again.bring_up(other := self.written(b'two'))
        again.let_down(other)
        self.assertEqual((), again.recover())
        self.store.delete(other)

    def test_an_owner_without_a_session_is_kept(self):
        name = contract.volume()
        omap.within(self.io).write(sessions.OBJECT, {
            name: intents.encoded({'do': 'make', 'owner': 'old'})})
        kept = self.store.recover()
        self.assertEqual(1, len(kept))
        self.assertIn(name, kept[0])
        alone = ceph_store.make(service='alone@ceph')
        self.assertEqual((), alone.recover())
        self.assertEqual({}, intents.everything(self.io))
