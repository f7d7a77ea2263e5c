# SPDX-License-Identifier: Apache-2.0
"""Volumes of many extents: their users do not wait for a copy."""

from unittest import mock

from cinder import exception as cinder_exception
from cinder.volume import group_types

from mydriver.stores.reflink import extents
from tests.fakes import cinder as fakes


class ManyExtentsTest(fakes.CinderTestCase):
    """A volume whose file has more extents than the limit."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver()
        self.volume = fakes.volume()
        self.driver.create_volume(self.volume)
        count = mock.patch.object(extents, 'count', return_value=30001)
        self.count = count.start()
        self.addCleanup(count.stop)
        specs = mock.patch.object(group_types, 'get_group_type_specs',
                                  return_value=False)
        specs.start()
        self.addCleanup(specs.stop)

    def attach(self):
        """Let a host use the volume."""
        self.driver.create_export(None, self.volume, fakes.connector())
        self.driver.initialize_connection(self.volume, fakes.connector())

    def detach(self):
        """Let nobody use it."""
        self.driver.terminate_connection(self.volume, fakes.connector())
        self.driver.remove_export(None, self.volume)

    def copies(self):
        """Return the calls that copy it."""
        return (
            lambda: self.driver.create_snapshot(fakes.snapshot(self.volume)),
            lambda: self.driver.create_cloned_volume(fakes.volume(),
                                                     self.volume),
            lambda: self.driver.create_group_snapshot(
                fakes.context(), fakes.group_snapshot(fakes.group()),
                [fakes.snapshot(self.volume)]),
            lambda: self.driver.create_group_from_src(
                fakes.context(), fakes.group(), [fakes.volume()],
                source_group=fakes.group(), source_vols=[self.volume]))

    def test_a_volume_in_use_is_not_copied(self):
        self.attach()
        for copy in self.copies():
            with self.assertRaises(
                    cinder_exception.VolumeDriverException) as caught:
                copy()
            for text in ('30001 extents', 'mydriver_max_extents',
                         'detached', 'lvmthin'):
                self.assertIn(text, str(caught.exception))
        self.assertEqual([f'volume-{self.volume.id}'], self.stored())

    def test_one_that_nobody_uses_is(self):
        self.attach()
        self.detach()
        for copy in self.copies():
            copy()
        self.assertEqual(5, len(self.stored()))

    def test_one_of_fewer_extents_is(self):
        self.count.return_value = 30000
        self.attach()
        for copy in self.copies():
            copy()
        self.assertEqual(5, len(self.stored()))

    def test_the_limit_is_an_option(self):
        self.configure('mydriver_max_extents = 50000')
        self.driver = self.started_driver()
        self.attach()
        self.copies()[0]()
        self.assertEqual(2, len(self.stored()))
