# SPDX-License-Identifier: Apache-2.0
"""Find in the kernel what the journal does not know."""

from collections.abc import Sequence

from oslo_log import log as logging

from mydriver import model
from mydriver.cinder_volume import journal as journals
from mydriver.cinder_volume import target as targets

LOG = logging.getLogger(__name__)


def adopt(known: Sequence[model.Iqn], name_prefix: str,
          journal: journals.Journal, target: targets.KernelTarget) -> None:
    """Take over what is ours in the kernel and not in the journal.

    That is so when the journal was lost or an old copy restored. Hosts may be
    using it: what is to go, Cinder decides (see
    :meth:`~mydriver.cinder_volume.service.ExportService.settle`).

    :param known: the targets of the pool.
    :param name_prefix: how the names of our backstores begin.
    """
    exports, mappings = journal.exports(), journal.mappings()
    for iqn in known:
        seen = target.observe(iqn)
        if seen is None:
            continue
        new_exports, new_mappings = targets.unknown(
            seen, name_prefix, exports, mappings)
        for export in new_exports:
            _tell(f'LUN {export.lun} of {iqn}, volume {export.volume_id},',
                  journal.adopt_export(export))
        for export, mapping in new_mappings:
            _tell(f'LUN {mapping.lun} of {mapping.initiator} at {iqn}',
                  journal.adopt_mapping(
                      export, mapping,
                      target.is_mutual(iqn, mapping.initiator)))


def _tell(what: str, taken: bool) -> None:
    LOG.warning('%s is not in the journal: %s', what,
                'taken over' if taken else 'it contradicts it, left alone')
