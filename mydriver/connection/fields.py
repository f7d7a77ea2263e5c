# SPDX-License-Identifier: Apache-2.0
"""Fields of ``connection_info['data']``, read strictly.

The data went through a database and two APIs, so each value may be anything.
No error shows a value that may be a secret.
"""

from collections.abc import Mapping
from typing import Any

from mydriver import exception

#: The longest CHAP value that open-iscsi takes (AUTH_STR_MAX_LEN); no id and
#: no name of a user is longer.
TEXT_MAX_BYTES = 255


def checked(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data, which has to be an object.

    :raises InvalidConnectionData: when it is not.
    """
    if not isinstance(data, Mapping):
        raise exception.InvalidConnectionData(
            f'it is {exception.shown(data)}, not an object')
    return data


def choice(data: Mapping[str, Any], key: str, *choices: object) -> object:
    """Return a value that is one of a few; the first is the default.

    :raises InvalidConnectionData: when it is none of them.
    """
    value = data.get(key)
    for one in choices:
        if type(value) is type(one) and value == one:
            return one
    if value is None:
        return choices[0]
    kind = 'the text ' if isinstance(value, str) else ''
    raise exception.InvalidConnectionData(
        f'{key} is {kind}{exception.shown(value)}, not '
        + ' or '.join(repr(one) for one in choices))


def text(data: Mapping[str, Any], key: str) -> str | None:
    """Return a printable text; None if there is none.

    The value may be a secret, so the error does not show it.

    :raises InvalidConnectionData: when it is not printable, or too long.
    """
    value = data.get(key)
    if value is None or value == '':
        return None
    if (not isinstance(value, str) or not value.isprintable()
            or len(value.encode()) > TEXT_MAX_BYTES):
        raise exception.InvalidConnectionData(
            f'{key} is not printable text of at most {TEXT_MAX_BYTES} bytes')
    return value
