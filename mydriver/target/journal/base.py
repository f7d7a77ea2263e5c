# SPDX-License-Identifier: Apache-2.0
"""What the export service asks of a journal.

The journal holds the desired state of a backend's exports; the kernel target
is made to match it. It holds no secrets: CHAP credentials are derived again
each time (:mod:`mydriver.target.chap`).
"""

from collections.abc import Sequence
from typing import Protocol

from mydriver import model


class Journal(Protocol):
    """The desired state of a backend's exports.

    Each method is one transaction. What it changed is on stable storage when
    it returns, before anything is applied to the kernel. All methods may be
    called from any thread.

    :raises JournalDamaged: by any method, when stored values are invalid.
    :raises JournalError: by any method, when the journal cannot be used.
    :raises WaitTimeout: by any method, when other calls keep it busy.
    """

    def close(self) -> None:
        """Close the journal."""

    # -- targets

    def add_targets(self, targets: Sequence[model.Iqn]) -> list[model.Iqn]:
        """Add targets of the pool.

        :returns: all targets, including those of earlier runs.
        """

    def targets(self) -> list[model.Iqn]:
        """Return the targets of the pool, including those of earlier runs."""

    def remove_target(self, target: model.Iqn) -> bool:
        """Remove a target.

        :returns: False while it has exports or mappings; it is kept then.
        """

    # -- exports

    def add_export(self, volume_id: str, device: model.BackingDevice,
                   target: model.Iqn) -> model.Export:
        """Record that a volume is to be exported, with this device.

        :param target: the target for a new export; an existing one stays
            where it is.
        :raises LunsExhausted: when the target has no free LUN.
        """

    def export(self, volume_id: str) -> model.Export:
        """Return an export.

        :raises ExportNotFound: when the volume is not exported.
        """

    def exports(self) -> list[model.Export]:
        """Return all exports."""

    def remove_export(self, volume_id: str) -> None:
        """Record that a volume is no longer to be exported.

        :raises TargetInUse: while it is mapped.
        """

    def adopt_export(self, export: model.Export) -> bool:
        """Record an export that the kernel has.

        :returns: False when it contradicts the journal, or cannot be ours.
        """

    # -- mappings

    def add_mapping(self, volume_id: str, initiator: model.Iqn, *,
                    read_only: bool, mutual: bool,
                    keep_writable: bool = False,
                    kind: model.NodeKind | None = None,
                    version: str | None = None) -> model.MappedExport:
        """Record that an export is to be mapped to an initiator.

        An existing mapping keeps its LUN, and gets another version. A NodeACL
        keeps its kind as long as it has mappings, since live sessions depend
        on it.

        :param mutual: whether a new NodeACL uses mutual CHAP.
        :param keep_writable: leave a writable mapping writable: another user
            on the same host may be writing.
        :param kind: everything else about a new NodeACL.
        :param version: change the mapping of this version only.
        :raises ExportNotFound: when the volume is not exported.
        :raises LunsExhausted: when the initiator has no free LUN.
        :raises Overtaken: when the mapping has another version, or is gone.
        """

    def mappings(self, volume_id: str | None = None
                 ) -> list[model.MappedExport]:
        """Return the mappings of one volume, or all."""

    def earlier_mappings(self) -> list[model.MappedExport]:
        """Return the mappings that no call of this run has confirmed."""

    def doom(self, volume_id: str, initiator: model.Iqn, *,
             version: str | None = None) -> None:
        """Mark a mapping for removal, although the kernel still has it.

        :param version: as the mapping was read; None for any.
        :raises Overtaken: when it has another one.
        """

    def remove_mapping(self, volume_id: str, initiator: model.Iqn, *,
                       quarantine: bool = True, version: str | None = None
                       ) -> None:
        """Record that an export is no longer to be mapped to an initiator.

        :param quarantine: hold the LUN back; False only when no host was
            ever told of it.
        :param version: as the mapping was read; None for any.
        :raises Overtaken: when it has another one: it was requested again.
        """

    def adopt_mapping(self, export: model.Export, mapping: model.Mapping,
                      mutual: bool, kind: model.NodeKind | None = None
                      ) -> bool:
        """Record a mapping that the kernel has, as one of an earlier run.

        :param mutual: whether its NodeACL uses mutual CHAP.
        :param kind: everything else that is known about the NodeACL.
        :returns: False when it contradicts the journal.
        """

    # -- NodeACLs

    def nodes(self) -> list[model.Node]:
        """Return the NodeACLs that have mappings."""

    def set_kind(self, node: model.Node) -> None:
        """Record what has been found out about a NodeACL."""
