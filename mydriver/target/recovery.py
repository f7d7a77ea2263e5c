# SPDX-License-Identifier: Apache-2.0
"""Find in the kernel, and in Cinder's records, what the journal lost."""

from collections.abc import Callable, Sequence
import dataclasses

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import kernel, pool
from mydriver.target.journal import base

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """A mapping that Cinder has an attachment for.

    :param mapping: what the initiator was told.
    :param target: the target that it was told of.
    :param chap: the credentials that it was told, or None without CHAP.
    :param portals: where it was told to log in.
    """

    mapping: model.Mapping
    target: model.Iqn
    chap: model.ChapCredentials | None
    portals: tuple[model.Portal, ...]


def adopt(known: Sequence[model.Iqn], name_prefix: str,
          journal: base.Journal, target: kernel.KernelTarget,
          kind: Callable[[bool], model.NodeKind]) -> None:
    """Take over what is ours in the kernel and not in the journal.

    That is so when the journal was lost or an old copy restored. Hosts may be
    using it: what is to go, Cinder decides (see
    :meth:`~mydriver.target.exports.ExportService.settle`).

    :param known: the targets of the journal.
    :param name_prefix: how the names of our backstores begin.
    :param kind: returns what is known of a NodeACL that asks for CHAP or not.
    """
    exports, mappings = journal.exports(), journal.mappings()
    for iqn in known:
        seen = target.observe(iqn)
        if seen is None:
            continue
        new_exports, new_mappings = kernel.unknown(
            seen, name_prefix, exports, mappings)
        for export in new_exports:
            _tell(f'LUN {export.lun} of {iqn}, volume {export.volume_id},',
                  journal.adopt_export(export))
        for export, mapping in new_mappings:
            what = f'LUN {mapping.lun} of {mapping.initiator} at {iqn}'
            try:
                mutual = target.is_mutual(iqn, mapping.initiator)
            except exception.MyDriverError as e:
                # It must not keep all the others down.
                LOG.error('%s is not in the journal, and is left alone: %s',
                          what, e)
                continue
            _tell(what, journal.adopt_mapping(
                export, mapping, mutual,
                kind(str(mapping.initiator) in seen.authenticated)))


def unknown_targets(known: Sequence[model.Iqn], name_prefix: str,
                    target: kernel.KernelTarget) -> list[model.Iqn]:
    """Return more targets of a pool that carry volumes of ours.

    A host that was renamed has such ones, and a new journal lacks them.

    :param known: the targets of the journal.
    :param name_prefix: how the names of our backstores begin.
    """
    found = []
    for name in target.names():
        try:
            iqn = model.Iqn(name)
        except exception.InvalidIqn:
            continue
        if iqn in known or not pool.is_of_a_pool(iqn):
            continue
        seen = target.observe(iqn)
        if seen and any(e.name == name_prefix + e.serial
                        for e in seen.exports):
            found.append(iqn)
    return found


def _tell(what: str, taken: bool) -> None:
    LOG.warning('%s is not in the journal: %s', what,
                'taken over' if taken else 'it contradicts it, left alone')
