# SPDX-License-Identifier: Apache-2.0
"""The pool of the rbd store, with a connection that is not real."""

import contextlib
import errno
import threading
import unittest
from unittest import mock

from mydriver import exception
from mydriver.ceph import blocking, cluster
from mydriver.stores import identity
from mydriver.stores.rbd import pool


class Lock:
    """A lock that only the main thread may take, as one of green threads."""

    def __enter__(self):
        if threading.current_thread() is not threading.main_thread():
            raise AssertionError('a native thread waits for a green lock')

    def __exit__(self, *error):
        """Release it."""


class StepTest(unittest.TestCase):
    """Steps run in native threads, and take no lock of green ones."""

    def setUp(self):
        super().setUp()
        blocking.use(self.in_a_thread)
        self.addCleanup(blocking.use, None)
        handle = mock.Mock(**{
            'get_fsid.return_value': 'id', 'mon_command.return_value': (
                0, b'{"monmap": {"mons": []}}', ''),
            'mgr_command.return_value': (0, b'', '')})
        handle.open_ioctx.return_value = self.io = mock.Mock(**{
            'read.return_value': b'token', 'get_pool_id.return_value': 3})
        connect = mock.patch.object(cluster.Cluster, '_connect',
                                    return_value=handle)
        connect.start()
        self.addCleanup(connect.stop)
        errors = mock.patch.object(cluster, 'module', return_value=mock.Mock(
            Error=OSError, ObjectNotFound=KeyError))
        errors.start()
        self.addCleanup(errors.stop)
        self.pool = pool.Pool(cluster.Settings('volumes'), identity.Record())
        self.pool._cluster._lock = Lock()

    @staticmethod
    def in_a_thread(function):
        """Run a step in a native thread."""
        found = []

        def run():
            with contextlib.suppress(AssertionError):
                found.append(function())

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return found[0]

    def test_what_each_operation_asks_first(self):
        with self.pool.work('test') as io:
            self.assertEqual('id-3-token', self.pool.store_id(io))
        self.assertEqual(0, self.pool.ask('{}')[0])
        self.assertEqual(0, self.pool.ask('{}', 'mgr')[0])

    def test_completions_have_no_lock(self):
        with self.pool.work('test') as io:
            self.assertIsInstance(io.lock, contextlib.nullcontext)


class FencedTest(unittest.TestCase):
    """A client that was fenced is given up, once."""

    def setUp(self):
        super().setUp()
        connect = mock.patch.object(cluster.Cluster, '_connect',
                                    side_effect=self.connect)
        connect.start()
        self.addCleanup(connect.stop)
        errors = mock.patch.object(cluster, 'module', return_value=mock.Mock(
            Error=OSError, ObjectNotFound=KeyError))
        errors.start()
        self.addCleanup(errors.stop)
        self.pool = pool.Pool(cluster.Settings('volumes'), identity.Record())

    @staticmethod
    def connect():
        """Return another connection each time."""
        return mock.Mock(**{
            'get_fsid.return_value': 'id',
            'get_addrs.return_value': '192.0.2.1:0/7',
            'open_ioctx.return_value': mock.Mock(**{
                'read.return_value': b'token', 'get_pool_id.return_value': 3})
            })

    def fenced(self):
        """Return an operation that is refused when it is told to go on."""
        def operation():
            with (self.assertRaisesRegex(exception.StoreError, 'shutdown'),
                  self.pool.work('test') as io):
                yield io
                raise OSError(errno.ESHUTDOWN, 'fenced')
            yield None

        return operation()

    def test_the_next_operation_has_another_client(self):
        operation = self.fenced()
        first = next(operation)
        next(operation)
        with self.pool.work('test') as io:
            self.assertIsNot(first, io)
        with self.assertRaisesRegex(exception.CephError, 'replaced'):
            self.pool.client_of(first)

    def test_who_notices_late_leaves_the_new_client_alone(self):
        early, late = self.fenced(), self.fenced()
        self.assertIs(next(early), next(late))
        next(early)
        with self.pool.work('test') as io:
            next(late)
            self.assertEqual(7, self.pool.client_of(io).nonce)
        with self.pool.work('test') as again:
            self.assertIs(io, again)
