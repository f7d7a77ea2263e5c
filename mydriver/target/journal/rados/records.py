# SPDX-License-Identifier: Apache-2.0
"""What the values of the journal's keys say."""

import dataclasses
from typing import Any, Self

from mydriver import model
from mydriver.target.journal import values
from mydriver.target.journal.rados import record

#: The form of the objects; a later release may change it.
FORMAT = 1

#: Longest reason of a fault, in characters.
_REASON_MAX = 300


def _count(most: int = 2 ** 63 - 1) -> record.Check:
    return lambda value: type(value) is int and 0 <= value <= most


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _hex(digits: int) -> record.Check:
    return lambda value: (isinstance(value, str) and len(value) == digits
                          and set(value) <= set('0123456789abcdef'))


def _portals(value: Any) -> bool:
    return (isinstance(value, list) and value == sorted(set(value))
            and all(str(model.Portal.parse(p)) == p for p in value))


def _volumes(value: Any) -> bool:
    return value is None or (isinstance(value, list)
                             and all(map(values.is_uuid, value)))


@dataclasses.dataclass(frozen=True, slots=True)
class Header(record.Record):
    """The state of a target's object as a whole.

    :param id: of the object; the registry has the same.
    :param registry: id of the registry.
    :param generation: number of changes.
    :param next_lun: the lowest LUN of the TPG that was never in use.
    :param seal: checksum of what :data:`.keys.SEALED` names.
    :param removed: the target was removed from the pool.
    """

    checks = {'format': lambda v: v == FORMAT, 'id': _hex(32),
              'registry': _hex(32), 'generation': _count(),
              'exports': _count(), 'mappings': _count(), 'nodes': _count(),
              'counters': _count(), 'next_lun': _count(65536),
              'seal': _hex(16), 'removed': _flag}

    id: str
    registry: str
    generation: int = 0
    exports: int = 0
    mappings: int = 0
    nodes: int = 0
    counters: int = 0
    next_lun: int = 0
    seal: str = '0' * 16
    removed: bool = False
    format: int = FORMAT


@dataclasses.dataclass(frozen=True, slots=True)
class Registry(record.Record):
    """The header of the registry.

    :param id: of the registry.
    :param service: whose backend it is.
    :param generation: number of changes.
    """

    checks = {'format': lambda v: v == FORMAT, 'id': _hex(32),
              'service': _text, 'generation': _count()}

    id: str
    service: str
    generation: int = 0
    format: int = FORMAT


@dataclasses.dataclass(frozen=True, slots=True)
class Target(record.Record):
    """A target in the registry.

    :param id: of its object.
    """

    checks = {'id': _hex(32)}

    id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Export(record.Record):
    """An export; the key has the volume.

    :param doomed: the generation since when it is to be removed, or 0.
    """

    checks = {'lun': _count(65535), 'kind': values.CHECKS['kind'],
              'path': values.CHECKS['path'], 'size_bytes': _count(),
              'doomed': _count()}

    lun: int
    kind: Any
    path: str
    size_bytes: int
    doomed: int = 0

    @property
    def device(self) -> model.BackingDevice:
        """The device that is exported."""
        return model.BackingDevice(self.kind, self.path, self.size_bytes)


@dataclasses.dataclass(frozen=True, slots=True)
class Mapped(record.Record):
    """A mapping; the key has the volume and the initiator.

    :param run: of the service that confirmed it last.
    :param service: which service that was.
    :param confirmed_at: when that was, in seconds since the epoch.
    :param doomed: the generation since when it is to be removed, or 0.
    :param told: its host may know the LUN although the mapping is doomed, or
        was.
    """

    checks = {'lun': _count(16383), 'read_only': _flag, 'run': _text,
              'service': _text, 'confirmed_at': _count(), 'doomed': _count(),
              'told': _flag}

    lun: int
    read_only: bool
    run: str
    service: str
    confirmed_at: int
    doomed: int = 0
    told: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Version(record.Record):
    """The version of a mapping; the key has the volume and the initiator."""

    checks = {'id': _hex(16)}

    id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Node(record.Record):
    """A NodeACL; the key has the initiator."""

    checks = {'chap': lambda v: v is None or _flag(v), 'mutual': _flag,
              'key': lambda v: _text(v) and values.CHECKS['key'](v),
              'portals': _portals}

    chap: bool | None
    mutual: bool
    key: str
    portals: list[str]

    @classmethod
    def of(cls, kind: model.NodeKind) -> Self:
        """Return the record of a kind."""
        return cls(kind.chap, kind.mutual, kind.key, sorted(kind.portals))

    @property
    def kind(self) -> model.NodeKind:
        """How the initiator logs in."""
        return model.NodeKind(self.chap, self.mutual, self.key,
                              frozenset(self.portals))


@dataclasses.dataclass(frozen=True, slots=True)
class Counter(record.Record):
    """The next LUN of an initiator."""

    checks = {'next': _count(16384)}

    next: int


@dataclasses.dataclass(frozen=True, slots=True)
class Volume(record.Record):
    """A volume's id."""

    checks = {'volume_id': values.is_uuid}

    volume_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Free(record.Record):
    """A LUN of the TPG that is free again; the key has the number."""


@dataclasses.dataclass(frozen=True, slots=True)
class Log(record.Record):
    """What one change was about.

    :param volumes: the volumes that it concerned; None for all of them.
    """

    checks = {'generation': _count(), 'volumes': _volumes}

    generation: int
    volumes: list[str] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Applied(record.Record):
    """How far the owner of a target has come.

    :param owner: its name; empty before the first one.
    :param epoch: rises with each change of owner.
    :param generation: the kernel matches the journal as of this change,
        except for faults.
    """

    checks = {'owner': _text, 'epoch': _count(), 'generation': _count()}

    owner: str = ''
    epoch: int = 0
    generation: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Fault(record.Record):
    """What the owner could not apply; the key has the volume."""

    checks = {'reason': _text}

    reason: str

    @classmethod
    def of(cls, reason: str) -> Self:
        """Return the record of a reason, shortened."""
        return cls(reason[:_REASON_MAX])
