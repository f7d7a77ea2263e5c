# SPDX-License-Identifier: Apache-2.0
"""Locks among green threads, which nova-compute has by default up to Nova 33.

Since Nova 34 they are a choice (``concurrency_backend``).
"""

from pathlib import Path
import subprocess
import sys
import tempfile
import unittest

#: How long the script may take on a busy machine.
LONG_S = 60

GREEN = """
import eventlet
eventlet.monkey_patch()
import pathlib, sys
from mydriver.initiator import locks

one = locks.SessionLocks(pathlib.Path(sys.argv[1]))
order = []

def log_out():
    with one.idle('session') as idle:
        order.append(idle)
        eventlet.sleep(0.2)
        order.append('out')

def attach():
    with one.attaching('session'):
        order.append('attached')

threads = [eventlet.spawn(log_out)]
eventlet.sleep(0)
threads += [eventlet.spawn(attach) for _ in range(2)]
for thread in threads:
    thread.wait()
print(*order)
"""


class GreenLocksTest(unittest.TestCase):
    """An attach that waits for a logout."""

    def test_it_does_not_stop_the_thread_that_logs_out(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', GREEN, folder],
            check=False, capture_output=True, text=True, timeout=LONG_S,
            cwd=Path(__file__).parents[2])
        self.assertEqual(('True out attached attached\n', ''),
                         (done.stdout, done.stderr))
