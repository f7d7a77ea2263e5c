# SPDX-License-Identifier: Apache-2.0
"""Configuration files, and what is said of those that cannot be read."""

import os
from pathlib import Path
import tempfile
import unittest

import ddt
from oslo_config import cfg

from mydriver import configuration, exception


@ddt.ddt
class ConfigurationTest(unittest.TestCase):
    """Files in a temporary directory."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.path = str(self.folder / 'a.conf')

    def write(self, content, name='a.conf'):
        """Write a file."""
        (self.folder / name).write_bytes(content)

    def problem(self):
        """Return the error of the file, which names it."""
        with self.assertRaises(exception.ConfigurationError) as caught:
            configuration.parse([self.path])
        self.assertEqual(self.path, caught.exception.option)
        self.assertTrue(caught.exception.remedy)
        return caught.exception.problem

    def test_values_of_all_files(self):
        self.write(b'[a]\nx = 1\n')
        self.write(b'[a]\nx = 2\n', 'more.conf')
        for name in ('more.txt', '.editor.conf'):
            self.write(b'no configuration', name)
        self.assertEqual({'a': {'x': ['1', '2']}}, configuration.parse(
            configuration.files_of([self.path], [])
            + configuration.files_of([], [str(self.folder)])[1:]))

    @ddt.data(
        (b'[a]\nx = 1\nsecret\n', 'line 3: '),
        (b'[a]\nx = caf\xe9\nsecret = 1\n', 'line 2 is not UTF-8'),
        (b'\xff\xfe[\0a\0]\0', 'line 1 is not UTF-8'))
    @ddt.unpack
    def test_a_line(self, content, expected):
        self.write(content)
        found = self.problem()
        self.assertTrue(found.startswith(expected), found)
        self.assertNotIn('secret', found)

    def test_a_directory_and_nothing(self):
        self.assertEqual('No such file or directory', self.problem())
        os.mkdir(self.path)
        self.assertEqual('Is a directory', self.problem())

    def test_what_oslo_config_does_not_name(self):
        """Its own errors name the file, and pass."""
        def read():
            with configuration.named([], [str(self.folder)]):
                cfg.ConfigOpts()([f'--config-dir={self.folder}'])

        self.write(b'x = caf\xe9\n')
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    f'{self.path}: line 1 is not UTF-8'):
            read()
        self.write(b'no setting\n')
        with self.assertRaisesRegex(cfg.ConfigFileParseError, self.path):
            read()

    def test_errors_of_others_pass(self):
        self.write(b'[a]\n')
        with self.assertRaisesRegex(OSError, 'of others'), \
                configuration.named([self.path], []):
            raise OSError('of others')
