# SPDX-License-Identifier: Apache-2.0
"""Turns among green threads, as cinder-volume has them by default."""

import subprocess
import sys
import unittest

#: How long the script may take on a busy machine.
LONG_S = 60

GREEN = """
import eventlet
eventlet.monkey_patch()
from mydriver import exception, turns

order, told = [], []
with_turns = turns.Turns('the thing', 30, patience_s=0)

def work(n):
    with with_turns:
        order.append(n)
        eventlet.sleep(0.001)
        order.append(n)

def wait():
    try:
        with turns_of_another:
            pass
    except exception.WaitTimeout as e:
        told.append(str(e))

def give_up():
    # On a busy machine its turn may come before its time is up.
    with eventlet.Timeout(0.001, False), with_turns:
        pass

pool = eventlet.GreenPool()
for n in range(20):
    pool.spawn(work, n)
    pool.spawn(give_up)
pool.waitall()
turns_of_another = turns.Turns('another thing', 0.01)
with turns_of_another:
    eventlet.spawn(wait).wait()
print(order == sorted([*range(20), *range(20)]), told)
"""


class GreenTest(unittest.TestCase):
    """As cinder-volume runs by default."""

    def test_in_order_and_not_for_ever(self):
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', GREEN], check=True,
            capture_output=True, text=True, timeout=LONG_S)
        self.assertEqual(
            "True ['Timed out after 0.01 s waiting for another thing; 0 "
            "others wait.']", done.stdout.strip())
