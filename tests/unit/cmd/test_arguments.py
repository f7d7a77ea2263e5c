# SPDX-License-Identifier: Apache-2.0
"""Arguments that all commands share."""

import argparse
import os
import unittest

from mydriver.cmd import arguments


class ArgumentsTest(unittest.TestCase):
    """What they are when the commands get them."""

    def test_a_file_is_the_same_in_another_folder(self):
        parser = argparse.ArgumentParser()
        arguments.add(parser)
        found = parser.parse_args(['--config-file', 'my.conf'])
        self.assertEqual([os.path.join(os.getcwd(), 'my.conf')],
                         found.config_file)
