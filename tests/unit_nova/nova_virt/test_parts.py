# SPDX-License-Identifier: Apache-2.0
"""Connector properties and plugins, each by itself."""

from pathlib import Path
import tempfile
import unittest
from unittest import mock

import stevedore.extension

from mydriver import exception
from mydriver.nova_virt import connector_properties, plugins
from tests.fakes.initiator import PORTALS, TARGET

KEY = f'{PORTALS[0]}-{TARGET}'


class FolderTestCase(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))


class PropertiesTest(FolderTestCase):
    """Connector properties are cached until they change."""

    def setUp(self):
        super().setUp()
        self.name = self.folder / 'initiatorname.iscsi'
        self.name.write_text('InitiatorName=iqn.a')
        self.asked = 0

    def collect(self):
        self.asked += 1
        text = self.name.read_text() if self.name.exists() else ''
        return {'initiator': text.removeprefix('InitiatorName='),
                'list': [self.asked]}

    def test_asked_once(self):
        kept = connector_properties.ConnectorProperties([self.name])
        first = kept.get(self.collect)
        first['mydriver'] = first['list'].append('spoilt')
        self.assertEqual({'initiator': 'iqn.a', 'list': [1]},
                         kept.get(self.collect))

    def test_asked_again_when_a_file_changes(self):
        kept = connector_properties.ConnectorProperties(
            [self.name, self.folder])
        kept.get(self.collect)
        self.name.write_text('InitiatorName=iqn.other')
        self.assertEqual('iqn.other', kept.get(self.collect)['initiator'])
        (self.folder / 'host7').mkdir()
        self.assertEqual([3], kept.get(self.collect)['list'])

    def test_asked_again_when_old(self):
        kept = connector_properties.ConnectorProperties([self.name],
                                                        max_age_s=-1)
        kept.get(self.collect)
        self.assertEqual([2], kept.get(self.collect)['list'])

    def test_without_a_name_nothing_is_kept(self):
        kept = connector_properties.ConnectorProperties([])
        self.name.unlink()
        self.assertEqual('', kept.get(self.collect)['initiator'])
        self.name.write_text('InitiatorName=iqn.a')
        self.assertEqual('iqn.a', kept.get(self.collect)['initiator'])


class PluginsTest(unittest.TestCase):
    """Volume drivers from packages."""

    def found(self, *entries):
        """Have stevedore find entry points: name, value."""
        points = [mock.Mock(spec=['name', 'value', 'module', 'attr', 'load'])
                  for _ in entries]
        for point, (name, loads) in zip(points, entries, strict=True):
            point.name, point.value = name, f'package:{name}'
            point.module, point.attr = 'package', name
            point.load.side_effect = loads
        self.enterContext(mock.patch.object(
            stevedore.extension.ExtensionManager, 'list_entry_points',
            return_value=points))

    def test_one_that_cannot_be_loaded(self):
        self.found(('nvme', ImportError('no module named x')))
        with self.assertRaises(exception.ConfigurationError) as caught:
            plugins.volume_driver_classes()
        self.assertIn('package:nvme', str(caught.exception))
        self.assertIn('no module named x', str(caught.exception))

    def test_two_for_one_type(self):
        self.found(('nvme', lambda: str), ('nvme', lambda: int))
        with self.assertRaisesRegex(
                exception.ConfigurationError, 'more than one'):
            plugins.volume_driver_classes()

    def test_one_that_cannot_be_made(self):
        with self.assertRaisesRegex(
                exception.ConfigurationError, 'builtins.int cannot be made'):
            plugins.volume_driver('nvme', int, object())
