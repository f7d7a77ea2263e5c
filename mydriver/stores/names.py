# SPDX-License-Identifier: Apache-2.0
"""Names of backings: ``volume-UUID`` and ``snapshot-UUID``.

They are the same in every store. Names become parts of paths and arguments of
commands, so each method of a store checks those that it is given.
"""

import re
from typing import Protocol

from mydriver import exception

_UUID = '[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}'

#: Lower-case hex only, so that a backing has one spelling.
NAME = re.compile(rf'(?:volume|snapshot)-{_UUID}\Z')
_VOLUME = re.compile(rf'volume-({_UUID})\Z')

# The characters that LVM allows in a name, lvm(8), without a leading dot or
# hyphen.
_FOREIGN = re.compile(r'[A-Za-z0-9_+][A-Za-z0-9_+.-]{0,126}\Z')


class Volume(Protocol):
    """A volume whose backing may have another id than the volume.

    After a migration, a Cinder volume's ``name_id`` differs from its ``id``.
    """

    @property
    def name_id(self) -> str:
        """UUID of the backing."""


def of_volume(volume: Volume) -> str:
    """Return the name of a volume's backing.

    :raises StoreError: when its ``name_id`` is no UUID in lower case.
    """
    return volume_name(volume.name_id)


def volume_name(volume_id: str) -> str:
    """Return the name of a volume's backing.

    :param volume_id: UUID in lower case.
    :raises StoreError: when it is not one.
    """
    return check_name(f'volume-{volume_id}')


def snapshot_name(snapshot_id: str) -> str:
    """Return the name of a snapshot's backing.

    :param snapshot_id: UUID in lower case.
    :raises StoreError: when it is not one.
    """
    return check_name(f'snapshot-{snapshot_id}')


def volume_id(name: str) -> str | None:
    """Return the id of a volume from the name of its backing.

    :returns: None for every other name.
    """
    found = _VOLUME.match(name)
    return found[1] if found else None


def is_name(text: str) -> bool:
    """Tell whether a text is the name of a backing."""
    return NAME.match(text) is not None


def is_foreign_name(text: str) -> bool:
    """Tell whether something of that name can be adopted.

    The name has no slash and no leading dot, never needs quoting, and is not
    that of a backing.
    """
    return _FOREIGN.match(text) is not None and not is_name(text)


def check_name(name: str) -> str:
    """Return the name of a backing, checked.

    :raises StoreError: when it is not one.
    """
    if not is_name(name):
        raise odd_name(name)
    return name


def odd_name(name: str) -> exception.StoreError:
    """Return the error for a text that is not the name of a backing."""
    return exception.StoreError(
        f'use the name {name!r}', 'it is not volume- or snapshot- and a UUID '
        'in lower case')


def check_source(name: str) -> str:
    """Return the name of what is to be adopted, checked.

    :param name: of a backing, or of something that others made.
    :raises StoreError: when it is neither.
    """
    if not is_name(name) and not is_foreign_name(name):
        raise exception.StoreError(
            f'take over {name!r}', 'nothing in the store can have that name')
    return name
