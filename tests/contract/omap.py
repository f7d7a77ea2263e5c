# SPDX-License-Identifier: Apache-2.0
"""The contract of objects with an omap: one suite for the fake and Ceph."""

import threading
from typing import TYPE_CHECKING
import unittest

from mydriver.ceph import omap

if TYPE_CHECKING:
    _Case = unittest.TestCase
else:
    _Case = object


class OmapContract(_Case):
    """Mix it into a TestCase that sets ``objects``, an empty namespace."""

    objects: omap.Objects

    def values(self, name: str = 'one') -> dict[str, str]:
        """Return all values of an object."""
        found = self.objects.read(name, ranges=[omap.Range('')])
        self.assertIsNotNone(found)
        return dict(found.values if found else {})

    def test_no_object(self) -> None:
        self.assertIsNone(self.objects.read('one', ['key']))
        self.assertIsNone(self.objects.read('one', ranges=[omap.Range('')]))
        self.assertIs(omap.Outcome.MISSING, self.objects.write(
            'one', {'a': '1'}, where={'key': ''}))
        self.assertIsNone(self.objects.read('one', ['a']))

    def test_created_once(self) -> None:
        self.assertIs(omap.Outcome.DONE, self.objects.write(
            'one', {'a': '1'}, new=True))
        self.assertIs(omap.Outcome.EXISTS, self.objects.write(
            'one', {'a': '2'}, new=True))
        self.assertEqual({'a': '1'}, self.values())

    def test_change_with_expectations(self) -> None:
        self.objects.write('one', {'a': '1', 'b': '2'}, new=True)
        for where in ({'a': '2'}, {'a': '1', 'b': ''}, {'c': 'x'},
                      {'a': ''}, {'a': '11'}, {'a': '1', 'b': '3'}):
            self.assertIs(omap.Outcome.DIFFERS, self.objects.write(
                'one', {'c': '3'}, ['a'], where=where), where)
        self.assertEqual({'a': '1', 'b': '2'}, self.values())
        self.assertIs(omap.Outcome.DONE, self.objects.write(
            'one', {'c': '3'}, ['a'], where={'a': '1', 'c': ''}))
        self.assertEqual({'b': '2', 'c': '3'}, self.values())

    def test_a_key_has_to_exist(self) -> None:
        self.objects.write('one', {'a': '1'}, new=True)
        self.assertIs(omap.Outcome.DIFFERS, self.objects.write(
            'one', {'c': '3'}, where={'b': omap.PRESENT}))
        self.assertIs(omap.Outcome.DONE, self.objects.write(
            'one', {'c': '3'}, where={'a': omap.PRESENT, 'c': ''}))
        self.assertEqual({'a': '1', 'c': '3'}, self.values())

    def test_removed_keys_need_not_exist(self) -> None:
        self.objects.write('one', {'a': '1'}, new=True)
        self.assertIs(omap.Outcome.DONE,
                      self.objects.write('one', {}, ['a', 'b']))
        self.assertEqual({}, self.values())

    def test_text_of_any_kind(self) -> None:
        values = {'ü/key': '{"näme": "☃"}', 'long': 'x' * 60000}
        self.objects.write('one', values, new=True)
        self.assertEqual(values, self.values())
        self.assertIs(omap.Outcome.DONE, self.objects.write(
            'one', {'ü/key': '2'}, where={'long': values['long']}))
        self.assertIs(omap.Outcome.DONE, self.objects.write(
            'one', {}, ['long'], where={'ü/key': '2'}))

    def test_only_ascii_can_be_expected(self) -> None:
        self.objects.write('one', {'a': 'ä'}, new=True)
        with self.assertRaises(ValueError):
            self.objects.write('one', {'a': '1'}, where={'a': 'ä'})
        self.assertEqual({'a': 'ä'}, self.values())

    def test_keys_and_ranges_in_one_read(self) -> None:
        self.objects.write('one', {f'{kind}/{n:03d}': f'{kind}{n}'
                                   for kind in 'abc' for n in range(20)},
                           new=True)
        found = self.objects.read(
            'one', ['a/003', 'none', 'c/010'],
            [omap.Range('b/', limit=3), omap.Range('b/', 'b/017', 5),
             omap.Range('d/')])
        self.assertEqual(omap.Found(
            {'a/003': 'a3', 'c/010': 'c10', 'b/000': 'b0', 'b/001': 'b1',
             'b/002': 'b2', 'b/018': 'b18', 'b/019': 'b19'},
            (omap.Range('b/', 'b/002', 3),)), found)

    def test_a_long_range_comes_in_parts(self) -> None:
        everything = {f'key/{n:05d}': str(n) for n in range(2500)}
        self.objects.write('one', {}, new=True)
        for start in range(0, 2500, 500):
            self.objects.write('one', dict(
                list(everything.items())[start:start + 500]))
        collected: dict[str, str] = {}
        wanted: tuple[omap.Range, ...] = (omap.Range('key/'),)
        reads = 0
        while wanted:
            found = self.objects.read('one', ranges=wanted)
            assert found is not None
            collected.update(found.values)
            wanted = found.cut
            reads += 1
        self.assertEqual(everything, collected)
        self.assertEqual(3, reads)

    def test_of_many_writers_each_change_is_kept(self) -> None:
        self.objects.write('one', {'count': '0'}, new=True)
        lost = [0]

        def work() -> None:
            for _ in range(20):
                while True:
                    found = self.objects.read('one', ['count'])
                    assert found is not None
                    old = found.values['count']
                    if self.objects.write(
                            'one', {'count': str(int(old) + 1)},
                            where={'count': old}) is omap.Outcome.DONE:
                        break
                    lost[0] += 1

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual('80', self.values()['count'])
