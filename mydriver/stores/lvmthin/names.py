# SPDX-License-Identifier: Apache-2.0
"""Names and tags of the logical volumes that belong to the store.

A volume whose operation takes several steps bears a tag, or a name of its
own, until the last of them: it is incomplete and does not count.
"""

import re

from mydriver.stores import names, refusals
from mydriver.stores.lvmthin import pool as thinpool

#: Tag of a volume that a group's snapshot is still being made of.
UNFINISHED = 'mydriver.unfinished'
#: Prefix of the tag with the size in bytes that a volume has to reach.
SIZE = 'mydriver.size='

_REVERT = '_revert-'


def lv_name(name: str) -> str:
    """Return the logical volume of a backing.

    LVM reserves names that begin with "snapshot", lvm(8).

    :raises StoreError: when it is not the name of a backing.
    """
    refusals.refuse_odd_name(name)
    return f'_{name}' if name.startswith('snapshot') else name


def backing_name(lv: str) -> str:
    """Return the name of the backing that a logical volume is."""
    return lv.removeprefix('_')


def spare_name(name: str) -> str:
    """Return the logical volume that replaces a backing's in a revert."""
    return re.sub('^(volume|snapshot)-', _REVERT, names.check_name(name))


def replaced_by(spare: str) -> str:
    """Return the logical volume that one of :func:`spare_name` replaces."""
    return f'volume-{spare.removeprefix(_REVERT)}'


def is_spare(lv: str) -> bool:
    """Tell whether a logical volume is one of :func:`spare_name`."""
    return lv.startswith(_REVERT) and names.is_name(replaced_by(lv))


def is_ours(lv: str) -> bool:
    """Tell whether the store gives such names to logical volumes."""
    return (is_spare(lv)
            or (names.is_name(lv) and not lv.startswith('snapshot'))
            or (lv.startswith('_snapshot') and names.is_name(lv[1:])))


def is_foreign(lv: str) -> bool:
    """Tell whether a logical volume of that name can be adopted."""
    return names.is_foreign_name(lv) and not is_ours(lv)


def is_complete(volume: thinpool.Volume) -> bool:
    """Tell whether all steps of creating a volume are done."""
    return (UNFINISHED not in volume.tags
            and not is_spare(volume.name)
            and has_its_size(volume))


def has_its_size(volume: thinpool.Volume) -> bool:
    """Tell whether a volume has reached the size that its tag demands."""
    # A tag with anything but a number is not of ours.
    wanted = (tag.removeprefix(SIZE) for tag in volume.tags
              if tag.startswith(SIZE))
    return all(volume.size_bytes >= int(size) for size in wanted
               if size.isdecimal())
