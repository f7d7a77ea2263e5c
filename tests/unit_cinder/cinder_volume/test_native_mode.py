# SPDX-License-Identifier: Apache-2.0
"""Images with cinder-volume's native threads, in a process of its own.

Cinder has them since 29; its command takes the mode from the environment
(cinder/monkey_patch.py). The tests on Cinder 28 leave this module out
(tools/suite.py).
"""

import unittest

from tests.unit_cinder.cinder_volume import test_modes

NATIVE = {'OS_CINDER_DISABLE_EVENTLET_PATCHING': '1'}

#: Two threads fetch an image one after the other, by Cinder's own code; the
#: first one is still there when the second comes.
FETCH = """
    import cinder.cmd.volume
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


class NativeModeTest(unittest.TestCase):
    """Images with native threads."""

    def test_the_manager_with_native_threads(self):
        self.assertRegex(
            test_modes.run_script(self, test_modes.MANAGER, NATIVE),
            'ran 4 False')

    def test_what_is_cinders_own(self):
        # When this fails, Cinder has mended it: adapt_pool can go.
        output = test_modes.run_script(
            self, FETCH.format(mend='', limit_s=5), NATIVE)
        self.assertRegex(output, r'(?m)^done 0$')
        self.assertIn('eventlet/hubs', output)

    def test_what_the_driver_does_about_it(self):
        mend = ('from mydriver.cinder_volume import threads; '
                'threads.adapt_pool()')
        self.assertRegex(
            test_modes.run_script(
                self, FETCH.format(mend=mend, limit_s=60), NATIVE),
            r'(?m)^done 0 1$')
