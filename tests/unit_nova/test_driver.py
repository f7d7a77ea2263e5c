# SPDX-License-Identifier: Apache-2.0
"""What nova calls: the compute driver, the volume driver, the connector."""

import inspect
from pathlib import Path
import tempfile
import unittest
from unittest import mock

from lxml import etree
import nova.conf
from nova.virt.libvirt import driver as nova_driver
from nova.virt.libvirt.volume import iscsi as nova_iscsi
from nova.virt.libvirt.volume import net as nova_net
from os_brick import exception as brick_exception
from os_brick.initiator.connectors import iscsi as brick_iscsi

from mydriver import connection, events, exception, model
from mydriver.initiator import host, sysfs
from mydriver.nova_virt import connector, driver, volume
from tests.fakes.initiator import MIB, OTHER, VOLUME, FakeHost, Lun

CONF = nova.conf.CONF
NAA = model.naa_id(VOLUME)


class Host:
    """As much of nova.virt.libvirt.host.Host as a volume driver needs."""

    @staticmethod
    def find_secret(usage_type, usage_id):
        """Return no libvirt secret."""

    def get_connection(self):
        """Return a connection to libvirt, which lists no secrets."""
        return self

    def listAllSecrets(self, flags):
        """Return the secrets."""
        return []


class DriverTest(unittest.TestCase):
    """``compute_driver = mydriver.LibvirtDriver``."""

    def setUp(self):
        super().setUp()
        # Nova's constructor wants libvirt, Cinder, Glance and Neutron.
        self.enterContext(mock.patch.object(
            nova_driver.LibvirtDriver, '__init__', self.construct))
        self.driver = driver.LibvirtDriver(None)

    @staticmethod
    def construct(self, virtapi):
        self.volume_drivers = {}
        self._host = Host()

    def volume_driver(self, driver_type):
        return self.driver._get_volume_driver(
            {'driver_volume_type': driver_type})

    def test_iscsi_is_ours(self):
        first = self.volume_driver('iscsi')
        self.assertIs(volume.LibvirtISCSIVolumeDriver, type(first))
        self.assertIs(connector.ISCSIConnector, type(first.connector))
        self.assertIs(first, self.volume_driver('iscsi'))

    def test_attach_and_detach_are_reported(self):
        info = {'driver_volume_type': 'iscsi', 'serial': VOLUME, 'data': {}}
        for name in ('attach_volume', 'detach_volume'):
            calls = self.enterContext(mock.patch.object(
                nova_driver.LibvirtDriver, name))
            with self.assertLogs('mydriver.events', 'INFO') as log:
                getattr(self.driver, name)(
                    'context', info, 'server', '/dev/vdb', encryption=None)
            calls.assert_called_once_with(
                'context', info, 'server', '/dev/vdb', encryption=None)
            event = events.parse(log.records[0].getMessage())
            self.assertEqual((name, VOLUME, 'ok'), (
                event.operation, event.volume_id, event.outcome))

    def test_all_else_is_novas(self):
        self.assertEqual('nova.virt.libvirt.volume.volume',
                         type(self.volume_driver('fake')).__module__)
        with self.assertRaises(nova.exception.VolumeDriverNotFound):
            self.volume_driver('floppy')

    def test_broken_plugin_stops_the_start(self):
        class Broken:
            def __init__(self, host):
                raise OSError('no such adapter')

        self.driver._classes = {'iscsi': Broken}
        started = []
        with mock.patch.object(nova_driver.LibvirtDriver, 'init_host',
                               lambda *a: started.append(a)):
            with self.assertRaisesRegex(
                    exception.ConfigurationError, 'no such adapter'):
                self.driver.init_host('node')
            self.assertEqual([], started)
            self.driver._classes = {}
            self.driver.init_host('node')
        self.assertEqual(1, len(started))

    def test_connector_is_marked(self):
        said = {'initiator': 'iqn.1993-08.org.debian:01:a', 'host': 'node'}
        with mock.patch.object(
                nova_driver.LibvirtDriver, 'get_volume_connector',
                return_value=said):
            got = self.driver.get_volume_connector(None)
        self.assertEqual(connection.Capabilities(True, True),
                         connection.Capabilities.of(got))
        self.assertEqual('node', got['host'])
        self.assertNotIn(connection.MARKER, said)

    def test_connector_tells_of_native_access(self):
        self.driver._native.secrets = lambda: frozenset({VOLUME})
        with mock.patch.object(
                nova_driver.LibvirtDriver, 'get_volume_connector',
                return_value={'host': 'node'}):
            got = self.driver.get_volume_connector(None)
        self.assertEqual(connection.Capabilities(
            True, True, frozenset({VOLUME})), connection.Capabilities.of(got))

    def test_rbd_is_novas(self):
        self.assertIs(nova_net.LibvirtNetVolumeDriver,
                      type(self.volume_driver('rbd')))

    def test_signatures_are_novas(self):
        """A changed signature in nova would go unnoticed otherwise."""
        for name in ('init_host', '_get_volume_driver',
                     'get_volume_connector'):
            self.assertEqual(
                list(inspect.signature(getattr(
                    nova_driver.LibvirtDriver, name)).parameters),
                list(inspect.signature(getattr(
                    driver.LibvirtDriver, name)).parameters), name)


class ConnectorTestCase(unittest.TestCase):
    """A connector on a host that is a directory."""

    def setUp(self):
        super().setUp()
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.host = FakeHost(folder / 'sys')
        self.compute = host.Host(
            self.host, folder / 'locks', sysfs.Sysfs(folder / 'sys'))
        self.connector = self.make()

    def make(self, **kwargs):
        return connector.ISCSIConnector(
            '', host=self.compute, **kwargs)

    def data(self, **kwargs):
        return {**self.host.connection().to_data(
            connection.Capabilities(True, True)), **kwargs}


class MultiattachTest(ConnectorTestCase):
    """Nova's own bookkeeping, on our volume driver."""

    def test_the_last_server_on_the_host_takes_the_device_along(self):
        with mock.patch.object(nova_driver.LibvirtDriver, '__init__',
                               DriverTest.construct):
            mine = driver.LibvirtDriver(None)
        mine._get_volume_driver({'driver_volume_type': 'iscsi'}).connector = (
            self.connector)
        mine._detach_encryptor = lambda *_a, **_k: None
        attached = {'server-a': {}, 'server-b': {}, 'elsewhere': {}}
        mine._volume_api = mock.Mock(**{
            'get.side_effect': lambda *_a: {'attachments': attached}})
        self.enterContext(mock.patch.object(
            nova_driver.objects.InstanceList, 'get_uuids_by_host',
            return_value=['server-a', 'server-b', 'another']))
        info = {'driver_volume_type': 'iscsi', 'serial': VOLUME,
                'multiattach': True, 'data': self.data()}
        for _ in range(2):
            mine._get_volume_driver(info).connect_volume(info, None)
        instance = mock.Mock(host='node')
        mine._disconnect_volume(None, info, instance)
        self.assertEqual(['sda'], self.host.names('class/block'))
        self.assertEqual([], self.host.flushed)
        del attached['server-a']
        mine._disconnect_volume(None, info, instance)
        self.assertEqual(['sda'], self.host.flushed)
        self.assertEqual({}, self.host.left)


class ConnectorTest(ConnectorTestCase):
    """os-brick's interface."""

    def test_single_path(self):
        data = self.data()
        self.assertEqual(
            {'type': 'block', 'path': '/dev/sda', 'scsi_wwn': f'3{NAA}'},
            self.connector.connect_volume(data))
        self.assertIsNone(self.connector.disconnect_volume(data, None))
        self.assertEqual({}, self.host.left)

    def reported(self, log):
        return [(e.operation, e.phase, e.volume_id, e.outcome) for e in (
            events.parse(r.getMessage()) for r in log.records)]

    def test_reports_its_operations_and_their_phases(self):
        data = self.data()
        with self.assertLogs('mydriver.events', 'INFO') as log:
            self.connector.connect_volume(data)
            self.connector.disconnect_volume(data, None)
        self.assertEqual([
            (operation, phase, VOLUME, 'ok') for operation, *phases in (
                ('connect_volume', 'lock', 'login', 'scan', 'prove', ''),
                ('disconnect_volume', 'lock', 'users', 'flush', 'remove',
                 'logout', '')) for phase in phases], self.reported(log))

    def test_reports_phases_in_the_threads_of_multipath(self):
        self.host.multipathd = True
        with self.assertLogs('mydriver.events', 'INFO') as log:
            self.make(use_multipath=True).connect_volume(self.data())
        phases = [phase for _, phase, *_ in self.reported(log)]
        for phase in ('login', 'scan', 'prove'):
            self.assertEqual(2, phases.count(phase), phase)
        self.assertEqual(['multipath', ''], phases[-2:])

    def test_multipath(self):
        self.host.multipathd = True
        self.assertEqual(
            {'type': 'block', 'path': '/dev/dm-0', 'scsi_wwn': f'3{NAA}',
             'multipath_id': f'3{NAA}'},
            self.make(use_multipath=True).connect_volume(self.data()))

    def test_multipath_without_multipathd(self):
        wants = self.make(use_multipath=True)
        with mock.patch.object(wants, 'supports_multipath',
                               return_value=False):
            self.assertEqual(
                '/dev/sda', wants.connect_volume(self.data())['path'])
            with self.assertRaises(brick_exception.BrickException):
                wants.connect_volume(self.data(enforce_multipath=True))

    def test_extend(self):
        data = self.data()
        self.connector.connect_volume(data)
        self.host.luns[1].size_bytes = 64 * MIB
        self.assertEqual(64 * MIB, self.connector.extend_volume(data))

    def test_extend_where_it_is_not(self):
        """Nova knows os-brick's error for it."""
        with self.assertRaises(brick_exception.VolumePathsNotFound):
            self.connector.extend_volume(self.data())

    def test_ignored_errors(self):
        data = self.data()
        self.connector.connect_volume(data)

        def refuse(session):
            raise exception.InitiatorError('log out', 'no answer')

        self.host.logout = refuse
        with self.assertRaises(exception.InitiatorError):
            self.connector.disconnect_volume(data, None, force=True)
        self.connector.disconnect_volume(
            data, None, force=True, ignore_errors=True)

    def test_encrypted(self):
        links = {}
        root = 'os_brick.utils.priv_rootwrap'
        self.enterContext(mock.patch(
            f'{root}.link_root',
            lambda target, link, force: links.update({link: target})))
        self.enterContext(mock.patch(f'{root}.unlink_root', links.pop))
        self.udev_links('sda')
        data = self.data(encrypted=True)
        path = self.connector.connect_volume(data)['path']
        self.assertEqual({path: '/dev/sda'}, links)
        self.connector.disconnect_volume({**data, 'device_path': path}, None)
        self.assertEqual({}, links)
        self.assertEqual({}, self.host.left)

    def udev_links(self, *disks):
        """Have a directory of links, as udev makes them, to these disks."""
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for disk in disks:
            (folder / f'wwn-of-{disk}').symlink_to(f'/dev/{disk}')
        self.enterContext(mock.patch.object(connector, 'BY_ID', folder))
        self.enterContext(mock.patch.object(
            connector, 'LINKS_TIMEOUT_S', 0.1))

    def test_encrypted_and_udev_makes_no_links(self):
        self.udev_links('sdz')
        self.enterContext(mock.patch(
            'os_brick.utils.priv_rootwrap.link_root', return_value=None))
        with self.assertLogs('mydriver', 'WARNING') as logged:
            path = self.connector.connect_volume(
                self.data(encrypted=True))['path']
        self.assertIn('udev to link sda', logged.output[0])
        self.assertIn('sda', path)

    def test_encrypted_and_no_link(self):
        """What was attached goes again, and the error is the link's."""
        def refuse(*args, **kwargs):
            raise OSError('no link')

        self.enterContext(mock.patch(
            'os_brick.utils.priv_rootwrap.link_root', refuse))
        self.udev_links('sda')
        with self.assertRaisesRegex(OSError, 'no link'):
            self.connector.connect_volume(self.data(encrypted=True))
        self.assertEqual({}, self.host.left)

    def test_clean_up_that_fails_does_not_hide_the_error(self):
        self.udev_links('sda')
        self.enterContext(mock.patch(
            'os_brick.utils.priv_rootwrap.link_root',
            side_effect=OSError('no link')))
        self.enterContext(mock.patch.object(
            self.connector, '_disconnect_ours',
            side_effect=RuntimeError('odd')))
        with self.assertRaisesRegex(OSError, 'no link'):
            self.connector.connect_volume(self.data(encrypted=True))

    def test_other_backends_take_os_bricks_way(self):
        calls = []
        for name, result in (('connect_volume', {'path': '/dev/sdq'}),
                             ('disconnect_volume', None),
                             ('extend_volume', 7)):
            self.enterContext(mock.patch.object(
                brick_iscsi.ISCSIConnector, name,
                lambda _self, *args, _n=name, _r=result, **kwargs:
                calls.append((_n, args, kwargs)) or _r))
        data = self.host.connection().to_data(connection.Capabilities())
        self.assertEqual({'path': '/dev/sdq'},
                         self.connector.connect_volume(data))
        self.assertEqual(7, self.connector.extend_volume(data))
        self.connector.disconnect_volume(data, {'path': '/dev/sdq'}, True)
        self.assertEqual(
            [('connect_volume', (data,), {}), ('extend_volume', (data,), {}),
             ('disconnect_volume', (data, {'path': '/dev/sdq'}),
              {'force': True, 'ignore_errors': False})], calls)
        self.assertEqual({}, self.host.left)

    def test_no_lock_path(self):
        with self.assertRaisesRegex(
                exception.ConfigurationError, 'lock_path'):
            connector.ISCSIConnector('').host  # noqa: B018

    def test_signatures_are_os_bricks(self):
        for name in ('connect_volume', 'disconnect_volume', 'extend_volume'):
            self.assertEqual(
                list(inspect.signature(getattr(
                    brick_iscsi.ISCSIConnector, name)).parameters),
                list(inspect.signature(getattr(
                    connector.ISCSIConnector, name)).parameters), name)


class IfaceTest(ConnectorTestCase):
    """Over another interface than plain TCP."""

    def setUp(self):
        super().setUp()
        self.connector.transport = 'iser'
        self.gone = []
        for name, do in (
                ('connect_volume', lambda *_: {'path': '/dev/sda'}),
                ('disconnect_volume',
                 lambda _self, data, info, **kw: self.gone.append(info))):
            self.enterContext(mock.patch.object(
                brick_iscsi.ISCSIConnector, name, do))
        data = self.data()
        self.host.add_session(data['target_iqn'], model.Portal.parse(
            data['target_portal']))
        self.session, = self.compute.sysfs.sessions(data['target_iqn'])

    def test_the_volume(self):
        data = self.data()
        self.host.scan(self.session, 1)
        self.assertEqual({'path': '/dev/sda'},
                         self.connector.connect_volume(data))
        self.assertEqual([], self.gone)

    def test_another_volume(self):
        data = self.data()
        self.host.luns[1] = Lun.of(OTHER)
        self.host.scan(self.session, 1)
        with self.assertRaises(exception.WrongDevice):
            self.connector.connect_volume(data)
        self.assertEqual([{'path': '/dev/sda'}], self.gone)


class VolumeDriverTest(ConnectorTestCase):
    """Nova's volume driver on our connector."""

    def setUp(self):
        super().setUp()
        self.volume_driver = volume.LibvirtISCSIVolumeDriver(Host())
        self.volume_driver.connector = self.connector
        self.info = {'driver_volume_type': 'iscsi', 'serial': VOLUME,
                     'data': self.data()}

    def test_is_novas(self):
        self.assertIsInstance(self.volume_driver,
                              nova_iscsi.LibvirtISCSIVolumeDriver)

    def test_from_the_options(self):
        CONF.set_override('volume_use_multipath', True, 'libvirt')
        self.addCleanup(CONF.clear_override, 'volume_use_multipath',
                        'libvirt')
        made = volume.LibvirtISCSIVolumeDriver(Host()).connector
        self.assertTrue(made.use_multipath)

    def test_the_guest_sees_the_volumes_uuid(self):
        self.volume_driver.connect_volume(self.info, None)
        xml = etree.fromstring(self.volume_driver.get_config(
            self.info, {'type': 'disk', 'dev': 'vdb', 'bus': 'virtio'}
        ).to_xml())
        self.assertEqual(VOLUME, xml.findtext('serial'))
        self.assertEqual('/dev/sda', xml.find('source').get('dev'))
        self.assertEqual('unmap', xml.find('driver').get('discard'))

    def test_extend_and_disconnect(self):
        self.volume_driver.connect_volume(self.info, None)
        self.host.luns[1].size_bytes = 64 * MIB
        self.assertEqual(64 * MIB, self.volume_driver.extend_volume(
            self.info, None, 64 * MIB))
        self.volume_driver.disconnect_volume(self.info, None)
        self.volume_driver.disconnect_volume(self.info, None, force=True)
        self.assertEqual({}, self.host.left)
