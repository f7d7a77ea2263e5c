# SPDX-License-Identifier: Apache-2.0
"""The names of the journal's objects and of their keys.

A slash separates the parts of a key: neither a UUID nor an IQN has one. LUNs
and times have leading zeros, so that keys sort as their numbers do.
"""

import re

from mydriver import exception, model

#: The object that lists the targets of the backend.
REGISTRY = 'mydriver.targets'

#: An OSD refuses longer namespaces (osd_max_object_namespace_len is 256).
_LONGEST = 200

# -- keys of a target's object; those of the registry are HEADER and target()

#: What every change compares and replaces.
HEADER = 'header'
#: Who applies the target's changes, and how far that has come.
APPLIED = 'applied'

EXPORTS = 'export/'
MAPPINGS = 'mapping/'
#: Another one for each attach, by mapping.
VERSIONS = 'version/'
NODES = 'node/'
#: By initiator, the next LUN.
COUNTERS = 'counter/'
#: What the owner could not apply, by volume.
FAULTS = 'fault/'
#: LUNs of the TPG below the header's ``next_lun`` that are free.
FREE = 'free/'
#: The volume on each LUN of the TPG.
TPG_LUNS = 'tpg-lun/'
TARGETS = 'target/'

#: What the header's checksum covers.
SEALED = (EXPORTS, MAPPINGS, NODES, COUNTERS)

#: How many changes are remembered.
LOG_LENGTH = 256


def namespace(backend: str) -> str:
    """Return the RADOS namespace of a backend; backends never share one.

    :param backend: its name, the section of cinder.conf.
    :raises ConfigurationError: when it is too long or not printable.
    """
    name = f'mydriver.{backend}'
    if not backend or not name.isprintable() or len(
            name.encode(errors='replace')) > _LONGEST:
        raise exception.ConfigurationError(
            f'[{backend}]', 'Ceph cannot have a namespace of that name',
            f'Choose a printable name of at most {_LONGEST} bytes.')
    return name


def target_object(target: model.Iqn) -> str:
    """Return the name of a target's object."""
    return f'mydriver.target.{target}'


def target(iqn: model.Iqn) -> str:
    """Return the key of a target in the registry."""
    return f'{TARGETS}{iqn}'


def export(volume_id: str) -> str:
    """Return the key of an export."""
    return EXPORTS + volume_id


def mappings(volume_id: str) -> str:
    """Return the prefix of the keys of a volume's mappings."""
    return f'{MAPPINGS}{volume_id}/'


def mapping(volume_id: str, initiator: model.Iqn) -> str:
    """Return the key of a mapping."""
    return mappings(volume_id) + str(initiator)


def version(volume_id: str, initiator: model.Iqn) -> str:
    """Return the key of the version of a mapping."""
    return f'{VERSIONS}{volume_id}/{initiator}'


def node(initiator: model.Iqn) -> str:
    """Return the key of a NodeACL."""
    return f'{NODES}{initiator}'


def counter(initiator: model.Iqn) -> str:
    """Return the key of an initiator's next LUN."""
    return f'{COUNTERS}{initiator}'


def fault(volume_id: str) -> str:
    """Return the key of what went wrong with a volume."""
    return FAULTS + volume_id


def free(lun: int) -> str:
    """Return the key that says that a LUN of the TPG is free again."""
    return f'{FREE}{lun:05d}'


def tpg_lun(lun: int) -> str:
    """Return the key of the volume on a LUN of the TPG."""
    return f'{TPG_LUNS}{lun:05d}'


def luns(initiator: model.Iqn) -> str:
    """Return the prefix of the keys of an initiator's LUNs in use."""
    return f'lun/{initiator}/'


def lun(initiator: model.Iqn, number: int) -> str:
    """Return the key of the volume on a LUN of an initiator."""
    return f'{luns(initiator)}{number:05d}'


def quarantine(initiator: model.Iqn) -> str:
    """Return the prefix of the keys of an initiator's LUNs in quarantine."""
    return f'quarantine/{initiator}/'


def quarantined(initiator: model.Iqn, released_at: int, number: int) -> str:
    """Return the key of a LUN in quarantine; they sort by time."""
    return f'{quarantine(initiator)}{released_at:012d}/{number:05d}'


def when_and_lun(key: str) -> tuple[int, int]:
    """Return when a LUN in quarantine was released, and the LUN.

    :raises ValueError: when the key is not of that form.
    """
    match = re.fullmatch('quarantine/[^/]+/([0-9]{12})/([0-9]{5})', key)
    if match is None:
        raise ValueError('the key is not that of a LUN in quarantine')
    return int(match[1]), int(match[2])


def log(generation: int) -> str:
    """Return the key under which a change is remembered."""
    return f'log/{generation % LOG_LENGTH:03d}'
