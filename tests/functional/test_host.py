# SPDX-License-Identifier: Apache-2.0
"""A misconfigured storage host: portals, directories, discovery."""

import os
from pathlib import Path
import subprocess
import tempfile
import uuid

from oslo_concurrency import lockutils

from mydriver import exception, model
from mydriver.target import configfs, factory, pool
from tests.fakes import connecting, devices
from tests.functional import base, lio

HERE, LATE = model.Portal('127.0.0.1'), model.Portal('192.0.2.7')
MIB = 1 << 20


class HostCase(base.NodeTestCase):
    """A backend with one address that is there and one that is late."""

    portals = (HERE, LATE)

    def setUp(self):
        super().setUp()
        lio.use(self)
        folder = tempfile.TemporaryDirectory(dir='/var/tmp')
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        lio.grant(self, be=folder.name)
        lockutils.set_defaults(str(self.folder))
        self.addCleanup(lio.clear)

    def start(self):
        """Start the service, as cinder-volume and mydriver restore do."""
        built = factory.build(pool.Settings(
            'be', 'iqn.2010-10.org.openstack:', self.portals, False,
            str(self.folder / 'be'), targets=2, discovery_timeout_s=2.0),
            devices.FolderDevices(self.folder))
        self.addCleanup(built._journal.close)
        built.check()
        built.reconciler.start()
        return built

    def attach(self, built):
        """Export and map a new volume; return the connection's data."""
        volume_id = str(uuid.uuid4())
        path = self.folder / f'volume-{volume_id}'
        with path.open('wb') as f:
            f.truncate(16 * MIB)
        built.create_export(volume_id)
        return connecting.connect(
            built, volume_id, {'initiator': base.initiator_name()})


class PortalsTest(HostCase):
    """An address that is missing, and one that comes later."""

    def add_address(self):
        base.run('ip', 'address', 'add', f'{LATE.address}/32', 'dev', 'lo')
        self.addCleanup(subprocess.run, (
            'ip', 'address', 'del', f'{LATE.address}/32', 'dev', 'lo'),
            stderr=subprocess.DEVNULL, check=False)

    def portals_of(self, data):
        return data.get('target_portals', [data['target_portal']])

    def test_a_missing_address_keeps_nothing_down(self):
        with self.assertLogs('mydriver', 'WARNING') as logged:
            built = self.start()
        self.assertIn('192.0.2.7', '\n'.join(logged.output))
        self.assertIn('target_secondary_ip_addresses',
                      '\n'.join(logged.output))
        built.check_serving()
        self.assertEqual([str(HERE)], self.portals_of(self.attach(built)))

    def test_an_address_that_comes_later_is_served_without_a_restart(self):
        built = self.start()
        built.check_serving()
        self.add_address()
        with self.assertLogs('mydriver', 'INFO') as logged:
            built.check_serving()
        self.assertIn('all of its portals', '\n'.join(logged.output))
        self.assertEqual([str(HERE), str(LATE)],
                         self.portals_of(self.attach(built)))

    def test_an_address_that_goes_is_named_once(self):
        self.add_address()
        built = self.start()
        with self.assertNoLogs('mydriver', 'WARNING'):
            built.check_serving()
        base.run('ip', 'address', 'del', f'{LATE.address}/32', 'dev', 'lo')
        with self.assertLogs('mydriver', 'WARNING') as logged:
            built.check_serving()
        self.assertIn(str(LATE), '\n'.join(logged.output))
        with self.assertNoLogs('mydriver', 'WARNING'):
            built.check_serving()

    def test_no_address_at_all(self):
        self.portals = (LATE, model.Portal('192.0.2.8'))
        with self.assertRaises(exception.ConfigurationError) as caught:
            self.start()
        self.assertEqual('target_ip_address, target_secondary_ip_addresses',
                         caught.exception.option)
        self.assertIn('192.0.2.8', str(caught.exception))

    def test_a_portal_that_another_program_has(self):
        taken = subprocess.Popen(
            ['python3', '-c', (
                'import socket, sys\n'
                's = socket.create_server(("127.0.0.1", 3270))\n'
                'print("up", flush=True); sys.stdin.read()')],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(taken.communicate)
        taken.stdout.readline()
        self.portals = (HERE, model.Portal('127.0.0.1', 3270))
        with self.assertLogs('mydriver', 'WARNING') as logged:
            built = self.start()
        self.assertIn('127.0.0.1:3270', '\n'.join(logged.output))
        built.check_serving()
        self.assertEqual([str(HERE)], self.portals_of(self.attach(built)))


class DatabaseTest(HostCase):
    """The directory in which the kernel keeps persistent reservations."""

    portals = (HERE,)

    def log_in(self, data):
        """Return the disk of an attached volume."""
        base.run('iscsiadm', '-m', 'discovery', '-t', 'st', '-p',
                 HERE.address)
        self.addCleanup(self.log_out)
        base.run('iscsiadm', '-m', 'node', '-p', HERE.address, '--login')
        base.run('udevadm', 'settle')
        return next(Path('/dev/disk/by-id').glob(
            f'wwn-0x{model.naa_id(data["volume_id"])}'))

    def log_out(self):
        """End the session, if there is one."""
        if base.sessions():
            base.run('iscsiadm', '-m', 'node', '--logout')

    def test_reservations_outlive_a_boot(self):
        data = self.attach(self.start())
        base.run('sg_persist', '--out', '--register', '--param-sark=abc2',
                 '--param-aptpl', self.log_in(data))
        self.log_out()
        lio.clear()
        self.start()
        self.assertIn('0xabc2', base.run('sg_persist', '--read-keys',
                                         self.log_in(data)))

    def test_a_host_as_the_packages_leave_it(self):
        # The node's own: nothing but the kernel's modules was set up.
        data = self.attach(self.start())
        disk = self.log_in(data)
        base.run('sg_persist', '--out', '--register', '--param-sark=abc1',
                 '--param-aptpl', disk)
        self.assertIn('0xabc1', base.run('sg_persist', '--read-keys', disk))
        kept = Path(configfs.database(), 'pr', f'aptpl_{data["volume_id"]}')
        self.assertIn(f'sa_res_key={0xabc1}\n', kept.read_text())

    def test_only_root_reads_reservations(self):
        self.start()
        database = Path(configfs.database())
        self.assertEqual(
            [(0, 0, 0o755), (0, 0, 0o700)],
            [(s.st_uid, s.st_gid, s.st_mode & 0o777)
             for s in (database.stat(), (database / 'pr').stat())])

    def test_a_lost_folder_is_made_again(self):
        self.start()
        for file in Path(configfs.database(), 'pr').iterdir():
            file.unlink()
        os.rmdir(Path(configfs.database(), 'pr'))
        self.start()
        self.assertTrue(Path(configfs.database(), 'pr').is_dir())


class DiscoveryTest(HostCase):
    """The administrator asks for CHAP in discovery."""

    portals = (HERE,)
    enforce = configfs.ROOT / 'iscsi/discovery_auth/enforce_discovery_auth'

    def test_attach_goes_on_and_the_start_says_it(self):
        self.start()
        self.enforce.write_text('1')
        self.addCleanup(self.enforce.write_text, '0')
        with self.assertLogs('mydriver', 'WARNING') as logged:
            built = self.start()
        self.assertIn(f'echo 0 > {self.enforce}', '\n'.join(logged.output))
        data = self.attach(built)
        self.assertEqual(str(HERE), data['target_portal'])
