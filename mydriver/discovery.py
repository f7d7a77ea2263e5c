# SPDX-License-Identifier: Apache-2.0
"""A SendTargets client: which targets does a portal show to an initiator?

One discovery session (RFC 7143, 4.3): login without authentication, one Text
Request ``SendTargets=All`` (RFC 7143, appendix C), logout, all within one
deadline. It uses plain TCP and no privileges, and neither uses nor changes the
host's open-iscsi.
"""

from collections.abc import Iterable, Mapping
from concurrent import futures
import dataclasses
import secrets
import socket
import struct
import time

from oslo_log import log as logging

from mydriver import exception, model

LOG = logging.getLogger(__name__)

#: Longest answer, in bytes; a target that sends more is broken.
MAX_ANSWER_BYTES = 4 * 1024 * 1024

#: Serial numbers are 32 bits wide and wrap (RFC 7143, 4.2.2.1; RFC 1982).
_SERIAL_MASK = 0xffffffff

#: Most PDUs of one answer: 4 MiB in the smallest that a target may send
#: (MaxRecvDataSegmentLength is at least 512 bytes).
_MAX_PARTS = MAX_ANSWER_BYTES // 512

_BHS_BYTES = 48
_LOGIN, _TEXT, _LOGOUT = 0x03, 0x04, 0x06
_IMMEDIATE, _FINAL, _CONTINUE = 0x40, 0x80, 0x40
_RESPONSE = 0x20
_OPERATIONAL_TO_FULL_FEATURE = (1 << 2) | 3
_NO_TAG = 0xffffffff

# The initiator name of a probe; no target has a NodeACL for it.
_PROBE = model.Iqn('iqn.2010-10.org.openstack:mydriver-probe')

# RFC 7143, 11.13.5: the statuses that an operator can act on.
_LOGIN_STATUS = {
    (2, 1): 'authentication failed',
    (2, 2): 'the initiator may not log in',
    (2, 3): 'target not found',
    (3, 1): 'the target is not available',
}


_AUTHENTICATION_FAILED = (2, 1)


class _LoginRefused(OSError):
    """The target answered and refused the login."""


class _AuthenticationFailed(_LoginRefused):
    """The portal answered and asked for CHAP."""


def _new_isid() -> bytes:
    """Return an ISID of the type "random" (RFC 7143, 11.12.5).

    It must not be fixed: a new session of an initiator ends an older one with
    the same ISID (RFC 7143, 6.3.5).
    """
    return b'\x80' + secrets.token_bytes(5)


@dataclasses.dataclass(slots=True)
class _Session:
    """One TCP connection with the counters of RFC 7143, 4.2.2."""

    sock: socket.socket
    deadline: float
    isid: bytes = dataclasses.field(default_factory=_new_isid)
    cmd_sn: int = 0
    exp_stat_sn: int = 0

    def send(self, opcode: int, flags: int, data: bytes,
             fields: Mapping[int, bytes]) -> None:
        """Send one PDU.

        :param opcode: including the immediate bit.
        :param flags: byte 1 of the header.
        :param data: data segment, without padding.
        :param fields: further header fields, by offset.
        """
        header = bytearray(_BHS_BYTES)
        header[0], header[1] = opcode, flags
        header[5:8] = len(data).to_bytes(3, 'big')
        struct.pack_into('>II', header, 24, self.cmd_sn, self.exp_stat_sn)
        for offset, value in fields.items():
            header[offset:offset + len(value)] = value
        self._arm()
        self.sock.sendall(bytes(header) + data + b'\0' * (-len(data) % 4))

    def receive(self, opcode: int) -> tuple[bytes, bytes]:
        """Receive one PDU.

        :param opcode: of the request that it answers.
        :returns: header and data segment.
        :raises OSError: also when another PDU arrives.
        """
        header = self._read(_BHS_BYTES)
        length = int.from_bytes(header[5:8], 'big')
        if length > MAX_ANSWER_BYTES:
            raise OSError(f'an answer of {length} bytes')
        self._read(header[4] * 4)
        data = self._read(length + -length % 4)[:length]
        if header[0] & 0x3f != opcode | _RESPONSE:
            raise OSError(f'an unexpected answer, opcode {header[0]:#04x}')
        self.exp_stat_sn = _SERIAL_MASK & (
            struct.unpack_from('>I', header, 24)[0] + 1)
        return header, data

    def _arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError('no answer in time')
        self.sock.settimeout(left)

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            self._arm()
            part = self.sock.recv(count - len(data))
            if not part:
                raise OSError('the target closed the connection')
            data += part
        return bytes(data)


def discover(portal: model.Portal, initiator: model.Iqn,
             timeout_s: float) -> dict[str, list[str]]:
    """Ask one portal which targets it shows to an initiator.

    :param portal: the portal to ask.
    :param initiator: the name to log in with.
    :param timeout_s: of the entire session.
    :returns: addresses, ``ADDRESS:PORT,TPGT`` each, by target.
    :raises DiscoveryChap: when it asks for CHAP.
    :raises DiscoveryError: when it does not answer as it should.
    """
    deadline = time.monotonic() + timeout_s
    try:
        with socket.create_connection((portal.address, portal.port),
                                      timeout_s) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = _Session(sock, deadline)
            _log_in(session, initiator)
            answer = _send_targets(session)
            _log_out(session)
    except _AuthenticationFailed as e:
        raise exception.DiscoveryChap(str(portal), str(e)) from e
    except (OSError, struct.error) as e:
        raise exception.DiscoveryError(str(portal), _reason(e)) from e
    return _parse(answer)


def probe(portal: model.Portal, connect_timeout_s: float,
          timeout_s: float) -> None:
    """Check that a portal answers an iSCSI login, even by refusing it.

    An accepted TCP connection is not enough: the kernel accepts connections
    on behalf of a program that hangs.

    :param portal: the portal to ask.
    :param connect_timeout_s: of the TCP connection.
    :param timeout_s: of the entire probe.
    :raises OSError: when it does not answer.
    """
    deadline = time.monotonic() + timeout_s
    with socket.create_connection((portal.address, portal.port),
                                  min(connect_timeout_s, timeout_s)) as sock:
        session = _Session(sock, deadline)
        try:
            _log_in(session, _PROBE)
        except _LoginRefused:
            return
        _log_out(session)


def portals_showing(target: model.Iqn, initiator: model.Iqn,
                    portals: Iterable[model.Portal],
                    timeout_s: float) -> tuple[model.Portal, ...]:
    """Return the portals that show a target to an initiator, in order.

    All are asked at the same time. A portal that asks for CHAP in discovery
    is included, although it is unknown which targets it shows.

    :param target: the target that must be shown.
    :param initiator: the initiator that must see it.
    :param portals: the portals to ask.
    :param timeout_s: of each portal.
    :raises TargetNotDiscovered: when none does; with the reason for each.
    """
    def ask(portal: model.Portal) -> str | None:
        try:
            shown = discover(portal, initiator, timeout_s)
        except exception.DiscoveryChap as e:
            LOG.warning('It was not checked whether %s sees %s: %s',
                        initiator, target, e)
            return None
        except exception.DiscoveryError as e:
            return str(e)
        if str(target) not in shown:
            return f'Portal {portal} does not show the target.'
        return None

    asked = list(portals)
    if len(asked) == 1:
        answers = [ask(asked[0])]
    else:
        with futures.ThreadPoolExecutor(len(asked)) as pool:
            answers = list(pool.map(ask, asked))
    good = tuple(p for p, why in zip(asked, answers, strict=True)
                 if why is None)
    if not good:
        raise exception.TargetNotDiscovered(
            str(target), str(initiator), ' '.join(a for a in answers if a))
    for why in filter(None, answers):
        LOG.warning('A portal of %s is not given to %s: %s', target, initiator,
                    why)
    return good


def _log_in(session: _Session, initiator: model.Iqn) -> None:
    keys = _text(InitiatorName=str(initiator), SessionType='Discovery',
                 HeaderDigest='None', DataDigest='None',
                 DefaultTime2Wait='0', DefaultTime2Retain='0',
                 ErrorRecoveryLevel='0', MaxRecvDataSegmentLength='262144')
    for data in (keys, b'', b''):  # a target may ask for more rounds
        session.send(_LOGIN | _IMMEDIATE,
                     _FINAL | _OPERATIONAL_TO_FULL_FEATURE, data,
                     {8: session.isid})
        header, _data = session.receive(_LOGIN)
        status = (header[36], header[37])
        if status != (0, 0):
            error = (_AuthenticationFailed if status == _AUTHENTICATION_FAILED
                     else _LoginRefused)
            raise error('login refused: ' + _LOGIN_STATUS.get(
                status, f'status {status[0]:#04x}{status[1]:02x}'))
        if header[1] & _FINAL:
            return
    raise OSError('login did not end')


def _send_targets(session: _Session) -> bytes:
    request, tag, answer = _text(SendTargets='All'), _NO_TAG, bytearray()
    for _part in range(_MAX_PARTS):
        session.send(_TEXT, _FINAL, request,
                     {16: struct.pack('>II', 1, tag)})
        session.cmd_sn += 1
        header, data = session.receive(_TEXT)
        answer += data
        if header[1] & _FINAL and not header[1] & _CONTINUE:
            return bytes(answer)
        if len(answer) > MAX_ANSWER_BYTES:
            break
        request, tag = b'', struct.unpack_from('>I', header, 20)[0]
    raise OSError('an endless answer')


def _log_out(session: _Session) -> None:
    """Log out; a failure does not matter, since the answer is complete."""
    try:
        session.send(_LOGOUT | _IMMEDIATE, _FINAL, b'',
                     {16: struct.pack('>I', 2)})
        session.receive(_LOGOUT)
    except OSError:
        return


def _text(**keys: str) -> bytes:
    """Return keys in the text format (RFC 7143, 6.1)."""
    return b''.join(f'{k}={v}'.encode() + b'\0' for k, v in keys.items())


def _parse(answer: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    addresses: list[str] = []
    for item in answer.decode('utf-8', 'replace').split('\0'):
        key, _, value = item.partition('=')
        if key == 'TargetName':
            addresses = found.setdefault(value, [])
        elif key == 'TargetAddress':
            addresses.append(value)
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return 'no answer in time'
    return getattr(error, 'strerror', None) or str(error)
