# SPDX-License-Identifier: Apache-2.0
"""The SendTargets client against targets that misbehave.

That it works with a real target is shown in tests/functional/test_service.py.
"""

from collections.abc import Callable
import socket
import struct
import threading
import time
import unittest

from mydriver import discovery, exception, model

INITIATOR = model.Iqn('iqn.1993-08.org.debian:01:a')
TARGET = model.Iqn('iqn.2010-10.org.openstack:t-0')
LISTING = (b'TargetName=iqn.2010-10.org.openstack:t-0\0'
           b'TargetAddress=127.0.0.1:3260,1\0TargetAddress=[::1]:3260,1\0'
           b'TargetName=iqn.2010-10.org.openstack:t-1\0')


def pdu(opcode: int, flags: int, data: bytes = b'', *, tag: int = 0xffffffff,
        status: bytes = b'\0\0') -> bytes:
    """Return a response PDU."""
    header = bytearray(48)
    header[0], header[1] = opcode, flags
    header[5:8] = len(data).to_bytes(3, 'big')
    struct.pack_into('>I', header, 20, tag)
    header[36:38] = status
    return bytes(header) + data + b'\0' * (-len(data) % 4)


LOGIN_OK = pdu(0x23, 0x87)
LOGOUT_OK = pdu(0x26, 0x80)


class Scripted:
    """A portal on loopback that gives fixed answers, one a request."""

    def __init__(self, test: unittest.TestCase, *answers: bytes | None,
                 on_request: Callable[[bytes], None] = lambda _b: None
                 ) -> None:
        self.requests: list[bytes] = []
        self._answers = answers
        self._listener = socket.create_server(('127.0.0.1', 0))
        test.addCleanup(self._listener.close)
        self.portal = model.Portal(*self._listener.getsockname())
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            for answer in self._answers:
                header = connection.recv(48, socket.MSG_WAITALL)
                if len(header) < 48:
                    return
                length = int.from_bytes(header[5:8], 'big')
                data = connection.recv(length + -length % 4,
                                       socket.MSG_WAITALL) if length else b''
                self.requests.append(header + data[:length])
                if answer == b'':  # end of the connection, all was read
                    return
                if answer is None:  # silence
                    time.sleep(1)
                    return
                connection.sendall(answer)


class DiscoverTest(unittest.TestCase):
    """One portal."""

    def discover(self, *answers, timeout_s=2.0):
        self.scripted = Scripted(self, *answers)
        return discovery.discover(self.scripted.portal, INITIATOR, timeout_s)

    def assert_fails(self, text, *answers, timeout_s=2.0):
        with self.assertRaises(exception.DiscoveryError) as caught:
            self.discover(*answers, timeout_s=timeout_s)
        self.assertIn(text, str(caught.exception))
        self.assertIn(str(self.scripted.portal), str(caught.exception))

    def test_targets_with_their_addresses(self):
        self.assertEqual(
            {'iqn.2010-10.org.openstack:t-0': ['127.0.0.1:3260,1',
                                               '[::1]:3260,1'],
             'iqn.2010-10.org.openstack:t-1': []},
            self.discover(LOGIN_OK, pdu(0x24, 0x80, LISTING), LOGOUT_OK))
        login, text, logout = self.scripted.requests
        self.assertIn(b'InitiatorName=iqn.1993-08.org.debian:01:a\0', login)
        self.assertIn(b'SessionType=Discovery\0', login)
        self.assertEqual(0x87, login[1])
        self.assertTrue(text.endswith(b'SendTargets=All\0'))
        self.assertEqual(0x46, logout[0])

    def test_no_targets(self):
        self.assertEqual({}, self.discover(
            LOGIN_OK, pdu(0x24, 0x80), LOGOUT_OK))

    def test_login_in_two_rounds(self):
        self.assertEqual(2, len(self.discover(
            pdu(0x23, 0x04), LOGIN_OK, pdu(0x24, 0x80, LISTING), LOGOUT_OK)))

    def test_long_answer_in_parts(self):
        self.assertEqual(2, len(self.discover(
            LOGIN_OK, pdu(0x24, 0x40, LISTING[:30], tag=77),
            pdu(0x24, 0x80, LISTING[30:]), LOGOUT_OK)))
        self.assertEqual(77, struct.unpack_from(
            '>I', self.scripted.requests[2], 20)[0])

    def test_no_answer_to_logout_does_no_harm(self):
        self.assertEqual(2, len(self.discover(
            LOGIN_OK, pdu(0x24, 0x80, LISTING))))

    def test_sessions_do_not_end_each_other(self):
        isids = set()
        for _ in range(3):
            self.discover(LOGIN_OK, pdu(0x24, 0x80), LOGOUT_OK)
            isids.add(self.scripted.requests[0][8:14])
        self.assertEqual(3, len(isids))

    def test_refused_login_is_explained(self):
        for status, text in ((b'\2\1', 'authentication failed'),
                             (b'\2\2', 'may not log in'),
                             (b'\3\1', 'not available'),
                             (b'\2\7', 'status 0x0207')):
            self.assert_fails(text, pdu(0x23, 0x87, status=status))

    def test_silence_ends_at_the_deadline(self):
        started = time.monotonic()
        self.assert_fails('no answer in time', None, timeout_s=0.2)
        self.assertLess(time.monotonic() - started, 5)

    def test_closed_connection(self):
        self.assert_fails('closed the connection', pdu(0x23, 0x04), b'')

    def test_something_else_than_iscsi(self):
        self.assert_fails('unexpected answer', b'HTTP/1.1 400 Bad Request'
                          b'\r\n\r\n'.ljust(48, b'\0') * 99999)

    def test_endless_login(self):
        self.assert_fails('login did not end', *[pdu(0x23, 0x04)] * 5)

    def test_nobody_listens(self):
        with socket.create_server(('127.0.0.1', 0)) as s:
            portal = model.Portal(*s.getsockname())
        with self.assertRaises(exception.DiscoveryError) as caught:
            discovery.discover(portal, INITIATOR, 2.0)
        self.assertIn('refused', str(caught.exception))


class ProbeTest(unittest.TestCase):
    """Whether a portal speaks at all."""

    def probe(self, *answers, timeout_s=2.0):
        self.scripted = Scripted(self, *answers)
        discovery.probe(self.scripted.portal, 1.0, timeout_s)

    def test_good(self):
        self.probe(LOGIN_OK, LOGOUT_OK)
        login, logout = self.scripted.requests
        self.assertIn(b'SessionType=Discovery\0', login)
        self.assertEqual(0x46, logout[0])

    def test_refusal_is_an_answer(self):
        self.probe(pdu(0x23, 0x87, status=b'\2\1'))

    def test_silence(self):
        started = time.monotonic()
        with self.assertRaises(TimeoutError):
            self.probe(None, timeout_s=0.2)
        self.assertLess(time.monotonic() - started, 5)

    def test_something_else_than_iscsi(self):
        with self.assertRaisesRegex(OSError, 'unexpected answer'):
            self.probe(b'HTTP/1.1 400 Bad Request\r\n\r\n'.ljust(
                48, b'\0') * 99999)


class PortalsShowingTest(unittest.TestCase):
    """Several portals."""

    def good(self):
        return Scripted(self, LOGIN_OK, pdu(0x24, 0x80, LISTING),
                        LOGOUT_OK).portal

    def empty(self):
        return Scripted(self, LOGIN_OK, pdu(0x24, 0x80), LOGOUT_OK).portal

    def test_only_those_that_show_it_in_order(self):
        portals = [self.good(), self.empty(), self.good()]
        self.assertEqual(
            (portals[0], portals[2]),
            discovery.portals_showing(TARGET, INITIATOR, portals, 2.0))

    def test_none_shows_it(self):
        portals = [self.empty(), Scripted(self, None).portal]
        with self.assertRaises(exception.TargetNotDiscovered) as caught:
            discovery.portals_showing(TARGET, INITIATOR, portals, 0.3)
        text = str(caught.exception)
        self.assertIn(f'Portal {portals[0]} does not show the target', text)
        self.assertIn(f'{portals[1]} failed: no answer in time', text)
        self.assertIn(str(TARGET), text)

    def test_a_portal_that_asks_for_chap_is_alive(self):
        refusal = pdu(0x23, 0x87, status=b'\2\1')
        portals = [Scripted(self, refusal).portal, self.empty()]
        with self.assertLogs('mydriver', 'WARNING') as logged:
            self.assertEqual(
                (portals[0],), discovery.portals_showing(
                    TARGET, INITIATOR, portals, 2.0))
        self.assertIn('enforce_discovery_auth', logged.output[0])

    def test_portals_are_asked_at_the_same_time(self):
        portals = [Scripted(self, None).portal for _ in range(4)]
        started = time.monotonic()
        with self.assertRaises(exception.TargetNotDiscovered):
            discovery.portals_showing(TARGET, INITIATOR, portals, 0.8)
        self.assertLess(time.monotonic() - started, 2.5)
