# SPDX-License-Identifier: Apache-2.0
"""Checks of the values that a privileged verb is called with.

msgpack carries values of any type, and the caller may be a service that an
attacker has taken over. Each function returns the value in the form that the
verbs use, or raises :class:`exception.RequestRefused` with a short text that
shows no secret.
"""

from collections.abc import Sequence
import re
from typing import Any, Never
import uuid

from oslo_utils import units

from mydriver import exception, model

#: Sizes are multiples of this (SBC-3, logical blocks).
BLOCK_BYTES = 512
#: No file and no logical volume is larger (XFS, lvm(8)).
MOST_BYTES = units.Ei
#: rtslib_fb.target.LUN.MAX_TARGET_LUN.
MOST_LUN = 65535

#: How much of a value an error shows.
_SHOWN = 60

# It names a directory in configfs: no control characters, no slash.
_BACKSTORE = re.compile(r'mydriver-(?P<backend>[^/\x00-\x1f\x7f]{1,150})-'
                        r'(?P<id>[0-9a-f-]{36})\Z')


def refuse(what: str, problem: str) -> Never:
    """Raise the error for a value.

    :param what: what the value is, such as ``a volume id``.
    """
    raise exception.RequestRefused(what, problem)


def shown(value: object) -> str:
    """Return a value for an error's text, cut short."""
    text = ascii(value[:_SHOWN] if isinstance(value, str | bytes) else value
                 if isinstance(value, bool | int | float | None)
                 else type(value).__name__)
    return text if len(text) <= 2 * _SHOWN else text[:_SHOWN] + '...'


def text(value: object, what: str, pattern: re.Pattern[str] | None = None,
         most: int = 255) -> str:
    """Return a text of printable ASCII.

    :param pattern: what the text has to match.
    :param most: how many characters it may have.
    """
    if not isinstance(value, str):
        refuse(what, f'{shown(value)} is not a text')
    if len(value) > most or not value.isascii() or not value.isprintable():
        refuse(what, f'{shown(value)} is longer than {most} characters or '
               'has others than printable ASCII')
    if pattern and not pattern.match(value):
        refuse(what, f'{shown(value)} is not of the right form')
    return value


def integer(value: object, what: str, least: int, most: int) -> int:
    """Return a whole number; True is not one."""
    if not isinstance(value, int) or isinstance(value, bool):
        refuse(what, f'{shown(value)} is not a whole number')
    if not least <= value <= most:
        refuse(what, f'{shown(value)} is not {least} to {most}')
    return value


def seconds(value: object, what: str, most: float) -> float:
    """Return a time in seconds, more than 0; NaN is not one."""
    if (isinstance(value, bool) or not isinstance(value, int | float)
            or not 0 < value <= most):
        refuse(what, f'{shown(value)} is not a time up to {most} s')
    return value


def boolean(value: object, what: str) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        refuse(what, f'{shown(value)} is not true or false')
    return value


def items(value: object, what: str, most: int = 1000) -> Sequence[Any]:
    """Return a list."""
    if not isinstance(value, list | tuple):
        refuse(what, f'{shown(value)} is not a list')
    if len(value) > most:
        refuse(what, f'it has more than {most} items')
    return value


def fields(value: object, what: str, *names: str) -> dict[str, Any]:
    """Return the named fields of a mapping, which must have them all."""
    if not isinstance(value, dict):
        refuse(what, f'{shown(value)} is not a mapping')
    for name in names:
        if name not in value:
            refuse(what, f'it has no {name}')
    return {name: value[name] for name in names}


def size_bytes(value: object, what: str = 'a size') -> int:
    """Return a size in whole blocks."""
    size = integer(value, what, 1, MOST_BYTES)
    if size % BLOCK_BYTES:
        refuse(what, f'{size} is not a multiple of {BLOCK_BYTES}')
    return size


def volume_id(value: object, what: str = 'a volume id') -> str:
    """Return a UUID in lower case, with hyphens."""
    given = text(value, what, most=36)
    try:
        same = str(uuid.UUID(given)) == given
    except ValueError:
        same = False
    if not same:
        refuse(what, f'{shown(given)} is not a UUID')
    return given


def iqn(value: object, what: str) -> str:
    """Return an iSCSI name in lower case."""
    try:
        return str(model.Iqn(text(value, what)))
    except exception.InvalidIqn as e:
        refuse(what, f'{shown(value)}: {e.args[1]}')


def target(value: object) -> str:
    """Return the name of a target of ours."""
    name = iqn(value, 'a target')
    if not model.is_our_target(name):
        refuse('a target', f'{shown(name)} is not one of ours')
    return name


def backstore(value: object, its_id: str) -> str:
    """Return the name of a volume's backstore.

    :param its_id: UUID of the volume, checked.
    """
    # Sections of cinder.conf may have non-ASCII names.
    if not isinstance(value, str) or not value.isprintable():
        refuse('a backstore', f'{shown(value)} is not a name')
    found = _BACKSTORE.match(value)
    if not found or found['id'] != its_id:
        refuse('a backstore', f'{shown(value)} is not that of volume '
               f'{its_id}')
    return value


def is_backstore(name: str, serial: str) -> bool:
    """Tell whether a name and a unit serial are those of our backstores."""
    found = _BACKSTORE.match(name)
    return bool(found) and found['id'] == serial  # type: ignore[index]


def backend_of(name: str) -> str:
    """Return the backend in the name of a backstore, which is checked."""
    found = _BACKSTORE.match(name)
    assert found  # noqa: S101  checked by backstore()
    return found['backend']


def portal(value: object) -> model.Portal:
    """Return a portal, given as address and port."""
    parts = items(value, 'a portal', 2)
    if len(parts) != 2:
        refuse('a portal', 'it is not an address and a port')
    port = integer(parts[1], 'a port', 1, 65535)
    try:
        return model.Portal(text(parts[0], 'an address'), port)
    except exception.InvalidPortal as e:
        refuse('a portal', str(e).rstrip('.'))
