# SPDX-License-Identifier: Apache-2.0
"""Ceph's configuration and keyrings, as the privileged daemon reads them."""

import base64
import os
from pathlib import Path
import tempfile
import textwrap
import time
import unittest
from unittest import mock

import ddt
import hypothesis
from hypothesis import strategies as st

from mydriver import exception
from mydriver.privileged import cephconf
from tests.fakes import hostile

FSID = '457eb676-33da-42ec-9a8c-9293d545c337'
KEY = base64.b64encode(b'\x01\x00' + bytes(8) + b'\x10\x00' + b'k' * 16)

#: A monitor as new clusters name it.
BOTH = '[v2:{0}:3300/0,v1:{0}:6789/0]'


@ddt.ddt
class CephConfTest(unittest.TestCase):
    """What a map takes."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def conf(self, text, user='cinder'):
        """Return the configuration of a text."""
        path = self.folder / 'ceph.conf'
        path.write_text(textwrap.dedent(text), errors='surrogateescape')
        return cephconf.CephConf(str(path), user)

    def with_monitors(self, mon_host):
        """Return a configuration with these monitors."""
        return self.conf(f'[global]\nfsid = {FSID}\nmon host = {mon_host}\n')

    def test_a_file_that_has_changed(self):
        other = FSID.replace('4', '5')
        for fsid in (FSID, other, FSID):
            for age_s in (0, 60):
                its = self.conf(f'[global]\nfsid = {fsid}\n')
                self.assertEqual(fsid, its.fsid())
                with mock.patch('time.time_ns', return_value=(
                        time.time_ns() + age_s * 10 ** 9)):
                    self.assertEqual(fsid, cephconf.CephConf(
                        its.path, 'cinder').fsid())

    def test_an_old_file_is_parsed_once(self):
        its = self.conf(f'[global]\nfsid = {FSID}\n')
        with mock.patch('time.time_ns', return_value=(
                time.time_ns() + 60 * 10 ** 9)):
            cephconf.CephConf(its.path, 'cinder')
        with mock.patch.object(cephconf, '_parse', side_effect=AssertionError):
            self.assertEqual(FSID, cephconf.CephConf(
                its.path, 'cinder').fsid())

    def test_the_id_of_the_cluster(self):
        self.assertEqual(FSID, self.with_monitors('192.0.2.1').fsid())
        for text in ('', '[global]\nfsid = many\n', '[osd]\nfsid = ' + FSID):
            with self.assertRaisesRegex(exception.ConfigurationError, 'fsid'):
                self.conf(text).fsid()

    @ddt.data(
        ('192.0.2.1', '192.0.2.1:6789', ''),
        ('192.0.2.1:6790', '192.0.2.1:6790', ''),
        ('192.0.2.1, 192.0.2.2', '192.0.2.1:6789,192.0.2.2:6789', ''),
        ('192.0.2.1 192.0.2.2', '192.0.2.1:6789,192.0.2.2:6789', ''),
        (f"{BOTH.format('192.0.2.1')},{BOTH.format('192.0.2.2')}",
         '192.0.2.1:6789,192.0.2.2:6789', ''),
        ('[2001:db8::1]:6789', '[2001:db8::1]:6789', ''),
        (BOTH.format('[2001:db8::1]'),
         '[2001:db8::1]:6789', ''),
        ('[v2:192.0.2.1:3300]', '192.0.2.1:3300', 'ms_mode=prefer-crc'),
        ('192.0.2.1:3300', '192.0.2.1:3300', 'ms_mode=prefer-crc'))
    @ddt.unpack
    def test_monitors(self, mon_host, addresses, mode):
        self.assertEqual((addresses, mode),
                         self.with_monitors(mon_host).monitors())

    @ddt.data('', 'mon.example', '../x', '192.0.2.1name=admin', '1.2.3')
    def test_monitors_are_addresses(self, mon_host):
        with self.assertRaisesRegex(exception.ConfigurationError, 'mon_host'):
            self.with_monitors(mon_host).monitors()

    def test_the_most_special_section_decides(self):
        found = self.conf(f'''
            # a comment
            [global]
                fsid = {FSID} ; another
                mon-host = 192.0.2.9
            [client]
            mon_host = 192.0.2.8
            [client.cinder]
            mon host = "192.0.2.7"
            [client.glance]
            mon host = 192.0.2.6
            ''')
        self.assertEqual('192.0.2.7:6789', found.monitors()[0])

    def test_the_key_is_that_of_the_user(self):
        keyring = self.folder / 'ceph.client.cinder.keyring'
        keyring.write_text(
            f'[client.admin]\n\tkey = AAAA\n[client.cinder]\n\tkey = '
            f'{KEY.decode()}\n\tcaps mon = "profile rbd"\n')
        for where in ('/nonexistent,$dir/ceph.$name.keyring',
                      '$dir/$cluster.${type}.$id.keyring'):
            where = where.replace('$dir', str(self.folder))
            found = self.conf(f'[global]\nkeyring = {where}\n')
            self.assertEqual(base64.b64decode(KEY), found.key())

    def test_an_error_shows_nothing_of_a_keyring(self):
        keyring = self.folder / 'keyring'
        for text in ('[client.cinder]\nkey = secret!\n', 'secret\n',
                     '[client.other]\nkey = c2VjcmV0\n', ''):
            keyring.write_text(text)
            with self.assertRaises(exception.ConfigurationError) as caught:
                self.conf(f'[global]\nkeyring = {keyring}\n').key()
            self.assertNotIn('secret', str(caught.exception))
            self.assertNotIn('c2VjcmV0', str(caught.exception))

    def test_what_is_no_file_is_not_read(self):
        pipe = self.folder / 'pipe'
        os.mkfifo(pipe)
        for path in (str(pipe), str(self.folder), '/dev/zero', '/nonexistent'):
            with self.assertRaises(exception.ConfigurationError):
                cephconf.CephConf(path, 'cinder')

    @hostile.FUZZ
    @hypothesis.given(st.text(max_size=300))
    def test_any_text(self, text):
        try:
            found = self.conf(text.encode(errors='replace').decode())
            found.monitors()
        except exception.ConfigurationError:
            pass
