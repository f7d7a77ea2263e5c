# SPDX-License-Identifier: Apache-2.0
"""The counters of the kernel, read from a copied tree."""

import contextlib
import dataclasses
import os
from pathlib import Path
import shutil
import tempfile
import threading
import unittest
from unittest import mock
import uuid

import ddt

from mydriver import exception, model
from mydriver.target import configfs, directory, outline, statistics
from tests.fakes import kernel_tree

TARGET = model.Iqn('iqn.2010-10.org.openstack:mydriver-host-disks-0')
HOST = 'iqn.1993-08.org.debian:01:host'
FIRST, SECOND = (str(uuid.UUID(int=n)) for n in (1, 2))
MIB = 1 << 20


class TreeTestCase(unittest.TestCase):
    """A target with a file and a block device."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = kernel_tree.Tree(Path(folder.name))
        self.tree.target(str(TARGET), sessions=2, accepts=5, fails=1,
                         timeouts=3)
        self.file = self.tree.export(str(TARGET), 0, 'disks', FIRST,
                                     io=(7, 8, 9))
        self.tree.export(str(TARGET), 1, 'disks', SECOND, device=(253, 4))
        self.tree.disk((253, 4), read_sectors=3, written_sectors=5,
                       in_flight=2)
        self.tree.mapping(str(TARGET), HOST, 1, 0, (4, 5, 6))
        self.seen = self.tree.statistics()

    def exports(self, prefix='mydriver-disks-'):
        return list(self.seen.exports([TARGET], prefix))


@ddt.ddt
class StatisticsTest(TreeTestCase):
    """What is there, and what is not."""

    def test_exports(self):
        self.assertEqual([
            statistics.ExportIo(FIRST, str(TARGET), 0,
                                statistics.Io(7, 8 * MIB, 9 * MIB), None,
                                None),
            statistics.ExportIo(SECOND, str(TARGET), 1,
                                statistics.Io(0, 0, 0), (b'253', b'4'),
                                statistics.Disk(1536, 2560, 2)),
        ], self.exports())

    def test_backstores_of_others(self):
        self.assertEqual([], self.exports('mydriver-fast-'))

    def test_a_link_of_another_name(self):
        (self.file / 'mydriver').rename(self.file / '0a1b2c')
        self.assertEqual([FIRST, SECOND],
                         [e.volume_id for e in self.exports()])

    def test_a_lun_without_a_backstore(self):
        (self.file / 'mydriver').unlink()
        self.assertEqual([SECOND], [e.volume_id for e in self.exports()])

    def test_what_is_missing_is_not_zero(self):
        shutil.rmtree(self.file / 'statistics')
        self.tree.disks.unlink()
        first, second = self.exports()
        self.assertEqual(statistics.Io(None, None, None), first.io)
        self.assertIsNone(second.disk)

    def test_values_that_are_no_numbers(self):
        self.tree.write(self.file / 'statistics/scsi_tgt_port/in_cmds', '-1')
        self.tree.write(self.file / 'statistics/scsi_tgt_port/read_mbytes',
                        '\u0663')
        self.assertEqual(statistics.Io(None, None, 9 * MIB),
                         self.exports()[0].io)

    def test_no_target(self):
        other = model.Iqn(f'{TARGET}0')
        self.assertFalse(self.seen.is_here(other))
        self.assertIsNone(self.seen.observe(other))
        self.assertEqual([], list(self.seen.exports([other], '')))
        self.assertEqual([], list(self.seen.sessions(other)))
        self.assertEqual(statistics.Logins(None, None, None, {}),
                         self.seen.logins(other))

    def test_a_mapped_lun(self):
        self.assertEqual(statistics.Io(4, 5 * MIB, 6 * MIB),
                         self.seen.mapped(TARGET, HOST, 1))
        self.assertEqual(statistics.Io(),
                         self.seen.mapped(TARGET, HOST, 2))

    def test_a_serial_of_the_greatest_length(self):
        """254 characters (SPC-4, 7.8.15, and target_core_base.h)."""
        self.tree.write(self.file / 'mydriver/wwn/vpd_unit_serial',
                        f'T10 VPD Unit Serial Number: {"x" * 254}')
        self.assertEqual('x' * 254, self.seen.observe(
            TARGET).exports[0].serial)

    def test_a_target_that_is_made_anew_meanwhile(self):
        """It is neither empty nor disabled."""
        full, path = self.seen.observe(TARGET), self.tree.tpg(str(TARGET))
        self.assertTrue(full.enabled and full.exports and full.mappings)
        left, names = [1, 2, 3], directory.Directory.names

        def change(folder, below='.'):
            if below == 'acls' and left:
                old = path.rename(f'{path}-{left.pop()}')
                shutil.copytree(old, path, symlinks=True)
                shutil.rmtree(old)
            return names(folder, below)

        with mock.patch.object(directory.Directory, 'names', change):
            self.assertEqual(full, self.seen.observe(TARGET))
            self.assertEqual([], left)
            left += range(20)
            with self.assertRaisesRegex(exception.TargetError,
                                        f'{path}: it changes all the time'):
                self.seen.observe(TARGET)

    def test_a_target_that_goes_meanwhile(self):
        path = self.tree.tpg(str(TARGET))

        def go(_folder, _below='.'):
            with contextlib.suppress(FileNotFoundError):
                path.rename(f'{path}-gone')
            return []

        with mock.patch.object(directory.Directory, 'names', go):
            self.assertIsNone(self.seen.observe(TARGET))

    def test_no_file_stays_open(self):
        before = len(os.listdir('/proc/self/fd'))
        self.exports()
        next(self.seen.exports([TARGET], ''))
        self.seen.observe(TARGET)
        list(self.seen.sessions(TARGET))
        self.seen.logins(TARGET)
        self.assertEqual(before, len(os.listdir('/proc/self/fd')))

    def test_nobody_is_logged_in(self):
        self.assertEqual([], list(self.seen.sessions(TARGET)))

    def test_sessions(self):
        self.tree.session(str(TARGET), HOST, queue=3)
        self.tree.mapping(str(TARGET), HOST, 2, 1, (1, 2, 3))
        found, = self.seen.sessions(TARGET)
        self.assertEqual((HOST, 2, 3, ('192.0.2.7',)), (
            found.initiator, found.luns, found.session.queue,
            found.session.addresses))
        self.assertEqual(statistics.Io(5, 7 * MIB, 9 * MIB), found.io)

    def test_a_sum_with_an_unknown_counter(self):
        self.tree.session(str(TARGET), HOST)
        (self.tree.tpg(str(TARGET)) / 'acls' / HOST / 'lun_1/statistics'
         / 'scsi_auth_intr/num_cmds').unlink()
        found, = self.seen.sessions(TARGET)
        self.assertEqual(statistics.Io(None, 5 * MIB, 6 * MIB), found.io)

    def test_logins(self):
        self.assertEqual(statistics.Logins(
            2, 5, 1, {'digest': 0, 'timeout': 3, 'format': 0}),
            self.seen.logins(TARGET))

    def test_the_outline_of_a_target(self):
        full = configfs.target(TARGET, self.tree.root)
        self.assertEqual([FIRST, SECOND], [e.serial for e in full.exports])
        self.assertEqual(1, len(full.mappings))
        self.assertEqual(dataclasses.replace(
            full, exports=tuple(dataclasses.replace(e, path='', size_bytes=0)
                                for e in full.exports)),
            self.seen.observe(TARGET))

    def test_a_link_is_followed_once(self):
        """Until it has gone: whatever has its name then is read."""
        full, exports = self.seen.observe(TARGET), self.exports()
        link = self.file / 'mydriver'
        self.tree.damage(link / 'wwn/vpd_unit_serial')
        with mock.patch.object(directory.Directory, 'link',
                               side_effect=AssertionError), \
                mock.patch.object(outline, '_mappings', return_value=()):
            self.assertEqual(full.exports, self.seen.observe(TARGET).exports)
            self.assertEqual(exports, self.exports())
        to = os.readlink(link)
        link.unlink()
        self.assertEqual([SECOND], [e.volume_id for e in self.exports()])
        link.symlink_to(to)
        with self.assertRaises(exception.TargetError):
            self.exports()
        link.unlink()
        link.symlink_to(os.readlink(self.tree.tpg(str(TARGET))
                                    / 'lun/lun_1/mydriver'))
        self.assertEqual([(0, SECOND), (1, SECOND)], [
            (e.lun, e.serial) for e in self.seen.observe(TARGET).exports])
        self.assertEqual([0, 1], [e.lun for e in self.exports()])

    @ddt.data('core', 'core/iblock_1/mydriver-disks-{}/info',
              'core/iblock_1/mydriver-disks-{}/wwn/vpd_unit_serial')
    def test_what_was_missing_is_read_again(self, name):
        full, exports = self.seen.observe(TARGET), self.exports()
        path = self.tree.root / name.format(SECOND)
        aside = path.rename(f'{self.tree.root}/aside')
        other = self.tree.statistics()
        self.assertNotEqual((full, exports), (
            other.observe(TARGET),
            list(other.exports([TARGET], 'mydriver-disks-'))))
        aside.rename(path)
        self.assertEqual(full, other.observe(TARGET))
        self.assertEqual(exports, list(
            other.exports([TARGET], 'mydriver-disks-')))

    def test_backstores_that_are_made_meanwhile(self):
        """As when the module is loaded after the first look."""
        other = self.tree.statistics()
        aside = self.tree.root.rename(f'{self.tree.root}-aside')

        def targets():
            aside.rename(self.tree.root)
            yield TARGET

        self.assertEqual(self.exports()[:0], self.exports())
        found = list(other.exports(targets(), 'mydriver-disks-'))
        self.assertEqual(self.exports(), found)
        self.assertEqual(2, len(found))

    def test_targets_that_have_gone_are_forgotten(self):
        self.exports()
        self.assertEqual(1, len(self.seen._luns._known))
        shutil.rmtree(self.tree.tpg(str(TARGET)) / 'lun')
        self.exports()
        self.assertEqual({}, self.seen._luns._known)

    def test_links_that_come_and_go_meanwhile(self):
        """As in attaches and detaches: what is seen is right, or not there."""
        full = configfs.target(TARGET, self.tree.root)
        kept = {path: path.readlink()
                for path in self.tree.tpg(str(TARGET)).rglob('*')
                if path.is_symlink()}
        self.assertEqual(3, len(kept))
        ends = threading.Event()

        def change():
            while not ends.is_set():
                for path, to in kept.items():
                    path.unlink()
                    path.symlink_to(to)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(3000):
                found = configfs.target(TARGET, self.tree.root)
                self.assertLessEqual({*found.exports}, {*full.exports})
                self.assertLessEqual({*found.mappings}, {*full.mappings})
        finally:
            ends.set()
            thread.join()


@ddt.ddt
class UnreadableTest(TreeTestCase):
    """What is there and cannot be read is not missing."""

    def refused(self, path, read):
        """Check that reading raises an error that names the path."""
        with self.assertRaises(exception.TargetError) as caught:
            read()
        self.assertIn(str(path), str(caught.exception))
        self.assertIn('levels of symbolic links', str(caught.exception))

    @ddt.data('iscsi', f'iscsi/{TARGET}', f'iscsi/{TARGET}/tpgt_1',
              f'iscsi/{TARGET}/tpgt_1/lun', f'iscsi/{TARGET}/tpgt_1/acls',
              f'iscsi/{TARGET}/tpgt_1/enable',
              f'iscsi/{TARGET}/tpgt_1/lun/lun_0',
              f'iscsi/{TARGET}/tpgt_1/acls/{HOST}',
              f'iscsi/{TARGET}/tpgt_1/acls/{HOST}/lun_1',
              f'iscsi/{TARGET}/tpgt_1/acls/{HOST}/lun_1/write_protect',
              f'core/fileio_0/mydriver-disks-{FIRST}/wwn/vpd_unit_serial')
    def test_an_object(self, name):
        path = self.tree.root / name
        self.tree.damage(path)
        self.refused(path, lambda: self.seen.observe(TARGET))
        self.refused(path, lambda: configfs.target(TARGET, self.tree.root))

    @ddt.data('', '/tpgt_1', '/tpgt_1/lun',
              '/tpgt_1/lun/lun_0/statistics/scsi_tgt_port/in_cmds')
    def test_exports(self, name):
        path = Path(f'{self.tree.root}/iscsi/{TARGET}{name}')
        self.tree.damage(path)
        self.refused(path, self.exports)

    def test_disks(self):
        self.tree.damage(self.tree.disks)
        self.refused(self.tree.disks, self.exports)

    @ddt.data('acls', f'acls/{HOST}/info')
    def test_sessions(self, name):
        path = self.tree.tpg(str(TARGET)) / name
        self.tree.damage(path)
        self.refused(path, lambda: list(self.seen.sessions(TARGET)))

    def test_logins(self):
        path = self.tree.tpg(str(TARGET)).parent / 'fabric_statistics'
        self.tree.damage(path)
        self.refused(path, lambda: self.seen.logins(TARGET))

    def test_whether_it_is_here(self):
        path = self.tree.root / 'iscsi'
        self.tree.damage(path)
        self.refused(path, lambda: self.seen.is_here(TARGET))

    def test_names_and_backstores(self):
        for name, read in (
                ('iscsi', configfs.names),
                ('core', lambda root: configfs.backstores('', root)),
                ('dbroot', configfs.database)):
            path = self.tree.root / name
            path.touch()
            self.tree.damage(path)
            self.refused(path, lambda read=read: read(self.tree.root))

    def test_another_user(self):
        """What root may read, and others may not."""
        os.chmod(self.tree.root.parent, 0o755)
        os.chmod(self.tree.tpg(str(TARGET)) / 'lun', 0o700)
        os.setresuid(65534, 65534, 0)
        try:
            with self.assertRaisesRegex(
                    exception.TargetError,
                    r'tpgt_1/lun: Permission denied \(user id 65534\)'):
                self.seen.observe(TARGET)
        finally:
            os.setresuid(0, 0, 0)

    def test_without_configfs_nothing_is_known(self):
        """Of the host; a copied tree is complete."""
        name = f'{configfs.ROOT}/iscsi/iqn.2026-11.org.example:none'
        with mock.patch.object(os.path, 'ismount', return_value=True):
            self.assertFalse(configfs.exists(name))
        with mock.patch.object(os.path, 'ismount', return_value=False), \
                self.assertRaisesRegex(exception.TargetError,
                                       'configfs is not mounted'):
            configfs.names()

    def test_without_configfs_nothing_is_counted(self):
        seen = statistics.Statistics()
        for mounted in (True, False):
            with mock.patch.object(os.path, 'ismount', return_value=mounted):
                for read in (seen.logins, seen.observe, lambda target: list(
                        seen.exports([target], '')), lambda target: list(
                            seen.sessions(target))):
                    if mounted:
                        read(TARGET)
                        continue
                    with self.assertRaisesRegex(exception.TargetError,
                                                'configfs is not mounted'):
                        read(TARGET)

    def test_what_goes_meanwhile_is_no_error(self):
        """Its attributes answer ENODEV, its directory is empty or gone."""
        path = self.file / 'statistics/scsi_tgt_port/in_cmds'
        gone = OSError(19, 'No such device')
        with directory.opened(str(path.parent)) as folder:
            self.assertEqual(b'7\n', folder.read(path.name))
            with mock.patch.object(os, 'read', side_effect=gone):
                self.assertEqual(b'', folder.read(path.name))
            shutil.rmtree(path.parent)
            self.assertEqual(b'', folder.read(path.name))
            self.assertEqual('', folder.link('below'))
            self.assertEqual([], folder.names())
        with directory.opened(str(path.parent)) as folder:
            self.assertEqual((b'', '', []), (
                folder.read(path.name), folder.link('below'),
                folder.names('below')))
        shutil.rmtree(self.file)
        self.assertEqual([SECOND], [e.volume_id for e in self.exports()])
        self.assertEqual([SECOND], [
            e.serial for e in self.seen.observe(TARGET).exports])
