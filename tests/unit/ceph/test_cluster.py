# SPDX-License-Identifier: Apache-2.0
"""Connections to a Ceph cluster, as far as they need none."""

import builtins
import importlib
from pathlib import Path
import sys
import tempfile
import unittest
from unittest import mock

from mydriver import exception
from mydriver.ceph import cluster


class ModuleTest(unittest.TestCase):
    """librados' and librbd's modules come from the distribution."""

    def test_both_can_be_imported(self):
        for name in ('rados', 'rbd'):
            self.assertTrue(hasattr(cluster.module(name), 'Error'), name)

    def test_a_missing_one_is_named_with_its_package(self):
        with (mock.patch.dict(sys.modules, {'rados': None}),
              self.assertRaises(exception.ConfigurationError) as caught):
            cluster.module('rados')
        self.assertIn('python3-rados', str(caught.exception))
        self.assertIn('.pth', str(caught.exception))

    def test_the_package_loads_without_them(self):
        real = builtins.__import__

        def refuse(name, *args, **kwargs):
            if name in ('rados', 'rbd'):
                raise ImportError(name)
            return real(name, *args, **kwargs)

        with mock.patch.object(builtins, '__import__', refuse):
            importlib.reload(cluster)


class ErrorsTest(unittest.TestCase):
    """Errors of both libraries become ours."""

    def test_of_librados(self):
        with (self.assertRaises(exception.CephError) as caught,
              cluster.errors_translated('find it')):
            raise cluster.module('rados').ObjectNotFound('x', errno=2)
        self.assertEqual('Ceph cannot find it: No such file or directory.',
                         str(caught.exception))

    def test_of_librbd(self):
        with (self.assertRaises(exception.CephError),
              cluster.errors_translated('open it')):
            raise cluster.module('rbd').ImageNotFound('x', errno=2)

    def test_others_pass(self):
        with (self.assertRaises(ZeroDivisionError),
              cluster.errors_translated('divide')):
            raise ZeroDivisionError


class ConnectTest(unittest.TestCase):
    """What cannot work is said before anything is tried."""

    def test_without_a_configuration(self):
        its = cluster.Cluster(cluster.Settings(
            pool='volumes', conf='/nonexistent/ceph.conf'))
        with self.assertRaises(exception.ConfigurationError) as caught:
            its.pool()
        self.assertIn('/nonexistent/ceph.conf', str(caught.exception))
        its.close()

    def test_without_a_keyring(self):
        with tempfile.TemporaryDirectory() as folder:
            conf = Path(folder, 'ceph.conf')
            conf.write_text('[global]\nmon_host = 127.0.0.1:1\n'
                            f'keyring = {folder}/missing\n')
            its = cluster.Cluster(cluster.Settings(
                pool='volumes', conf=str(conf)))
            with self.assertRaises(exception.ConfigurationError) as caught:
                its.handle()
        self.assertIn('client.cinder', str(caught.exception))
