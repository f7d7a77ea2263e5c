# SPDX-License-Identifier: Apache-2.0
"""Fuzzing connection data, connectors, names and portals."""

import ipaddress
import json
import unittest

import hypothesis
from hypothesis import strategies as st

from mydriver import connection, exception, model
from mydriver.connection import iscsi
from tests.fakes import hostile

VOLUME = '9480dfc5-bffe-464e-9658-22036e7a43fc'
ALL = connection.Capabilities(verifies_wwn=True, mutual_chap=True)
SECRETS = ('hidden-of-initiator', 'hidden-of-target')
GOOD = iscsi.Connection(
    VOLUME, (
        iscsi.Path(model.Iqn('iqn.2010-10.org.openstack:pool-0'),
                   model.Portal('192.0.2.1'), 300),
        iscsi.Path(model.Iqn('iqn.2010-10.org.openstack:pool-1'),
                   model.Portal('2001:db8::1', 3261), 301)),
    model.ChapCredentials('user', SECRETS[0], 'target', SECRETS[1]),
    wwn=model.naa_id(VOLUME)).to_data(ALL)

near_lists = {
    'target_portals': st.lists(hostile.portals, max_size=3),
    'target_iqns': st.lists(hostile.iqns, max_size=3),
    'target_luns': st.lists(hostile.luns, max_size=3)}
hostile_data = hostile.mutated(GOOD, {
    'target_portal': hostile.portals, 'target_iqn': hostile.iqns,
    'target_lun': hostile.luns, **near_lists,
    'access_mode': st.sampled_from(['ro', 'rw', 'RO', True]),
    'encrypted': st.sampled_from([True, False, 1, 'False']),
    'auth_method': st.sampled_from(['CHAP', 'chap', '', None])})

labels = st.text('abcz019-', min_size=1, max_size=8)
good_iqns = st.builds(
    lambda year, month, domain, rest: model.Iqn(
        f'iqn.{year:04}-{month:02}.{".".join(domain)}{rest}'),
    st.integers(0, 9999), st.integers(1, 12),
    st.lists(labels, min_size=2, max_size=4),
    st.one_of(st.just(''), st.text('abc019.:-', max_size=30).map(':'.__add__)))
good_portals = st.builds(model.Portal, st.ip_addresses().map(str),
                         st.integers(1, 65535))
words = st.text(st.characters(categories=('L', 'N', 'P', 'S')), min_size=1,
                max_size=30)
good_chap = st.one_of(
    st.none(), st.builds(model.ChapCredentials, words, words),
    st.builds(model.ChapCredentials, words, words, words, words))
good_connections = st.builds(
    iscsi.Connection, volume_id=st.uuids().map(str),
    paths=st.lists(st.builds(
        iscsi.Path, good_iqns, good_portals,
        st.integers(0, iscsi.MAX_LUN)), min_size=1, max_size=4).map(tuple),
    chap=good_chap,
    read_only=st.booleans(), encrypted=st.booleans(),
    wwn=st.one_of(st.none(),
                  st.uuids().map(lambda u: model.naa_id(str(u)))))


def assert_valid(test: unittest.TestCase,
                 found: iscsi.Connection) -> None:
    """See that each field is what its type and documentation say."""
    test.assertIs(str, type(found.volume_id))
    test.assertTrue(found.paths)
    for path in found.paths:
        test.assertRegex(str(path.target), r'\Aiqn\.[!-~]{1,219}\Z')
        ipaddress.ip_address(path.portal.address)
        test.assertNotIn('%', path.portal.address)
        test.assertIs(int, type(path.portal.port))
        test.assertIn(path.portal.port, range(1, 65536))
        test.assertIs(int, type(path.lun))
        test.assertIn(path.lun, range(16384))
    if found.chap:
        test.assertTrue(found.chap.username.isprintable())
        test.assertTrue(found.chap.password.isprintable())
        test.assertEqual(found.chap.mutual_username is None,
                         found.chap.mutual_password is None)
    test.assertIs(bool, type(found.read_only))
    test.assertIs(bool, type(found.encrypted))
    test.assertRegex(found.wwn or '0' * 32, r'\A[0-9a-f]{32}\Z')


class ConnectionTest(unittest.TestCase):
    """A valid connection, or InvalidConnectionData; nothing else."""

    def parse(self, data):
        try:
            found = iscsi.Connection.parse(data)
        except exception.InvalidConnectionData as e:
            hostile.check_text(e, *SECRETS)
            return
        assert_valid(self, found)
        self.assertEqual(found, iscsi.Connection.parse(
            found.to_data(ALL)))
        self.assertNotIn('hidden', repr(found))

    @hostile.FUZZ
    @hypothesis.given(hostile_data)
    def test_some_keys_are_wrong(self, data):
        self.parse(data)

    @hostile.FUZZ
    @hypothesis.given(hostile.anything)
    def test_anything(self, data):
        self.parse(data)
        self.assertIs(False, iscsi.is_ours(data))

    @hostile.FUZZ
    @hypothesis.given(good_connections)
    def test_what_was_built_is_read(self, wanted):
        data = json.loads(json.dumps(wanted.to_data(ALL)))
        self.assertEqual(wanted, iscsi.Connection.parse(data))
        assert_valid(self, iscsi.Connection.parse(data))


class ConnectorTest(unittest.TestCase):
    """What a compute host says of itself."""

    @hostile.FUZZ
    @hypothesis.given(st.one_of(hostile.anything, hostile.mutated(
        {'initiator': 'iqn.1993-08.org.debian:01:a', 'host': 'compute',
         connection.MARKER: ALL.mark()}, {'initiator': hostile.iqns})))
    def test_initiator_and_capabilities(self, connector):
        can = connection.Capabilities.of(connector)
        self.assertIs(bool, type(can.mutual_chap))
        try:
            found = connection.Connector.parse(connector)
            initiator = found.require_initiator()
        except exception.ConnectorError as e:
            hostile.check_text(e)
            return
        self.assertIs(str, type(found.host))
        found.host.encode()
        self.assertEqual(can, found.capabilities)
        self.assertTrue(str(initiator).isascii())


class ValuesTest(unittest.TestCase):
    """Names and portals by themselves."""

    @hostile.FUZZ
    @hypothesis.given(st.one_of(hostile.iqns, hostile.anything, st.from_regex(
        r'iqn\.\d{4}-\d\d\.[\w-]+(\.[\w-]+)+(:\S*)?', fullmatch=True)))
    def test_iqn(self, name):
        try:
            found = model.Iqn(name)
        except exception.InvalidIqn as e:
            hostile.check_text(e)
            return
        self.assertEqual(name.lower(), found.name)
        self.assertTrue(found.name.isascii())
        self.assertEqual(found, model.Iqn(str(found)))

    @hostile.FUZZ
    @hypothesis.given(st.one_of(hostile.portals, hostile.anything, st.tuples(
        st.ip_addresses(), hostile.digits).map(lambda p: f'{p[0]}:{p[1]}')))
    def test_portal_text(self, text):
        try:
            found = model.Portal.parse(text)
        except exception.InvalidPortal as e:
            hostile.check_text(e)
            return
        self.assertTrue(text.isascii())
        self.assertEqual(found, model.Portal.parse(str(found)))

    @hostile.FUZZ
    @hypothesis.given(
        st.one_of(st.just('192.0.2.1'), hostile.anything),
        st.one_of(st.just(3260), hostile.anything))
    def test_portal_values(self, address, port):
        try:
            found = model.Portal(address, port)
        except exception.InvalidPortal as e:
            hostile.check_text(e)
            return
        self.assertEqual((str, int), (type(found.address), type(found.port)))

    @hostile.FUZZ
    @hypothesis.given(st.data())
    def test_every_error_can_be_shown(self, data):
        kinds = [exception.MyDriverError]
        for kind in kinds:
            kinds += kind.__subclasses__()
        for kind in kinds:
            hostile.check_text(kind(*(
                data.draw(st.one_of(hostile.text, hostile.huge))
                for _ in kind.fields)), most=20_000)
