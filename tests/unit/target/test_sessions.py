# SPDX-License-Identifier: Apache-2.0
"""The kernel's description of a session, parsed."""

import unittest

import hypothesis

from mydriver.target import sessions
from tests.fakes import hostile, kernel_tree

INITIATOR = 'iqn.1993-08.org.debian:01:host'


def described(**values):
    return kernel_tree.SESSION.format(**{
        'initiator': INITIATOR, 'alias': 'host', 'sid': 3, 'window': 60,
        'address': '192.0.2.7', **values})


class ParseTest(unittest.TestCase):
    """:func:`.sessions.parse`."""

    def test_a_session(self):
        self.assertEqual(sessions.Session(
            'host', 3, '00023d000003', 'logged_in', 4,
            (sessions.Connection(0, 'logged_in', '192.0.2.7'),)),
            sessions.parse(described()))

    def test_none(self):
        for text in ('', kernel_tree.NO_SESSION, 'InitiatorName: x\n'):
            self.assertIsNone(sessions.parse(text))

    def test_an_address_of_ipv6(self):
        for address in ('2001:db8::7', '[2001:db8::7]'):
            self.assertEqual(('2001:db8::7',), sessions.parse(
                described(address=address)).addresses)

    def test_several_connections(self):
        text = described() + (
            'CID: 1  Connection State: TARG_CONN_STATE_IN_LOGOUT\n'
            '   Address 192.0.2.8 TCP  StatSN: 0x00000001\n'
            'CID: 2  Connection State: ERROR: Unknown Connection State!\n'
            '   Address 192.0.2.7 TCP  StatSN: 0x00000001\n')
        found = sessions.parse(text)
        self.assertEqual(['logged_in', 'in_logout', 'unknown'],
                         [c.state for c in found.connections])
        self.assertEqual(('192.0.2.7', '192.0.2.8'), found.addresses)

    def test_no_connection_any_more(self):
        text = described().partition('CID:')[0].replace('LOGGED_IN', 'FAILED')
        found = sessions.parse(text)
        self.assertEqual(('failed', ()), (found.state, found.connections))

    def test_an_alias_that_pretends_to_be_a_session(self):
        alias = described(address='198.51.100.1', sid=9).removesuffix('\n')
        found = sessions.parse(described(alias=alias))
        self.assertEqual((3, ('192.0.2.7',), alias),
                         (found.sid, found.addresses, found.alias))

    def test_no_window(self):
        text = described().replace(' 0x00000040', ' ?')
        self.assertIsNone(sessions.parse(text).queue)

    @hypothesis.given(hostile.text, hostile.text)
    @hostile.FUZZ
    def test_any_text(self, first, second):
        sessions.parse(first)
        found = sessions.parse(described(alias=first + second))
        self.assertEqual(('192.0.2.7',), found.addresses)
