# SPDX-License-Identifier: Apache-2.0
"""Events of green threads, as cinder-volume has them by default."""

import subprocess
import sys
import unittest

#: How long the script may take on a busy machine.
LONG_S = 60

GREEN = """
import eventlet
eventlet.monkey_patch()
from unittest import mock
from mydriver import events

written = []
log = mock.Mock()
log.info = lambda text, *args: written.append(events.parse(text % args))

def work(n):
    with events.operation(f'operation-{n}', f'volume-{n}'):
        eventlet.sleep(0.001)
        with events.phase(f'phase-{n}'):
            eventlet.sleep(0.001)

with mock.patch.object(events, 'LOG', log):
    pool = eventlet.GreenPool()
    for n in range(20):
        pool.spawn(work, n)
    pool.waitall()
numbers = [{text.partition('-')[2] for text in
            (e.operation, e.volume_id, e.phase) if text} for e in written]
print(len(written), all(len(n) == 1 for n in numbers))
"""


class GreenTest(unittest.TestCase):
    """Green threads take turns within an operation."""

    def test_each_has_its_own_operation(self):
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', GREEN], check=True,
            capture_output=True, text=True, timeout=LONG_S)
        self.assertEqual('40 True', done.stdout.strip())
