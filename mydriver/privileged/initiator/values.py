# SPDX-License-Identifier: Apache-2.0
"""Checks of the values that a verb of the initiator is called with.

They add to those of :mod:`mydriver.privileged.values`: each returns the value,
typed, or raises :class:`.RequestRefused` with a short text that shows no
secret.
"""

import re
from typing import TypeGuard

from mydriver import model
from mydriver.privileged import values as common
from mydriver.privileged.values import refuse, shown

#: The longest login that a caller may ask for, seconds.
_MAX_LOGIN_S = 60
#: The longest CHAP value that open-iscsi takes (AUTH_STR_MAX_LEN).
_CHAP_MAX_BYTES = 255

#: The highest SCSI host or target number (int in include/scsi/scsi_host.h).
_MAX_NUMBER = 2 ** 31 - 1
#: The only SCSI channel that a session has.
_CHANNEL = 0

_NAA = re.compile(model.LIO_NAA_PREFIX + r'[0-9a-f]{25}\Z')
_DISK = re.compile(r'sd[a-z]{1,7}\Z')
_MAP = re.compile(r'dm-[0-9]{1,7}\Z')
_ADDRESS = re.compile(r'[0-9a-f.:]+\Z')


def host_number(value: object, what: str = 'a SCSI host') -> int:
    """Return the number of a SCSI host, or of a target on one."""
    return common.integer(value, what, 0, _MAX_NUMBER)


def channel(value: object) -> int:
    """Return the number of a SCSI channel of a session."""
    return common.integer(value, 'a SCSI channel', 0, _CHANNEL)


def lun(value: object) -> int:
    """Return a LUN that the kernel's target can have."""
    return common.integer(value, 'a LUN', 0, common.MOST_LUN)


def session(value: object) -> int:
    """Return the number of a session."""
    return common.integer(value, 'a session', 0, 2 ** 32 - 1)


def address(value: object) -> tuple[int, int, int, int]:
    """Return the address of a SCSI device: host, channel, target and LUN."""
    what = 'the address of a SCSI device'
    numbers = [host_number(n, what) for n in common.items(value, what, 4)]
    if len(numbers) != 4:
        refuse(what, 'it is not host, channel, target and LUN')
    return numbers[0], numbers[1], numbers[2], numbers[3]


def seconds(value: object) -> float:
    """Return how long a login may take, seconds."""
    if (isinstance(value, bool) or not isinstance(value, int | float)
            or not 0 < value <= _MAX_LOGIN_S):      # NaN fails as well
        refuse('a time limit', f'{shown(value)} is not a number of seconds '
               f'up to {_MAX_LOGIN_S}')
    return value


def target(value: object) -> str:
    """Return the name of a target of ours, which is in lower case."""
    name = common.target(value)
    if name != value:
        refuse('a target', f'{shown(value)} is not in lower case')
    return name


def portal(address: object, port: object) -> model.Portal:
    """Return a portal whose text may become part of a file name.

    An IPv6 address with a zone (``fe80::1%eth0``) is refused: a zone may hold
    any character.
    """
    if not isinstance(address, str) or not _ADDRESS.match(address):
        refuse('a portal', f'{shown(address)} is not an IP address')
    return common.portal([address, port])


def chap(values: object) -> list[str | None]:
    """Return CHAP names and secrets; empty without CHAP.

    :param values: name, secret, and the target's name and secret, both None
        without mutual CHAP.
    """
    what = 'CHAP credentials'
    if not isinstance(values, list | tuple) or len(values) not in (0, 4):
        refuse(what, 'they are not a list of four')     # and not shown
    for at, value in enumerate(values):
        if value is None and at > 1:
            continue
        if (not isinstance(value, str) or not value.isprintable()
                or not 0 < len(value.encode()) <= _CHAP_MAX_BYTES
                or value != value.strip()):
            refuse(what, f'number {at + 1} of them is not a text of 1 to '
                   f'{_CHAP_MAX_BYTES} printable bytes')
    if values and (values[2] is None) != (values[3] is None):
        refuse(what, 'those of the target are incomplete')
    return list(values)


def naa(value: object) -> str:
    """Return an NAA id as the kernel's target makes them."""
    if not is_naa(value):
        refuse('a volume', f'{shown(value)} is not an NAA id that begins '
               f'with {model.LIO_NAA_PREFIX}')
    return value


def is_naa(value: object) -> TypeGuard[str]:
    """Tell whether a value is an NAA id as the kernel's target makes them."""
    return isinstance(value, str) and bool(_NAA.match(value))


def disk(value: object, what: str) -> str:
    """Return the name of a SCSI disk, such as ``sda``.

    :param what: what the disk is for, for the error's text.
    """
    if not isinstance(value, str) or not _DISK.match(value):
        refuse(what, f'{shown(value)} is not a valid name of a disk')
    return value


def map_name(value: object, what: str) -> str:
    """Return the name of a device-mapper device, such as ``dm-3``.

    :param what: what the device is for, for the error's text.
    """
    if not isinstance(value, str) or not _MAP.match(value):
        refuse(what, f'{shown(value)} is not a valid name of a disk or map')
    return value
