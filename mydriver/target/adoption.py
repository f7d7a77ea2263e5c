# SPDX-License-Identifier: Apache-2.0
"""Adopt what the kernel has of this backend and the journal lacks.

That happens when the journal was lost, or an old copy of it restored. Hosts
may be using these objects, so none is removed here; that is decided later, by
Cinder's records (see :meth:`~mydriver.target.reconcile.Reconciler.settle`).
"""

from collections.abc import Callable, Sequence

from oslo_log import log as logging

from mydriver import exception, model
from mydriver.target import kernel, pool
from mydriver.target.journal import base

LOG = logging.getLogger(__name__)


def adopt(known: Sequence[model.Iqn], name_prefix: str,
          journal: base.Journal, target: kernel.KernelTarget,
          kind: Callable[[model.Iqn, bool], model.NodeKind]) -> None:
    """Record in the journal what the kernel has on known targets.

    :param known: the targets of the journal.
    :param name_prefix: prefix of the names of the backend's backstores.
    :param kind: takes the target of a NodeACL and whether it asks for CHAP,
        and returns what is known about it.
    """
    exports, mappings = journal.exports(), journal.mappings()
    for iqn in known:
        seen = target.observe(iqn)
        if seen is None:
            continue
        new_exports, new_mappings = kernel.unknown(
            seen, name_prefix, exports, mappings)
        for export in new_exports:
            _log(f'LUN {export.lun} of {iqn}, volume {export.volume_id},',
                 journal.adopt_export(export))
        for export, mapping in new_mappings:
            what = f'LUN {mapping.lun} of {mapping.initiator} at {iqn}'
            try:
                mutual = target.is_mutual(iqn, mapping.initiator)
            except exception.MyDriverError as e:
                # One NodeACL must not keep all others from being served.
                LOG.error('%s is not in the journal, and is left alone: %s',
                          what, e)
                continue
            _log(what, journal.adopt_mapping(
                export, mapping, mutual,
                kind(iqn, str(mapping.initiator) in seen.authenticated)))


def unknown_targets(known: Sequence[model.Iqn], name_prefix: str,
                    target: kernel.KernelTarget) -> list[model.Iqn]:
    """Return targets that carry volumes of ours and that the journal lacks.

    A host that was renamed has such targets, and a new journal lacks them.

    :param known: the targets of the journal.
    :param name_prefix: prefix of the names of the backend's backstores.
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


def _log(what: str, adopted: bool) -> None:
    LOG.warning('%s is not in the journal: %s', what, 'adopted' if adopted
                else 'left alone, since it contradicts the journal')
