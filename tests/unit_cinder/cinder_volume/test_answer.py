# SPDX-License-Identifier: Apache-2.0
"""How Cinder's manager changes our answer before a host gets it."""

import unittest
import uuid

from cinder.volume import manager
import ddt

from tests.fakes import cinder as fakes


@ddt.ddt
class AnswerTest(fakes.CinderTestCase):
    """The manager's own code, on the driver's answer."""

    def data(self, options='', mode='rw', **fields):
        """Attach a new volume; return ``connection_info['data']``."""
        self.configure(options)
        driver = self.started_driver()
        volume = fakes.volume(**fields)
        driver.create_volume(volume)
        connector = {**fakes.connector(), 'mode': mode}
        driver.create_export(fakes.context(), volume, connector)
        mine = object.__new__(manager.VolumeManager)
        mine.driver = driver
        answer = mine._parse_connection_options(
            fakes.context(), volume,
            driver.initialize_connection(volume, connector))
        (self.protected,) = (ro for _v, _i, ro in driver.engine.mapped())
        return answer['data']

    @ddt.data(('', None), ('report_discard_supported = False', None),
              ('report_discard_supported = True', True))
    @ddt.unpack
    def test_discard_of_an_encrypted_volume_is_the_operators_choice(
            self, options, expected):
        data = self.data(options, encryption_key_id=str(uuid.uuid4()))
        self.assertIs(True, data['encrypted'])
        self.assertIs(expected, data.get('discard'))

    def test_others_can_discard(self):
        self.assertIs(True, self.data()['discard'])

    @ddt.data(
        # (metadata, mode asked for, access_mode, write-protected)
        ({}, 'rw', 'rw', False),
        ({'readonly': 'True'}, 'ro', 'ro', True),
        ({'readonly': 'True'}, 'rw', 'ro', True),
        ({'readonly': 'False'}, 'ro', 'rw', False),
        ({'attached_mode': 'ro'}, 'rw', 'ro', True),
        # The manager overwrites what we say: the target alone enforces it.
        ({}, 'ro', 'rw', True),
    )
    @ddt.unpack
    def test_access_mode(self, metadata, mode, expected, protected):
        data = self.data(mode=mode, admin_metadata=metadata)
        self.assertEqual((expected, protected),
                         (data['access_mode'], self.protected))


if __name__ == '__main__':
    unittest.main()
