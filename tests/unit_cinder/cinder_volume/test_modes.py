# SPDX-License-Identifier: Apache-2.0
"""Both of cinder-volume's modes, each in a process of its own.

Cinder's command takes the mode from the environment, before anything else is
imported (cinder/cmd/volume.py, cinder/monkey_patch.py).
"""

import os
import pathlib
import subprocess
import sys
import textwrap
import unittest

ROOT = pathlib.Path(__file__).parents[3]
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith('OS_')}
NATIVE = {'OS_CINDER_DISABLE_EVENTLET_PATCHING': '1'}

#: What cinder.cmd.volume does first.
START = """
    import cinder.monkey_patch
    cinder.monkey_patch.patch('eventlet')
"""

#: Two threads fetch an image one after the other, by Cinder's own code; the
#: first one is still there when the second comes.
FETCH = START + """
    import os, sys, tempfile, threading, time, traceback
    from cinder import context, objects
    objects.register_all()
    from cinder.image import image_utils
    {mend}

    class Glance:
        def download(self, _context, _image_id, data):
            data.write(b'image')

    done, stay = [], threading.Event()
    folder = tempfile.TemporaryDirectory()

    def work(number):
        image_utils.fetch(context.get_admin_context(), Glance(), 'image',
                          os.path.join(folder.name, str(number)), None, None)
        done.append(number)
        stay.wait(60)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for number, (thread, limit_s) in enumerate(zip(threads, (60, {limit_s}))):
        thread.start()
        deadline = time.monotonic() + limit_s
        while len(done) <= number and time.monotonic() < deadline:
            thread.join(0.1)
    print('done', *done)
    frames = sys._current_frames()
    print(*(traceback.format_stack(frames[t.ident])[-1] for t in threads
            if t.ident in frames))
    sys.stdout.flush()
    folder.cleanup()
    os._exit(0)
"""

#: The manager makes volumes from images.
MANAGER = START + """
    import os, sys, unittest
    from tests.unit_cinder.cinder_volume import test_manager
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(
        test_manager.ImageTest)
    result = unittest.TextTestRunner().run(suite)
    print('ran', result.testsRun, cinder.monkey_patch.is_patched())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(not result.wasSuccessful())
"""


class ModeTest(unittest.TestCase):
    """Images in both modes."""

    def run_script(self, script, environment):
        """Run a script in a process of its own; return its output."""
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', textwrap.dedent(script)],
            timeout=300, capture_output=True, text=True, check=False,
            cwd=ROOT, env={**CLEAN, **environment})
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def test_the_manager_with_native_threads(self):
        self.assertRegex(self.run_script(MANAGER, NATIVE), 'ran 4 False')

    def test_the_manager_with_green_threads(self):
        self.assertRegex(self.run_script(MANAGER, {}), 'ran 4 True')

    def test_what_is_cinders_own(self):
        # When this fails, Cinder has mended it: adapt_pool can go.
        output = self.run_script(FETCH.format(mend='', limit_s=5), NATIVE)
        self.assertRegex(output, r'(?m)^done 0$')
        self.assertIn('eventlet/hubs', output)

    def test_what_the_driver_does_about_it(self):
        mend = ('from mydriver.cinder_volume import threads; '
                'threads.adapt_pool()')
        self.assertRegex(
            self.run_script(FETCH.format(mend=mend, limit_s=60), NATIVE),
            r'(?m)^done 0 1$')
