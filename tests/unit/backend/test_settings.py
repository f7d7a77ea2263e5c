# SPDX-License-Identifier: Apache-2.0
"""From a backend's options to the settings of store and exports."""

import os
import unittest

import ddt

from mydriver import exception, model
from mydriver.backend import settings
from mydriver.target import pool
from tests.fakes import filesystem

DEFAULTS = {
    'target_prefix': 'iqn.2010-10.org.openstack:',
    'target_ip_address': '192.0.2.1', 'target_port': 3260,
    'target_protocol': 'iscsi', 'use_chap_auth': True,
    'mydriver_state_path': '/var/lib/cinder/mydriver',
    'mydriver_discovery_timeout': 2.0, 'mydriver_gateway_lease': 6,
}


class Options(dict):
    """A backend's options in memory."""

    safe_get = dict.get


CEPH = {'mydriver_store': 'rbd', 'mydriver_rbd_pool': 'volumes',
        'mydriver_rbd_user': 'cinder',
        'mydriver_rbd_ceph_conf': '/etc/ceph/ceph.conf'}


def options(**changed) -> Options:
    """Return options that are right, but for these."""
    return Options({**DEFAULTS, **changed})


@ddt.ddt
class SettingsTest(unittest.TestCase):
    """What is taken, and what is refused."""

    def test_portals_in_order_and_each_once(self):
        found = settings.of_service(options(
            target_ip_address='192.0.2.2',
            target_secondary_ip_addresses=[
                '2001:db8::1', '192.0.2.2', '2001:0db8::0001']), 'disks')
        self.assertEqual(
            (model.Portal('192.0.2.2'), model.Portal('2001:db8::1')),
            found.portals)

    def test_chap_is_off_only_when_that_was_said(self):
        """Cinder has None for a value with the name of no option."""
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'use_chap_auth: the value refers to'):
            settings.of_service(options(use_chap_auth=None), 'disks')

    def test_each_backend_has_a_state_of_its_own(self):
        self.assertEqual(
            ['/var/lib/cinder/mydriver/a', '/var/lib/cinder/mydriver/b'],
            [settings.of_service(options(), n).state_path for n in 'ab'])

    @ddt.data('0.0.0.0', '::', '224.0.0.1', 'ff02::1', '255.255.255.255',
              'fe80::1', 'fe80::1%eth0', '::ffff:192.0.2.1', '[::]')
    def test_an_address_that_no_host_can_log_in_at(self, address):
        for option, value in (
                ('target_ip_address', address),
                ('target_secondary_ip_addresses', ['192.0.2.9', address])):
            with self.assertRaises(exception.ConfigurationError) as caught:
                settings.of_service(options(**{option: value}), 'disks')
            self.assertEqual(option, caught.exception.option)
            self.assertIn(address, str(caught.exception))

    @ddt.data('127.0.0.1', '::1', '169.254.1.2', 'fd00::1', '2001:db8::1')
    def test_an_address_that_a_host_may_log_in_at(self, address):
        found = settings.of_service(
            options(target_ip_address=address), 'disks')
        self.assertEqual((model.Portal(address),), found.portals)

    def test_brackets_do_not_make_another_portal(self):
        found = settings.of_service(options(
            target_ip_address='::1',
            target_secondary_ip_addresses=['[::1]', '0:0::1']), 'disks')
        self.assertEqual((model.Portal('::1'),), found.portals)

    @ddt.data('', '.', '..', 'a/b', '../a')
    def test_a_section_that_cannot_name_a_folder(self, name):
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    'cannot name a directory'):
            settings.of_service(options(), name)

    @ddt.data(
        ('ssd fast', 'white space'), ('ssd\tfast', 'white space'),
        ('x\n', 'white space'),
        ('x' * 300, 'longer than 209 bytes'),
        ('\u30db' * 70, 'longer than 209 bytes'),
    )
    @ddt.unpack
    def test_a_section_that_cannot_name_a_backstore(self, name, text):
        with self.assertRaisesRegex(exception.ConfigurationError,
                                    text) as caught:
            settings.of_service(options(), name)
        self.assertEqual(f'[{name[:80]}]', caught.exception.option)
        self.assertNotIn('target_prefix', str(caught.exception))

    @ddt.data('x' * 209, '\u30db' * 69, 'a*b[c?', 'SSD_1')
    def test_a_section_that_names_all(self, name):
        found = settings.of_service(options(), name)
        self.assertEqual(4, len(set(pool.pool(found, 'h' * 63))))

    @ddt.data(
        ({'target_protocol': 'iser'}, 'target_protocol'),
        ({'target_prefix': 'org.openstack:'}, 'target_prefix'),
        ({'target_ip_address': 'storage.example.org'}, 'target_ip_address'),
        ({'target_secondary_ip_addresses': ['192.0.2.256']},
         'target_secondary_ip_addresses'),
        ({'mydriver_state_path': 'state'}, 'mydriver_state_path'),
    )
    @ddt.unpack
    def test_a_wrong_option_is_named(self, changed, name):
        with self.assertRaises(exception.ConfigurationError) as caught:
            settings.of_service(options(**changed), 'disks')
        self.assertEqual(name, caught.exception.option)
        self.assertTrue(caught.exception.remedy.endswith(('.', ':')))

    @ddt.data(None, '')
    def test_the_place_of_the_store_is_required(self, path):
        with self.assertRaises(exception.ConfigurationError) as caught:
            settings.store_of(Options(mydriver_store='reflink',
                                      mydriver_store_path=path), 'disks')
        self.assertEqual('mydriver_store_path', caught.exception.option)

    def test_a_pool_of_ceph(self):
        found = settings.store_of(options(
            **CEPH,
            mydriver_rbd_max_clone_depth=5), 'ceph')
        self.assertEqual('volumes (/etc/ceph/ceph.conf)', found.location)
        self.assertTrue(found.traits.native)

    @ddt.data(
        ({'mydriver_rbd_pool': None}, 'mydriver_rbd_pool'),
        ({'mydriver_rbd_pool': 'a b'}, 'mydriver_rbd_pool'),
        ({'mydriver_rbd_pool': '../x'}, 'mydriver_rbd_pool'),
        ({'mydriver_rbd_pool': 'volumes\n'}, 'mydriver_rbd_pool'),
        ({'mydriver_rbd_user': 'a,key=x'}, 'mydriver_rbd_user'),
        ({'mydriver_rbd_user': ''}, 'mydriver_rbd_user'),
        ({'mydriver_rbd_ceph_conf': 'ceph.conf'}, 'mydriver_rbd_ceph_conf'))
    @ddt.unpack
    def test_a_wrong_option_of_ceph_is_named(self, changed, name):
        with self.assertRaises(exception.ConfigurationError) as caught:
            settings.store_of(options(**{
                **CEPH,
                **changed}), 'ceph')
        self.assertEqual(name, caught.exception.option)


@ddt.ddt
class GatewaysTest(unittest.TestCase):
    """A backend with floating addresses."""

    def settings(self, *entries, **changed):
        """Return the settings of a backend with these addresses."""
        return settings.of_service(options(**{
            'mydriver_store': 'rbd', 'mydriver_gateway_addresses': entries,
            **changed}), 'disks')

    def test_without_gateways_nothing_changes(self):
        found = settings.of_service(options(), 'disks')
        self.assertIsNone(found.gateways)
        self.assertEqual(4, found.targets)
        self.assertEqual(8, settings.of_service(
            options(mydriver_targets=8), 'disks').targets)
        for target in pool.pool(found, 'host'):
            self.assertEqual(found.portals, found.portals_of(target))

    def test_each_target_has_portals_of_its_own(self):
        found = pool.of_cluster(self.settings(
            '192.0.2.51 + 2001:db8::0051', '192.0.2.52', target_port=3261,
            mydriver_gateway_lease=9, mydriver_gateway_interface=['eth1']),
            '3e5a6d2c-0000-4111-8222-333344445555', 7)
        self.assertEqual(2, found.targets)
        first, second = pool.pool(found)
        one, other, two = (model.Portal(a, 3261) for a in (
            '192.0.2.51', '2001:db8::51', '192.0.2.52'))
        self.assertEqual((one, other), found.portals_of(first))
        self.assertEqual((two,), found.portals_of(second))
        self.assertEqual((one, other, two), found.portals)
        self.assertEqual((9, ('eth1',)), (found.gateways.lease_s,
                                          found.gateways.interfaces))
        self.assertEqual((), found.portals_of(
            model.Iqn(str(first)[:-1] + '2')))

    @ddt.data(
        (('192.0.2.51', '192.0.2.51'), 'twice'),
        (('192.0.2.51+192.0.2.51',), 'twice'),
        (('2001:db8::1', '2001:db8:0::1'), 'twice'),
        (('192.0.2.1',), 'address of this host'),
        (('192.0.2.9',), 'address of this host'),
        (('192.0.2.256',), 'not an IP address'),
        (('192.0.2.51+',), 'not an IP address'),
        (('gateway',), 'not an IP address'),
        (('192.0.2.51:3260',), 'not an IP address'),
        (('fe80::1%eth0',), 'scope'), (('fe80::1',), 'link-local'),
        (('127.0.0.9',), 'loopback'), (('::1',), 'loopback'),
        (('0.0.0.0',), 'all addresses'), (('224.0.0.1',), 'multicast'),
        (('::ffff:192.0.2.51',), 'IPv4 address'),
        (tuple(f'192.0.2.{n}' for n in range(10, 75)), '65 entries'))
    @ddt.unpack
    def test_a_wrong_address(self, entries, text):
        with self.assertRaisesRegex(exception.ConfigurationError, text
                                    ) as caught:
            self.settings(*entries,
                          target_secondary_ip_addresses=['192.0.2.9'])
        self.assertEqual('mydriver_gateway_addresses',
                         caught.exception.option)
        self.assertTrue(caught.exception.remedy.endswith('.'))
        self.assertNotIn('..', str(caught.exception))

    def test_a_wrong_prefix(self):
        with self.assertRaises(exception.ConfigurationError) as caught:
            self.settings('192.0.2.51', target_prefix='no')
        self.assertEqual('target_prefix', caught.exception.option)
        self.assertNotIn('..', str(caught.exception))

    @ddt.data('reflink', 'lvmthin')
    def test_a_store_that_is_on_one_host(self, store):
        with self.assertRaises(exception.ConfigurationError) as caught:
            self.settings('192.0.2.51', mydriver_store=store)
        self.assertIn('only serve the store rbd', str(caught.exception))

    def test_a_number_of_targets_as_well(self):
        with self.assertRaises(exception.ConfigurationError) as caught:
            self.settings('192.0.2.51', mydriver_targets=1)
        self.assertEqual('mydriver_targets', caught.exception.option)


class StateTest(unittest.TestCase):
    """The directory of the state."""

    def setUp(self):
        super().setUp()
        self.folder = filesystem.folder(self)

    def test_it_is_made_for_the_service_alone(self):
        path = os.path.join(self.folder, 'a/b')
        settings.prepare_state(path)
        settings.prepare_state(path)
        self.assertEqual(0o700, os.stat(path).st_mode & 0o777)

    def refused(self, path):
        """Return the text with which a directory is refused."""
        with self.assertRaises(exception.ConfigurationError) as caught:
            settings.prepare_state(path)
        self.assertEqual('mydriver_state_path', caught.exception.option)
        return str(caught.exception)

    def test_a_file_in_its_place(self):
        path = os.path.join(self.folder, 'file')
        with open(path, 'w'):
            pass
        self.assertIn('File exists', self.refused(path))

    def test_a_folder_of_another_user(self):
        os.chmod(self.folder, 0o500 if os.geteuid() else 0o700)
        if os.geteuid() == 0:
            os.chown(self.folder, 0, 0)
            os.setresuid(filesystem.NOBODY, filesystem.NOBODY, 0)
            self.addCleanup(os.setresuid, 0, 0, 0)
        self.assertIn('it cannot be written', self.refused(self.folder))
