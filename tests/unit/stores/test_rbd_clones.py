# SPDX-License-Identifier: Apache-2.0
"""Clones of images, as far as they need no cluster."""

from concurrent import futures
import threading
import unittest
from unittest import mock

from mydriver.stores.rbd import clones, images


class FlattenTest(unittest.TestCase):
    """Flattening leaves native threads to others."""

    def test_only_some_at_a_time(self):
        many = clones.MOST_FLATTENED
        # The first ones end once as many as may run do; no more join them.
        together = threading.Barrier(many)
        lock = threading.Lock()
        running, most, done = set(), 0, []

        def flatten(_io, its_id):
            nonlocal most
            with lock:
                running.add(its_id)
                most = max(most, len(running))
            together.wait(10)
            with lock:
                running.remove(its_id)
                done.append(its_id)

        names = [f'volume-{number}' for number in range(3 * many)]
        with (mock.patch.multiple(
                  images, flatten=flatten, id_of=lambda _io, name: name,
                  parent_of=lambda _io, _id: None),
              mock.patch.object(clones, 'depth', return_value=11),
              futures.ThreadPoolExecutor(len(names)) as pool):
            for _ in pool.map(
                    lambda name: clones.flatten_beyond(None, name, 10), names):
                pass
        self.assertEqual(sorted(names), sorted(done))
        self.assertEqual(many, most)
