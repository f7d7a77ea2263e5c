# SPDX-License-Identifier: Apache-2.0
"""What gateways and their clients ask of a journal that they share.

cinder-volume records what shall be (:class:`.base.Journal`). The gateway that
owns a target applies that to its kernel and acknowledges it. A removal is
recorded first (``doom_export``, ``doom_mapping``), stays on record until the
owner has acknowledged it, and only then the record goes (``remove_export``,
``remove_mapping``): an owner removes what is doomed, never what it merely
does not find in the journal.

A change is referred to by the target's *generation*: the number of its
changes so far.
"""

from collections.abc import Mapping
import contextlib
import dataclasses
from typing import Protocol

from mydriver import model
from mydriver.ceph import bells
from mydriver.target.journal import base


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What shall be of a volume on one target.

    :param volume_id: UUID of the volume.
    :param export: its export; None when the journal has none, which is no
        reason to remove one.
    :param doomed: the export is to be removed.
    :param mappings: those to be removed are marked.
    """

    volume_id: str
    export: model.Export | None
    doomed: bool = False
    mappings: tuple[model.MappedExport, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What shall be of a target, all as of one moment.

    :param target: its name.
    :param generation: as of which change.
    :param volumes: all of the target's volumes, or those that changed; in
        order of their ids.
    :param whole: whether it is all of them.
    """

    target: model.Iqn
    generation: int
    volumes: tuple[Wanted, ...]
    whole: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Applied:
    """How far the owner of a target has come.

    :param owner: name of the gateway; empty before the first one.
    :param epoch: rises with each change of owner.
    :param generation: the last change that its kernel matches; 0 when a new
        owner has applied nothing yet.
    """

    owner: str
    epoch: int
    generation: int


class SharedJournal(base.Journal, Protocol):
    """A journal of several services. Errors are those of the base."""

    def set_aside(self, target: model.Iqn) -> str:
        """Replace what is recorded of a target and is damaged, or was lost.

        It has no exports then: only for callers that ask Cinder afterwards
        what it lacks.

        :returns: where that is kept which was damaged.
        :raises JournalUnusable: when it is not a target of the backend.
        """

    # -- for those who ask

    def doom_export(self, volume_id: str) -> int:
        """Record that the owner shall remove an export.

        :returns: the generation to wait for; 0 when there is no such export.
        :raises TargetInUse: while it is mapped.
        """

    def doom_mapping(self, volume_id: str, initiator: model.Iqn, *,
                     version: str | None = None) -> int:
        """Record that the owner shall remove a mapping.

        Its LUN is held back when the mapping is removed, by whomever.

        :param version: as the mapping was read; None for any.
        :returns: the generation to wait for; 0 when there is no such mapping.
        :raises Overtaken: when it has another version.
        """

    def generation(self, target: model.Iqn) -> int:
        """Return the number of a target's changes."""

    def applied(self, target: model.Iqn) -> Applied:
        """Return how far a target's owner has come."""

    def wait_applied(self, target: model.Iqn, generation: int,
                     timeout_s: float) -> Applied:
        """Wait until a target's owner has applied a change.

        :param generation: of the change, or of a later one.
        :param timeout_s: how long to wait; longer, when Ceph does not answer.
        :raises WaitTimeout: names the owner, and how far it has come.
        """

    def fault(self, target: model.Iqn, volume_id: str) -> str:
        """Return why the owner could not apply a volume, or nothing."""

    # -- for the owner

    def listen(self, target: model.Iqn
               ) -> contextlib.AbstractContextManager[bells.Bell]:
        """Return a context with a bell that rings when a target has changed.

        It rings for acknowledgements, too.
        """

    def snapshot(self, target: model.Iqn) -> State:
        """Return all that shall be of a target."""

    def changes_since(self, target: model.Iqn, generation: int) -> State:
        """Return what has changed since a generation.

        Its cost depends on the number of changes, not of volumes.

        :returns: everything, when the changes are not known any more.
        """

    def begin(self, target: model.Iqn, owner: str, epoch: int) -> None:
        """Record a new owner, which has applied nothing yet.

        From then on, earlier owners cannot acknowledge anything.

        :param owner: name of the gateway.
        :param epoch: of its ownership; the same one may begin again.
        :raises OwnerChanged: when another epoch or owner is not older.
        """

    def acknowledge(self, target: model.Iqn, owner: str, epoch: int,
                    generation: int, faults: Mapping[str, str]) -> None:
        """Record that the owner's kernel matches the journal.

        :param generation: as of which change.
        :param faults: reasons by volume, of all that could not be applied.
        :raises OwnerChanged: when there is a new owner.
        """
