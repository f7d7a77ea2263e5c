# SPDX-License-Identifier: Apache-2.0
"""Attach and detach on a real kernel when things go wrong."""

from concurrent import futures
from pathlib import Path
import shutil
import sys
import time

import ddt
import rtslib_fb

from lab import process
from mydriver import exception
from mydriver.privileged.initiator import devices, multipath, sessions
from tests.functional import attaching, base
from tests.functional.attaching import MIB, Attachment, ours


@ddt.ddt
class RoughTest(attaching.AttachTestCase):
    """Repeated calls, failures, foreign objects, concurrency."""

    @ddt.data(False, True)
    def test_everything_twice(self, multipath):
        if multipath:
            self.start_multipathd()
        once = self.attach(multipath=multipath)
        twice = self.attach(multipath=multipath, volume_id=once.volume_id)
        self.assertEqual(once.result, twice.result)
        self.assert_is(once.path, once.volume_id)
        self.detach(once)
        self.detach(twice)
        once.disconnect(force=True)
        self.assert_nothing_left()

    def test_second_lun_needs_no_login(self):
        first_id, second_id = self.neighbours()
        first = self.attach(volume_id=first_id)
        before = base.sessions()
        second = self.attach(volume_id=second_id)
        self.assertEqual(before, base.sessions())
        self.detach(first)
        self.assertEqual(before, base.sessions())
        self.assert_is(second.path, second_id)
        self.detach(second)
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_forced_detach_without_lun(self, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(multipath=multipath)
        self.cloud.unmap_behind(attachment.volume_id)
        attachment.disconnect(force=True)
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_detach_without_lun(self, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(multipath=multipath)
        self.cloud.unmap_behind(attachment.volume_id)
        attachment.disconnect()
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_forced_detach_when_the_target_is_gone(self, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(multipath=multipath)
        self.assert_is(attachment.path, attachment.volume_id)
        self.cut_off()
        began = time.perf_counter()
        attachment.disconnect(force=True)
        print(f'\nforced detach without target: '
              f'{time.perf_counter() - began:.2f} s', file=sys.stderr)
        self.assert_nothing_left()

    def cut_off(self):
        """Have every session break, and none come up again."""
        base.run('ip', 'link', 'set', 'lo', 'down')
        self.addCleanup(base.run, 'ip', 'link', 'set', 'lo', 'up')
        process.wait_for(lambda: all(
            (s / 'state').read_text().strip() != 'LOGGED_IN'
            for s in Path('/sys/class/iscsi_session').iterdir()),
            'the sessions to break', 60)

    def test_detach_without_session(self):
        attachment = self.attach()
        base.run('iscsiadm', '-m', 'session', '--logout')
        attachment.disconnect()
        self.assert_nothing_left()

    def test_detach_without_record(self):
        attachment = self.attach()
        shutil.rmtree(Path('/etc/iscsi/nodes', attachment.data['target_iqn']))
        attachment.disconnect()
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_one_portal_down(self, multipath):
        if multipath:
            self.start_multipathd()
        volume_id = self.cloud.volume()
        data = self.cloud.attach(volume_id, True)
        self.close_portals('127.0.0.1')
        connector = ours(multipath)
        attachment = Attachment(volume_id, data, connector,
                                connector.connect_volume(data))
        self.assert_is(attachment.path, volume_id)
        attachment.disconnect()
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_all_portals_down(self, multipath):
        if multipath:
            self.start_multipathd()
        data = self.cloud.attach(self.cloud.volume(), True)
        self.close_portals('127.0.0.*')
        with self.assertRaises(exception.LoginError) as caught:
            ours(multipath).connect_volume(data)
        print(f'\n{caught.exception}', file=sys.stderr)
        self.assert_nothing_left()

    @staticmethod
    def close_portals(address):
        for portal in Path('/sys/kernel/config/target/iscsi').glob(
                f'iqn.*/tpgt_1/np/{address}:*'):
            portal.rmdir()

    def test_strangers_session_and_record_stay(self):
        iqn = self.stranger()
        before = attaching.leftovers()
        self.assertEqual(1, len(before['sessions']))
        attachment = self.attach()
        self.detach(attachment)
        self.assertEqual(before, attaching.leftovers())
        base.run('iscsiadm', '-m', 'node', '-T', iqn, '--logout')
        base.run('iscsiadm', '-m', 'node', '-T', iqn, '-o', 'delete')

    def stranger(self):
        """Log in to a foreign target."""
        iqn = 'iqn.2003-01.org.example:stranger'
        file = self.cloud.folder / 'stranger'
        with file.open('wb') as f:
            f.truncate(MIB)
        tpg = rtslib_fb.TPG(rtslib_fb.Target(
            rtslib_fb.FabricModule('iscsi'), iqn), 1)
        rtslib_fb.NetworkPortal(tpg, '127.0.0.1', 3260)
        rtslib_fb.LUN(tpg, 1, rtslib_fb.FileIOStorageObject(
            # rtslib takes a name that it knew once for one that is there.
            self._testMethodName, str(file), MIB))
        rtslib_fb.MappedLUN(
            rtslib_fb.NodeACL(tpg, base.initiator_name()), 1, 1)
        tpg.set_attribute('authentication', '0')
        tpg.enable = True
        node = ('iscsiadm', '-m', 'node', '-T', iqn, '-p', '127.0.0.1:3260')
        base.run(*node, '-o', 'new')
        base.run(*node, '--login')
        return iqn

    def test_verbs_leave_a_stranger_alone(self):
        """A mounted foreign disk stays, whichever name is given."""
        self.start_multipathd()
        iqn = self.stranger()
        base.run('iscsiadm', '-m', 'session', '--rescan')
        hctl = process.wait_for(lambda: next(
            (d for d in base.scsi_devices() if d.endswith(':1')), None),
            'the disk', 30)
        numbers = [int(n) for n in hctl.split(':')]
        folder = Path('/sys/class/scsi_device', hctl, 'device')
        name = process.wait_for(lambda: next(
            (p.name for p in folder.glob('block/*')), None), 'its name', 30)
        naa = attaching.disk_naa(f'/dev/{name}')
        process.wait_for(lambda: list(Path('/sys/block', name, 'holders')
                                      .iterdir()), 'its map', 30)
        dm = attaching.holders(name)[0]
        where = self.cloud.folder / 'mounted'
        where.mkdir()
        base.run('mkfs.ext4', '-q', f'/dev/{dm}')
        base.run('mount', f'/dev/{dm}', where)
        self.addCleanup(base.run, 'umount', where)
        (where / 'file').write_text('precious')
        sid = int(next(iter(base.sessions())).removeprefix('session'))
        record, = (p for p in Path('/etc/iscsi/nodes').rglob('*')
                   if p.is_file())
        before = attaching.leftovers(), record.read_text()
        other = '6001405' + '0' * 25
        done = []
        for verb, *args in (
                (sessions.login, iqn, '127.0.0.1', 3260, [], 10),
                (sessions.login, iqn, '127.0.0.1', 3260,
                 ['a', 'b', None, None], 10),
                (sessions.logout, sid, iqn),
                (sessions.forget, iqn, '127.0.0.1', 3260),
                (devices.scan, *numbers), (devices.read_naa, numbers),
                (devices.rescan, numbers, naa),
                (devices.delete, numbers, naa),
                (devices.delete, numbers, ''),
                (devices.delete, numbers, other),
                (devices.flush, name), (devices.flush, 'ubda'),
                (multipath.multipath_add_path, name),
                (multipath.multipath_del_path, name),
                # Its NAA id begins as that of each of the kernel's disks.
                (devices.flush, dm), (multipath.multipath_claim, naa),
                (multipath.multipath_unclaim, naa),
                (multipath.multipath_resize_map, naa),
                (multipath.multipath_remove_map, naa, False),
                (multipath.multipath_remove_map, naa, True)):
            try:
                verb(*args)
            except (exception.InitiatorError,
                    exception.RequestRefused) as e:
                print(f'{verb.args[0].__name__}: {e}', file=sys.stderr)
            else:
                done.append((verb.args[0].__name__, args))
        self.assertEqual([], done)
        self.assertEqual('precious', (where / 'file').read_text())
        self.assertEqual(before, (attaching.leftovers(), record.read_text()))

    @ddt.data(False, True)
    def test_eight_at_a_time(self, multipath):
        if multipath:
            self.start_multipathd()
        volumes = [self.cloud.volume() for _ in range(8)]
        began = time.perf_counter()
        with futures.ThreadPoolExecutor(8) as pool:
            held = list(pool.map(lambda v: self.attach(
                multipath=multipath, volume_id=v), volumes))
        up = time.perf_counter()
        for attachment in held:
            self.assert_is(attachment.path, attachment.volume_id)
        checked = time.perf_counter()
        with futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self.detach, held))
        print(f'\neight at a time, {2 if multipath else 1} paths each: '
              f'attach {up - began:.2f} s, detach '
              f'{time.perf_counter() - checked:.2f} s', file=sys.stderr)
        self.assert_nothing_left()

    def test_attach_and_detach_on_one_session(self):
        """A logout never comes between another attach's login and device."""
        volumes = self.neighbours(3)

        def go(volume_id):
            for _ in range(5):
                self.detach(self.attach(volume_id=volume_id))

        with futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(go, volumes))
        self.assert_nothing_left()
