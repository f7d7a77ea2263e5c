# SPDX-License-Identifier: Apache-2.0
"""Fuzzing the answers of portals, the kernel, Glance, Cinder and files."""

import contextlib
import os
from pathlib import Path
import struct
import tempfile
import unittest
from unittest import mock

import hypothesis
from hypothesis import strategies as st

from mydriver import discovery, exception, model, vpd
from mydriver.cinder_volume import local_image, location
from mydriver.privileged.initiator import node_record
from mydriver.stores.lvmthin import status as thin_status
from mydriver.target import chap, configfs
from tests.fakes import hostile

INITIATOR = model.Iqn('iqn.1993-08.org.debian:01:a')
PORTAL = model.Portal('192.0.2.1')
SECRET = 'node.session.auth.password'


class Wire:
    """A socket whose other end has said all that it is going to say."""

    def __init__(self, answers: bytes) -> None:
        self._left = memoryview(answers)

    def recv(self, count: int) -> bytes:
        """Return a part of it, nothing at the end."""
        part, self._left = self._left[:count], self._left[count:]
        return bytes(part)

    def sendall(self, _data: bytes) -> None:
        """Take anything."""

    def setsockopt(self, *_args: int) -> None:
        """Take any option."""

    def settimeout(self, _seconds: float) -> None:
        """Never wait."""

    def __enter__(self) -> 'Wire':
        return self

    def __exit__(self, *_exc: object) -> None:
        return


def pdu(opcode: int, flags: int, ahs: int, data: bytes, length: int | None,
        status: bytes, serial: int) -> bytes:
    """Return a response PDU, which may lie about its length."""
    header = bytearray(48)
    header[0], header[1], header[4] = opcode, flags, ahs
    header[5:8] = (len(data) if length is None else length).to_bytes(3, 'big')
    struct.pack_into('>I', header, 24, serial)
    header[36:38] = status
    return bytes(header) + bytes(ahs * 4) + data + bytes(-len(data) % 4)


pdus = st.builds(
    pdu, st.sampled_from([0x23, 0x24, 0x26, 0x3f, 0x63]),
    st.sampled_from([0x87, 0x80, 0x40, 0xc0, 0x04, 0]),
    st.sampled_from([0, 0, 0, 255]),
    st.one_of(st.binary(max_size=60), st.just(
        b'TargetAddress=x\0TargetName=\xff\xfe\0TargetName=a\0TargetAddress'
        b'=192.0.2.1:3260,1\0=\0\0')),
    st.sampled_from([None, None, None, 7, 0xffffff]),
    st.sampled_from([b'\0\0', b'\0\0', b'\2\1', b'\xff\xff']),
    st.sampled_from([0, 1, 0xfffffffe, 0xffffffff]))


def discover(answers: bytes) -> dict[str, list[str]]:
    """Ask a portal that answers so."""
    with mock.patch('socket.create_connection', return_value=Wire(answers)):
        return discovery.discover(PORTAL, INITIATOR, 5)


class DiscoveryTest(unittest.TestCase):
    """Targets by name, or DiscoveryError."""

    def ask(self, answers):
        try:
            found = discover(answers)
        except exception.DiscoveryError as e:
            hostile.check_text(e)
            return
        for name, addresses in found.items():
            self.assertEqual({str}, {type(t) for t in [name, *addresses]})
            name.encode()

    @hostile.FUZZ
    @hypothesis.given(st.lists(pdus, max_size=6).map(b''.join))
    def test_answers(self, answers):
        self.ask(answers)

    @hostile.FUZZ
    @hypothesis.given(st.binary(max_size=200))
    def test_bytes(self, answers):
        self.ask(answers)

    def test_serial_numbers_wrap(self):
        """StatSN is at its highest value before it wraps."""
        last = {'ahs': 0, 'length': None, 'status': b'\0\0'}
        self.assertEqual({'iqn.a': []}, discover(
            pdu(0x23, 0x87, data=b'', serial=0xffffffff, **last)
            + pdu(0x24, 0x80, data=b'TargetName=iqn.a\0', serial=0, **last)
            + pdu(0x26, 0x80, data=b'', serial=1, **last)))

    def test_an_answer_of_empty_parts_ends(self):
        with self.assertRaises(exception.DiscoveryError) as caught:
            discover(
                pdu(0x23, 0x87, 0, b'', None, b'\0\0', 0)
                + pdu(0x24, 0x40, 0, b'', None, b'\0\0', 0) * 20_000)
        self.assertIn('an endless answer', str(caught.exception))


numbers = st.one_of(st.integers(0, 10 ** 6).map(str), hostile.digits,
                    st.just('1' * 5000))
pairs = st.builds('{}/{}'.format, numbers, numbers)


class StatusTest(unittest.TestCase):
    """What the kernel says of a thin pool: a state, or StoreError."""

    @hostile.FUZZ
    @hypothesis.given(
        st.one_of(hostile.text, hostile.huge.filter(
            lambda v: isinstance(v, str)), st.lists(
                st.one_of(numbers, pairs, st.sampled_from(
                    ['-', 'rw', 'ro', 'Fail', 'needs_check'])),
                min_size=5, max_size=8).map(' '.join)),
        st.one_of(st.just('254:1 254:2 128 0'), hostile.text,
                  numbers.map('254:1 254:2 {} 0'.format)))
    def test_status(self, status, table):
        try:
            found = thin_status.parse(status, table)
        except exception.StoreError as e:
            hostile.check_text(e)
            return
        for figure in (found.data_bytes, found.data_used_bytes,
                       found.metadata_bytes, found.metadata_used_bytes,
                       found.data_percent, found.metadata_percent):
            self.assertGreaterEqual(figure, 0)
        self.assertLess(len(found.trouble), 200)
        self.assertTrue(f'{status}{table}'.isascii() or found.trouble)

    def test_figures_of_other_scripts(self):
        with self.assertRaises(exception.StoreError):
            thin_status.parse('1 1/10 1/\u0661\u0660 - rw',
                                  '254:1 254:2 128 0')


urls = st.one_of(st.sampled_from([
    'file:///srv/images/1', 'file://localhost/srv/1', 'file://[::1/x',
    'file://other/srv/1', 'file:///\ud800', 'file:///%00%ff', 'rbd://a/b/c/d',
    'file://\u2100/x', 'file:']), hostile.anything)


class ImageTest(unittest.TestCase):
    """What Glance says of an image."""

    @hostile.FUZZ
    @hypothesis.given(st.one_of(hostile.anything, st.tuples(urls, st.one_of(
        hostile.anything, st.lists(st.one_of(
            urls.map(lambda u: {'url': u}), hostile.anything))))))
    def test_paths(self, location):
        for path in local_image.paths(location):
            self.assertIs(str, type(path))
            self.assertTrue(path)
            with (contextlib.suppress(exception.ImageNotShareable),
                  local_image.opened(path, {'id': '1', 'size': 1})):
                self.fail('nothing has that name')

    @hostile.FUZZ
    @hypothesis.given(hostile.mutated(
        {'container_format': 'bare', 'disk_format': 'raw', 'size': 512,
         'properties': {}}, {'size': hostile.luns}), st.integers(0, 2 ** 50))
    def test_record(self, image, size_bytes):
        image['id'] = '1'
        try:
            local_image.check_record(image, size_bytes)
        except exception.ImageNotShareable as e:
            hostile.check_text(e)
            return
        self.assertIn(image['size'], range(1, size_bytes + 1))


class PlaceTest(unittest.TestCase):
    """Where another backend says that its volumes are."""

    @hostile.FUZZ
    @hypothesis.given(st.one_of(
        hostile.anything, st.tuples(hostile.text, hostile.text,
                                    hostile.text).map(':'.join)))
    def test_place(self, text):
        place = location.Place.parse(text)
        if place is not None:
            self.assertEqual(text, str(place))
            self.assertEqual(place, location.Place.parse(str(place)))


RECORD = (f'# BEGIN RECORD 2.1.8\nnode.startup = automatic\n{SECRET} = old\n'
          '# END RECORD\n')
records = st.one_of(hostile.text, st.lists(st.one_of(
    hostile.text, st.sampled_from(RECORD.splitlines()),
    st.just('note = a\x0bnode.startup = b\x85c'))).map('\n'.join))


class NodeRecordTest(unittest.TestCase):
    """open-iscsi's records, and values that may not stand in them."""

    @hostile.FUZZ
    @hypothesis.given(records, st.one_of(
        st.none(), st.just('a value'), hostile.anything))
    def test_edited(self, text, value):
        settings = {'node.startup': 'manual', SECRET: value}
        try:
            edited = node_record.edited(text, settings)
        except exception.InitiatorError as e:
            hostile.check_text(e, *([value] if isinstance(value, str)
                                    and len(value) > 8 else []))
            return
        self.assertEqual(edited, node_record.edited(edited, settings))
        lines = edited.split('\n')
        self.assertEqual(1, lines.count('node.startup = manual'))
        self.assertEqual(value is not None,
                         f'{SECRET} = {value}' in lines)
        # No line of others is lost, changed or taken apart.
        mine = tuple(settings)
        self.assertEqual(
            [li for li in text.split('\n')
             if li and not li.strip().startswith(mine)],
            [li for li in lines if li and not li.strip().startswith(mine)])

    @hostile.FUZZ
    @hypothesis.given(st.one_of(st.just('a = b\nc'), hostile.text))
    @hypothesis.example('node.startup')
    def test_names(self, name):
        with contextlib.suppress(exception.InitiatorError):
            edited = node_record.edited(RECORD, {name: 'x'})
            # One that is there is replaced.
            new = f'\n{name} = ' not in f'\n{RECORD}'
            self.assertEqual(len(RECORD.split('\n')) + new,
                             len(edited.split('\n')))

    def test_a_record_in_another_encoding_is_kept(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        path = (folder / 'nodes/iqn.2010-10.org.openstack:mydriver-h-b-0'
                / '192.0.2.1,3260')
        path.parent.mkdir(parents=True)
        path.write_bytes(b'# caf\xe9\n' + RECORD.encode())
        with mock.patch.object(node_record, 'NODES_DIRS',
                               (folder / 'nodes',)):
            node_record.update(path, {SECRET: 'new'})
        self.assertIn(b'# caf\xe9\n', path.read_bytes())
        self.assertIn(f'{SECRET} = new\n'.encode(), path.read_bytes())


class ConfigfsTest(unittest.TestCase):
    """What configfs shows of a target."""

    def test_a_path_that_is_no_utf8(self):
        root = Path(self.enterContext(tempfile.TemporaryDirectory()))
        iqn = model.Iqn('iqn.2010-10.org.openstack:t-0')
        store = root / 'core/fileio_0/mydriver-disks-1'
        store.mkdir(parents=True)
        (store / 'udev_path').write_bytes(b'/srv/caf\xe9/volume-1\n')
        for name in ('lun/lun_0', 'acls', 'np'):
            (root / 'iscsi' / str(iqn) / 'tpgt_1' / name).mkdir(parents=True)
        (root / 'iscsi' / str(iqn) / 'tpgt_1/lun/lun_0/link').symlink_to(
            store)
        seen = configfs.target(iqn, root)
        self.assertEqual(['/srv/caf\udce9/volume-1'],
                         [e.path for e in seen.exports])


designators = st.builds(
    lambda code, kind, length, body: bytes([code, kind, 0, length]) + body,
    st.integers(0, 3), st.sampled_from([3, 0x13, 0x23, 1, 0x93]),
    st.sampled_from([0, 8, 16, 17, 255]), st.binary(max_size=20))


class PageTest(unittest.TestCase):
    """Page 0x83 of a device: an NAA id, or nothing."""

    @hostile.FUZZ
    @hypothesis.given(st.one_of(st.binary(max_size=80), st.builds(
        lambda length, parts: b'\0\x83' + length.to_bytes(2, 'big')
        + b''.join(parts), st.sampled_from([0, 12, 60, 65535]),
        st.lists(designators, max_size=4))))
    def test_page(self, page):
        self.assertRegex(vpd.naa_of_page(page),
                         r'\A([0-9a-f]{16}|[0-9a-f]{32})?\Z')


class KeyTest(unittest.TestCase):
    """The file of a CHAP key: its key, or ConfigurationError."""

    def setUp(self):
        super().setUp()
        self.path = self.enterContext(
            tempfile.TemporaryDirectory()) + '/chap.key'

    @hostile.FUZZ
    @hypothesis.given(st.one_of(st.binary(max_size=40),
                                st.binary(min_size=32, max_size=32)),
                      st.integers(0, 0o777))
    def test_key(self, content, mode):
        Path(self.path).write_bytes(content)
        os.chmod(self.path, mode | 0o400)
        self.addCleanup(os.chmod, self.path, 0o600)
        try:
            key = chap.ChapKey.load(self.path)
        except exception.ConfigurationError as e:
            hostile.check_text(e)
            self.assertTrue(len(content) != 32 or mode & 0o077)
            return
        self.assertEqual((32, 0), (len(content), mode & 0o077))
        self.assertEqual('ChapKey(...)', repr(key))
