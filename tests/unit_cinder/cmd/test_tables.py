# SPDX-License-Identifier: Apache-2.0
"""Values in tables."""

import unittest

import hypothesis

from mydriver.cmd import tables
from tests.fakes import hostile


class TablesTest(unittest.TestCase):
    """Short forms, sizes, and what a terminal must not get."""

    def test_sizes(self):
        for count, text in (
                (None, ''), (0, '0B'), (999, '999B'), (1000, '1.0K'),
                (1536, '1.5K'), (10 << 20, '10.0M'), (999 << 20, '999M'),
                (1023 << 20, '1.0G'), (1 << 40, '1.0T'),
                (1 << 62, '4.0E'), (1 << 80, '1048576E')):
            self.assertEqual(text, tables.size(count))

    def test_names(self):
        for name, text in (
                ('iqn.1993-08.org.debian:01:host', '01:host'),
                ('iqn.1993-08.org.debian', 'iqn.1993-08.org.debian'),
                ('iqn.2026-11.org.example:' + 'a' * 30 + '-7',
                 '..' + 'a' * 18 + '-7')):
            self.assertEqual(text, tables.short_name(name))

    def test_targets(self):
        for name, text in (
                ('iqn.2010-10.org.openstack:mydriver-host-disks-0',
                 'disks-0'),
                ('iqn.2010-10.org.openstack:mydriver-ceph-ab12-3',
                 'ceph-ab12-3'),
                ('iqn.2010-10.org.openstack:mydriver-host-disks-1a2b3c4d-0',
                 '..1a2b3c4d-0')):
            self.assertEqual(text, tables.short_target(name, 'Disks'))

    def test_what_a_terminal_would_obey(self):
        for text, shown in (
                ('\x1b[2J', '\\x1b[2J'), ('a\nb', 'a\\nb'),
                ('\u202eevil', '\\u202eevil'), ('\udc9b', '\\udc9b'),
                ('\x9b31m', '\\x9b31m'), ('caf\u00e9', 'caf\u00e9')):
            self.assertEqual(shown, tables.safe(text))

    def test_what_fits_into_a_terminal(self):
        for text, columns, begins, ends in (
                ('host-7', 6, 'host-7', 'host-7'),
                ('host-7', 4, 'host', '..-7'),
                ('host-7', 0, '', '..'),
                ('\u540d\u524d', 4, '\u540d\u524d', '\u540d\u524d'),
                ('\u540d\u524d', 3, '\u540d', '..'),
                ('cafe\u0301s', 4, 'cafe\u0301', '..e\u0301s')):
            self.assertEqual((begins, ends), (
                tables.beginning(text, columns),
                tables.ending(text, columns)), (text, columns))

    def test_what_gives_way(self):
        row = 'production', 'iqn.2010-10.org.example:7', 12
        names, narrowest = ('Backend', 'Target', 'LUN'), {
            'Backend': 7, 'Target': 8}
        for columns, backend, target in (
                (48, *row[:2]), (47, 'productio', row[1]),
                (44, 'product', '...2010-10.org.example:7'),
                (28, 'product', '..mple:7'), (27, *row[:2])):
            self.assertEqual([(backend, target, 12)], tables.fit(
                names, [row], narrowest, columns), columns)
        self.assertEqual([], tables.fit(names, [], narrowest, 80))
        self.assertEqual([('', 'a..\n..mple:77', '')], tables.fit(
            names, [('', 'a..\nexample:77', '')], narrowest, 29))

    @hypothesis.given(hostile.text)
    @hostile.FUZZ
    def test_any_text(self, text):
        for shown in (tables.safe(text), tables.short_id(text),
                      tables.short_name(text)):
            self.assertTrue(shown.isprintable())
            shown.encode()
        self.assertLessEqual(len(tables.short_name(text)), tables.NAME_MAX)
