# SPDX-License-Identifier: Apache-2.0
"""Several users of one volume on a real kernel: shared, and read only.

Two initiators on one node: open-iscsi under the node's own name, and under
another one.
"""

import concurrent.futures
import contextlib
import os
from pathlib import Path
import subprocess
import unittest

import ddt

from lab import process as lab_process
from mydriver import model
from mydriver.connection import iscsi
from tests.fakes import connecting
from tests.functional import attaching, base
from tests.functional.attaching import MIB, ours, stock

OTHER = 'iqn.1993-08.org.debian:01:other'
SESSIONS = Path('/sys/class/iscsi_session')


def write(path, data=b'w' * 4096, offset=0):
    """Write and flush, so that errors are raised here."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.pwrite(fd, data, offset)
        os.fsync(fd)
    finally:
        os.close(fd)


def sense_of_write(path):
    """Return what the target says of a WRITE(10) of one block."""
    done = subprocess.run(
        ['sg_raw', '-R', '-s', '512', '-i', '/dev/zero', path,
         '2a', '00', '00', '00', '00', '00', '00', '00', '01', '00'],
        capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


class SharedCase(attaching.AttachTestCase):
    """A target that asks for no CHAP, since one host is set up by hand."""

    chap = False

    def attach_as(self, volume_id, read_only, kind=ours):
        """Attach as a server of this node."""
        data = connecting.connect(
            self.cloud.service, volume_id, self.cloud.connector(kind is ours),
            read_only=read_only, keep_writable=True)
        connector = kind(False)
        return attaching.Attachment(volume_id, data, connector,
                                    connector.connect_volume(data))

    @contextlib.contextmanager
    def other_host(self, volume_id):
        """Attach under another initiator name; give the device.

        After this node's own attach, which would use the other's session.
        """
        parsed = iscsi.Connection.parse(
            connecting.connect(self.cloud.service, volume_id,
                               {'initiator': OTHER, 'host': 'other'}))
        base.run('iscsiadm', '-m', 'iface', '-I', 'other', '-o', 'new')
        base.run('iscsiadm', '-m', 'iface', '-I', 'other', '-o', 'update',
                 '-n', 'iface.initiatorname', '-v', OTHER)
        node = ('iscsiadm', '-m', 'node', '-I', 'other', '-T',
                str(parsed.paths[0].target), '-p', str(parsed.portals[0]))
        base.run(*node, '-o', 'new')
        base.run(*node, '--login')
        try:
            session, = (p.parent for p in SESSIONS.glob('*/initiatorname')
                        if p.read_text().strip() == OTHER)
            pattern = f'device/target*/*:{parsed.paths[0].lun}/block/*'
            lab_process.wait_for(lambda: any(session.glob(pattern)),
                                 'the disk of the other host', 30)
            disk, = session.glob(pattern)
            yield f'/dev/{disk.name}'
        finally:
            base.run(*node, '--logout')
            base.run(*node, '-o', 'delete')


@ddt.ddt
class ReadOnlyTest(SharedCase):
    """The target refuses writes regardless of the host."""

    @ddt.data(stock, ours)
    def test_a_reader_cannot_write_while_another_host_does(self, kind):
        volume_id = self.cloud.volume()
        reader = self.attach_as(volume_id, True, kind)
        base.run('blockdev', '--setrw', reader.path)
        with self.other_host(volume_id) as writer:
            self.assertNotEqual(os.path.realpath(reader.path), writer)
            sense = sense_of_write(reader.path)
            self.assertIn('Data Protect', sense)
            self.assertIn('Write protected', sense)
            write(writer, b'by another host')
            self.assertIn('Write protected', sense_of_write(reader.path))
        self.assertEqual(b'by another host', self.cloud.path(
            volume_id).read_bytes()[:15])
        with open(reader.path, 'rb') as device:
            self.assertEqual(b'by another host', device.read(15))
        with self.assertRaises(OSError):
            write(reader.path)
        reader.disconnect()
        self.cloud.service.terminate_connection(volume_id, None)
        self.assert_nothing_left()

    def test_the_kernel_shows_a_reader_a_read_only_disk(self):
        volume_id = self.cloud.volume()
        reader = self.attach_as(volume_id, True)
        self.assertEqual('1', base.run(
            'blockdev', '--getro', reader.path).strip())
        reader.disconnect()

    def test_a_writer_after_a_reader_on_the_same_host(self):
        volume_id = self.cloud.volume()
        reader = self.attach_as(volume_id, True)
        writer = self.attach_as(volume_id, False)
        self.assertEqual(reader.path, writer.path)
        self.assert_is(writer.path, volume_id)
        third = self.attach_as(volume_id, True)
        self.assert_is(third.path, volume_id)
        # The writer detached, the readers did not.
        self.cloud.service.protect(
            volume_id, model.Iqn(base.initiator_name()))
        self.assertIn('Write protected', sense_of_write(writer.path))
        reader.disconnect()
        self.cloud.detach(volume_id)
        self.assert_nothing_left()

    def test_stock_keeps_a_readers_disk_read_only(self):
        """As the documentation says; the target would take the writes."""
        volume_id = self.cloud.volume()
        self.attach_as(volume_id, True, stock)
        writer = self.attach_as(volume_id, False, stock)
        self.assertEqual('1', base.run(
            'blockdev', '--getro', writer.path).strip())
        writer.disconnect()
        self.cloud.detach(volume_id)
        writer = self.attach_as(volume_id, False, stock)
        self.assert_is(writer.path, volume_id)
        writer.disconnect()
        self.cloud.detach(volume_id)

    def test_several_paths_become_writable_together(self):
        self.start_multipathd()
        volume_id = self.cloud.volume()
        for read_only in (True, False):
            data = connecting.connect(
                self.cloud.service, volume_id, self.cloud.connector(True),
                read_only=read_only,
                keep_writable=True)
            attachment = attaching.Attachment(
                volume_id, data, ours(True), ours(True).connect_volume(data))
            self.assertEqual(2, len(attaching.slaves(attachment.path)))
        self.assert_is(attachment.path, volume_id)
        attachment.disconnect()
        self.cloud.detach(volume_id)
        self.assert_nothing_left()


@ddt.ddt
class SharedTest(SharedCase):
    """One device for all servers of a host."""

    @ddt.data(stock, ours)
    def test_two_servers_of_a_host_have_one_device(self, kind):
        volume_id = self.cloud.volume()
        first = self.attach_as(volume_id, False, kind)
        second = self.attach_as(volume_id, False, kind)
        self.assertEqual(os.path.realpath(first.path),
                         os.path.realpath(second.path))
        # Nova skips the disconnect of the first one that goes, and Cinder's
        # driver keeps the mapping; nothing happens on either host.
        self.assert_is(second.path, volume_id)
        second.disconnect()
        self.cloud.detach(volume_id)
        self.assert_nothing_left()

    def test_one_attaches_while_another_one_detaches(self):
        """In either order the device works, and goes with the last detach."""
        volume_id = self.cloud.volume()
        for _ in range(5):
            first = self.attach_as(volume_id, False)
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                gone = pool.submit(first.disconnect)
                second = pool.submit(self.attach_as, volume_id, False)
                gone.result()
                second.result()
            # Nova disconnects only the last one: here it was too early, or
            # the second one came after it and has a device of its own.
            third = self.attach_as(volume_id, False)
            self.assert_is(third.path, volume_id)
            third.disconnect()
            self.assert_nothing_left()
        self.cloud.detach(volume_id)

    def test_a_neighbour_comes_and_goes_meanwhile(self):
        """The session stays for the remaining volume, in any order."""
        kept, busy = self.neighbours()
        data = self.cloud.attach(kept, True)
        self.cloud.service.terminate_connection(busy, None)
        shared = ours(False).connect_volume(data)

        def come_and_go():
            for _ in range(5):
                self.cloud.export(busy, 16 * MIB)
                info = self.cloud.attach(busy, True)
                ours(False).connect_volume(info)
                ours(False).disconnect_volume(info, None)
                self.cloud.detach(busy)

        def attach_again():
            for _ in range(5):
                self.assertEqual(shared['path'], ours(False).connect_volume(
                    self.cloud.attach(kept, True))['path'])
                write(shared['path'])

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(f) for f in (come_and_go,
                                                  attach_again)]:
                done.result()
        self.assert_is(shared['path'], kept)
        ours(False).disconnect_volume(data, None)
        self.cloud.detach(kept)
        self.assert_nothing_left()


if __name__ == '__main__':
    unittest.main()
