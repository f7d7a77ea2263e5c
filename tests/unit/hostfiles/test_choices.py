# SPDX-License-Identifier: Apache-2.0
"""What an operator chooses, and what is refused."""

import os
from pathlib import Path
import sys
import tempfile
import unittest
from unittest import mock

import ddt

from mydriver import exception
from mydriver.hostfiles import choices

BINDIR = {'bindir': '/opt/cinder/bin'}

#: Each would mean something in sudoers, in a unit file or to a shell.
HOSTILE_PATHS = (
    '', '/', 'opt/bin', '/opt/my bin', '/opt/a,b',
    '/opt/a\nroot ALL=(ALL) ALL', '/opt/a\n', '/opt/*', '/opt/[a]',
    '/opt/a\\b', '/opt/a=b', '/opt/a:b', '/opt/#1', '/opt/%h', '/opt/$HOME',
    '/opt/"a"', "/opt/'a'",
    '/opt/../bin', '/opt/./bin', '/opt//bin', '//opt/bin', '/opt/!a',
    '/opt/\x00', '/opt/\u00e9', '/opt/^a$', '/opt/' + 'a' * 2000, None, 1)

HOSTILE_USERS = (
    '', 'Cinder', 'cin der', 'cinder,nova', 'cinder\nroot', 'cinder\n', 'ALL',
    '%wheel', '#0', '+netgroup', '!root', '-cinder', '0cinder', 'a' * 33,
    'cinder ALL=(ALL) NOPASSWD: ALL #', 'c\u00efnder', 'cinder=', 1)


@ddt.ddt
class HostileTest(unittest.TestCase):
    """Values that would change the meaning of a file."""

    @ddt.data(*HOSTILE_PATHS)
    def test_path(self, path):
        with self.assertRaises(exception.ConfigurationError) as caught:
            choices.path('--bindir', path)
        self.assertEqual('--bindir', caught.exception.option)

    @ddt.data(*HOSTILE_USERS)
    def test_user(self, user):
        with self.assertRaises(exception.ConfigurationError) as caught:
            choices.choose(choices.STORAGE, {**BINDIR, 'user': user})
        self.assertEqual('--user', caught.exception.option)

    @ddt.data(('bindir', '/opt/a b'), ('helper', '/x,y'),
              ('config_file', ['/etc/a.conf', '/etc/b c.conf']),
              ('store_path', ['/srv/%n']), ('state_path', '/var/lib/a\nb'))
    @ddt.unpack
    def test_every_path_is_checked(self, name, value):
        with self.assertRaises(exception.ConfigurationError) as caught:
            choices.choose(choices.STORAGE, {**BINDIR, name: value})
        self.assertEqual('--' + name.replace('_', '-'),
                         caught.exception.option)

    def test_same_file_twice(self):
        with self.assertRaisesRegex(exception.ConfigurationError, 'twice'):
            choices.choose(choices.STORAGE, {
                **BINDIR, 'config_file': ['/etc/a.conf', '/etc/a.conf']})


@ddt.ddt
class ChoicesTest(unittest.TestCase):
    """Defaults, and what does not go together."""

    def test_defaults_of_a_storage_host(self):
        found = choices.choose(choices.STORAGE, BINDIR)
        self.assertEqual(choices.Choices(
            'storage', 'cinder', '/opt/cinder/bin/mydriver',
            '/opt/cinder/bin/privsep-helper', ('/etc/cinder/cinder.conf',),
            ('reflink',), ('/srv/mydriver',)), found)
        self.assertTrue(found.restores)

    def test_defaults_of_a_compute_host(self):
        self.assertEqual(choices.Choices(
            'compute', 'nova', '/opt/nova/bin/mydriver',
            '/opt/nova/bin/privsep-helper', ('/etc/nova/nova.conf',)),
            choices.choose(choices.COMPUTE, {'bindir': '/opt/nova/bin/'}))

    def test_a_gateway_serves_rbd_and_restores_nothing(self):
        found = choices.choose(choices.STORAGE, {**BINDIR, 'gateway': True})
        self.assertEqual((('rbd',), (), False),
                         (found.stores, found.store_paths, found.restores))

    def test_a_gateway_with_another_store_restores_that(self):
        self.assertTrue(choices.choose(choices.STORAGE, {
            **BINDIR, 'gateway': True, 'store': ['rbd', 'lvmthin']}).restores)

    @ddt.data(({'gateway': True, 'store': ['lvmthin']}, '--gateway'),
              ({'store': ['zfs']}, '--store'),
              ({'store': ['rbd'], 'store_path': ['/srv/a']}, '--store-path'))
    @ddt.unpack
    def test_what_does_not_go_together(self, options, option):
        with self.assertRaises(exception.ConfigurationError) as caught:
            choices.choose(choices.STORAGE, {**BINDIR, **options})
        self.assertEqual(option, caught.exception.option)

    @ddt.data({'store': ['rbd']}, {'store_path': ['/a']}, {'gateway': True},
              {'state_path': '/a'})
    def test_a_compute_host_has_no_store(self, options):
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'storage hosts'):
            choices.choose(choices.COMPUTE, {**BINDIR, **options})

    def test_what_is_given_replaces_what_was(self):
        self.assertEqual(
            {'user': 'c', 'store': ['rbd'], 'gateway': False},
            choices.merge({'user': 'c', 'gateway': False, 'bindir': None},
                          {'store': ['rbd'], 'user': 'b', 'gateway': True}))

    @ddt.data(({'gateway': True}, ['lvmthin', 'rbd']),
              ({'gateway': True, 'store': ['rbd']}, ['rbd']),
              ({'gateway': False}, ['lvmthin']), ({}, ['lvmthin']))
    @ddt.unpack
    def test_a_gateway_adds_its_store(self, given, expected):
        self.assertEqual(expected, choices.merge(
            given, {'store': ['lvmthin']})['store'])


class LocateTest(unittest.TestCase):
    """Where the programs are."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(
            tempfile.TemporaryDirectory(prefix='mydriver-')))
        for name, programs in (('venv', ('mydriver',)), (
                'system', ('mydriver', 'privsep-helper'))):
            (self.folder / name).mkdir()
            for program in programs:
                (self.folder / name / program).touch(0o755)
        self.enterContext(mock.patch.object(
            sys, 'executable', str(self.folder / 'venv' / 'python')))
        self.enterContext(mock.patch.dict(os.environ, {
            'PATH': str(self.folder / 'system')}))

    def test_an_environment_that_sees_the_systems_packages(self):
        found = choices.choose(choices.STORAGE, {})
        self.assertEqual(
            (f'{self.folder}/venv/mydriver',
             f'{self.folder}/system/privsep-helper'),
            (found.program, found.helper))

    def test_a_complete_environment(self):
        (self.folder / 'venv' / 'privsep-helper').touch(0o755)
        self.assertEqual(f'{self.folder}/venv/privsep-helper',
                         choices.choose(choices.STORAGE, {}).helper)

    def test_a_given_place_need_not_exist_yet(self):
        found = choices.choose(choices.STORAGE, {
            'bindir': '/opt/new/bin', 'helper': '/usr/bin/privsep-helper'})
        self.assertEqual(('/opt/new/bin/mydriver', '/usr/bin/privsep-helper'),
                         (found.program, found.helper))

    def test_nowhere(self):
        (self.folder / 'system' / 'privsep-helper').unlink()
        with self.assertRaises(exception.ConfigurationError) as caught:
            choices.choose(choices.STORAGE, {})
        self.assertEqual('--helper', caught.exception.option)

    def test_an_interpreter_in_a_directory_with_a_blank(self):
        blank = self.folder / 'my venv'
        blank.mkdir()
        for name in ('mydriver', 'privsep-helper'):
            (blank / name).touch(0o755)
        with mock.patch.object(sys, 'executable', str(blank / 'python')), \
                self.assertRaisesRegex(exception.ConfigurationError,
                                       'symbolic link'):
            choices.choose(choices.STORAGE, {})
