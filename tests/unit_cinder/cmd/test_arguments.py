# SPDX-License-Identifier: Apache-2.0
"""The arguments that all commands share."""

import argparse
import os
import unittest

from mydriver.cmd import arguments


class ArgumentsTest(unittest.TestCase):
    """The parsed values."""

    def test_a_relative_file_becomes_absolute(self):
        parser = argparse.ArgumentParser()
        arguments.add(parser)
        found = parser.parse_args(['--config-file', 'my.conf'])
        self.assertEqual([os.path.join(os.getcwd(), 'my.conf')],
                         found.config_file)
