# SPDX-License-Identifier: Apache-2.0
"""The model's values: what they accept, refuse and show."""

import unittest
import uuid

import ddt
from rtslib_fb import utils as rtslib_utils

from mydriver import exception, model
from mydriver.target import pool


@ddt.ddt
class IqnTest(unittest.TestCase):
    """Names that the kernel target takes."""

    @ddt.data('iqn.1993-08.org.debian:01:abc', 'iqn.2010-10.org.openstack',
              'iqn.2010-10.org.openstack:', 'iqn.1991-05.com.microsoft:host',
              'iqn.2010-12.a.b-c.d:x.y-z:1', 'iqn.2010-10.a.b:' + 'x' * 207)
    def test_good(self, name):
        self.assertEqual(name, str(model.Iqn(name)))
        # rtslib has the last word.
        self.assertEqual(name, rtslib_utils.normalize_wwn(
            ['iqn'], name)[0])

    @ddt.data('', 'iqn', 'iqn.2026-11.lab:x', 'iqn.2010-13.a.b:x',
              'iqn.2010-00.a.b:x', 'iqn.10-10.a.b', 'iqn.2010-10.a.b:x_y',
              'iqn.2010-10.a.b:x y', 'iqn.2010-10.a.b:x\n', 'eui.0123456789',
              'iqn.2010-10.a.b:x/../y', 'iqn.2010-10.a.b:' + 'x' * 208,
              ' iqn.2010-10.a.b:x', 'iqn.2010-10..b:x')
    def test_bad(self, name):
        with self.assertRaises(exception.InvalidIqn):
            model.Iqn(name)

    def test_beyond_ascii(self):
        # The lower case of the last one is the k of ASCII.
        for name in ('iqn.\u0662\u0660\u0661\u0660-10.a.b:x',
                     'iqn.2010-10.a.b:\ud800', 'iqn.2010-10.a.b:\u212a'):
            with self.subTest(ascii(name)), self.assertRaises(
                    exception.InvalidIqn) as caught:
                model.Iqn(name)
            str(caught.exception).encode()

    def test_a_long_name_is_cut_in_the_text(self):
        with self.assertRaises(exception.InvalidIqn) as caught:
            model.Iqn('x' * 10 ** 6)
        self.assertIn('x... (1000000 characters)', str(caught.exception))
        self.assertLess(len(str(caught.exception)), 400)

    @ddt.data(None, 7, [])
    def test_no_text(self, name):
        with self.assertRaises(exception.InvalidIqn):
            model.Iqn(name)

    def test_case_does_not_matter(self):
        self.assertEqual(model.Iqn('iqn.2010-10.A.b:X'),
                         model.Iqn('IQN.2010-10.a.B:x'))

    @ddt.data('iqn.2010-10.org.openstack:mydriver-host-be-0',
              'iqn.2026-11.org.example.mydriver-a-b-12',
              'iqn.2026-11.org.example:x:y-mydriver-a.b-c-1000')
    def test_target_of_ours(self, name):
        self.assertTrue(model.is_our_target(name))

    @ddt.data('iqn.2003-01.org.example:stranger', None, 7, [], '',
              'iqn.2010-10.org.openstack:mydriver-host-be-0\n',
              'iqn.2010-10.org.openstack:mydriver-host-be',
              'IQN.2010-10.org.openstack:mydriver-host-be-0',
              'iqn.2010-10.org.openstack:mydriver-host-be-\u0661',
              'iqn.2010-10.org.openstack:mydriver-\udc80-be-0',
              'iqn.2010-10.org.openstack:mydriver-host/../be-0',
              'mydriver-host-be-0')
    def test_target_of_somebody_else(self, name):
        self.assertFalse(model.is_our_target(name))

    def test_targets_of_a_pool_are_ours(self):
        for target in pool.pool(pool.Settings(
                'Be_1', 'iqn.2010-10.org.openstack:', (), True, '/x',
                targets=12), 'Node.example.org'):
            self.assertTrue(model.is_our_target(str(target)), target)

    def test_text_says_why(self):
        with self.assertRaises(exception.InvalidIqn) as caught:
            model.Iqn('iqn.2026-11.lab:x')
        self.assertIn("'iqn.2026-11.lab:x'", str(caught.exception))
        self.assertIn('with a dot in DOMAIN', str(caught.exception))


@ddt.ddt
class PortalTest(unittest.TestCase):
    """Addresses and ports."""

    @ddt.data(('192.0.2.1', '192.0.2.1:3260'),
              ('192.0.2.1:860', '192.0.2.1:860'),
              ('[2001:DB8:0::1]:3261', '[2001:db8::1]:3261'),
              ('[::1]', '[::1]:3260'))
    @ddt.unpack
    def test_good(self, text, shown):
        portal = model.Portal.parse(text)
        self.assertEqual(shown, str(portal))
        self.assertEqual(portal, model.Portal.parse(shown))

    @ddt.data('', ':3260', 'example.org:3260', '192.0.2.1:', '192.0.2.1:x',
              '192.0.2.1:0', '192.0.2.1:65536', '192.0.2.256', '::1',
              '192.0.2.1:3260,1', '[::1', '192.0.2.1:3260\n')
    def test_bad(self, text):
        with self.assertRaises(exception.InvalidPortal):
            model.Portal.parse(text)

    def test_another_form(self):
        for text in (None, 7, b'192.0.2.1', ['192.0.2.1'],
                     '192.0.2.1' * 10 ** 5, '\u0661.0.2.1', '[192.0.2.1]',
                     '192.0.2.1:\u0663\u0662\u0666\u0660',
                     '[fe80::1%eth0]:3260', '192.0.2.1:' + '0' * 5000):
            with self.subTest(ascii(text)[:40]), self.assertRaises(
                    exception.InvalidPortal) as caught:
                model.Portal.parse(text)
            self.assertLess(len(str(caught.exception)), 300)

    def test_values_of_another_type(self):
        for address, port in (
                (7, 3260), (None, 3260), ('fe80::1%a', 3260),
                ('192.0.2.1', True), ('192.0.2.1', '3260'),
                ('192.0.2.1', 3260.0), ('192.0.2.1', 10 ** 5000)):
            with self.subTest(address=address), self.assertRaises(
                    exception.InvalidPortal):
                model.Portal(address, port)

    def test_host(self):
        self.assertEqual('[::1]', model.Portal('::1').host)
        self.assertEqual('192.0.2.1', model.Portal('192.0.2.1').host)
        self.assertEqual('::1', model.Portal('[::1]').address)


class SecretsTest(unittest.TestCase):
    """What a credential shows."""

    def test_repr(self):
        chap = model.ChapCredentials('u', 'hidden1', 'm', 'hidden2')
        self.assertIn("'u'", repr(chap))
        self.assertNotIn('hidden', f'{chap!r} {chap}')


class NaaIdTest(unittest.TestCase):
    """The id that LIO makes of a volume's UUID."""

    def test_as_the_kernel_showed_it(self):
        self.assertEqual(
            '60014059480dfc5bffe464e965822036',
            model.naa_id('9480dfc5-bffe-464e-9658-22036e7a43fc'))

    def test_one_digit_more_makes_another_id(self):
        """The last seven digits of a UUID are not in the id."""
        first = uuid.UUID('9480dfc5-bffe-464e-9658-220360000000')
        self.assertNotEqual(model.naa_id(str(first)),
                            model.naa_id(str(uuid.UUID(int=first.int
                                                       + (1 << 28)))))

    def test_no_uuid(self):
        with self.assertRaises(ValueError):
            model.naa_id('volume-1')
