# SPDX-License-Identifier: Apache-2.0
"""SCSI devices, as root."""

import errno
import os
from pathlib import Path
from unittest import mock

import ddt

from mydriver import exception, model
from mydriver.privileged.initiator import devices, inquiry, owned
from tests.fakes.initiator import OTHER
from tests.fakes.privileged_initiator import (
    HCTL,
    NAA,
    STRANGER,
    PrivilegedTestCase,
)


@ddt.ddt
class DevicesTest(PrivilegedTestCase):
    """Devices on sessions of ours and of others."""

    def test_scan(self):
        self.session()
        scan = self.write('class/scsi_host/host3/scan', '')
        devices.scan(3, 0, 0, 300)
        self.assertEqual('0 0 300', scan.read_text())

    def test_scan_while_another_session_goes(self):
        other = self.sys / 'class/iscsi_session/session0/device'
        other.parent.mkdir(parents=True)
        other.symlink_to(self.sys)
        real = os.readlink

        def readlink(path, *args, **kwargs):
            if 'session0' in str(path):
                raise FileNotFoundError(errno.ENOENT, 'gone', str(path))
            return real(path, *args, **kwargs)

        with (mock.patch('os.readlink', readlink),
              self.assertRaisesRegex(exception.InitiatorError,
                                     'host 3: it has no session')):
            devices.scan(3, 0, 0, 300)
        self.session()
        scan = self.write('class/scsi_host/host3/scan', '')
        with mock.patch('os.readlink', readlink):
            devices.scan(3, 0, 0, 300)
        self.assertEqual('0 0 300', scan.read_text())

    @ddt.data((3, '0 0', 0, 1), (3, 0, 0, -1), ('3', 0, 0, 1),
              (3, 0, 0, True), (3, 1, 0, 1), (3, 0, 1, 1), (4, 0, 0, 1),
              (3, 0, 0, 1 << 16), (3, None, None, None))
    def test_scan_of_what_is_no_lun_of_a_session(self, hctl):
        self.session()
        self.write('class/scsi_host/host4/scan', '')
        scan = self.write('class/scsi_host/host3/scan', '')
        with self.assertRaises((exception.InitiatorError,
                                exception.RequestRefused)):
            devices.scan(*hctl)
        self.assertEqual('', scan.read_text())

        self.assertEqual('', (
            self.sys / 'class/scsi_host/host4/scan').read_text())

    def test_scan_of_a_strangers_host(self):
        self.session(STRANGER)
        scan = self.write('class/scsi_host/host3/scan', '')
        with self.assertRaisesRegex(exception.InitiatorError, 'host 3'):
            devices.scan(3, 0, 0, 1)
        self.assertEqual('', scan.read_text())

    def test_scan_without_host(self):
        self.session()
        with self.assertRaisesRegex(exception.InitiatorError, 'LUN 1'):
            devices.scan(3, 0, 0, 1)

    def test_delete(self):
        folder = self.device()
        devices.delete(HCTL, NAA)
        self.assertEqual('1', (folder / 'delete').read_text())

    def test_delete_of_another_volume(self):
        folder = self.device(model.naa_id(OTHER))
        for naa in (NAA, ''):
            with self.assertRaises(exception.WrongDevice):
                devices.delete(HCTL, naa)
        self.assertEqual('', (folder / 'delete').read_text())

    def test_delete_of_a_strangers_disk(self):
        other = model.naa_id(OTHER)
        for folder, naa in ((self.device(NAA, STRANGER), NAA),
                            (self.device('5000c500' + NAA[8:], host=4,
                                         name='sdb'), '5000c500' + NAA[8:]),
                            (self.device(other, host=6, name='sdc'), NAA)):
            hctl = [int(n) for n in folder.name.split(':')]
            with self.assertRaises(exception.MyDriverError):
                devices.delete(hctl, naa)
            self.assertEqual('', (folder / 'delete').read_text())

    @ddt.data('8:0', '8:1', '253:7', '0:99')
    def test_delete_of_what_the_host_has_mounted(self, number):
        """The disk, its partition, the map on it, and a btrfs on the map."""
        folder = self.device()
        self.map()
        (folder / 'block/sda/holders/dm-7').symlink_to(
            self.sys / 'block/dm-7')
        self.write(folder / 'block/sda/sda1/partition', '1')
        self.write(folder / 'block/sda/sda1/dev', '8:1')
        (self.sys / 'class/block/sda1').symlink_to(folder / 'block/sda/sda1')
        self.use(f'29 1 {number} / /srv/data rw - btrfs /dev/dm-7 rw\n'
                 if number == '0:99' else
                 f'29 1 {number} / /srv/data rw shared:1 - xfs /dev/x rw\n')
        with self.assertRaisesRegex(
                exception.InitiatorError, 'mounted on /srv/data'):
            devices.delete(HCTL, NAA)
        self.assertEqual('', (folder / 'delete').read_text())

    def test_delete_of_swap_space(self):
        folder = self.device()
        self.use(swaps='/dev/sda partition 99 0 -2\n')
        with self.assertRaisesRegex(exception.InitiatorError, 'swap'):
            devices.delete(HCTL, NAA)
        self.assertEqual('', (folder / 'delete').read_text())

    def test_delete_below_a_map_that_nobody_mounted(self):
        folder = self.device()
        self.map()
        (folder / 'block/sda/holders/dm-7').symlink_to(
            self.sys / 'block/dm-7')
        self.use('29 1 9:9 / / rw - xfs /dev/x rw\n'
                 '30 1 0:5 / /p rw - proc p rw\n')
        devices.delete(HCTL, NAA)
        self.assertEqual('1', (folder / 'delete').read_text())

    def test_delete_of_what_somebody_claimed(self):
        folder = self.device()
        self.write(folder / 'state', 'running\n')
        self.enterContext(mock.patch.object(owned, '_CLAIM_PAUSE_S', 0))
        self.enterContext(mock.patch.object(
            inquiry, 'open_block_device', side_effect=OSError(16, 'busy')))
        with self.assertRaisesRegex(exception.InitiatorError, 'claimed sda'):
            devices.delete(HCTL, NAA)
        self.write(folder / 'state', 'transport-offline\n')
        devices.delete(HCTL, NAA)
        self.assertEqual('1', (folder / 'delete').read_text())

    def test_disk_that_takes_no_commands_is_not_opened(self):
        """To open one whose session is down may take minutes."""
        folder = self.device()
        opened = self.enterContext(mock.patch.object(
            inquiry, 'open_block_device', side_effect=OSError(16, 'busy')))
        for state, claimed in (('blocked', False), ('running', True),
                               ('transport-offline', False)):
            self.write(folder / 'state', state + '\n')
            self.assertIs(claimed, devices.is_claimed(HCTL, NAA), state)
        self.assertEqual(1, opened.call_count)

    def test_delete_of_what_cannot_be_looked_at(self):
        folder = self.device(model.naa_id(OTHER))

        def refuse(path):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

        with (mock.patch.object(Path, 'read_bytes', refuse),
              self.assertRaisesRegex(exception.InitiatorError, 'Too many')):
            devices.delete(HCTL, '')
        self.assertEqual('', (folder / 'delete').read_text())

    def test_delete_while_the_mounts_cannot_be_read(self):
        """What cannot be looked at may be mounted."""
        folder = self.device()
        self.use()
        read_text = Path.read_text

        def refuse(path, *args, **kwargs):
            if path.name == 'mountinfo':
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return read_text(path, *args, **kwargs)

        with (mock.patch.object(Path, 'read_text', refuse),
              self.assertRaisesRegex(exception.InitiatorError, 'Too many')):
            devices.delete(HCTL, NAA)
        self.assertEqual('', (folder / 'delete').read_text())

    def test_delete_of_what_is_gone(self):
        devices.delete(HCTL, NAA)

    @ddt.data(['..', 0, 0, 0], [1, 2, 3], [0, 0, 0, '1/../x'], None, '3:0',
              [3, 0, 0, True], [3, 0, 0, -1], {})
    def test_delete_of_what_is_no_device(self, hctl):
        with self.assertRaises(exception.RequestRefused):
            devices.delete(hctl, NAA)

    def test_rescan_of_what_does_not_answer(self):
        folder = self.device()
        with self.assertRaisesRegex(exception.NoAnswer, '3:0:0:300'):
            devices.rescan(HCTL, NAA)
        self.assertEqual('', (folder / 'rescan').read_text())

    def test_what_a_strangers_device_is_stays_its_own(self):
        folder = self.device(target=STRANGER)
        for verb in (lambda: devices.read_naa(HCTL),
                     lambda: devices.rescan(HCTL, NAA),
                     lambda: devices.flush('sda')):
            with self.assertRaisesRegex(exception.InitiatorError, '3:0:0:300'):
                verb()
        self.assertEqual('', (folder / 'rescan').read_text())

    @ddt.data('LVM-' + 'x' * 64, 'mpath-35000c500' + NAA[8:], '')
    def test_flush_of_a_strangers_map(self, uuid):
        self.write('block/dm-7/dm/uuid', uuid)
        with self.assertRaisesRegex(exception.InitiatorError, 'flush'):
            devices.flush('dm-7')

    def test_identity_is_not_taken_from_the_kernels_memory(self):
        self.device()
        with self.assertRaises(exception.NoAnswer):
            devices.read_naa(HCTL)

    @ddt.data('sda/../sdb', '../mem', 'sda1', 'nvme0n1', '', 'dm-', 'sda\n')
    def test_flush_of_what_is_no_disk(self, name):
        with self.assertRaisesRegex(exception.RequestRefused, 'not a valid'):
            devices.flush(name)

    def test_flush_of_a_disk_that_is_not_there(self):
        with self.assertRaisesRegex(exception.InitiatorError, "flush 'sdx'"):
            devices.flush('sdx')

    @ddt.data('file', 'fifo')
    def test_node_in_dev_that_is_no_device(self, kind):
        self.write('class/block/sda/dev', '8:0\n')
        if kind == 'fifo':
            os.mkfifo(self.folder / 'sda')
        else:
            (self.folder / 'sda').touch()
        with (mock.patch.object(inquiry, 'DEV', self.folder),
              self.assertRaisesRegex(exception.InitiatorError, '8:0')):
            inquiry.open_block_device('sda')

    def test_link_in_dev(self):
        self.write('class/block/sda/dev', '1:3\n')
        (self.folder / 'sda').symlink_to('/dev/null')
        with (mock.patch.object(inquiry, 'DEV', self.folder),
              self.assertRaises(OSError)):
            inquiry.open_block_device('sda')
