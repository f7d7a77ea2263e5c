# SPDX-License-Identifier: Apache-2.0
"""The grammar of ``connection_info['data']``: built and parsed."""

import dataclasses
import json
import unittest

import ddt

from mydriver import connection, exception, model
from mydriver.connection import iscsi
from tests.fakes.grammar import (
    ALL,
    FULL,
    NOTHING,
    OTHER_TARGET,
    SIMPLE,
    SPREAD,
    TARGET,
    VOLUME,
)


@ddt.ddt
class SymmetryTest(unittest.TestCase):
    """What was built is what is read."""

    @ddt.data(SIMPLE, FULL, SPREAD,
              dataclasses.replace(FULL, paths=FULL.paths[1:], chap=None),
              dataclasses.replace(FULL, chap=model.ChapCredentials('u', 'p')))
    def test_for_our_nova_side(self, wanted):
        data = json.loads(json.dumps(wanted.to_data(ALL)))
        self.assertTrue(iscsi.is_ours(data))
        self.assertEqual(wanted, iscsi.Connection.parse(data))

    @ddt.data(SIMPLE, FULL, SPREAD)
    def test_for_stock(self, wanted):
        data = wanted.to_data(NOTHING)
        self.assertFalse(iscsi.is_ours(data))
        self.assertEqual([], [k for k in data if 'mydriver' in k])
        chap = wanted.chap and model.ChapCredentials(
            wanted.chap.username, wanted.chap.password)
        self.assertEqual(dataclasses.replace(wanted, wwn=None, chap=chap),
                         iscsi.Connection.parse(data))

    def test_discard_is_not_promised_of_an_encrypted_volume(self):
        for capabilities in (ALL, NOTHING):
            self.assertIs(True, SIMPLE.to_data(capabilities)['discard'])
            self.assertNotIn('discard', FULL.to_data(capabilities))

    def test_without_mutual_chap(self):
        data = FULL.to_data(connection.Capabilities(verifies_wwn=True))
        self.assertNotIn('hidden2', str(data))


#: ``connection_info['data']`` as release 1.0 wrote it.
OLD_SINGLE = {
    'target_discovered': False,
    'target_iqn': 'iqn.2010-10.org.openstack:pool-0',
    'target_portal': '192.0.2.1:3260',
    'target_lun': 7,
    'volume_id': '9480dfc5-bffe-464e-9658-22036e7a43fc',
    'encrypted': False,
    'access_mode': 'rw',
    'discard': True,
    'mydriver_wwn': '60014059480dfc5bffe464e965822036',
}
OLD_FULL = {
    'target_discovered': False,
    'target_iqn': 'iqn.2010-10.org.openstack:pool-0',
    'target_portal': '192.0.2.1:3260',
    'target_lun': 300,
    'volume_id': '9480dfc5-bffe-464e-9658-22036e7a43fc',
    'encrypted': True,
    'access_mode': 'ro',
    'target_portals': ['192.0.2.1:3260', '[2001:db8::1]:3261'],
    'target_iqns': ['iqn.2010-10.org.openstack:pool-0',
                    'iqn.2010-10.org.openstack:pool-0'],
    'target_luns': [300, 300],
    'auth_method': 'CHAP',
    'auth_username': 'user',
    'auth_password': 'hidden1',
    'mydriver_mutual_auth_username': 'target',
    'mydriver_mutual_auth_password': 'hidden2',
    'mydriver_wwn': '60014059480dfc5bffe464e965822036',
}


@ddt.ddt
class PreviousReleaseTest(unittest.TestCase):
    """Data in Cinder's and Nova's databases outlives a release."""

    @ddt.data((OLD_SINGLE, SIMPLE), (OLD_FULL, FULL))
    @ddt.unpack
    def test_both_write_the_same(self, old, wanted):
        """So each reads what the other has written."""
        self.assertEqual(wanted, iscsi.Connection.parse(old))
        self.assertEqual(old, wanted.to_data(ALL))

    def test_paths_that_differ_have_the_same_keys(self):
        data = SPREAD.to_data(ALL)
        self.assertEqual(
            {*OLD_SINGLE, 'target_portals', 'target_iqns', 'target_luns'},
            set(data))
        self.assertEqual(
            (['192.0.2.1:3260', '[2001:db8::1]:3261'],
             [str(TARGET), str(OTHER_TARGET)], [7, 300]),
            (data['target_portals'], data['target_iqns'],
             data['target_luns']))
        # The singular keys are those of the first path.
        self.assertEqual(OLD_SINGLE, {key: data[key] for key in OLD_SINGLE})

    def test_singular_target_and_lun_of_several_portals(self):
        """As drivers with one target write it."""
        data = {key: value for key, value in OLD_FULL.items()
                if key not in ('target_iqns', 'target_luns')}
        self.assertEqual(FULL, iscsi.Connection.parse(data))

    def test_lists_of_another_length(self):
        for key in ('target_iqns', 'target_luns'):
            for values in (OLD_FULL[key][:1], OLD_FULL[key] * 2):
                with self.assertRaisesRegex(
                        exception.InvalidConnectionData, 'for 2 portals'):
                    iscsi.Connection.parse({**OLD_FULL, key: values})


@ddt.ddt
class ParseTest(unittest.TestCase):
    """What cannot be used."""

    @ddt.data('target_iqn', 'target_portal', 'target_lun')
    def test_missing(self, key):
        data = SIMPLE.to_data(ALL)
        del data[key]
        with self.assertRaisesRegex(
                exception.InvalidConnectionData, f'{key} is missing'):
            iscsi.Connection.parse(data)

    def test_value_of_another_form(self):
        for key, value, said in (
                ('target_lun', None, 'target_lun is missing'),
                ('target_lun', float('inf'), 'LUN inf is not an integer'),
                ('target_lun', 7.0, 'LUN 7.0 is not an integer'),
                ('target_lun', True, 'LUN True is not an integer'),
                ('target_lun', '\u0667', 'LUN \u0667 is not an integer'),
                ('target_lun', 16384, 'from 0 to 16383'),
                ('target_lun', -1, 'from 0 to 16383'),
                ('target_lun', 10 ** 5000, 'LUN <int> is not an integer'),
                ('target_luns', 5, 'target_luns is 5, not a list'),
                ('target_luns', [7, 7], 'has 2 entries for 1 portals'),
                ('target_iqns', 'iqn', 'target_iqns is iqn, not a list'),
                ('target_portals', ['192.0.2.1'] * 257, 'more than 256'),
                ('target_portal', 5, 'Not a valid iSCSI portal'),
                ('target_portal', '192.0.2.1:\u0663', 'Not a valid iSCSI p'),
                ('target_iqn', 'iqn.2010-10.a.b:\ud800', 'Not a valid iSCSI'),
                ('access_mode', 'RO', "access_mode is the text RO, not 'rw'"),
                ('encrypted', 'False', 'encrypted is the text False, not'),
                ('auth_method', 'None', "auth_method is the text None, not"),
                ('volume_id', 7, 'volume_id is not printable text')):
            with (self.subTest(key=key, said=said),
                  self.assertRaises(
                      exception.InvalidConnectionData) as caught):
                iscsi.Connection.parse(
                    {**SIMPLE.to_data(ALL), key: value})
            self.assertIn(said, str(caught.exception))
            self.assertLess(len(str(caught.exception)), 400)
            str(caught.exception).encode()

    @ddt.data(None, [], 'x', b'x', 7)
    def test_no_object(self, data):
        with self.assertRaisesRegex(
                exception.InvalidConnectionData, 'not an object'):
            iscsi.Connection.parse(data)
        self.assertFalse(iscsi.is_ours(data))

    def test_secret_of_another_form(self):
        for value in (7, ['hidden'], 'hidden\n', 'hidden\ud800',
                      'hidden' * 50):
            for key in ('auth_username', 'auth_password',
                        'mydriver_mutual_auth_username',
                        'mydriver_mutual_auth_password'):
                with self.assertRaises(
                        exception.InvalidConnectionData) as caught:
                    iscsi.Connection.parse(
                        {**FULL.to_data(ALL), key: value})
                self.assertIn(f'{key} is not printable text',
                              str(caught.exception))
                self.assertNotIn('hidden', str(caught.exception))

    @ddt.data('mydriver_mutual_auth_username',
              'mydriver_mutual_auth_password')
    def test_half_of_mutual_chap(self, key):
        data = FULL.to_data(ALL)
        del data[key]
        with self.assertRaisesRegex(
                exception.InvalidConnectionData, f'{key} is missing'):
            iscsi.Connection.parse(data)

    @ddt.data('', 'naa.6001', '6001405', model.naa_id(VOLUME).upper(),
              '../' + model.naa_id(VOLUME), 7)
    def test_id_that_is_none(self, wwn):
        with self.assertRaisesRegex(
                exception.InvalidConnectionData, 'NAA id'):
            iscsi.Connection.parse(
                {**SIMPLE.to_data(ALL), 'mydriver_wwn': wwn})

    def test_chap_without_secret(self):
        data = FULL.to_data(ALL)
        del data['auth_password']
        with self.assertRaises(exception.InvalidConnectionData) as caught:
            iscsi.Connection.parse(data)
        self.assertIn('auth_password', str(caught.exception))
        self.assertNotIn('hidden', str(caught.exception))


@ddt.ddt
class CapabilitiesTest(unittest.TestCase):
    """What a connector says that its host can do."""

    @ddt.data(ALL, connection.Capabilities(verifies_wwn=True))
    def test_symmetry(self, wanted):
        connector = {'host': 'a', connection.MARKER: wanted.mark()}
        self.assertEqual(wanted, connection.Capabilities.of(
            json.loads(json.dumps(connector))))

    @ddt.data({}, {connection.MARKER: None}, {connection.MARKER: 'yes'})
    def test_stock(self, connector):
        self.assertEqual(NOTHING, connection.Capabilities.of(connector))

    def test_only_true_is_true(self):
        self.assertFalse(connection.Capabilities.of(
            {connection.MARKER: {'mutual_chap': 'False'}}).mutual_chap)


class ConnectorTest(unittest.TestCase):
    """What a compute host tells Cinder about itself."""

    def test_parse(self):
        found = connection.Connector.parse({
            'host': 'compute-7', 'initiator': 'iqn.1993-08.org.debian:01:A',
            connection.MARKER: ALL.mark(), 'multipath': True})
        self.assertEqual(connection.Connector(
            'compute-7', model.Iqn('iqn.1993-08.org.debian:01:a'), ALL,
            connection.HostName('compute-7')), found)
        self.assertEqual(found.initiator, found.require_initiator())

    def test_no_initiator_name(self):
        for name in ({}, {'initiator': None}, {'initiator': ''}):
            found = connection.Connector.parse({'host': 'compute-7', **name})
            self.assertIsNone(found.initiator)
            with self.assertRaises(exception.NoInitiatorName) as caught:
                found.require_initiator()
            self.assertEqual(
                'The connector of host compute-7 has no initiator name. '
                'Install open-iscsi there and check /etc/iscsi/'
                'initiatorname.iscsi.', str(caught.exception))

    def test_what_is_none(self):
        for connector in (None, [], 'x', 7, {'initiator': 'eui.01234'},
                          {'initiator': 7}):
            with (self.subTest(connector),
                  self.assertRaises(exception.InvalidConnector)):
                connection.Connector.parse(connector)

    def test_host_of_another_form(self):
        for host, shown in ((None, '?'), ('', '?'), (['x'], '<list>'),
                            ('\ud800', '\\ud800')):
            self.assertEqual(shown, connection.Connector.parse(
                {'host': host}).host)


class NegotiateTest(unittest.TestCase):
    """Which protocol a host and a backend use."""

    NAME = 'iqn.1993-08.org.debian:01:a'
    OFFERED = (connection.Protocol.ISCSI,)

    def test_iscsi(self):
        agreed = connection.negotiate(
            {'host': 'a', 'initiator': self.NAME,
             connection.MARKER: ALL.mark()}, self.OFFERED)
        self.assertEqual(
            ('iscsi', model.Iqn(self.NAME), ALL),
            (agreed.protocol, agreed.host.initiator,
             agreed.host.capabilities))

    def test_host_that_cannot(self):
        with self.assertRaises(exception.NoInitiatorName):
            connection.negotiate({'host': 'a'}, self.OFFERED)

    def test_connector_that_is_none(self):
        for offered in (self.OFFERED, ()):
            with self.assertRaises(exception.InvalidConnector):
                connection.negotiate(None, offered)

    def test_backend_that_offers_nothing(self):
        with self.assertRaisesRegex(
                exception.InvalidConnector,
                r'host a can use none of the protocols .*\(none\)'):
            connection.negotiate({'host': 'a', 'initiator': self.NAME}, ())
