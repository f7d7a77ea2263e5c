# SPDX-License-Identifier: Apache-2.0
"""The grammar of ``connection_info['data']`` for RBD, and who may have it."""

import dataclasses
import json
import unittest

import ddt
import hypothesis
from hypothesis import strategies as st

from mydriver import connection, exception, model
from mydriver.connection import rbd
from tests.fakes import hostile

VOLUME = '9480dfc5-bffe-464e-9658-22036e7a43fc'
SECRET = '457eb676-33da-42ec-9a8c-9293d545c337'
IQN = 'iqn.1993-08.org.debian:01:a'
SIMPLE = rbd.Connection(
    VOLUME, 'volumes', f'volume-{VOLUME}',
    (model.Portal('192.0.2.1', 6789), model.Portal('2001:db8::1', 3300)),
    'cinder', SECRET)
FULL = dataclasses.replace(SIMPLE, cluster='east', read_only=True,
                           encrypted=True)
OPEN = dataclasses.replace(SIMPLE, user=None, secret_uuid=None)

#: As Cinder's own driver and manager write it.
IN_TREE = {
    'name': f'volumes/volume-{VOLUME}',
    'hosts': ['192.0.2.1', '2001:db8::1'],
    'ports': ['6789', '3300'],
    'cluster_name': 'ceph',
    'auth_enabled': True,
    'auth_username': 'cinder',
    'secret_type': 'ceph',
    'secret_uuid': SECRET,
    'volume_id': VOLUME,
    'discard': True,
    'encrypted': False,
    'access_mode': 'rw',
}
ADDED_BY_CINDER = {
    'qos_specs': {'read_iops_sec': '100'}, 'cacheable': False,
    'logical_block_size': '512', 'physical_block_size': '512',
    'driver_volume_type': 'rbd', 'attachment_id': VOLUME,
    'enforce_multipath': False}


@ddt.ddt
class GrammarTest(unittest.TestCase):
    """What was built is what is read, and what Cinder's driver writes."""

    @ddt.data(SIMPLE, FULL, OPEN)
    def test_symmetry(self, wanted):
        self.assertEqual(wanted, rbd.Connection.parse(
            json.loads(json.dumps(wanted.to_data()))))

    def test_as_cinders_own_driver(self):
        self.assertEqual(IN_TREE, SIMPLE.to_data())
        self.assertEqual(SIMPLE, rbd.Connection.parse(
            {**IN_TREE, **ADDED_BY_CINDER}))

    def test_discard_is_not_promised_of_an_encrypted_volume(self):
        self.assertNotIn('discard', FULL.to_data())

    def test_there_is_no_key_and_none_is_read(self):
        self.assertNotIn('keyring', FULL.to_data())
        found = rbd.Connection.parse({**IN_TREE, 'keyring': 'hidden'})
        self.assertEqual(SIMPLE, found)
        self.assertNotIn('hidden', repr(found))

    def test_a_secret_may_be_left_to_nova(self):
        self.assertIsNone(rbd.Connection.parse(
            {**IN_TREE, 'secret_uuid': None}).secret_uuid)

    @ddt.data(*(key for key in IN_TREE if key not in (
        'cluster_name', 'secret_type', 'secret_uuid', 'volume_id', 'discard',
        'encrypted', 'access_mode', 'auth_enabled')))
    def test_missing(self, key):
        data = {k: v for k, v in IN_TREE.items() if k != key}
        with self.assertRaisesRegex(exception.InvalidConnectionData, key):
            rbd.Connection.parse(data)

    def test_value_of_another_form(self):
        for key, value, said in (
                ('name', 'volumes', 'not POOL/IMAGE'),
                ('name', 'volumes/a/b', 'the image in name'),
                ('name', 'volumes/a@b', 'the image in name'),
                ('name', 'volumes:id=admin/a', 'the pool in name'),
                ('name', '/a', 'the pool in name'),
                ('name', 7, 'name is not printable text'),
                ('hosts', '192.0.2.1', 'not a list'),
                ('hosts', [], 'not a list of 1'),
                ('hosts', ['192.0.2.1'] * 65, 'not a list of 1 to 64'),
                ('hosts', ['192.0.2.1'], 'hosts has 1 entries, ports 2'),
                ('hosts', ['mon', '192.0.2.1'], 'not the address of a mon'),
                ('ports', ['6789', '\u0663'], 'not the address of a mon'),
                ('ports', [True, 1], 'not the address of a mon'),
                ('auth_enabled', 'yes', 'auth_enabled is the text yes'),
                ('auth_username', None, 'auth_username is'),
                ('auth_username', 'a,b', 'auth_username is'),
                ('secret_type', 'iscsi', 'secret_type is the text iscsi'),
                ('secret_uuid', 'x', 'not a UUID'),
                ('secret_uuid', 7, 'not a UUID'),
                ('cluster_name', '../x', 'cluster_name is'),
                ('access_mode', 'RO', 'access_mode is the text RO'),
                ('encrypted', 'False', 'encrypted is the text False')):
            with (self.subTest(key=key, value=value),
                  self.assertRaises(
                      exception.InvalidConnectionData) as caught):
                rbd.Connection.parse({**IN_TREE, key: value})
            self.assertIn(said, str(caught.exception))

    @ddt.data(None, [], 'x', 7)
    def test_no_object(self, data):
        with self.assertRaisesRegex(
                exception.InvalidConnectionData, 'not an object'):
            rbd.Connection.parse(data)


hostile_names = st.sampled_from([
    'volumes/x', 'volumes', 'a/b/c', '../x/y', 'a/b@c', 'a/b:id=admin', '/',
    'a/\ud800', 'a/b\n', hostile.Text('a/' * 5000)])
hostile_data = hostile.mutated(IN_TREE, {
    'name': hostile_names,
    'hosts': st.lists(hostile.portals, max_size=3),
    'ports': st.lists(hostile.digits, max_size=3),
    'auth_enabled': st.sampled_from([True, False, 1, 'True']),
    'secret_uuid': st.sampled_from([SECRET, SECRET.upper(), f'{SECRET}\n']),
    'access_mode': st.sampled_from(['ro', 'rw', 'RO', True]),
    'encrypted': st.sampled_from([True, False, 1, 'False'])})
good_names = st.text(st.characters(
    categories=('L', 'N', 'S'), exclude_characters='=\\/@:,;'),
    min_size=1, max_size=30)
good_connections = st.builds(
    rbd.Connection, volume_id=st.uuids().map(str), pool=good_names,
    image=good_names, monitors=st.lists(st.builds(
        model.Portal, st.ip_addresses().map(str), st.integers(1, 65535)),
        min_size=1, max_size=4).map(tuple),
    user=good_names, secret_uuid=st.one_of(st.none(), st.uuids().map(str)),
    cluster=good_names, read_only=st.booleans(), encrypted=st.booleans())


class FuzzTest(unittest.TestCase):
    """A valid connection, or InvalidConnectionData; nothing else."""

    def parse(self, data):
        try:
            found = rbd.Connection.parse(data)
        except exception.InvalidConnectionData as e:
            hostile.check_text(e)
            return
        for name in (found.pool, found.image, found.cluster,
                     *filter(None, [found.user])):
            self.assertRegex(name, r'\A[^/@:=,;\\\s]{1,255}\Z')
        self.assertTrue(found.monitors)
        self.assertIs(bool, type(found.read_only))
        self.assertIs(bool, type(found.encrypted))
        self.assertEqual(found, rbd.Connection.parse(found.to_data()))

    @hostile.FUZZ
    @hypothesis.given(hostile_data)
    def test_some_keys_are_wrong(self, data):
        self.parse(data)

    @hostile.FUZZ
    @hypothesis.given(hostile.anything)
    def test_anything(self, data):
        self.parse(data)

    @hostile.FUZZ
    @hypothesis.given(good_connections)
    def test_what_was_built_is_read(self, wanted):
        self.assertEqual(wanted, rbd.Connection.parse(
            json.loads(json.dumps(wanted.to_data()))))


CAN = connection.Capabilities(True, True, frozenset({SECRET}))


@ddt.ddt
class MarkTest(unittest.TestCase):
    """What our Nova side says of native access."""

    def test_symmetry(self):
        self.assertEqual(CAN, connection.Capabilities.of(
            {connection.MARKER: json.loads(json.dumps(CAN.mark()))}))

    def test_a_host_without_says_what_it_always_said(self):
        self.assertEqual({'version': 1, 'mutual_chap': True},
                         connection.Capabilities(True, True).mark())

    @ddt.data(None, True, SECRET, [7], [SECRET.upper()], [f'{SECRET}\n'],
              {SECRET: 1}, [SECRET] * 65)
    def test_values_of_another_form_are_none(self, value):
        self.assertEqual(frozenset(), connection.Capabilities.of(
            {connection.MARKER: {'native_rbd': value}}).rbd_secrets)


@ddt.ddt
class HostTest(unittest.TestCase):
    """The identity of a host is its name."""

    OFFERED = (connection.Protocol.RBD, connection.Protocol.ISCSI)

    def test_a_host_without_open_iscsi(self):
        agreed = connection.negotiate({'host': 'a'}, self.OFFERED)
        self.assertEqual(
            ('rbd', connection.HostName('a')),
            (agreed.protocol, agreed.host.require_name()))

    def test_a_host_without_a_name(self):
        agreed = connection.negotiate({'initiator': IQN}, self.OFFERED)
        self.assertEqual('iscsi', agreed.protocol)
        with self.assertRaises(exception.NoHostName):
            agreed.host.require_name()

    def test_a_host_with_neither(self):
        with self.assertRaises(exception.InvalidConnector) as caught:
            connection.negotiate({'ip': '192.0.2.1'}, self.OFFERED)
        self.assertIn('names no host', str(caught.exception))
        self.assertIn('no initiator name', str(caught.exception))

    @ddt.data('', None, 7, 'a\n', 'a' * 256, '\ud800', ['a'])
    def test_what_is_no_name(self, host):
        self.assertIsNone(connection.Connector.parse({'host': host}).name)
        with self.assertRaises(exception.InvalidConnector) as caught:
            connection.HostName(host)
        hostile.check_text(caught.exception)

    @hostile.FUZZ
    @hypothesis.given(st.one_of(hostile.anything, hostile.text))
    def test_any_name_at_all(self, host):
        found = connection.Connector.parse({'host': host}).name
        if found is not None:
            self.assertEqual(host, str(found))
            self.assertTrue(host.isprintable())
