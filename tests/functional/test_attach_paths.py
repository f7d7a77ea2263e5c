# SPDX-License-Identifier: Apache-2.0
"""Paths, maps and their other users, on a real kernel."""

from concurrent import futures
import contextlib
import mmap
import os
from pathlib import Path
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from unittest import mock

import ddt

from lab import process
from mydriver import exception
from mydriver.privileged.initiator import inquiry
from tests.functional import attaching, base
from tests.functional.attaching import MIB

GROUP = 'guest'


def grown(path):
    """Return the size that the kernel shows of a device, MiB."""
    return attaching.size_bytes(path) // MIB


def delete_disk(name):
    """Have the kernel forget a disk, as a host does that lost a path."""
    Path('/sys/block', name, 'device/delete').write_text('1')


@ddt.ddt
class SizeTest(attaching.AttachTestCase):
    """A volume that grew while nobody told this host."""

    def test_missed_extend_single_path(self):
        attachment = self.attach()
        self.cloud.grow(attachment.volume_id, 64 * MIB)
        attachment.connector.connect_volume(attachment.data)
        self.assertEqual(64, grown(attachment.path))
        self.detach(attachment)
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_missed_extend_multipath(self, one_path_is_new):
        self.start_multipathd()
        attachment = self.attach(multipath=True)
        self.cloud.grow(attachment.volume_id, 64 * MIB)
        if one_path_is_new:
            name = attaching.slaves(attachment.path)[0]
            delete_disk(name)
            process.wait_for(
                lambda: name not in attaching.slaves(attachment.path),
                'multipathd to drop a path', 60)
        again = attachment.connector.connect_volume(attachment.data)
        paths = attaching.slaves(attachment.path)
        sizes = {n: grown(f'/dev/{n}') for n in paths}
        print(f'\nmap {grown(attachment.path)} MiB, paths {sizes}',
              file=sys.stderr)
        self.assertEqual(attachment.result, again)
        self.assertEqual([64, 64], list(sizes.values()))
        self.assertEqual(64, grown(attachment.path))
        self.assert_is(attachment.path, attachment.volume_id)
        self.detach(attachment)
        self.assert_nothing_left()


@ddt.ddt
class HolderTest(attaching.AttachTestCase):
    """Somebody on this host uses the guest's disk."""

    def setUp(self):
        super().setUp()
        os.environ['LVM_SUPPRESS_FD_WARNINGS'] = '1'

    def make_lvm(self, path):
        """Put a group with a volume on a disk, as a guest may."""
        config = f'devices/filter=["a|^{path}$|","r|.*|"]'
        quiet = ('-q', '--config', config)
        base.run('vgcreate', *quiet, GROUP, path)
        base.run('lvcreate', *quiet, '-Wn', '-L', '4m', '-n', 'root', GROUP)
        self.addCleanup(subprocess.run, ['dmsetup', 'remove', 'guest-root'],
                        check=False, capture_output=True)
        return lambda: base.run('vgchange', *quiet, '-an', GROUP)

    @ddt.data(False, True)
    def test_lvm(self, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(multipath=multipath)
        deactivate = self.make_lvm(attachment.path)
        before = attaching.leftovers()
        began = time.monotonic()
        with self.assertRaises(exception.MyDriverError) as caught:
            attachment.disconnect()
        spent = time.monotonic() - began
        print(f'\ndetach: {spent:.1f} s, {caught.exception}',
              file=sys.stderr)
        self.assertIn('guest-root', str(caught.exception))
        self.assertLess(spent, 10)
        self.assertEqual(before, attaching.leftovers())
        deactivate()
        self.detach(attachment)
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_lvm_by_force(self, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(multipath=multipath)
        self.make_lvm(attachment.path)
        began = time.monotonic()
        with self.assertRaises(exception.MyDriverError) as caught:
            attachment.disconnect(force=True)
        spent = time.monotonic() - began
        print(f'\nforced detach: {spent:.1f} s, {caught.exception}',
              file=sys.stderr)
        self.assertIn('guest-root', str(caught.exception))
        self.assertLess(spent, 15)
        left = attaching.leftovers()
        self.assertEqual({'multipath maps'}, set(left))
        # Once the holder is gone, another detach cleans up.
        base.run('dmsetup', 'remove', 'guest-root')
        attachment.disconnect(force=True)
        self.cloud.detach(attachment.volume_id)
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_mounted(self, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(
            multipath=multipath, volume_id=self.cloud.volume(512 * MIB))
        folder = self.cloud.folder / 'mounted'
        base.node_function('node_xfs', attachment.path, str(folder))
        try:
            with self.assertRaises(exception.MyDriverError) as caught:
                attachment.disconnect()
        finally:
            base.run('umount', folder)
        print(f'\n{caught.exception}', file=sys.stderr)
        self.assertIn(str(folder), str(caught.exception))
        self.detach(attachment)
        self.assert_nothing_left()

    def test_mounted_in_another_namespace(self):
        attachment = self.attach(volume_id=self.cloud.volume(512 * MIB))
        base.run('mkfs.xfs', '-q', attachment.path)
        away = subprocess.Popen(
            ['unshare', '-m', 'sh', '-c',
             f'mount {attachment.path} /mnt && echo ready && read wait'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(away.communicate)
        self.assertEqual(b'ready\n', away.stdout.readline())
        with self.assertRaises(exception.DeviceInUse) as caught:
            attachment.disconnect()
        print(f'\n{caught.exception}', file=sys.stderr)
        away.communicate(b'\n')
        self.detach(attachment)
        self.assert_nothing_left()

    @ddt.data(False, True)
    def test_partitions_are_no_holders(self, multipath):
        """udev makes maps of a map's partitions: they go with it."""
        if multipath:
            self.start_multipathd()
        attachment = self.attach(multipath=multipath)
        table = bytearray(512)      # one Linux partition, 2048 and 8192
        table[446:462] = b'\0\0\0\0\x83\0\0\0' + struct.pack(
            '<II', 2048, 8192)
        table[510:] = b'\x55\xaa'
        with open(attachment.path, 'r+b') as f:
            f.write(table)
        base.run('udevadm', 'settle')
        if multipath:               # as udev's rule (60-kpartx.rules)
            base.run('kpartx', '-u', '-p', '-part', attachment.path)
            process.wait_for(lambda: len(list(
                Path('/sys/block').glob('dm-*'))) == 2,
                'the map of a partition', 30)
        began = time.monotonic()
        self.detach(attachment)
        print(f'\ndetach: {time.monotonic() - began:.1f} s', file=sys.stderr)
        self.assert_nothing_left()


class CrowdTest(attaching.AttachTestCase):
    """Many at a time."""

    def test_all_paths_are_in_the_map(self):
        self.start_multipathd()
        volumes = [self.cloud.volume() for _ in range(4)]
        log = attaching.LogCatcher(self)

        def go(volume_id):
            began = time.monotonic()
            attachment = self.attach(multipath=True, volume_id=volume_id)
            return (attachment, attaching.slaves(attachment.path),
                    time.monotonic() - began)

        with futures.ThreadPoolExecutor(4) as pool:
            done = list(pool.map(go, volumes))
        print('', *(f'{len(paths)} paths after {spent:.1f} s'
                    for _, paths, spent in done), sep='\n', file=sys.stderr)
        print(*(line for line in log.lines if 'Timed out' in line
                or 'only' in line), sep='\n', file=sys.stderr)
        self.assertEqual([2] * 4, [len(paths) for _, paths, _ in done])
        for attachment, _, _ in done:
            self.detach(attachment)
        self.assert_nothing_left()


class LateNodeTest(attaching.AttachTestCase):
    """Disks whose nodes can be opened a moment after sysfs shows them."""

    LATE_S = 0.3

    def setUp(self):
        super().setUp()
        self.nodes = Path(tempfile.mkdtemp(dir='/dev'))
        self.addCleanup(shutil.rmtree, self.nodes)
        self.enterContext(mock.patch.object(inquiry, 'DEV', self.nodes))
        self.stop = threading.Event()
        thread = threading.Thread(target=self.make_nodes)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.stop.set)

    def make_nodes(self):
        """Make each disk's node late, and remove it with the disk."""
        while not self.stop.wait(self.LATE_S):
            disks = {p.name: p for p in Path('/sys/class/block').glob('sd*')}
            made = set(os.listdir(self.nodes))
            for name in made - set(disks):
                (self.nodes / name).unlink()
            for name in set(disks) - made:
                with contextlib.suppress(FileNotFoundError):
                    major, minor = (disks[name] / 'dev').read_text().split(
                        ':')
                    os.mknod(self.nodes / name, 0o600 | stat.S_IFBLK,
                             os.makedev(int(major), int(minor)))

    def test_attach(self):
        log = attaching.LogCatcher(self)
        volumes = self.neighbours(3)
        with futures.ThreadPoolExecutor(3) as pool:
            held = list(pool.map(
                lambda v: self.attach(volume_id=v), volumes))
        print('', *(line for line in log.lines if 'says' in line), sep='\n',
              file=sys.stderr)
        self.assertNotIn('removing it', log.text)
        for attachment in held:
            self.assert_is(attachment.path, attachment.volume_id)
            self.detach(attachment)
        self.assert_nothing_left()

    def test_detach_writes_out(self):
        attachment = self.attach()
        name = Path(attachment.path).name
        with open(attachment.path, 'r+b') as f:
            f.write(b'cached')
            f.flush()
            (self.nodes / name).unlink()
            log = attaching.LogCatcher(self)
            attachment.disconnect()
        self.assertNotIn('is not flushed', log.text)
        with self.cloud.path(attachment.volume_id).open('rb') as f:
            self.assertEqual(b'cached', f.read(6))
        self.cloud.detach(attachment.volume_id)
        self.assert_nothing_left()


@ddt.ddt
class UnmappedTest(attaching.AttachTestCase):
    """The storage host takes a volume away first."""

    @ddt.data(False, True)
    def test_io_fails_at_once_after_the_last_lun(self, multipath):
        if multipath:
            self.start_multipathd()
        attachment = self.attach(multipath=multipath)
        fd = os.open(attachment.path, os.O_RDONLY | os.O_DIRECT)
        self.cloud.detach(attachment.volume_id)
        began = time.monotonic()
        with mmap.mmap(-1, 4096) as page, self.assertRaises(OSError):
            os.preadv(fd, [page], 0)
        spent = time.monotonic() - began
        os.close(fd)
        print(f'\nread fails after {spent:.1f} s', file=sys.stderr)
        # A map without paths waits for no_path_retry, 12, times 2 s here.
        self.assertLess(spent, 60 if multipath else 10)
        began = time.monotonic()
        attachment.disconnect()
        print(f'detach: {time.monotonic() - began:.1f} s', file=sys.stderr)
        self.assert_nothing_left()
