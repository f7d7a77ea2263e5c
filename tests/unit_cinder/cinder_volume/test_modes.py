# SPDX-License-Identifier: Apache-2.0
"""Images with cinder-volume's green threads, in a process of its own.

Those with native threads, which Cinder has since 29, are in
:mod:`.test_native_mode`.
"""

import os
import pathlib
import subprocess
import sys
import textwrap
import unittest

ROOT = pathlib.Path(__file__).parents[3]
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith('OS_')}

#: The manager makes volumes from images. Cinder's command sets the mode before
#: it imports anything else.
MANAGER = """
    import cinder.cmd.volume
    import os, sys, unittest
    from mydriver.cinder_volume import threads
    from tests.unit_cinder.cinder_volume import test_manager
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(
        test_manager.ImageTest)
    result = unittest.TextTestRunner().run(suite)
    print('ran', result.testsRun, threads.are_green())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(not result.wasSuccessful())
"""


def run_script(case, script, environment):
    """Run a script in a process of its own; return its output.

    :param case: the test, which fails if the script does.
    :param environment: variables to add.
    """
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', textwrap.dedent(script)],
        timeout=300, capture_output=True, text=True, check=False,
        cwd=ROOT, env={**CLEAN, **environment})
    case.assertEqual(0, done.returncode, done.stdout + done.stderr)
    return done.stdout


class ModeTest(unittest.TestCase):
    """The default mode, which is the only one of Cinder 28."""

    def test_the_manager_with_green_threads(self):
        self.assertRegex(run_script(self, MANAGER, {}), 'ran 4 True')
