# SPDX-License-Identifier: Apache-2.0
"""Where the objects of the kernel target are in configfs.

A LUN of a TPG is a directory with a symbolic link to its backstore, a mapped
LUN of a NodeACL one with a link to a LUN of the TPG
(Documentation/target/tcm_mod_builder.rst). Every name in a path has been
checked (:mod:`.requests`).
"""

from pathlib import Path
from typing import Any
import uuid

import rtslib_fb

from mydriver.privileged import values

#: The number of our only TPG.
TPG = 1
#: rtslib hands out backstore indexes below this (rtslib_fb.tcm._Backstore).
_FIRST_INDEX = 1 << 20


def root() -> Path:
    """Return the target's directory in configfs."""
    return Path(rtslib_fb.RTSRoot.configfs_dir)


def tpg(target: str) -> Path:
    """Return the directory of a target's TPG."""
    return root() / 'iscsi' / target / f'tpgt_{TPG}'


def lun(placed: dict[str, Any]) -> Path:
    """Return the directory of an export's LUN."""
    return tpg(placed['target']) / 'lun' / f'lun_{placed["lun"]}'


def acl(target: str, initiator: object) -> Path:
    """Return the directory of a NodeACL.

    :param initiator: its name, not checked yet.
    :raises RequestRefused: when that is not an iSCSI name.
    """
    return tpg(target) / 'acls' / values.iqn(initiator, 'an initiator')


def index(volume_id: str) -> int:
    """Return the index of a volume's backstore, always the same one."""
    return _FIRST_INDEX + (uuid.UUID(volume_id).int >> 97)


def storage_object(export: dict[str, Any]) -> Path:
    """Return the directory of a volume's backstore."""
    return Path(root(), 'core',
                f'{export["kind"]}_{index(export["volume_id"])}',
                export['name'])


def set_parameter(node: Any, name: str, value: int) -> None:
    """Set a parameter of iSCSI of a TPG, unless it is set."""
    if node.get_parameter(name) != str(value):
        node.set_parameter(name, str(value))


def set_attribute(node: Any, name: str, value: int) -> None:
    """Set an attribute of one of rtslib's objects, unless it is set."""
    if node.get_attribute(name) != str(value):
        node.set_attribute(name, value)
