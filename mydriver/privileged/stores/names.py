# SPDX-License-Identifier: Apache-2.0
"""Checks of the names and tags that a caller hands to the verbs of a pool.

Each function returns the value, in a form that is safe as an argument of LVM
and of device-mapper, or raises. Groups and pools are those that root's
configuration gives to a backend (:mod:`.grants`).
"""

from collections.abc import Sequence
import re

from mydriver import exception
from mydriver.privileged import grants, values

_UUID = '[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}'
#: Our logical volumes. LVM reserves names that begin with "snapshot", and the
#: copy that replaces a volume in a revert has a name of its own.
_LV = re.compile(rf'(?:volume|_snapshot|_revert)-{_UUID}\Z')
#: Groups, pools and foreign volumes (lvm(8), VALID NAMES).
_PLACE = re.compile(r'[A-Za-z0-9_+.][A-Za-z0-9_+.-]*\Z')
_TAG = re.compile(r'mydriver\.[a-z0-9.=]+\Z')

#: Longest name and longest tag, in characters (lvm(8)).
_MOST_CHARACTERS = 127
_MOST_TAGS = 16


def place(name: str) -> str:
    """Return the name of a group, pool or volume, whoever made it.

    :raises StoreError: when LVM would not accept it as a name.
    """
    if (not isinstance(name, str) or not _PLACE.match(name)
            or name in ('.', '..') or len(name) > _MOST_CHARACTERS):
        raise exception.StoreError(
            f'use {values.shown(name)}',
            'it cannot name a volume group, pool or volume')
    return name


def pools(vg: str) -> frozenset[str]:
    """Return the pools that our backends have in a group."""
    return frozenset(grants.pools_of(place(vg)))


def pool(vg: str, name: str) -> str:
    """Return the name of a pool that a backend of ours has in a group.

    :raises RequestRefused: when none has it.
    """
    place(vg)
    if place(name) not in pools(vg):
        values.refuse(f'to use {vg}/{name}',
                      'the configuration gives it to no backend')
    return name


def volume(name: str) -> str:
    """Return the name of a logical volume, which is one that we give.

    :raises StoreError: when it is not.
    """
    if not isinstance(name, str) or not _LV.match(name):
        raise exception.StoreError(
            f'use the logical volume {values.shown(name)}',
            'it is not named like ours')
    return name


def volumes(names: Sequence[str]) -> list[str]:
    """Return names of logical volumes, see :func:`volume`."""
    return [volume(name) for name in values.items(names, 'logical volumes')]


def options(option: str, tags: Sequence[str]) -> list[str]:
    """Return an option of LVM for each tag, which begins with ``mydriver.``.

    :param option: ``--addtag`` or ``--deltag``.
    :raises StoreError: when a tag is another one.
    """
    for tag in values.items(tags, 'tags', _MOST_TAGS):
        if (not isinstance(tag, str) or len(tag) > _MOST_CHARACTERS
                or not _TAG.match(tag)):
            raise exception.StoreError(
                f'use tag {values.shown(tag)}', 'it is not ours')
    return [word for tag in tags for word in (option, tag)]


def pairs(copies: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return pairs of source and copy, in which no volume occurs twice.

    :raises RequestRefused: when they are not such pairs.
    :raises StoreError: when a name is not one of ours.
    """
    found = [volumes(values.items(pair, 'a copy', 2))
             for pair in values.items(copies, 'copies')]
    lvs = [lv for pair in found for lv in pair]
    if len(lvs) != 2 * len(found) or len(set(lvs)) != len(lvs):
        values.refuse('to copy volumes together', 'each copy needs a source '
                      'and a name, and each volume may occur once')
    return found
