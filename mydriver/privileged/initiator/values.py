# SPDX-License-Identifier: Apache-2.0
"""Checks of the values that a verb of the initiator is called with.

msgpack carries any type, and the caller may be anybody who is the service's
user. Each check returns the value, typed, or raises an error of ours whose
text is short and shows no secret.
"""

import re

from mydriver import exception, model

_MAX_LOGIN_S = 60
_CHAP_MAX_BYTES = 255
_SHOWN_CHARACTERS = 60

_NAA = re.compile(model.LIO_NAA_PREFIX + r'[0-9a-f]{25}\Z')
_ADDRESS = re.compile(r'[0-9a-f.:]+\Z')


def number(value: object, most: int, what: str) -> int:
    """Return a value that must be an integer from 0 on.

    :param what: what it is for, for the error's text.
    :raises InitiatorError: when it is none.
    """
    if type(value) is not int or not 0 <= value <= most:
        raise exception.InitiatorError(
            what, f'{shown(value)} is not a number from 0 to {most}')
    return value


def seconds(value: object, what: str) -> float:
    """Return how long a login may take.

    :raises InitiatorError: when it is not a number, or too long.
    """
    if (isinstance(value, bool) or not isinstance(value, (int, float))
            or not 0 < value <= _MAX_LOGIN_S):      # nan is not, either
        raise exception.InitiatorError(
            what, f'{shown(value)} is not a time up to {_MAX_LOGIN_S} s')
    return value


def target(name: object) -> str:
    """Return the name of a target of ours.

    :raises InitiatorError: when it is not one.
    """
    if not isinstance(name, str) or not model.is_our_target(name):
        raise exception.InitiatorError(
            'take a target name', f'{shown(name)} is not the name of a '
            'target of this driver')
    return name


def portal(address: object, port: object) -> model.Portal:
    """Return a portal, sure that its text can be part of a file's name.

    An IPv6 address with a zone (``fe80::1%eth0``) is none: anything may stand
    in a zone.

    :raises InitiatorError: when it is not one.
    """
    what = 'take a portal'
    if not isinstance(address, str) or not _ADDRESS.match(address):
        raise exception.InitiatorError(
            what, f'{shown(address)} is not an IP address')
    try:
        return model.Portal(address, number(port, 65535, what))
    except exception.InvalidPortal as e:
        raise exception.InitiatorError(what, str(e).rstrip('.')) from e


def chap(values: object) -> list[str | None]:
    """Return CHAP names and secrets, empty without CHAP.

    :raises InitiatorError: when they are not name, secret and, both or
        neither, the target's name and secret. The text has no value of them.
    """
    if not isinstance(values, (list, tuple)) or len(values) not in (0, 4):
        raise exception.InitiatorError(
            'take CHAP credentials', 'they are not a list of four')
    for at, value in enumerate(values):
        if value is None and at > 1:
            continue
        if (not isinstance(value, str) or not value.isprintable()
                or not 0 < len(value.encode()) <= _CHAP_MAX_BYTES
                or value != value.strip()):
            raise exception.InitiatorError(
                'take CHAP credentials', f'number {at + 1} of them is not a '
                f'text of 1 to {_CHAP_MAX_BYTES} printable bytes')
    if values and (values[2] is None) != (values[3] is None):
        raise exception.InitiatorError(
            'take CHAP credentials', 'those of the target are incomplete')
    return list(values)


def naa(value: object, what: str = 'find a volume') -> str:
    """Return the NAA id of a volume of this kind of target.

    :param what: what it is for, for the error's text.
    :raises InitiatorError: when it is not one.
    """
    if not isinstance(value, str) or not _NAA.match(value):
        raise exception.InitiatorError(
            what, f'{shown(value)} is not an NAA id that begins with '
            f'{model.LIO_NAA_PREFIX}')
    return value


def shown(value: object) -> str:
    """Return a value of the caller's for an error's text, cut short."""
    if isinstance(value, (str, bytes)):
        text = ascii(value[:_SHOWN_CHARACTERS])
        return text if len(value) <= _SHOWN_CHARACTERS else f'{text}...'
    if value is None or isinstance(value, (bool, int, float)):
        return ascii(value)
    return f'a {type(value).__name__}'
