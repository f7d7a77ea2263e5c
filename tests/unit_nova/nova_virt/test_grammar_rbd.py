# SPDX-License-Identifier: Apache-2.0
"""Connection data for RBD, as stock Nova and stock os-brick read it."""

import dataclasses
import unittest
from unittest import mock

from lxml import etree
import nova.conf
from nova.virt.libvirt.volume import net
from os_brick import exception as brick_exception
from os_brick.initiator.connectors import rbd as brick_rbd

from mydriver import model
from mydriver.connection import rbd

VOLUME = '9480dfc5-bffe-464e-9658-22036e7a43fc'
SECRET = '457eb676-33da-42ec-9a8c-9293d545c337'
CONNECTION = rbd.Connection(
    VOLUME, 'volumes', f'volume-{VOLUME}',
    (model.Portal('192.0.2.1', 6789), model.Portal('2001:db8::1', 3300)),
    'cinder', SECRET)
DISK = {'bus': 'virtio', 'dev': 'vdb', 'type': 'disk'}


class Host:
    """As much of nova.virt.libvirt.host.Host as a volume driver needs."""

    #: The libvirt secret of a volume that QEMU decrypts.
    passphrase = None

    def find_secret(self, usage_type, usage_id):
        """Return the secret of an encrypted volume."""
        assert (usage_type, usage_id) == ('volume', VOLUME)
        return self.passphrase


class NovaTest(unittest.TestCase):
    """What Nova's own volume driver makes of it."""

    def setUp(self):
        super().setUp()
        self.host = Host()
        # What nova.conf says must not matter.
        for name in ('rbd_user', 'rbd_secret_uuid'):
            nova.conf.CONF.set_override(name, 'elsewhere', 'libvirt')
            self.addCleanup(nova.conf.CONF.clear_override, name, 'libvirt')

    def disk(self, wanted=CONNECTION, **more):
        driver = net.LibvirtNetVolumeDriver(self.host)
        info = {'driver_volume_type': 'rbd', 'serial': VOLUME,
                'data': {**wanted.to_data(), **more.pop('data', {})}, **more}
        self.assertIsNone(driver.connect_volume(info, None))
        self.assertEqual(7 << 30, driver.extend_volume(info, None, 7 << 30))
        return etree.fromstring(driver.get_config(info, DISK).to_xml())

    def test_disk(self):
        disk = self.disk()
        self.assertEqual('network', disk.get('type'))
        source = disk.find('source')
        self.assertEqual(
            {'protocol': 'rbd', 'name': f'volumes/volume-{VOLUME}'},
            dict(source.attrib))
        self.assertEqual(
            [('192.0.2.1', '6789'), ('2001:db8::1', '3300')],
            [(h.get('name'), h.get('port')) for h in source.findall('host')])
        self.assertEqual('cinder', disk.find('auth').get('username'))
        self.assertEqual({'type': 'ceph', 'uuid': SECRET},
                         dict(disk.find('auth/secret').attrib))
        self.assertEqual('unmap', disk.find('driver').get('discard'))
        self.assertEqual(VOLUME, disk.findtext('serial'))
        for absent in ('readonly', 'shareable', 'encryption', 'iotune'):
            self.assertIsNone(disk.find(absent), absent)

    def test_read_only(self):
        self.assertIsNotNone(self.disk(dataclasses.replace(
            CONNECTION, read_only=True)).find('readonly'))

    def test_several_servers(self):
        self.assertIsNotNone(self.disk(multiattach=True).find('shareable'))

    def test_limits_of_the_front_end(self):
        tune = self.disk(data={'qos_specs': {'total_iops_sec': '100'}})
        self.assertEqual('100', tune.findtext('iotune/total_iops_sec'))

    def test_qemu_decrypts(self):
        self.host.passphrase = mock.Mock(
            **{'UUIDString.return_value': VOLUME})
        disk = self.disk(dataclasses.replace(CONNECTION, encrypted=True))
        self.assertEqual('luks', disk.find('encryption').get('format'))
        self.assertIsNone(disk.find('driver').get('discard'))

    def test_a_cluster_without_authentication(self):
        nova.conf.CONF.clear_override('rbd_secret_uuid', 'libvirt')
        self.assertIsNone(self.disk(dataclasses.replace(
            CONNECTION, user=None, secret_uuid=None)).find('auth'))


class BrickTest(unittest.TestCase):
    """What os-brick makes of it, for cinder-backup and Cinder's copies."""

    def test_handle(self):
        opened = []
        with (mock.patch.object(brick_rbd, 'linuxrbd') as linux,
              mock.patch.object(
                  brick_rbd.RBDConnector, '_create_ceph_conf',
                  side_effect=lambda *a: opened.append(a) or '/conf')):
            found = brick_rbd.RBDConnector('').connect_volume(
                CONNECTION.to_data())
        self.assertIs(linux.RBDVolumeIOWrapper.return_value, found['path'])
        self.assertEqual(
            [(['192.0.2.1', '2001:db8::1'], ['6789', '3300'], 'ceph',
              'cinder', None)], opened)
        linux.RBDClient.assert_called_once_with(
            'cinder', 'volumes', conffile='/conf', rbd_cluster_name='ceph')
        self.assertEqual(f'volume-{VOLUME}',
                         linux.RBDVolume.call_args.args[1])

    def test_the_key_is_in_a_file_of_that_host(self):
        with self.assertRaises(brick_exception.BrickException) as caught:
            brick_rbd.RBDConnector('').connect_volume(dataclasses.replace(
                CONNECTION, cluster='nowhere').to_data())
        # os-brick's text is lost: it passes it under another name.
        missing = caught.exception.__context__
        while not isinstance(missing, FileNotFoundError):
            missing = missing.__context__
        self.assertEqual('/etc/ceph/nowhere.client.cinder.keyring',
                         missing.filename)

    def test_ipv6_gets_its_brackets_there(self):
        self.assertEqual(
            ['192.0.2.1', '[2001:db8::1]'],
            brick_rbd.RBDConnector._sanitize_mon_hosts(
                CONNECTION.to_data()['hosts']))
