# SPDX-License-Identifier: Apache-2.0
"""Fuzzing references to volumes that are to be managed."""

import os
import uuid

from cinder import exception as cinder_exception
import hypothesis
from hypothesis import strategies as st

from tests.fakes import cinder as fakes
from tests.fakes import hostile

names = st.one_of(st.sampled_from([
    'web.raw', '../store/web.raw', '/etc/passwd', 'web.raw\n', '.', '..', '',
    'web.raw\0', 'w\u0435b.raw', 'volume-\ud800',
    f'volume-{uuid.UUID(int=1)}', f'snapshot-{uuid.UUID(int=1)}']),
    hostile.anything)


class ReferenceTest(fakes.CinderTestCase):
    """A size, or ManageExistingInvalidReference; nothing is changed."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver()
        self.volume = fakes.volume()
        with open(os.path.join(self.store_path, 'web.raw'), 'wb') as f:
            f.truncate(1024 ** 3)
        self.before = sorted(os.listdir(self.store_path))

    @hypothesis.settings(hostile.FUZZ, max_examples=60)
    @hypothesis.given(st.one_of(
        hostile.anything, names.map(lambda name: {'source-name': name})))
    @hypothesis.example('\ud800')
    @hypothesis.example({'source-name': 'x' * 10 ** 6})
    def test_reference(self, reference):
        try:
            self.assertEqual(1, self.driver.manage_existing_get_size(
                self.volume, reference))
            self.assertEqual({'source-name': 'web.raw'}, reference)
        except cinder_exception.ManageExistingInvalidReference as e:
            str(e).encode()
            self.assertLess(len(str(e)), hostile.TEXT_MAX)
            with self.assertRaises(
                    cinder_exception.ManageExistingInvalidReference):
                self.driver.manage_existing(self.volume, reference)
        self.assertEqual(self.before, sorted(os.listdir(self.store_path)))
