# SPDX-License-Identifier: Apache-2.0
"""The page about the driver says what the driver does.

The entry for Cinder's support matrix is compared with the driver and with the
features page, whose claims name their tests.
"""

import configparser
from pathlib import Path
import re
import unittest
from unittest import mock

from cinder.volume import driver as cinder_driver

from mydriver.backend import opts
from mydriver.cinder_volume import driver, protocols, stats
from mydriver.stores import base
from mydriver.stores.lvmthin import store as lvmthin
from mydriver.stores.rbd import store as rbd
from mydriver.stores.reflink import store as reflink

SOURCE = Path(__file__).resolve().parents[3] / 'doc' / 'source'
PAGE = (SOURCE / 'driver.rst').read_text()
STORES = {'lvmthin': lvmthin.LvmThinStore, 'rbd': rbd.RbdStore,
          'reflink': reflink.ReflinkStore}

#: The stores as the features page has them.
COLUMNS = ('reflink', 'lvmthin', 'rbd')

#: Operations of Cinder's matrix, with their rows on the features page.
ROWS = {
    'supported': None,
    'online_extend_support': 'Extend an attached volume',
    'qos': 'QoS',
    'volume_replication': 'Volume replication',
    'consistency_groups': 'Consistency groups',
    'thin_provisioning': 'Thin provisioning',
    'volume_migration_storage_assisted':
        'Volume migration (storage assisted)',
    'multi-attach': 'Multi-attach',
    'revert_to_snapshot_assisted': 'Revert to snapshot',
    'active_active_ha': 'Active/active high availability',
}


def entry():
    """Return what the entry says of each operation, and its notes."""
    matrix = configparser.ConfigParser(interpolation=None)
    with (SOURCE / 'support-matrix.ini').open() as file:
        matrix.read_file(file)
    operations = {name.removeprefix('operation.'): dict(matrix[name])
                  for name in matrix.sections()
                  if name.startswith('operation.')}
    assert matrix['driver.mydriver']['title']
    return operations


def pool_of(store):
    """Return the pool that a backend with a store of a class reports."""
    one = mock.create_autospec(base.VolumeStore, instance=True)
    one.traits = store.traits
    one.capacity.return_value = base.Capacity(0, 0, 0)
    one.names.return_value = []
    one.block_bytes.return_value = 512
    about = stats.Backend('name', '1', 'place', 0, 'auto', 'kind')
    return stats.build(about, one, lambda: None)['pools'][0]


def implements(method):
    """Tell whether the driver has a method that is not Cinder's own."""
    ours = getattr(driver.LIODriver, method, None)
    return ours is not None and ours is not getattr(
        cinder_driver.VolumeDriver, method, None)


def what_it_does():
    """Return, by operation, the names of the stores that have it."""
    pools = {name: pool_of(kind) for name, kind in STORES.items()}

    def reported(key):
        return {name for name, pool in pools.items() if pool.get(key) is True}

    def when(condition):
        return set(STORES) if condition else set()

    return {
        'supported': when(driver.LIODriver.CI_WIKI_NAME),
        'online_extend_support': reported('online_extend_support'),
        'qos': reported('QoS_support'),
        'volume_replication': reported('replication_enabled') & when(
            implements('failover_host')),
        'consistency_groups': reported('consistent_group_snapshot_enabled'),
        'thin_provisioning': reported('thin_provisioning_support'),
        'volume_migration_storage_assisted': when(
            implements('migrate_volume')),
        'multi-attach': reported('multiattach'),
        'revert_to_snapshot_assisted': when(
            implements('revert_to_snapshot')),
        'active_active_ha': {
            name for name, kind in STORES.items() if kind.traits.shared
            and driver.LIODriver.SUPPORTS_ACTIVE_ACTIVE},
    }


class SupportMatrixTest(unittest.TestCase):
    """doc/source/support-matrix.ini."""

    def test_it_says_what_the_driver_does(self):
        does = what_it_does()
        self.assertEqual(set(ROWS), set(does))
        self.assertEqual(
            {name: 'complete' if stores else 'missing'
             for name, stores in does.items()},
            {name: values['driver.mydriver']
             for name, values in entry().items()})

    def test_what_one_store_has_is_noted(self):
        for name, stores in what_it_does().items():
            if stores and stores != set(STORES):
                with self.subTest(name):
                    noted = entry()[name]['driver-notes.mydriver']
                    self.assertEqual(
                        sorted(stores),
                        re.findall(r'mydriver_store = (\w+)', noted))

    def test_it_has_the_form_of_cinders(self):
        for name, values in entry().items():
            with self.subTest(name):
                self.assertEqual('optional', values.pop('status'))
                self.assertTrue(values.pop('title'))
                self.assertLessEqual(
                    set(values), {'driver.mydriver', 'driver-notes.mydriver'})

    def test_the_features_page_says_the_same(self):
        rows = {name: stores for name, *stores in re.findall(
            r'^   \* - (.+)\n     - (.+)\n     - (.+)\n     - (.+)\n',
            (SOURCE / 'features.rst').read_text(), re.M)}
        does = what_it_does()
        for operation, row in ROWS.items():
            if row is not None:
                with self.subTest(row):
                    self.assertEqual(
                        [store in does[operation] for store in COLUMNS],
                        [cell.startswith('yes') for cell in rows[row]])


class DriverPageTest(unittest.TestCase):
    """doc/source/driver.rst."""

    def test_options_are_the_drivers(self):
        shown = {name: (default, ' '.join(text.split())) for
                 name, default, text in re.findall(
                     r'^   \* - ``(mydriver_\w+)`` =(?: ``(.*)``)?\n'
                     r'     - \(.*?\) ((?:.|\n {7})+)', PAGE, re.M)}
        self.assertEqual(
            {o.name: (self.default(o), ' '.join(
                o.help.strip().split('\n\n')[0].split()))
             for o in opts.VOLUME_OPTS}, shown)

    def default(self, option):
        """Return a default as the table shows it."""
        if option.default == []:
            return ''
        if option.default is None and option.sample_default is not None:
            return str(option.sample_default)
        return str(option.default)

    def test_the_example_can_be_used(self):
        example = PAGE.partition('Configuration example')[2].partition(
            '.. code-block:: ini\n')[2].partition('\nA backend')[0]
        conf = configparser.ConfigParser(interpolation=None)
        conf.read_string('\n'.join(
            line.strip() for line in example.splitlines()))
        known = {o.name for o in driver.LIODriver.get_driver_options()}
        names = conf['DEFAULT']['enabled_backends'].split(',')
        self.assertEqual(2, len(names))
        for name in names:
            with self.subTest(name):
                self.assertEqual(
                    set(), set(conf[name]) - set(conf.defaults()) - known
                    - {'volume_driver'})
                self.assertEqual(
                    f'{driver.LIODriver.__module__}.LIODriver',
                    conf[name]['volume_driver'])

    def test_extra_specs_are_those_that_are_read_or_reported(self):
        specs = set(re.findall(r'^   \* - ``([\w:]+)="', PAGE, re.M))
        reported = {key for kind in STORES.values() for key in pool_of(kind)}
        known = {'volume_backend_name', protocols.EXTRA_SPEC, *reported}
        self.assertGreater(len(specs), 5)
        self.assertEqual(set(), specs - known)
