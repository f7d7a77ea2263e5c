# SPDX-License-Identifier: Apache-2.0
"""Tests of what a cluster is made from; tests/functional runs one."""

import base64
import configparser
from pathlib import Path
import struct
import tempfile
import time
import unittest
from unittest import mock

from lab import errors, process
from lab.ceph import cluster, config, keys


def parse(text: str) -> configparser.ConfigParser:
    """Parse a ceph.conf or a keyring."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


class TestKeys(unittest.TestCase):
    """Keys and keyrings."""

    def test_a_key_is_a_crypto_key(self):
        kind, seconds, _, length = struct.unpack(
            '<HIIH', base64.b64decode(keys.generate())[:12])
        self.assertEqual((1, 16), (kind, length))
        self.assertLess(abs(time.time() - seconds), 60)

    def test_no_two_are_equal(self):
        self.assertEqual(100, len({keys.generate() for _ in range(100)}))

    def test_keyring(self):
        found = parse(keys.keyring(
            {'client.a': 'K', 'client.b': 'L'},
            {'client.a': {'mon': 'profile rbd', 'osd': 'allow *'}}))
        self.assertEqual(['client.a'], found.sections())
        self.assertEqual({'key': 'K', 'caps mon': '"profile rbd"',
                          'caps osd': '"allow *"'}, dict(found['client.a']))

    def test_cinder_has_no_more_than_rbd_needs(self):
        caps = keys.clients(('volumes', 'images'))['client.cinder']
        self.assertEqual('profile rbd', caps['mon'])
        self.assertEqual('profile rbd pool=volumes, profile rbd pool=images',
                         caps['osd'])


class TestFiles(unittest.TestCase):
    """What is written before anything runs."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = Path(folder.name) / 'ceph'
        self.cluster = cluster.Cluster(self.state, '192.0.2.1')
        self.cluster.prepare()

    def test_clients_have_their_own_keys_and_no_others(self):
        files = {p.name for p in self.cluster.client_files.iterdir()}
        self.assertEqual({'ceph.conf', 'ceph.client.admin.keyring',
                          'ceph.client.cinder.keyring'}, files)
        every = parse((self.state / 'keyring').read_text())
        for user in ('client.admin', 'client.cinder'):
            own = parse((self.cluster.client_files
                         / f'ceph.{user}.keyring').read_text())
            self.assertEqual([user], own.sections())
            self.assertEqual(every[user]['key'], own[user]['key'])

    def test_keys_are_roots_alone(self):
        self.assertEqual(0o700, self.state.stat().st_mode & 0o777)
        found = list(self.state.rglob('*keyring'))
        self.assertEqual(7, len(found))
        for path in found:
            self.assertEqual(0o600, path.stat().st_mode & 0o777, path)

    def test_clients_find_keyrings_at_the_default_or_here(self):
        there = parse((self.cluster.client_files / 'ceph.conf').read_text())
        self.assertNotIn('keyring', there['global'])
        here = parse(self.cluster.conf.read_text())['global']
        self.assertEqual(f'{self.cluster.conf.parent}/ceph.$name.keyring',
                         here['keyring'])
        self.assertEqual('192.0.2.1', here['mon_host'])
        self.assertEqual(there['global']['fsid'], here['fsid'])

    def test_another_cluster_replaces_it(self):
        before = self.cluster.conf.read_text()
        (self.state / 'complete').touch()
        self.cluster.prepare()
        self.assertNotEqual(before, self.cluster.conf.read_text())
        self.assertFalse(self.cluster.there())

    def test_daemons_log_to_standard_error_alone(self):
        text = config.daemons('F', '192.0.2.1', self.state, 1 << 30)
        found = parse(text)['global']
        self.assertEqual('true', found['log_to_stderr'])
        self.assertEqual('', found['log_file'])
        self.assertEqual('', found['admin_socket'])

    def test_a_daemon_that_ends_is_an_error_with_its_log(self):
        with mock.patch.object(self.cluster, '_make_files'):
            def spawn(name, _argv):
                return process.spawn(name, ['sh', '-c', 'echo why >&2'],
                                     self.state / 'log')
            with self.assertRaisesRegex(errors.ProcessEnded,
                                        'ceph-mon has ended\nwhy'):
                self.cluster.up(spawn, timeout_s=30)
        self.assertFalse(self.cluster.there())

    def test_a_missing_program_names_its_package(self):
        with (mock.patch.object(cluster, '_PACKAGES', {'no-such': 'a-deb'}),
              self.assertRaisesRegex(errors.MissingProgram, 'a-deb')):
            cluster.check()
