# SPDX-License-Identifier: Apache-2.0
"""Rates between two looks at the counters."""

import unittest

from mydriver.cmd import rates
from mydriver.target import statistics

MIB = 1 << 20


def sample(at_s, *exports):
    return rates.Sample(at_s, {('disks', e.volume_id): e for e in exports}, 0)


def export(volume_id='v', io=(0, 0, 0), disk=None, device=(b'253', b'7')):
    return statistics.ExportIo(volume_id, 't', 0, statistics.Io(*io), device,
                               statistics.Disk(*disk) if disk else None)


class RatesTest(unittest.TestCase):
    """:func:`.rates.between`."""

    def only(self, before, after):
        found, = rates.between(before, after)
        return (found.commands, found.read, found.written, found.queue)

    def test_a_file_counts_in_mib(self):
        self.assertEqual((5, 2 * MIB, MIB, None), self.only(
            sample(10, export(io=(10, 0, 0))),
            sample(12, export(io=(20, 4 * MIB, 2 * MIB)))))

    def test_a_device_counts_exactly(self):
        self.assertEqual((0, 256, 512, 3), self.only(
            sample(10, export(disk=(1024, 0, 9))),
            sample(12, export(disk=(1536, 1024, 3)))))

    def test_a_device_that_has_gone(self):
        self.assertEqual((0, MIB, 0, None), self.only(
            sample(0, export(disk=(9, 9, 9))),
            sample(1, export(io=(0, MIB, 0)))))

    def test_a_new_export(self):
        self.assertEqual((None,) * 4, self.only(
            sample(10), sample(12, export(io=(20, 4, 2)))))

    def test_an_export_that_was_made_anew(self):
        self.assertEqual((None, 0, 0, None), self.only(
            sample(10, export(io=(10, 0, 0))), sample(12, export())))

    def test_an_export_that_has_another_device(self):
        self.assertEqual((None, None, None, 1), self.only(
            sample(10, export(disk=(1024, 0, 9))),
            sample(12, export(disk=(1 << 40, 1 << 40, 1),
                              device=(b'253', b'9')))))

    def test_what_the_kernel_lacks(self):
        nothing = export(io=(None, None, None))
        self.assertEqual((None,) * 4, self.only(
            sample(10, nothing), sample(12, nothing)))

    def test_no_time_has_passed(self):
        self.assertEqual((None,) * 4, self.only(
            sample(10, export()), sample(10, export(io=(1, 1, 1)))))

    def test_orders(self):
        of = [rates.Rate('b', *values) for values in (
            ('a', 1.0, 5.0, 1.0, 0), ('b', 2.0, 0.0, 9.0, 3),
            ('c', 9.0, None, None, None))]
        for order, names in (
                ('bytes', 'bac'), ('commands', 'cba'), ('queue', 'bac'),
                ('read', 'abc'), ('volume', 'abc'), ('written', 'bac')):
            self.assertEqual([*names], [
                r.volume_id for r in rates.ordered(of, order)], order)
