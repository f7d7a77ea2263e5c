# SPDX-License-Identifier: Apache-2.0
"""The iSCSI session of a NodeACL, as the kernel target describes it.

The kernel writes a page of text for people
(drivers/target/iscsi/iscsi_target_configfs.c, lio_target_nacl_info_show). It
shows the newest session only when an initiator has several at a target, as
with multipath, and it does not say since when the session exists.
"""

import dataclasses
import re

# The alias is the initiator's own text, line ends included. So it ends at the
# last line that can follow it, and nothing before that is looked at.
_SESSION = re.compile(
    r'InitiatorName: [^\n]*\nInitiatorAlias: (?P<alias>.*)\n'
    r'LIO Session ID: (?P<sid>[0-9]{1,10})\s+ISID: 0x(?P<isid>[0-9a-f ]+?)'
    r'\s+TSIH: [0-9]+\s+SessionType: (?P<type>\w+)\n'
    r'Session State: (?P<state>[^\n]+)\n(?P<rest>.*)', re.DOTALL)
_CONNECTION = re.compile(
    r'^CID: (?P<cid>[0-9]{1,5})\s+Connection State: (?P<state>[^\n]+)\n'
    r'\s+Address (?P<address>\S+) (?P<transport>\w+)', re.MULTILINE)
_WINDOW = re.compile(r'^ 0x([0-9a-f]{8}) +0x([0-9a-f]{8}) +0x', re.MULTILINE)

#: Prefixes of the names of states in the kernel.
_PREFIX = re.compile('TARG_(SESS|CONN)_(STATE_)?')


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """A TCP connection of a session.

    :param cid: its number in the session.
    :param state: such as ``logged_in``.
    :param address: the initiator's IP address, without a port.
    """

    cid: int
    state: str
    address: str


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """What the kernel says about the newest session of an initiator.

    :param alias: what the initiator calls itself; any text.
    :param sid: number of the session on this host.
    :param isid: the initiator's part of the session's id, hex digits.
    :param state: such as ``logged_in`` or ``failed``.
    :param queue: commands that were received and not answered yet; None when
        the kernel does not tell.
    :param connections: at least one while the session works.
    """

    alias: str
    sid: int
    isid: str
    state: str
    queue: int | None
    connections: tuple[Connection, ...]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The initiator's addresses, without duplicates."""
        return tuple(dict.fromkeys(c.address for c in self.connections))


def parse(text: str) -> Session | None:
    """Return the session in the attribute ``info`` of a NodeACL.

    :returns: None when there is none, or the text has another form.
    """
    found = _SESSION.match(text)
    if found is None:
        return None
    return Session(
        found['alias'], int(found['sid']), found['isid'].replace(' ', ''),
        _state(found['state']), _queue(found['rest']),
        tuple(Connection(int(c['cid']), _state(c['state']),
                         c['address'].strip('[]'))
              for c in _CONNECTION.finditer(found['rest'])))


def _state(text: str) -> str:
    if text.startswith('ERROR'):
        return 'unknown'
    return _PREFIX.sub('', text.strip()).lower()


def _queue(text: str) -> int | None:
    """Return how many commands are under way.

    The kernel opens the window of command numbers by one with each response.
    What is missing of its full size (CmdSN/WR) in the present one (CmdSN/WC)
    is under way (drivers/target/iscsi/iscsi_target_device.c,
    iscsit_increment_maxcmdsn).
    """
    found = _WINDOW.search(text)
    if found is None:
        return None
    return max(0, int(found[1], 16) - int(found[2], 16))
