# SPDX-License-Identifier: Apache-2.0
"""What the export service needs of a kernel target, and what it finds there.

LIO (:mod:`.lio`) and the tests' in-memory target implement
:class:`KernelTarget`; both pass the same contract suite.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import configfs

LOG = logging.getLogger(__name__)

#: Portals in addition to the configured ones, by target.
More = Mapping[model.Iqn, Collection[model.Portal]]


class KernelTarget(Protocol):
    """A target that takes a desired state. Every method is idempotent."""

    def check(self) -> list[str]:
        """Check that the host can serve volumes.

        :returns: warnings: what is wrong without keeping it from serving.
        :raises NoAddress: when it has none of the portals' addresses yet.
        :raises ConfigurationError: when something is missing.
        """

    def create(self, targets: Sequence[model.Iqn]) -> None:
        """Create targets without portals; those that exist stay as they are.

        Nobody can log in before :meth:`ensure_pool`. A target that cannot be
        created is logged and skipped.

        :raises TargetError: when no target can be created.
        """

    def ensure_pool(self, targets: Sequence[model.Iqn],
                    more: More | None = None) -> None:
        """Create the targets of the pool, and let them listen.

        A target that cannot be created is logged and skipped.

        :param more: portals of a target in addition to the configured ones.
        :raises TargetError: when no target can be created.
        """

    def disable(self, target: model.Iqn) -> bool:
        """Let a target accept no logins, and end its sessions.

        :meth:`ensure_pool` enables it again. Remove floating addresses first,
        so that no initiator gets an answer any more.

        :returns: False while devices have not answered all commands in hand.
        :raises TargetError: when the kernel refuses.
        """

    def drop_target(self, target: model.Iqn) -> bool:
        """Remove a target that nobody can be using.

        :returns: False when it has LUNs, NodeACLs or sessions, and was kept.
        :raises TargetError: when the kernel refuses.
        """

    def ensure_export(self, export: model.Export) -> None:
        """Create the LUN of a volume.

        :raises ForeignObject: when another object has its place.
        :raises TargetError: when the kernel refuses.
        """

    def ensure_mapping(self, mapped: model.MappedExport,
                       secrets: model.ChapCredentials | None = None) -> None:
        """Create the LUN of a volume and map it to an initiator.

        :param secrets: None keeps those that the NodeACL has.
        :raises ForeignObject: when another object has its place.
        :raises TargetError: when the kernel refuses.
        """

    def drop_mapping(self, mapped: model.MappedExport) -> None:
        """Unmap a LUN; the NodeACL goes with the last of its LUNs.

        While its initiator is logged in the NodeACL stays, so that commands
        to the LUN fail at once instead of hanging; a later call removes it.

        :raises Overtaken: when it was mapped again through another service.
        :raises TargetError: when the kernel refuses.
        """

    def drop_export(self, export: model.Export) -> None:
        """Remove the LUN of a volume.

        :raises TargetError: when the kernel refuses, as while it is mapped.
        """

    def resize(self, export: model.Export) -> None:
        """Report the size of the grown device to initiators.

        :raises TargetError: when the kernel refuses.
        """

    def is_mutual(self, target: model.Iqn, initiator: model.Iqn) -> bool:
        """Tell whether a NodeACL asks for mutual CHAP.

        :raises TargetError: when there is no such NodeACL.
        """

    def names(self) -> list[str]:
        """Return the names of all targets, ours or not."""

    def observe(self, target: model.Iqn) -> configfs.SeenTarget | None:
        """Return the objects of a target, None when there is no target."""

    def listening(self, target: model.Iqn) -> frozenset[str]:
        """Return the portals at which a target accepts logins.

        Portals whose address this host has lost are left out.
        """


def unknown(seen: configfs.SeenTarget, name_prefix: str,
            exports: Iterable[model.Export],
            mappings: Iterable[model.MappedExport]
            ) -> tuple[list[model.Export],
                       list[tuple[model.Export, model.Mapping]]]:
    """Return the backend's objects of a target that the journal lacks.

    :param seen: what the kernel has.
    :param name_prefix: prefix of the backend's backstores; LUNs of others,
        and mapped LUNs that lead to them, are not ours.
    :param exports: those of the journal, of any target.
    :param mappings: those of the journal, of any target.
    :returns: exports; and mappings with the export that each leads to.
    """
    target = model.Iqn(seen.iqn)
    ours = {e.lun: model.Export(
        e.serial,
        model.BackingDevice('iblock' if e.kind == 'iblock' else 'fileio',
                            e.path, e.size_bytes), target, e.lun)
            for e in seen.exports if e.name == name_prefix + e.serial}
    known = {(e.target, e.lun) for e in exports}
    known_mappings = {(m.export.target, m.mapping.initiator, m.mapping.lun)
                      for m in mappings}
    return (
        [e for e in ours.values() if (target, e.lun) not in known],
        [(ours[m.tpg_lun], model.Mapping(ours[m.tpg_lun].volume_id, initiator,
                                         m.lun, m.read_only))
         for m in seen.mappings if m.tpg_lun in ours
         and (initiator := _iqn(m.initiator)) is not None
         and (target, initiator, m.lun) not in known_mappings])


def _iqn(name: str) -> model.Iqn | None:
    """Return a NodeACL's name, None when this driver cannot have given it."""
    try:
        return model.Iqn(name)
    except exception.InvalidIqn as e:
        LOG.warning('Ignoring a NodeACL that this driver did not create: %s',
                    e)
        return None
