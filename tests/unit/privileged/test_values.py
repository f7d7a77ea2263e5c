# SPDX-License-Identifier: Apache-2.0
"""Values that privileged verbs accept, and those that they refuse."""

import unittest

import ddt

from mydriver import exception
from mydriver.privileged import values, verbs

ID = '11111111-2222-4333-8444-555555555555'
ODD = (None, True, 1.5, b'x', [], {}, '\0', 'a\n', '\u0661', '\udcff', '../x',
       'x' * 100_000)


@ddt.ddt
class ValuesTest(unittest.TestCase):
    """Each kind of value has one form."""

    def refused(self, check, *args):
        """Return the text of the error; it is never long."""
        with self.assertRaises(exception.RequestRefused) as caught:
            check(*args)
        text = str(caught.exception)
        self.assertLess(len(text), 400)
        self.assertTrue(text.isascii(), text)
        return text

    @ddt.data(*ODD)
    def test_odd_values(self, odd):
        for check in (values.volume_id, values.target, values.portal):
            self.refused(check, odd)
        for check in (values.integer, ):
            if odd != 1:
                self.refused(check, odd, 'x', 0, 9)
        self.refused(values.iqn, odd, 'x')
        self.refused(values.backstore, odd, ID)
        self.refused(values.portal, [odd, 3260])
        self.refused(values.portal, ['127.0.0.1', odd])
        if not isinstance(odd, list):
            self.refused(values.items, odd, 'x')
        if not isinstance(odd, dict):
            self.refused(values.fields, odd, 'x')
        if not isinstance(odd, bool):
            self.refused(values.boolean, odd, 'x')

    def test_seconds(self):
        self.assertEqual(1.5, values.seconds(1.5, 'a time', 60))
        for odd in (True, '1', None, 0, -1, 61, float('nan'), float('inf')):
            with self.subTest(odd), self.assertRaises(
                    exception.RequestRefused):
                values.seconds(odd, 'a time', 60)

    def test_true_is_no_number(self):
        self.refused(values.integer, True, 'x', 0, 9)
        self.refused(values.size_bytes, True)

    @ddt.data(0, -512, 513, 1 << 62, '512')
    def test_sizes(self, size):
        self.refused(values.size_bytes, size)
        self.assertEqual(512, values.size_bytes(512))

    @ddt.data(ID.upper().replace('1', 'A'), ID.replace('-', ''), f'{{{ID}}}',
              f'urn:uuid:{ID}'[:36])
    def test_a_volume_id_has_one_spelling(self, spelling):
        self.refused(values.volume_id, spelling)
        self.assertEqual(ID, values.volume_id(ID))

    def test_targets(self):
        for name in ('iqn.2010-10.org.openstack:mydriver-host-be-0',
                     'iqn.2001-04.com.example:a:mydriver-h-ssd-fast-63'):
            self.assertEqual(name, values.target(name))
        for name in ('iqn.2003-01.org.linux-iscsi.host:disk',
                     'iqn.2010-10.org.openstack:volume-1',
                     'iqn.2010-10.org.openstack:mydriver-host-be-0/../x'):
            self.refused(values.target, name)

    def test_backstores(self):
        for backend in ('be', 'ssd_fast', 'f\u00e4st', 'a b'):
            name = f'mydriver-{backend}-{ID}'
            self.assertEqual(name, values.backstore(name, ID))
            self.assertEqual(backend, values.backend_of(name))
        for name in (f'mydriver-a/b-{ID}', f'mydriver-{ID}', f'x-be-{ID}',
                     f'mydriver-be-{ID[:-1]}0', f'mydriver-be-{ID}\n'):
            self.refused(values.backstore, name, ID)
        self.assertTrue(values.is_backstore(f'mydriver-be-{ID}', ID))
        self.assertFalse(values.is_backstore('stranger', ID))

    def test_portals(self):
        self.assertEqual('[2001:db8::1]:3260', str(
            values.portal(['[2001:db8::1]', 3260])))
        for given in (['0', 3260], ['127.0.0.1', 0], ['127.0.0.1', 65536],
                      ['127.0.0.1'], ['127.0.0.1', 3260, 1],
                      ['127.0.0.1/../x', 3260]):
            self.refused(values.portal, given)


class TellingTest(unittest.TestCase):
    """Callers get only errors of ours."""

    def test_what_python_says(self):
        @verbs.translating_os_errors('do it', exception.StoreError)
        def verb(value):
            return [1][value]

        self.assertEqual(1, verb(0))
        for args in ((), (1, 2), (1,), ('a',), (None,)):
            with self.assertRaises(exception.RequestRefused):
                verb(*args)
        with self.assertRaises(exception.RequestRefused):
            verb(other=1)
