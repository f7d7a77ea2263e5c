# SPDX-License-Identifier: Apache-2.0
"""Who exports the volumes of a backend: this host, or gateways."""

import unittest
from unittest import mock

from mydriver import exception, model
from mydriver.backend import devices, settings
from mydriver.ceph import cluster
from mydriver.cinder_volume import base
from mydriver.stores import native
from mydriver.target import factory, pool
from mydriver.target.gateways import factory as gateways

VOLUME = '11111111-2222-4333-8444-555555555555'
LOCAL = pool.Settings('be', 'iqn.2010-10.org.openstack:', (), False, '/x')
GATEWAYS = pool.Settings(
    'be', 'iqn.2010-10.org.openstack:', (), False, '/x',
    gateways=pool.Gateways(((model.Portal('192.0.2.51'),),)))


class KernelEngineTest(unittest.TestCase):
    """The engine that cinder-volume runs with."""

    def setUp(self):
        super().setUp()
        self.engine, self.store = base.KernelEngine(), mock.Mock()
        self.built = {module: self.enterContext(mock.patch.object(
            module, name)) for module, name in (
                (factory, 'build'), (gateways, 'build_service'))}
        self.enterContext(mock.patch.object(
            settings, 'ceph_of', return_value=cluster.Settings('volumes')))
        self.enterContext(mock.patch.object(
            gateways, 'settings_of', lambda wanted, _: (wanted, 'known')))

    def test_this_host(self):
        self.assertIs(self.built[factory].return_value,
                      self.engine.exports_of({}, LOCAL, self.store))
        self.built[gateways].assert_not_called()
        args, options = self.built[factory].call_args
        self.assertIs(LOCAL, args[0])
        self.assertIsInstance(args[1], devices.StoreDevices)
        self.assertEqual({'replace_damaged': True}, options)

    def test_gateways(self):
        self.assertIs(self.built[gateways].return_value,
                      self.engine.exports_of({}, GATEWAYS, self.store))
        self.built[factory].assert_not_called()
        (wanted, connection, theirs, here), _ = self.built[gateways].call_args
        self.assertEqual((GATEWAYS, 'known'), wanted)
        self.assertEqual('volumes', connection.settings.pool)
        self.assertIsInstance(theirs, devices.DistantDevices)
        self.assertIsInstance(here, devices.StoreDevices)

    def test_devices_of_gateways_are_only_described(self):
        theirs = devices.DistantDevices(self.store)
        users = self.enterContext(mock.patch.object(native, 'of')
                                  ).return_value.native_users
        users.return_value = ()
        self.assertIs(self.store.device.return_value, theirs.bring_up(VOLUME))
        theirs.let_down(VOLUME)
        self.store.bring_up.assert_not_called()
        self.store.let_down.assert_not_called()
        # A gateway must not open what a guest has open already.
        users.return_value = ('compute-1',)
        with self.assertRaises(exception.UsedNatively):
            theirs.bring_up(VOLUME)
