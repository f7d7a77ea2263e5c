# SPDX-License-Identifier: Apache-2.0
"""The rbd store after kill -9 between two steps."""

import multiprocessing
import os
import signal
import threading

from mydriver.ceph import blocking
from tests.functional.ceph import crashes
from tests.functional.ceph import store as ceph_store

_processes = multiprocessing.get_context('forkserver')
_processes.set_forkserver_preload([__name__])


def _die_before_step(number, operation, args):
    """Run an operation of a store, and die before a step of it."""
    store = ceph_store.make()
    store.names()  # connects
    count = 0

    def run(function):
        nonlocal count
        if threading.current_thread() is threading.main_thread():
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return function()

    blocking.use(run)
    getattr(store, operation)(*args)


class CrashTest(crashes.Operations, crashes.CrashCase):
    """Nothing is lost, and nothing is left over, wherever it dies."""

    def died(self, number, operation, *args):
        """Run an operation that dies before a step; tell whether it did."""
        child = _processes.Process(
            target=_die_before_step, args=(number, operation, args))
        child.start()
        child.join(60)
        self.assertIn(child.exitcode, (0, -signal.SIGKILL))
        return child.exitcode != 0

    def each_step(self, prepare, check, every=2):
        """Die before steps of an operation, recover, and check.

        :param prepare: returns the operation and its arguments.
        :param check: is given the arguments.
        :param every: leave out steps between; MYDRIVER_EVERY_STEP=1 in the
            environment leaves out none.
        """
        every = int(os.environ.get('MYDRIVER_EVERY_STEP', every))
        for number in range(1, crashes.MOST_STEPS, every):
            operation, *args = prepare()
            died = self.died(number, operation, *args)
            self.store = ceph_store.make()
            with self.subTest(operation, number=number, died=died):
                self.assertEqual((), self.store.recover())
                check(*args)
                self.assert_clean()
                getattr(self.store, operation)(*args)
                check(*args, done=True)
                self.assert_clean()
            for name in self.store.names():
                self.store.delete(name)
            if not died:
                print(f'{operation}: {number - every} steps or more')
                return
        self.fail('it never came to its end')
