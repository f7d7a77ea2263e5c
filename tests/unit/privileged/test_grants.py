# SPDX-License-Identifier: Apache-2.0
"""What root's configuration grants."""

import os
from pathlib import Path
import tempfile
import textwrap
import unittest
from unittest import mock

import ddt
from oslo_config import cfg

from mydriver import exception
from mydriver.backend import opts
from mydriver.cmd import backends
from mydriver.privileged import grants, owners
from mydriver.stores.lvmthin import store as lvmthin

CONF = """
    [DEFAULT]
    enabled_backends = files, disks, named, theirs, nowhere, odd, ceph, local
    state_path = /srv
    [backend_defaults]
    mydriver_store_path = $state_path/volumes
    target_port = 3261
    [files]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    [disks]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_store = lvmthin
    mydriver_store_path = vg
    [named]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_store = lvmthin
    mydriver_store_path = vg/thin
    target_port = 860
    [theirs]
    volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver
    [off]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_store_path = /off
    [odd]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    target_port = many
    [ceph]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_store = rbd
    mydriver_gateway_addresses = 192.0.2.51 + 2001:db8:0::51, 192.0.2.52
    mydriver_gateway_interface = eth1, eth2
    [local]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_gateway_addresses = 192.0.2.53
    mydriver_store_path = local
    [elsewhere]
    volume_driver = mydriver.cinder_volume.driver.LIODriver
    mydriver_store = rbd
    mydriver_gateway_addresses = 192.0.2.54
"""


@ddt.ddt
class GrantsTest(unittest.TestCase):
    """Sections of our driver that are enabled, and nothing else."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name, 'cinder.conf')
        self.addCleanup(cfg.CONF.clear)

    def read(self, text=CONF):
        """Return what the text allows; whose file it is does not matter."""
        self.file.write_text(textwrap.dedent(text))
        cfg.CONF(['--config-file', str(self.file)], project='mydriver')
        with mock.patch.object(owners, 'check_owner'):
            return grants.current()

    def test_places_of_our_backends(self):
        self.assertEqual((
            grants.Grant('files', 'fileio', '/srv/volumes', port=3261),
            grants.Grant('disks', 'iblock', 'vg', 'mydriver', True, 3261),
            grants.Grant('named', 'iblock', 'vg', 'thin', False, 860)),
            self.read())
        with mock.patch.object(owners, 'check_owner'):
            self.assertEqual({'mydriver', 'thin'}, set(grants.pools_of('vg')))
            self.assertEqual({3261, 860}, grants.ports())
            self.assertEqual('/srv/volumes', grants.of_backend(
                'files', 'fileio').place)
            for backend, kind in (('files', 'iblock'), ('off', 'fileio'),
                                  ('theirs', 'iblock')):
                with self.assertRaisesRegex(exception.RequestRefused,
                                            'gives it no place'):
                    grants.of_backend(backend, kind)
            with self.assertRaisesRegex(exception.RequestRefused,
                                        'to no backend'):
                grants.pools_of('other')

    def test_floating_addresses_of_our_backends(self):
        self.read()
        with mock.patch.object(owners, 'check_owner'):
            self.assertEqual(
                dict.fromkeys(('192.0.2.51', '2001:db8::51', '192.0.2.52'),
                              ('eth1', 'eth2')), grants.floating())
        for wrong in ('192.0.2.51, gateway', '192.0.2.256', '192.0.2.51/24',
                      'fe80::1%eth0'):
            self.read(CONF.replace('192.0.2.52\n', f'{wrong}\n'))
            with mock.patch.object(owners, 'check_owner'):
                self.assertEqual({}, grants.floating())

    def test_pools_of_ceph(self):
        text = """
            [DEFAULT]
            enabled_backends = ceph, other, odd, none, relative
            [backend_defaults]
            volume_driver = mydriver.cinder_volume.driver.LIODriver
            mydriver_store = rbd
            mydriver_store_path = /srv
            [ceph]
            mydriver_rbd_pool = volumes
            [other]
            mydriver_rbd_pool = fast
            mydriver_rbd_user = two
            mydriver_rbd_ceph_conf = /etc/ceph/two.conf
            [odd]
            mydriver_rbd_pool = volumes image -
            [none]
            [relative]
            mydriver_rbd_pool = x
            mydriver_rbd_ceph_conf = ceph.conf
            """
        conf = '/etc/ceph/ceph.conf'
        self.assertEqual((
            grants.Grant('ceph', 'iblock', 'volumes', ceph_conf=conf,
                         ceph_user='cinder'),
            grants.Grant('other', 'iblock', 'fast',
                         ceph_conf='/etc/ceph/two.conf', ceph_user='two')),
            self.read(text))
        with mock.patch.object(owners, 'check_owner'):
            self.assertEqual('cinder',
                             grants.ceph_pool(conf, 'volumes').ceph_user)
            for asked in ((conf, 'fast'), ('/tmp/x', 'volumes'), ('', ''),
                          (None, None), ('', 'volumes')):
                with self.assertRaisesRegex(exception.RequestRefused,
                                            'to no backend'):
                    grants.ceph_pool(*asked)
            with self.assertRaises(exception.RequestRefused):
                grants.pools_of('volumes')

    def test_files_are_read_again_when_they_change(self):
        self.read()
        self.assertEqual((), self.read('[DEFAULT]\nenabled_backends = x\n'))

    def test_the_environment_says_nothing(self):
        with mock.patch.dict(os.environ, {
                'OS_FILES__MYDRIVER_STORE_PATH': '/etc',
                'OS_BACKEND_DEFAULTS__MYDRIVER_STORE_PATH': '/etc'}):
            self.assertEqual('/srv/volumes', self.read()[0].place)

    def test_no_file_no_place(self):
        cfg.CONF([], project='mydriver', default_config_files=[],
                 default_config_dirs=[])
        self.assertEqual((), grants.current())
        with self.assertRaisesRegex(exception.RequestRefused,
                                    'no --config-file of the daemon'):
            grants.of_backend('files', 'fileio')

    def test_a_folder_of_files(self):
        folder = self.file.parent / 'conf.d'
        folder.mkdir()
        (folder / '1.conf').write_text(textwrap.dedent(CONF))
        (folder / 'not').write_text('[files]\nvolume_driver = x\n')
        cfg.CONF(['--config-dir', str(folder)], project='mydriver',
                 default_config_files=[])
        with mock.patch.object(owners, 'check_owner') as check:
            self.assertEqual(3, len(grants.current()))
        self.assertEqual({str(folder), f'{folder}/1.conf'},
                         {c.args[0] for c in check.call_args_list})

    def test_a_file_that_is_none(self):
        self.read()
        self.file.write_text('nonsense')
        with mock.patch.object(owners, 'check_owner'), \
                self.assertRaises(exception.ConfigurationError):
            grants.current()

    def test_options_are_the_drivers(self):
        theirs = {o.name: o for o in (
            *opts.VOLUME_OPTS, *backends.BACKEND_OPTS, *backends.GLOBAL_OPTS)}
        for opt in (*grants.BACKEND_OPTS, *grants.GLOBAL_OPTS):
            if opt.name != 'volume_driver':
                self.assertEqual(theirs[opt.name].default, opt.default)
        self.assertEqual(backends.DRIVER, grants.DRIVER)
        self.assertEqual(lvmthin.POOL, grants.POOL)
