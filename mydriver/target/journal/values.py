# SPDX-License-Identifier: Apache-2.0
"""The values that journals store, and when one is valid."""

from collections.abc import Callable
import functools
import re
from typing import Any

from mydriver import exception, model

_KEY = re.compile('([0-9a-f]{16})?')
_UUID = re.compile('[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')

#: The highest LUN of any kind (SAM-5, 4.7.7.1).
_LAST_LUN = 65535


#: Tells whether a value may be stored.
Check = Callable[[Any], bool]


class Damaged(ValueError):
    """The journal is damaged; the text says how."""


@functools.cache
def is_iqn(value: Any) -> bool:
    """Tell whether a value is an iSCSI qualified name in its normal form."""
    try:
        return bool(str(model.Iqn(value)) == value)
    except (exception.InvalidIqn, UnicodeError):
        return False


def is_uuid(value: Any) -> bool:
    """Tell whether a value is a UUID as Cinder writes them."""
    return isinstance(value, str) and bool(_UUID.fullmatch(value))


def is_path(value: Any) -> bool:
    """Tell whether a value is empty, or an absolute path."""
    return (isinstance(value, str) and '\0' not in value
            and value[:1] in ('', '/'))


def _up_to(limit: int) -> Check:
    return lambda value: isinstance(value, int) and 0 <= value <= limit


#: Checks of values, by what they are, such as the column of any table. Values
#: of other names are not checked.
CHECKS: dict[str, Check] = {
    'iqn': is_iqn, 'target': is_iqn, 'initiator': is_iqn,
    'volume_id': is_uuid,
    'kind': lambda value: value in ('fileio', 'iblock'),
    'path': is_path,
    'size_bytes': _up_to(2 ** 63 - 1), 'released_at': _up_to(2 ** 63 - 1),
    'lun': _up_to(_LAST_LUN), 'tpg_lun': _up_to(_LAST_LUN),
    'mutual': _up_to(1), 'read_only': _up_to(1), 'doomed': _up_to(1),
    'chap': lambda value: value is None or _up_to(1)(value),
    'key': lambda value: value is None or (
        isinstance(value, str) and bool(_KEY.fullmatch(value))),
}
