# SPDX-License-Identifier: Apache-2.0
"""The counters of the kernel, read from a copied tree."""

import dataclasses
from pathlib import Path
import shutil
import tempfile
import unittest
import uuid

from mydriver import model
from mydriver.target import configfs, statistics
from tests.fakes import kernel_tree

TARGET = model.Iqn('iqn.2010-10.org.openstack:mydriver-host-disks-0')
HOST = 'iqn.1993-08.org.debian:01:host'
FIRST, SECOND = (str(uuid.UUID(int=n)) for n in (1, 2))
MIB = 1 << 20


class StatisticsTest(unittest.TestCase):
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

    def test_exports(self):
        self.assertEqual([
            statistics.ExportIo(FIRST, str(TARGET), 0,
                                statistics.Io(7, 8 * MIB, 9 * MIB), None),
            statistics.ExportIo(SECOND, str(TARGET), 1,
                                statistics.Io(0, 0, 0),
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
